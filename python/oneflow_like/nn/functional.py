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
cross_entropy = _C.cross_entropy
mse_loss = _C.mse_loss
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
