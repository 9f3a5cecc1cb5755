"""The registry's samples as arrays and tensors, and what a call of them has to give."""

import numpy as np

from .. import _C
from .._creation import from_numpy
from . import oracles

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
TOLERANCE |= {"complex64": TOLERANCE["float32"], "complex128": TOLERANCE["float64"]}
# Half types: the reference, rounded; a unit in the last place where that falls on a tie.
TOLERANCE |= {"float16": {"rtol": 2 ** -10, "atol": 2 ** -20},
              "bfloat16": {"rtol": 2 ** -7, "atol": 2 ** -20}}
HALVES = {_C.float16, _C.bfloat16}
_WIDE = {"float32": _C.float64, "complex64": _C.complex128}


def draw(inputs, low, high, seed, note="", ranges=()):
    """NumPy arrays of the sample's dtypes and shapes with values in [low, high), or of `ranges`.

    The word `dominant` or `hermitian` in the sample's note raises the diagonals of matrices, so
    that they are well conditioned; `hermitian` makes them Hermitian too.
    """
    rng = np.random.default_rng(seed)
    arrays, bounds = [], (low, high)
    for (dtype, shape), (low, high) in zip(inputs, ranges or [bounds] * len(inputs), strict=True):
        shape = tuple(shape)
        if dtype.name == "bool":
            arrays.append(rng.integers(0, 2, shape).astype(bool))
        elif dtype.name.startswith("complex"):
            parts = rng.uniform(low, high, (2, *shape))
            arrays.append(np.asarray(parts[0] + 1j * parts[1], dtype.name))
        elif dtype.is_floating_point:
            arrays.append(oracles.to_dtype(rng.uniform(low, high, shape), dtype))
        else:
            first = 0 if dtype.name == "uint8" else int(np.ceil(low))
            arrays.append(np.asarray(rng.integers(first, int(np.ceil(high)), shape), dtype.name))
    low, high = bounds
    if "dominant" in note or "hermitian" in note:
        arrays = [_dominant(a, 2 * max(abs(low), abs(high)), "hermitian" in note) for a in arrays]
    return arrays


def _dominant(a, bound, hermitian):
    if a.ndim < 2 or a.dtype.kind not in "fc":
        return a
    a = a + np.asarray(bound * max(a.shape[-2:]) * np.eye(*a.shape[-2:]), a.dtype)
    if not hermitian or a.shape[-2] != a.shape[-1]:
        return a
    upper = np.conj(np.swapaxes(np.tril(a, -1), -1, -2))
    diagonal = np.einsum("...ii->...i", a).real[..., None] * np.eye(a.shape[-1])
    return np.tril(a, -1) + upper + diagonal.astype(a.dtype)


def dtypes_of(arrays, dtypes=None):
    """What the arrays stand for: their own dtypes, but for those that NumPy has not."""
    return dtypes or [getattr(_C, a.dtype.name) for a in arrays]


def tensors(arrays, dtypes=None):
    return [from_numpy(a.copy()).to(d)
            for a, d in zip(arrays, dtypes_of(arrays, dtypes), strict=True)]


def array(tensor):
    return (tensor.to(_C.float32) if oracles.is_narrow(tensor.dtype) else tensor).numpy()


def widened(sample):
    """The sample's dtypes and attributes in double precision."""
    dtypes = [dtype for dtype, _ in sample["inputs"]]
    attrs = dict(sample["attrs"])
    if HALVES & set(dtypes):  # whose statistics are float32
        return dtypes, attrs
    if "dtype" in attrs and attrs["dtype"] is not None:
        attrs["dtype"] = _WIDE.get(attrs["dtype"].name, attrs["dtype"])
    return [_WIDE.get(dtype.name, dtype) for dtype in dtypes], attrs


def expected(name, arrays, attrs, dtypes=None):
    """The oracle's outputs in the operator's dtypes, computed in double."""
    attrs = _C.complete_attrs(name, attrs)
    double = {"f": np.float64, "c": np.complex128}
    wide = [a.astype(double.get(a.dtype.kind, a.dtype)) for a in arrays]
    with np.errstate(all="ignore"):
        outputs = [np.asarray(y) for y in oracles.evaluate(name, wide, attrs)]
        if oracles.is_update(name):
            return _updated(name, arrays, outputs)
        metas = [(d, a.shape) for d, a in zip(dtypes_of(arrays, dtypes), arrays, strict=True)]
        made = _C.infer_op(name, metas, attrs)
        return [oracles.to_dtype(y, dtype) for y, (dtype, _) in zip(outputs, made, strict=False)]


def _updated(name, arrays, values):
    """The operands after an update that gives `values` to those that it writes."""
    values, after = list(values), []
    for operand, given in zip(oracles.SCHEMAS[name]["inputs"], arrays, strict=False):
        after.append(values.pop(0).astype(given.dtype) if operand["mutated"] else given)
    assert not values
    return after


def compare(got, want, exact, dtype=None, **tolerance):
    assert got.dtype == want.dtype and got.shape == want.shape, (got.dtype, got.shape, want.shape)
    if exact or want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want)
    else:
        name = dtype.name if dtype else want.dtype.name
        np.testing.assert_allclose(got, want, **(tolerance or TOLERANCE[name]))


def call(name, arrays, attrs, dtypes=None):
    """The outputs as arrays, or for an update the inputs after it."""
    return [array(y) for y in call_tensors(name, arrays, attrs, dtypes)]


def call_tensors(name, arrays, attrs, dtypes=None):
    return call_on(name, tensors(arrays, dtypes), attrs)


def call_on(name, inputs, attrs):
    outputs = _C.call_op(name, inputs, attrs)
    if not oracles.is_update(name):
        return outputs
    assert outputs == []
    return inputs


def is_exact(name, arrays):
    """Whether every bit must agree; the size of a complex number is rounded."""
    return name in oracles.EXACT and not (name == "abs" and arrays[0].dtype.kind == "c")
