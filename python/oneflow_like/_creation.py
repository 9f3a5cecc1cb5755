"""Functions that make tensors. Each accepts placement= and sbp= together for a global tensor."""

import numbers
from functools import partial

import numpy as np

from . import _C

_NUMPY_NAMES = {"float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool",
                "complex64", "complex128"}


def _shape_of(op, size):
    """f(2, 3), f((2, 3)) and f([2, 3]) mean the same."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    for extent in size:
        if not isinstance(extent, numbers.Integral) or isinstance(extent, bool):
            raise TypeError(f"[{op}] got size {tuple(size)}; expected integers")
        if extent < 0:
            raise ValueError(f"[{op}] got size {tuple(size)}; expected no negative dimension")
    return tuple(int(extent) for extent in size)


def check_layout(op, placement, sbp):
    """placement and sbp come together; sbp as a tuple."""
    if placement is None and sbp is None:
        return {}
    if placement is None or sbp is None:
        raise ValueError(f"[{op}] got placement={placement}, sbp={sbp}; expected both for a global "
                         "tensor or neither for a local one")
    return {"placement": placement, "sbp": tuple(sbp) if isinstance(sbp, (list, tuple)) else (sbp,)}


def _finish(tensor, requires_grad):
    if requires_grad:
        tensor.requires_grad = True
    return tensor


def full(size, fill_value, *, dtype=None, placement=None, sbp=None, requires_grad=False):
    """A tensor of `size` filled with a number."""
    if dtype is None:
        dtype = (_C.bool if isinstance(fill_value, bool) else
                 _C.int64 if isinstance(fill_value, numbers.Integral) else
                 _C.complex64 if isinstance(fill_value, complex) else _C.float32)
    shape = _shape_of("full", (size,) if isinstance(size, (tuple, list)) else (size,))
    layout = check_layout("full", placement, sbp)
    return _finish(_C.full(shape=shape, value=fill_value, dtype=dtype, **layout), requires_grad)


def zeros(*size, dtype=None, placement=None, sbp=None, requires_grad=False):
    """A tensor of zeros."""
    return full(_shape_of("zeros", size), 0, dtype=dtype or _C.float32, placement=placement,
                sbp=sbp, requires_grad=requires_grad)


def ones(*size, dtype=None, placement=None, sbp=None, requires_grad=False):
    """A tensor of ones."""
    return full(_shape_of("ones", size), 1, dtype=dtype or _C.float32, placement=placement,
                sbp=sbp, requires_grad=requires_grad)


def empty(*size, dtype=None, placement=None, sbp=None, requires_grad=False):
    """A tensor whose values nobody should read before writing them (they are zeros)."""
    return full(_shape_of("empty", size), 0, dtype=dtype or _C.float32, placement=placement,
                sbp=sbp, requires_grad=requires_grad)


def _like(input, dtype, placement, sbp, make):
    """What `make` makes with the dtype and layout of `input`, or those given."""
    dtype = dtype or input.dtype
    if placement is None and sbp is None and input.is_symbolic and input.is_global:
        return make(dtype=dtype)._laid_like(input)  # pins nothing
    kwargs = {}
    if input.is_global:
        kwargs = {"placement": placement or input.placement,
                  "sbp": sbp if sbp is not None else _without_partial(input.sbp)}
    elif placement is not None or sbp is not None:
        kwargs = {"placement": placement, "sbp": sbp}
    return make(dtype=dtype, **kwargs)


def _without_partial(sbp):
    return tuple(_C.sbp.broadcast if s.is_partial() else s for s in sbp)


def full_like(input, fill_value, *, dtype=None, placement=None, sbp=None, requires_grad=False):
    """full with the shape, dtype and layout of `input`."""
    return _like(input, dtype, placement, sbp,
                 partial(full, tuple(input.shape), fill_value, requires_grad=requires_grad))


def zeros_like(input, **kwargs):
    """zeros with the shape, dtype and layout of `input`."""
    return full_like(input, 0, **kwargs)


def ones_like(input, **kwargs):
    """ones with the shape, dtype and layout of `input`."""
    return full_like(input, 1, **kwargs)


empty_like = zeros_like


def arange(start, end=None, step=1, *, dtype=None, placement=None, sbp=None, requires_grad=False):
    """start, start + step, ... up to `end`, which is left out."""
    if end is None:
        start, end = 0, start
    for value in (start, end, step):
        if not isinstance(value, numbers.Real):
            raise TypeError(f"[arange] got {value!r}; expected numbers for start, end and step")
    if step == 0:
        raise ValueError(f"[arange] got start={start}, end={end}, step=0; expected step != 0")
    if (end - start) * step < 0:
        raise ValueError(f"[arange] got start={start}, end={end}, step={step}; expected a step "
                         "towards the end")
    if dtype is None:
        whole = all(isinstance(v, numbers.Integral) for v in (start, end, step))
        dtype = _C.int64 if whole else _C.float32
    layout = check_layout("arange", placement, sbp)
    return _finish(_C.arange(start=start, end=end, step=step, dtype=dtype, **layout), requires_grad)


def randn(*size, dtype=None, placement=None, sbp=None, requires_grad=False):
    """Standard normal values. The logical values do not depend on the layout."""
    layout = check_layout("randn", placement, sbp)
    return _finish(_C.normal(_shape_of("randn", size), dtype=dtype or _C.float32, **layout),
                   requires_grad)


def rand(*size, dtype=None, placement=None, sbp=None, requires_grad=False):
    """Uniform values in [0, 1). The logical values do not depend on the layout."""
    layout = check_layout("rand", placement, sbp)
    return _finish(_C.uniform(_shape_of("rand", size), dtype=dtype or _C.float32, **layout),
                   requires_grad)


def randint(low, high=None, size=None, *, dtype=None, placement=None, sbp=None):
    """Integers in [low, high). The logical values do not depend on the layout."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if low >= high:
        raise ValueError(f"[randint] got low={low}, high={high}; expected low < high")
    if not -(1 << 63) <= low < high <= (1 << 63) - 1:
        raise ValueError(f"[randint] got low={low}, high={high}; expected 64-bit integers")
    layout = check_layout("randint", placement, sbp)
    return _C.randint(_shape_of("randint", (size,)), low=low, high=high, dtype=dtype or _C.int64,
                      **layout)


def randn_like(input, *, dtype=None, placement=None, sbp=None):
    """randn with the shape, dtype and layout of `input`."""
    return _like(input, dtype, placement, sbp, partial(randn, tuple(input.shape)))


def rand_like(input, *, dtype=None, placement=None, sbp=None):
    """rand with the shape, dtype and layout of `input`."""
    return _like(input, dtype, placement, sbp, partial(rand, tuple(input.shape)))


def _to_array(data, dtype):
    if isinstance(data, _C.Tensor):
        raise TypeError("[tensor] got a Tensor; expected numbers, nested lists or a NumPy array; "
                        "use x.detach() or x.to_global(...) on a tensor")
    from_python = not isinstance(data, (np.ndarray, np.generic))
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"[tensor] the nested list is not rectangular: {error}") from None
    if dtype is not None:
        if not isinstance(dtype, _C.dtype):
            raise TypeError(f"[tensor] argument 'dtype' must be oneflow_like.dtype, not "
                            f"{type(dtype).__name__}; expected for example flow.float32")
        return array.astype(dtype.name if dtype.name in _NUMPY_NAMES else np.float64)
    if from_python and array.dtype in (np.float64, np.complex128):
        # Python's floats take the default dtype, as in torch; its complex numbers hold two.
        array = array.astype(np.float32 if array.dtype == np.float64 else np.complex64)
    if array.dtype.name not in _NUMPY_NAMES:
        raise TypeError(f"[tensor] got data of NumPy dtype {array.dtype}; expected one of "
                        f"{', '.join(sorted(_NUMPY_NAMES))}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def tensor(data, *, dtype=None, placement=None, sbp=None, requires_grad=False):
    """A tensor with a copy of `data`: numbers, nested lists or a NumPy array.

    With placement and sbp the data is the logical value, given equally on every rank.
    """
    layout = check_layout("tensor", placement, sbp)
    value = _C.from_numpy(np.array(_to_array(data, dtype), order="C"))
    if dtype is not None and value.dtype != dtype:  # NumPy has no such dtype
        value = value.to(dtype)
    if layout:
        ndim = len(layout["sbp"])
        value = value.to_global(placement=layout["placement"], sbp=[_C.sbp.broadcast] * ndim)
        value = value.to_global(sbp=layout["sbp"])
    return _finish(value, requires_grad)


def from_numpy(array):
    """A local tensor with a copy of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    return tensor(array)
