"""Functions of neural networks, with torch's names and signatures."""

from .. import _C

relu = _C.relu
gelu = _C.gelu
tanh = _C.tanh
sigmoid = _C.sigmoid
softmax = _C.softmax
log_softmax = _C.log_softmax
linear = _C.linear
layer_norm = _C.layer_norm
scaled_dot_product_attention = _C.scaled_dot_product_attention


def check_reduction(name, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"[{name}] got reduction={reduction!r}; expected 'mean', 'sum' or 'none'")


def check_probability(p):
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"[dropout] got p={p}; expected a probability between 0 and 1")


def embedding(input, weight):
    """Rows of `weight` (n, d) chosen by `input` (int64): shape input.shape + (d,)."""
    return _C.embedding(weight, input)


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
    if len(input.shape) not in (1, 2):
        raise ValueError(f"[cross_entropy] got input: {tuple(input.shape)}; expected (N, C) or "
                         "(C,); use logits.reshape(-1, C) and target.reshape(-1)")
    rows = _C.cross_entropy_rows(input, target, ignore_index=ignore_index)[0]
    if reduction != "mean":
        return _reduce(rows, reduction)
    return rows.sum() / _C.count_targets(target, ignore_index=ignore_index, dtype=rows.dtype)


def mse_loss(input, target, *, reduction="mean"):
    check_reduction("mse_loss", reduction)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(f"[mse_loss] shapes differ: got input: {tuple(input.shape)}, target: "
                         f"{tuple(target.shape)}; expected the same shape; use expand or reshape")
    difference = input - target
    return _reduce(difference * difference, reduction)
