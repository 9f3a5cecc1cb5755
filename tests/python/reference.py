"""What every operator of the registry computes, in NumPy.

An operator's definition says it as an expression over its inputs and attributes (its oracle);
HELPERS are the names such an expression may use beside NumPy. REFERENCE has the rest: it maps a
registry name to a function of (inputs, attrs) that returns the list of outputs; for an operator
that updates its inputs in place, the list of their new values in input order.
Floating inputs may come in any width: a reference computes in the width it is given.
"""

import math

import numpy as np

import oneflow_like as flow

_erf = np.vectorize(math.erf, otypes=[np.float64])
_ROOT_2PI = math.sqrt(2 * math.pi)
_TANH_SLOPE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def _one(function):
    """An operator of one output that depends on the inputs alone."""
    return lambda inputs, attrs: [np.asarray(function(*inputs))]


def _with(function):
    """An operator of one output whose attributes are keyword arguments."""
    return lambda inputs, attrs: [np.asarray(function(*inputs, **attrs))]


# --- elementwise ----------------------------------------------------------------------------

def _gelu_grad(dy, x, approximate):
    if approximate == "tanh":
        t = np.tanh(_TANH_SLOPE * (x + _TANH_CUBIC * x ** 3))
        slope = _TANH_SLOPE * (1 + 3 * _TANH_CUBIC * x ** 2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
    density = np.exp(-0.5 * x * x) / _ROOT_2PI
    return dy * (0.5 * (1 + _erf(x / math.sqrt(2))) + x * density)


def _in_dtype(scalar, x):
    return x.dtype.type(scalar)


# --- dtypes that NumPy has not: values of theirs as float32 --------------------------------------

# Bits of the mantissa, the least exponent, the largest number, and what is beyond it.
_NARROW = {"bfloat16": (7, -126, float(2 ** 128 - 2 ** 120), np.inf),
           "float8_e4m3fn": (3, -6, 448.0, np.nan),
           "float8_e5m2": (2, -14, 57344.0, np.inf)}


def is_narrow(dtype):
    return dtype.name in _NARROW


def numpy_dtype(dtype):
    return np.dtype("float32" if is_narrow(dtype) else dtype.name)


def to_dtype(x, dtype):
    """`x` rounded once to a dtype, to nearest with ties to even."""
    x = np.asarray(x)
    if x.dtype.kind == "c" and not dtype.name.startswith("complex"):
        x = x.real
    if not is_narrow(dtype):
        return x.astype(dtype.name)
    bits, least, largest, beyond = _NARROW[dtype.name]
    x = x.astype(np.float64)
    step = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - 1, least) - bits)
    rounded = np.where(np.isfinite(x), np.round(x / step) * step, x)
    too_large = np.abs(rounded) > largest
    return np.where(too_large, np.copysign(beyond, x), rounded).astype(np.float32)


def _cast(x, dtype):
    if x.dtype.kind == "c" and not dtype.name.startswith("complex") and dtype is not flow.bool:
        x = x.real
    if is_narrow(dtype):
        return x.astype(np.float64)  # the caller rounds
    to = np.dtype(dtype.name)
    if x.dtype.kind == "f" and to.kind in "iu":
        bounds = np.iinfo(to)
        inside = np.trunc(np.nan_to_num(x, nan=0.0))
        result = np.where(np.abs(inside) < 2.0 ** 62, inside, 0).astype(np.int64)
        result = np.clip(result, bounds.min, bounds.max)
        result = np.where(inside <= float(bounds.min), bounds.min, result)
        return np.where(inside >= float(bounds.max), bounds.max, result).astype(to)
    return x.astype(to)


HELPERS = {"np": np, "erf": _erf, "gelu_grad": _gelu_grad, "cast": _cast}


def _helper(function):
    HELPERS[function.__name__.lstrip("_")] = function
    return function


SCHEMAS = {schema["name"]: schema for schema in flow._C.op_schemas()}


def evaluate(name, inputs, attrs):
    """The outputs of an operator, by its oracle or its entry in REFERENCE."""
    schema = SCHEMAS[name]
    if not schema["oracle"]:
        return REFERENCE[name](inputs, attrs)
    names = dict.fromkeys(operand["name"] for operand in schema["inputs"])
    names.update(zip(names, inputs, strict=False))
    value = eval(schema["oracle"], {**HELPERS, **attrs, **names})
    return list(value) if isinstance(value, tuple) else [np.asarray(value)]


# --- creation and axes ----------------------------------------------------------------------

def _full(shape, value, dtype):
    return to_dtype(np.full(shape, value), dtype)


def _arange(start, end, step, dtype):
    count = max(math.ceil((end - start) / step), 0)
    return start + step * np.arange(count)


@_helper
def _broadcast_to(x, shape):
    lead = len(shape) - x.ndim
    return np.broadcast_to(x, [x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)])


@_helper
def _slices(begin, end, step):
    return tuple(slice(*bounds) for bounds in zip(begin, end, step, strict=True))


@_helper
def _scatter(base, value, *bounds):
    out = base.copy()
    out[_slices(*bounds)] = value
    return out


# --- reductions -----------------------------------------------------------------------------

def _axes(x, dim):
    return tuple(dim) if dim and x.ndim else None


def _search(function, x, dim, keepdim):
    return np.asarray(function(x, axis=dim[0] if dim and x.ndim else None, keepdims=keepdim))


def _sum_to(x, shape):
    lead = x.ndim - len(shape)
    x = x.sum(axis=tuple(range(lead)))
    return x.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# --- products -------------------------------------------------------------------------------

@_helper
def _matmul(a, b, transpose_a, transpose_b):
    return (np.swapaxes(a, -1, -2) if transpose_a else a) @ (
        np.swapaxes(b, -1, -2) if transpose_b else b)


@_helper
def _linear_weight_grad(a, b):
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1]) if a.size and b.size else (
        np.zeros((a.shape[-1], b.shape[-1]), a.dtype))


# --- indexing -------------------------------------------------------------------------------

def _embedding_grad(dy, index, num_embeddings):
    out = np.zeros((num_embeddings, dy.shape[-1]), dy.dtype)
    np.add.at(out, index, dy)
    return out


@_helper
def _index_select_grad(dy, index, dim, size):
    out = np.zeros((size, *np.moveaxis(dy, dim, 0).shape[1:]), dy.dtype)
    np.add.at(out, index, np.moveaxis(dy, dim, 0))
    return np.moveaxis(out, 0, dim)


@_helper
def _gather_grad(dy, index, dim, size):
    shape = list(dy.shape)
    shape[dim] = size
    out = np.zeros(shape, dy.dtype)
    places = list(np.indices(index.shape))
    places[dim] = index
    np.add.at(out, tuple(places), dy)
    return out


@_helper
def _one_hot(index, num_classes):
    return np.eye(num_classes, dtype=np.int64)[index]


# --- normalisation and losses -----------------------------------------------------------------

def _log_softmax(x, dim):
    centred = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    return centred - np.log(np.exp(centred).sum(axis=dim, keepdims=True))


def _layer_norm(normalized_shape, eps, x, weight, bias):
    axes = tuple(range(-len(normalized_shape), 0))
    mean = x.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + eps)
    y = (x - mean) * rstd
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    return y, mean.squeeze(axes), rstd.squeeze(axes)


def _layer_norm_grad(normalized_shape, dy, x, mean, rstd, weight):
    count = len(normalized_shape)
    axes, rows = tuple(range(-count, 0)), tuple(range(x.ndim - count))
    column = mean.shape + (1,) * count
    rstd = rstd.reshape(column)
    normal = (x - mean.reshape(column)) * rstd
    g = dy if weight is None else dy * weight
    dx = rstd * (g - g.mean(axis=axes, keepdims=True)
                 - normal * (g * normal).mean(axis=axes, keepdims=True))
    return dx, (dy * normal).sum(axis=rows), dy.sum(axis=rows)


def _cross_entropy_rows(x, target, ignore_index):
    lse = np.log(np.exp(x).sum(axis=-1))
    counts = target != ignore_index
    picked = np.take_along_axis(x, np.where(counts, target, 0)[..., None], axis=-1)[..., 0]
    return np.where(counts, lse - picked, 0), lse


def _cross_entropy_grad(ignore_index, dy, x, target, lse, lse_grad):
    counts = target != ignore_index
    dy = np.where(counts, dy, 0)
    hot = np.eye(x.shape[-1])[np.where(counts, target, 0)]
    both = dy if lse_grad is None else dy + lse_grad
    return np.exp(x - lse[..., None]) * both[..., None] - hot * dy[..., None]


def _reduced(losses, reduction):
    return losses if reduction == "none" else getattr(np, reduction)(losses)


def _cross_entropy(x, target, weight, ignore_index, reduction, label_smoothing):
    weight = np.ones(x.shape[-1]) if weight is None else weight
    counts = target != ignore_index
    row_weight = np.where(counts, weight[np.where(counts, target, 0)], 0)
    losses = _cross_entropy_rows(x, target, ignore_index)[0] * row_weight
    smooth = np.where(counts, -(_log_softmax(x, -1) * weight).sum(axis=-1), 0)
    losses = (1 - label_smoothing) * losses + label_smoothing / x.shape[-1] * smooth
    return losses.sum() / row_weight.sum() if reduction == "mean" else _reduced(losses, reduction)


HELPERS |= {
    "axes": _axes, "search": _search, "sum_to": _sum_to, "log_softmax": _log_softmax,
    "softmax": lambda x, dim: np.exp(_log_softmax(x, dim)), "embedding_grad": _embedding_grad,
    "layer_norm": _layer_norm, "layer_norm_grad": _layer_norm_grad, "reduced": _reduced,
    "cross_entropy": _cross_entropy, "cross_entropy_rows": _cross_entropy_rows,
    "cross_entropy_grad": _cross_entropy_grad}


# --- attention --------------------------------------------------------------------------------

def _attention_scores(q, k, attrs):
    scale = 1 / math.sqrt(q.shape[-1]) if attrs["scale"] is None else attrs["scale"]
    scores = scale * (q @ np.swapaxes(k, -1, -2))
    if attrs["is_causal"]:
        seen = np.tril(np.ones(scores.shape[-2:], bool))
        scores = np.where(seen, scores, -np.inf)
    return scores, scale


def _attention(inputs, attrs):
    q, k, v = inputs
    scores, _ = _attention_scores(q, k, attrs)
    lse = np.log(np.exp(scores).sum(axis=-1))
    return [np.exp(scores - lse[..., None]) @ v, lse]


def _attention_grad(inputs, attrs):
    dy, q, k, v, y, lse = inputs[:6]
    scores, scale = _attention_scores(q, k, attrs)
    p = np.exp(scores - lse[..., None])
    delta = (dy * y).sum(axis=-1)
    if len(inputs) > 6:
        delta = delta - inputs[6]
    ds = p * (dy @ np.swapaxes(v, -1, -2) - delta[..., None]) * scale
    return [ds @ k, np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ dy]


# --- updates ----------------------------------------------------------------------------------

def _sgd(inputs, attrs):
    p, g, hyper = inputs
    lr, decay = hyper
    g = (-g if attrs["maximize"] else g) + decay * p
    return [p - lr * g, inputs[1], hyper]


def _sgd_momentum(inputs, attrs):
    p, buffer, grad, hyper, *step = inputs
    lr, decay, momentum, dampening = hyper
    g = (-grad if attrs["maximize"] else grad) + decay * p
    first = bool(step) and step[0] <= 1
    buffer = g if first else momentum * buffer + (1 - dampening) * g
    move = g + momentum * buffer if attrs["nesterov"] else buffer
    return [p - lr * move, buffer, grad, hyper, *step]


def _adam(decoupled):
    def update(inputs, attrs):
        p, m, v, grad, hyper, step = inputs
        lr, decay, beta1, beta2, eps = hyper
        g = -grad if attrs["maximize"] else grad
        if decoupled:
            p = p * (1 - lr * decay)
        else:
            g = g + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        hat_m, hat_v = m / (1 - beta1 ** step), v / (1 - beta2 ** step)
        return [p - lr * hat_m / (np.sqrt(hat_v) + eps), m, v, grad, hyper, step]
    return update


# --- random -------------------------------------------------------------------------------------

def philox(seed, offset, counters):
    """Philox4x32-10: an array (len(counters), 4) of words. The counter is (counters, offset)."""
    word, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    c0, c1 = counters & low, counters >> word
    c2, c3 = (np.full_like(counters, offset & 0xFFFFFFFF), np.full_like(counters, offset >> 32))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((p1 >> word) ^ c1 ^ np.uint64(k0), p1 & low,
                          (p0 >> word) ^ c3 ^ np.uint64(k1), p0 & low)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


def _words(attrs, shape, each):
    """`each` words for every element of `shape`, by its row-major index."""
    count = math.prod(shape)
    blocks = np.arange(-(-count * each // 4), dtype=np.uint64)
    words = philox(attrs["seed"], attrs["offset"], blocks).reshape(-1, each)
    return words[:count].reshape(*shape, each)


def _random_normal(inputs, attrs):
    count = math.prod(attrs["shape"])
    pairs = _words(attrs, [-(-count // 2)], 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((pairs[:, 0] + 1) / 2 ** 32))
    angle = 2 * math.pi * pairs[:, 1] / 2 ** 32
    values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return [attrs["mean"] + attrs["std"] * values.reshape(-1)[:count].reshape(attrs["shape"])]


def _random_uniform(inputs, attrs):
    unit = (_words(attrs, attrs["shape"], 1)[..., 0] >> np.uint64(8)) / 2.0 ** 24
    return [attrs["low"] + (attrs["high"] - attrs["low"]) * unit]


def _random_int(inputs, attrs):
    words = _words(attrs, attrs["shape"], 2)
    width = attrs["high"] - attrs["low"]
    values = [attrs["low"] + (((int(b) << 32 | int(a)) * width) >> 64)
              for a, b in words.reshape(-1, 2)]
    return [np.array(values, np.int64).reshape(attrs["shape"])]


def _random_bernoulli(inputs, attrs):
    unit = _words(attrs, attrs["shape"], 1)[..., 0] / 2.0 ** 32
    return [(unit < attrs["p"]).astype(np.float64)]


def _dropout(inputs, attrs):
    x, p = inputs[0], attrs["p"]
    keep = _words(attrs, x.shape, 1)[..., 0] / 2.0 ** 32 >= p
    return [np.where(keep, x * (1 / (1 - p) if p < 1 else 0), 0)]


RANDOM = {
    "random_normal": _random_normal,
    "random_uniform": _random_uniform,
    "random_int": _random_int,
    "random_bernoulli": _random_bernoulli,
    "dropout": _dropout,
}

UPDATES = {
    "sgd_update": _sgd,
    "sgd_momentum_update": _sgd_momentum,
    "adam_update": _adam(False),
    "adamw_update": _adam(True),
    "assign": lambda inputs, attrs: [inputs[1], inputs[1]],
    "assign_add": lambda inputs, attrs: [inputs[0] + inputs[1], inputs[1]],
    "increment": lambda inputs, attrs: [inputs[0] + _in_dtype(attrs["value"], inputs[0])],
}

REFERENCE = {
    **UPDATES,
    **RANDOM,
    "full": _with(_full),
    "arange": _with(_arange),
    "zeros_like": _one(np.zeros_like),
    "ones_like": _one(np.ones_like),
    "full_like": _with(lambda x, value: np.full_like(x, value)),
    "concat": lambda inputs, attrs: [np.concatenate(inputs, axis=attrs["dim"])],
    "attention": _attention,
    "attention_grad": _attention_grad,
    "scaled_dot_product_attention": lambda inputs, attrs: _attention(inputs, attrs)[:1],
}

# Values that are only moved, counted or compared: equal to the last bit.
EXACT = {
    "neg", "abs", "sign", "relu", "relu_grad", "identity", "maximum", "minimum", "eq", "ne", "lt",
    "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "where", "assign", "full",
    "zeros_like", "ones_like", "full_like", "broadcast_to", "reshape", "permute", "transpose",
    "slice", "slice_grad", "slice_scatter", "permute_scatter", "transpose_scatter",
    "reshape_scatter", "concat", "amax", "amin", "argmax", "argmin", "embedding",
    "index_select", "gather", "one_hot", "tril", "count_targets", "random_int",
    "random_bernoulli", "cast", "clamp", "conj", "real", "imag",
}
