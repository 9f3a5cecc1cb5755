"""Functions of neural networks, with torch's names and signatures."""

from .. import _C

relu = _C.relu
gelu = _C.gelu
tanh = _C.tanh
sigmoid = _C.sigmoid
softmax = _C.softmax
log_softmax = _C.log_softmax
linear = _C.linear


def check_reduction(name, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"[{name}] got reduction={reduction!r}; expected 'mean', 'sum' or 'none'")


def check_probability(p):
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"[dropout] got p={p}; expected a probability between 0 and 1")


def embedding(input, weight):
    """Rows of `weight` (n, d) chosen by `input` (int64): shape input.shape + (d,)."""
    return _C.embedding(input, weight)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    return _C.layer_norm(input, weight, bias, normalized_shape=tuple(normalized_shape), eps=eps)[0]


def scaled_dot_product_attention(query, key, value, *, is_causal=False, scale=None):
    """softmax(q kᵀ · scale) v over (batch, heads, tokens, width); scale is 1/√width by default."""
    if scale is None:
        scale = query.shape[-1] ** -0.5
    return _C.scaled_dot_product_attention(query, key, value, is_causal=is_causal, scale=scale)[0]


def dropout(input, p=0.5, training=True):
    check_probability(p)
    if not training or p == 0.0:
        return input
    return _C.dropout(input, p=p)


def _reduce(values, reduction):
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()


def cross_entropy(input, target, *, ignore_index=-100, reduction="mean"):
    """Negative log-likelihood of class indices `target` (N,) under logits `input` (N, C)."""
    check_reduction("cross_entropy", reduction)
    return _C.cross_entropy(input, target, ignore_index=ignore_index, reduction=reduction)


def mse_loss(input, target, *, reduction="mean"):
    check_reduction("mse_loss", reduction)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(f"[mse_loss] shapes differ: got input: {tuple(input.shape)}, target: "
                         f"{tuple(target.shape)}; expected the same shape; use expand or reshape")
    difference = input - target
    return _reduce(difference * difference, reduction)
