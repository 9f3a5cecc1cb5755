"""What every operator of the registry computes, in NumPy.

An operator's definition says it as an expression over its operands and attributes (its oracle): a
value, or a tuple of them, one for each output; for an operator that updates operands in place their
new values, in the order of the operands. A list operand is a list, one that was left out is None.
HELPERS are the names that such an expression may use beside NumPy's.
Floating operands may come in any width: an oracle computes in the width it is given.
"""

import math

import numpy as np

from .. import _C
from . import (oracles_convolution, oracles_fft, oracles_indexing, oracles_linalg, oracles_losses,
               oracles_pointwise, oracles_random, oracles_recurrent, oracles_reductions,
               oracles_shapes)

_erf = np.vectorize(math.erf, otypes=[np.float64])
_ROOT_2PI = math.sqrt(2 * math.pi)
_TANH_SLOPE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


# --- elementwise ----------------------------------------------------------------------------

def _gelu_grad(dy, x, approximate):
    if approximate == "tanh":
        t = np.tanh(_TANH_SLOPE * (x + _TANH_CUBIC * x ** 3))
        slope = _TANH_SLOPE * (1 + 3 * _TANH_CUBIC * x ** 2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
    density = np.exp(-0.5 * x * x) / _ROOT_2PI
    return dy * (0.5 * (1 + _erf(x / math.sqrt(2))) + x * density)


# --- dtypes that NumPy has not: values of theirs as float32 --------------------------------------

# Bits of the mantissa, the least exponent, the largest number, and what is beyond it.
_NARROW = {"bfloat16": (7, -126, float(2 ** 128 - 2 ** 120), np.inf),
           "float8_e4m3fn": (3, -6, 448.0, 448.0),
           "float8_e5m2": (2, -14, 57344.0, np.inf)}


def is_narrow(dtype):
    return dtype.name in _NARROW


def to_dtype(x, dtype):
    """`x` rounded once to a dtype, to nearest with ties to even."""
    x = np.asarray(x)
    if x.dtype.kind == "c" and not dtype.name.startswith("complex"):
        x = x.real
    if not is_narrow(dtype):
        with np.errstate(over="ignore"):  # to infinity
            return x.astype(dtype.name)
    bits, least, largest, beyond = _NARROW[dtype.name]
    x = x.astype(np.float64)
    step = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - 1, least) - bits)
    rounded = np.where(np.isfinite(x), np.round(x / step) * step, x)
    too_large = np.abs(rounded) > largest
    return np.where(too_large, np.copysign(beyond, x), rounded).astype(np.float32)


def _cast(x, dtype):
    if x.dtype.kind == "c" and not dtype.name.startswith("complex") and dtype is not _C.bool:
        x = x.real
    if is_narrow(dtype):
        return x.astype(np.float64)  # the caller rounds
    to = np.dtype(dtype.name)
    if x.dtype.kind == "f" and to.kind in "iu":
        wide = np.dtype(np.int64 if to == np.int64 else np.int32)
        low = float(np.iinfo(wide).min)
        return np.where((x >= low) & (x < -low), x, low).astype(wide).astype(to)
    return x.astype(to)


HELPERS = {"np": np, "erf": _erf, "gelu_grad": _gelu_grad, "cast": _cast}


def _helper(function):
    HELPERS[function.__name__.lstrip("_")] = function
    return function


SCHEMAS = {schema["name"]: schema for schema in _C.op_schemas()}


def evaluate(name, inputs, attrs, given=None):
    """The outputs of operator `name`, or the new values of the operands that it updates.

    inputs: NumPy arrays, lists of tensors one after another; attrs: every attribute
    (`_C.complete_attrs`); given: how many tensors each operand got, where that does not follow from
    their number. Returns a list of arrays.
    """
    schema = SCHEMAS[name]
    if given is None and "arity" not in schema["oracle"]:  # others read it themselves
        given = attrs.get("arity")
    operands = bind(schema, list(inputs), given)
    value = eval(schema["oracle"], {**HELPERS, **attrs, **operands})
    return list(value) if isinstance(value, tuple) else [np.asarray(value)]


def bind(schema, inputs, given=None):
    """The operands by name: an array, a list of arrays, or None for one that was left out."""
    if given is None:
        given = _counts(schema["inputs"], len(inputs))
    operands = {}
    for operand, count in zip(schema["inputs"], given, strict=True):
        taken, inputs = inputs[:count], inputs[count:]
        operands[operand["name"]] = taken if operand["variadic"] else (taken or [None])[0]
    return operands


def _counts(operands, count):
    """Every operand one, a single list what is left, the optional ones from the first on."""
    spare = count - sum(not (o["variadic"] or o["optional"]) for o in operands)
    counts = []
    for operand in operands:
        taken = spare if operand["variadic"] else min(spare, 1) if operand["optional"] else 1
        if operand["variadic"] or operand["optional"]:
            spare -= taken
        counts.append(taken)
    return counts


def is_update(name):
    """Whether an operator's result is what it leaves in its operands."""
    schema = SCHEMAS[name]
    return not schema["outputs"] and any(operand["mutated"] for operand in schema["inputs"])


# --- creation and axes ----------------------------------------------------------------------

@_helper
def _arange(start, end, step):
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


@_helper
def _squeeze(x, dim):
    axes = range(x.ndim) if dim is None else [d % max(x.ndim, 1) for d in dim]
    return x.squeeze(tuple({d for d in axes if x.ndim and x.shape[d] == 1}))


@_helper
def _flatten(x, start, end):
    start, end = (d % max(x.ndim, 1) for d in (start, end))
    return x.reshape(*x.shape[:start], math.prod(x.shape[start:end + 1]), *x.shape[end + 1:])


@_helper
def _narrow(x, dim, start, length):
    start += x.shape[dim] if start < 0 else 0
    return np.moveaxis(np.moveaxis(x, dim, 0)[start:start + length], 0, dim)


@_helper
def _split(x, sizes, dim):
    extent = x.shape[dim]
    if isinstance(sizes, int):
        ends = range(sizes, extent, sizes)
    else:
        ends = np.cumsum(sizes)[:-1]
    return tuple(np.split(x, ends, axis=dim))


@_helper
def _clamp_tensor(arity, x, low, high):
    if not arity[1]:
        low, high = -np.inf if x.dtype.kind == "f" else x.min(), low
    x = np.maximum(x, low)
    return np.minimum(x, high) if arity[2] else x


# --- reductions -----------------------------------------------------------------------------

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


HELPERS |= {
    "search": _search, "sum_to": _sum_to, "log_softmax": _log_softmax,
    "softmax": lambda x, dim: np.exp(_log_softmax(x, dim)), "embedding_grad": _embedding_grad,
    "layer_norm": _layer_norm, "layer_norm_grad": _layer_norm_grad,
    "cross_entropy_rows": _cross_entropy_rows,
    "cross_entropy_grad": _cross_entropy_grad} | oracles_reductions.HELPERS | oracles_losses.HELPERS


# --- attention --------------------------------------------------------------------------------

def _attention_scores(query, key, is_causal, scale):
    scores = scale * (query @ np.swapaxes(key, -1, -2))
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    return scores


def _scale_of(query, scale):
    return 1 / math.sqrt(query.shape[-1]) if scale is None else scale


@_helper
def _attention(query, key, value, is_causal, scale):
    scores = _attention_scores(query, key, is_causal, _scale_of(query, scale))
    lse = np.log(np.exp(scores).sum(axis=-1))
    return np.exp(scores - lse[..., None]) @ value, lse


@_helper
def _masked_attention(query, key, value, mask, is_causal, scale, grouped):
    if grouped:
        times = query.shape[-3] // key.shape[-3]
        key, value = key.repeat(times, -3), value.repeat(times, -3)
    scores = _attention_scores(query, key, is_causal, _scale_of(query, scale))
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    e = np.exp(scores - np.nan_to_num(scores.max(-1, keepdims=True), neginf=0))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ value


@_helper
def _attention_grad(operands, is_causal, scale):
    grad, query, key, value, output, lse, lse_grad = operands
    scale = _scale_of(query, scale)
    p = np.exp(_attention_scores(query, key, is_causal, scale) - lse[..., None])
    delta = (grad * output).sum(axis=-1)
    if lse_grad is not None:
        delta = delta - lse_grad
    ds = p * (grad @ np.swapaxes(value, -1, -2) - delta[..., None]) * scale
    return ds @ key, np.swapaxes(ds, -1, -2) @ query, np.swapaxes(p, -1, -2) @ grad


# --- updates ----------------------------------------------------------------------------------

@_helper
def _sgd(param, grad, hyper, maximize):
    lr, decay = hyper
    return param - lr * ((-grad if maximize else grad) + decay * param)


@_helper
def _sgd_momentum(param, buffer, grad, hyper, step, nesterov, maximize):
    lr, decay, momentum, dampening = hyper
    g = (-grad if maximize else grad) + decay * param
    first = step is not None and step <= 1
    buffer = g if first else momentum * buffer + (1 - dampening) * g
    return param - lr * (g + momentum * buffer if nesterov else buffer), buffer


@_helper
def _adam(decoupled, param, m, v, grad, hyper, step, maximize):
    lr, decay, beta1, beta2, eps = hyper
    g = -grad if maximize else grad
    if decoupled:
        param = param * (1 - lr * decay)
    else:
        g = g + decay * param
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    hat_m, hat_v = m / (1 - beta1 ** step), v / (1 - beta2 ** step)
    return param - lr * hat_m / (np.sqrt(hat_v) + eps), m, v


philox = oracles_random.philox

# Values that are only moved, counted or compared: equal to the last bit.
EXACT = {
    "neg", "abs", "sign", "relu", "relu_grad", "identity", "maximum", "minimum", "eq", "ne", "lt",
    "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "where", "assign", "full",
    "zeros_like", "ones_like", "full_like", "broadcast_to", "reshape", "permute", "transpose",
    "slice", "slice_grad", "slice_scatter", "permute_scatter", "transpose_scatter",
    "reshape_scatter", "concat", "amax", "amin", "argmax", "argmin", "embedding",
    "index_select", "gather", "one_hot", "tril", "count_targets", "random_int",
    "random_bernoulli", "cast", "clamp", "conj", "conj_physical", "real", "imag",
    "unsqueeze", "squeeze", "flatten",
    "t", "reversed_axes", "reshape_as", "expand_as", "narrow", "split", "split_with_sizes", "chunk",
    "stack", "clamp_tensor", "to_dtype", "type_as", "dropout_in_training", "fill_number",
}

for area in (oracles_convolution, oracles_fft, oracles_indexing, oracles_pointwise, oracles_random,
             oracles_recurrent, oracles_shapes):
    HELPERS |= area.HELPERS
    EXACT |= area.EXACT
EXACT |= oracles_reductions.EXACT
HELPERS |= oracles_linalg.HELPERS
