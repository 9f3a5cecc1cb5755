"""Tensors of Python's and NumPy's objects, and of memory. What makes tensors of shapes is an
operator."""

import array as arrays
import math

import numpy as np

from . import _C
from ._C import InvalidArgumentError, TypeMismatchError

_NUMPY_NAMES = {"float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool",
                "complex64", "complex128"}


_MOST_AXES = 8  # kMaxRank of oneflow_like/core/shape.h
_OF_PYTHON = {float: _C.float64, int: _C.int64, bool: _C.bool, complex: _C.complex128}


def dtype_from(given, user="tensor"):
    """A dtype, or the one that a type of Python's stands for; None stays. `user` asks."""
    if given is None or isinstance(given, _C.dtype):
        return given
    if isinstance(given, type) and given in _OF_PYTHON:
        return _OF_PYTHON[given]
    got = given.__name__ if isinstance(given, type) else type(given).__name__
    raise TypeMismatchError(
        f"[{user}] argument 'dtype' must be oneflow_like.dtype, not {got}; expected for example "
        "flow.float32")


# --- numbers and lists ---------------------------------------------------------------------------

def _refuse_what_does_not_fit(array, dtype):
    """As in torch a fraction is cut off and uint8 takes negative numbers from its other end, but
    what an integer dtype cannot hold is an error."""
    if array.dtype.kind == "c" and not dtype.name.startswith("complex") and dtype is not _C.bool:
        raise TypeMismatchError(f"[tensor] complex numbers do not fit: got data of NumPy dtype "
                                f"{array.dtype} for dtype {dtype.name}; expected real numbers; use "
                                "data.real, or dtype=flow.complex64")
    if array.size == 0 or array.dtype.kind not in "iufO" or not dtype.name.lstrip("u").startswith(
            "int"):
        return
    bounds = np.iinfo(dtype.name)
    least = -bounds.max if dtype is _C.uint8 else bounds.min
    for value in (array.min(), array.max()):  # either is NaN where any is
        whole = int(value) if np.isfinite(float(value)) else math.nan
        if not least <= whole <= bounds.max:
            raise InvalidArgumentError(
                f"[tensor] a number does not fit into dtype {dtype.name}: got "
                f"{value}; expected {bounds.min} to {bounds.max}")


_PLAIN = {float, int, bool, complex}


def _leaves(data, found):
    """The types of all numbers in nested lists, as far as they are Python's; else their dtypes."""
    kinds = set(map(type, data))
    if kinds <= _PLAIN:
        found |= kinds
        return
    for item in data:
        if isinstance(item, (list, tuple)):
            _leaves(item, found)
        elif isinstance(item, _C.Tensor):
            found.add(item.dtype)
        elif isinstance(item, (np.ndarray, np.generic)):
            found.add(_dtype_of_array(item))
        else:
            found.add(type(item))


def _dtype_of_array(array):
    if array.dtype.name not in _NUMPY_NAMES:
        raise TypeMismatchError(f"[tensor] got data of NumPy dtype {array.dtype}; expected one of "
                                f"{', '.join(sorted(_NUMPY_NAMES))}")
    return getattr(_C, array.dtype.name)


def _met(kinds):
    """The dtype in which numbers of these types and dtypes meet; null for others."""
    usual = _C.get_default_dtype()
    own = {float: usual, int: _C.int64, bool: _C.bool, complex: usual.to_complex()}
    met = None
    for kind in kinds:
        dtype = kind if isinstance(kind, _C.dtype) else own.get(kind)
        if dtype is None:
            return None
        met = dtype if met is None else _C.promoted_dtype(met, dtype)
    return usual if met is None else met


def _without_tensors(data):
    """Nested lists with numbers of tensors in them, as numbers."""
    if isinstance(data, (list, tuple)):
        return [_without_tensors(item) for item in data]
    if not isinstance(data, _C.Tensor):
        return data
    if data.numel() != 1:
        raise InvalidArgumentError(
            "[tensor] only one element tensors can be converted to Python scalars: "
            f"got {data._describe()} in a list; expected numbers; use "
            "flow.stack(list)")
    return data.item() if data.ndim == 0 else data.tolist()


def _of_sequence(data):
    """An array of nested lists, and the dtype that they say; None where NumPy has to tell."""
    kinds = set()
    _leaves(data, kinds)
    if any(isinstance(kind, _C.dtype) for kind in kinds):
        data = _without_tensors(data)
    try:
        return np.asarray(data), _met(kinds)
    except ValueError as error:
        raise InvalidArgumentError(
            f"[tensor] the nested list is not rectangular: {error}") from None


def _to_array(data, dtype):
    """(array, dtype) of what is no tensor."""
    if isinstance(data, (np.ndarray, np.generic)):
        array, said, checks = np.asarray(data), None, data.dtype.kind == "c"
    elif isinstance(data, (list, tuple)):
        (array, said), checks = _of_sequence(data), True
    else:
        if isinstance(data, (bytearray, memoryview, arrays.array)):
            data = list(data)
        array, checks = np.asarray(data), not hasattr(data, "__array__")
        said = _met([type(data)]) if type(data) in _PLAIN else None
        if said is None and isinstance(data, range):
            said = _C.int64
    if dtype is not None:
        if checks:
            _refuse_what_does_not_fit(array, dtype)
        return array.astype(dtype.name if dtype.name in _NUMPY_NAMES else np.float64), dtype
    if said is None:
        said = _dtype_of_array(array)
    elif array.dtype.name not in _NUMPY_NAMES:
        _dtype_of_array(array)  # says why not: a whole number beyond 64 bits
    name = said.name if said.name in _NUMPY_NAMES else "float64"
    return array.astype(np.dtype(name).newbyteorder("="), copy=False), said


def _whole_axes(sbp):
    sbp = tuple(sbp) if isinstance(sbp, (list, tuple)) else (sbp,)
    return sbp, [_C.sbp.broadcast] * len(sbp)


def _ready(name, device, pin_memory):
    _C.check_device(name, device)
    if pin_memory not in (False, None):
        raise TypeMismatchError(
            f"[{name}] argument 'pin_memory' must be False: got {pin_memory!r}; "
            "expected False: there is nothing to pin memory for")


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False, placement=None,
           sbp=None):
    """A tensor with a copy of `data`: numbers, nested lists, a NumPy array, or a tensor.

    With placement and sbp the data is the logical value, given equally on every rank.
    """
    if (placement is None) != (sbp is None):
        raise InvalidArgumentError(
            f"[tensor] got placement={placement}, sbp={sbp}; expected both for a "
            "global tensor or neither for a local one")
    _ready("tensor", device, pin_memory)
    dtype = dtype_from(dtype)
    if isinstance(data, _C.Tensor):
        value = data.detach().to(data.dtype if dtype is None else dtype, copy=True)
    else:
        try:
            array, dtype = _to_array(data, dtype)
        except RecursionError:
            raise InvalidArgumentError(
                "[tensor] a list contains itself, or is nested too deep; expected at "
                "most 8 levels, which are the axes of a tensor") from None
        value = _C.from_numpy(np.array(array, order="C"), dtype)
    if placement is not None:
        sbp, whole = _whole_axes(sbp)
        value = value.to_global(placement=placement, sbp=whole)
        value = value.to_global(sbp=sbp)
    if requires_grad:
        value.requires_grad = True
    return value


# --- memory --------------------------------------------------------------------------------------

def from_numpy(ndarray):
    """A local tensor of a NumPy array's memory: what is written to the one is seen in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeMismatchError(
            f"[from_numpy] expected np.ndarray (got {type(ndarray).__name__}); use "
            "flow.tensor(value) for other things")
    if not ndarray.dtype.isnative:
        raise InvalidArgumentError(
            "[from_numpy] the bytes stand in another order than this machine's: got "
            f"NumPy dtype {ndarray.dtype!r}; expected a native one; use "
            "array.astype(array.dtype.newbyteorder('='))")
    _dtype_of_array(ndarray)
    return _C.from_numpy(ndarray)


def as_tensor(data, dtype=None, device=None):
    """The tensor itself, or a tensor of the memory of a NumPy array, where dtype allows; else a
    copy of what flow.tensor takes."""
    _C.check_device("as_tensor", device)
    dtype = dtype_from(dtype)
    if isinstance(data, _C.Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and data.dtype.isnative:
        made = from_numpy(data)
        return made if dtype is None else made.to(dtype)
    return tensor(data, dtype=dtype)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A vector of the memory of a buffer: `count` elements (-1: all) from byte `offset` on."""
    dtype = dtype_from(dtype)
    if dtype is None:
        raise TypeMismatchError(
            "[frombuffer] argument 'dtype' must be oneflow_like.dtype, not NoneType")
    for name, number in (("count", count), ("offset", offset)):
        if not isinstance(number, int) or abs(number) >= 2**63:
            raise TypeMismatchError(f"[frombuffer] argument '{name}' must be int of 64 bits: got "
                                    f"{number!r}; expected elements that the buffer holds")
    made = _C.from_buffer(buffer, dtype, count, offset)
    if requires_grad:
        made.requires_grad = True
    return made


class ExportError(BufferError, RuntimeError):
    """A tensor whose memory others must not see."""


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor of the memory of another library's, which has __dlpack__, or is a capsule of it.

    With copy=True of memory of its own; copy=False is an error where there has to be a copy.
    """
    _C.check_device("from_dlpack", device)
    if hasattr(ext_tensor, "__dlpack__"):
        asked = {} if copy is None else {"copy": copy}
        if hasattr(ext_tensor, "__dlpack_device__") and ext_tensor.__dlpack_device__()[0] != 1:
            raise NotImplementedError("[from_dlpack] the memory is not the CPU's: got device "
                                      f"{tuple(ext_tensor.__dlpack_device__())}; expected (1, 0); "
                                      "copy it to the CPU first")
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0), **asked)
        except TypeError:  # an exporter of the time before versions
            capsule = ext_tensor.__dlpack__()
            made = _C.from_dlpack(capsule)
            return made.clone() if copy else made
        return _C.from_dlpack(capsule)
    made = _C.from_dlpack(ext_tensor)
    return made.clone() if copy else made


def _dlpack(self, *, stream=-1, max_version=None, dl_device=None, copy=None):
    """A capsule of the tensor's memory for from_dlpack() of another library."""
    if stream not in (-1, None):
        raise ExportError(f"[__dlpack__] a CPU has no streams: got stream={stream!r}; expected "
                          "None")
    if dl_device is not None and tuple(dl_device) != (1, 0):
        raise ExportError(f"[__dlpack__] the memory is the CPU's: got dl_device={dl_device!r}; "
                          "expected (1, 0)")
    if self.requires_grad:
        raise ExportError("[__dlpack__] Can't export tensors that require gradient: got "
                          f"{self._describe()}; use tensor.detach()")
    if self.is_symbolic or _C.is_tracing() or self.is_global:
        raise ExportError(f"[__dlpack__] there is no memory to show: got {self._describe()}"
                          f"{' inside build()' if _C.is_tracing() else ''}; expected a local "
                          "tensor outside of graphs; use x.to_local(), or x.numpy() of the whole")
    value = self.clone() if copy else self
    return _C.to_dlpack(value, max_version is not None and max_version[0] >= 1)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=None):
    """A tensor of `obj`: a tensor, an array, what has __dlpack__ or is a buffer, of whose memory it
    is where it can be (copy=None; False: or else an error), or numbers and lists."""
    _C.check_device("asarray", device)
    dtype = dtype_from(dtype)
    made, shares = None, True
    if isinstance(obj, _C.Tensor):
        made = obj
    elif isinstance(obj, np.ndarray) and obj.dtype.isnative:
        # In a graph a copy of numbers is a constant, whatever becomes of the array.
        made, shares = (tensor(obj), False) if copy else (from_numpy(obj), True)
    elif isinstance(obj, np.generic):
        shares = False
    elif hasattr(obj, "__dlpack__"):
        made = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview, arrays.array)):
        made = frombuffer(obj, dtype=dtype or _C.get_default_dtype())
    else:
        shares = False
    if made is None:
        made = tensor(obj, dtype=dtype)
    if not shares and copy is False:
        raise InvalidArgumentError(f"[asarray] a {type(obj).__name__} has no memory to share: got "
                                   "copy=False; expected copy=None or True")
    if dtype is not None and dtype is not made.dtype:
        if copy is False:
            raise InvalidArgumentError(
                f"[asarray] another dtype needs a copy: got {made.dtype.name} for "
                f"{dtype.name} and copy=False; expected copy=None or True")
        made, shares = made.to(dtype), False
    if copy and shares:
        made = made.clone()
    if requires_grad is None or bool(requires_grad) == made.requires_grad:
        return made
    if not requires_grad:
        return made.detach()
    if made is obj:
        made = made.detach()
    made.requires_grad = True
    return made


# --- like a tensor, or in an order of one's own --------------------------------------------------

def _new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with a copy of `data` in this tensor's dtype; of a global tensor a global one, B."""
    layout = {}
    if self.is_global:
        layout = {"placement": self.placement, "sbp": [_C.sbp.broadcast] * len(self.sbp)}
    return tensor(data, dtype=self.dtype if dtype is None else dtype, device=device,
                  requires_grad=requires_grad, pin_memory=pin_memory, **layout)


def _number_for_each_axis(name, argument, given):
    """A list of whole numbers; what no tensor has axes for is not read to its end."""
    if not isinstance(given, (list, tuple, range)):
        raise TypeMismatchError(f"[{name}] argument '{argument}' must be a tuple of ints, not "
                                f"{type(given).__name__}; expected one number for each axis")
    if len(given) > _MOST_AXES:
        raise InvalidArgumentError(
            f"[{name}] argument '{argument}' is too long: got {len(given)} numbers; "
            f"expected one for each axis, of which a tensor has at most {_MOST_AXES}")
    return [int(n) for n in given]


def _strided(name, size, stride, empty, requires_grad):
    size = _number_for_each_axis(name, "size", size)
    stride = _number_for_each_axis(name, "stride", stride)
    if len(size) != len(stride) or any(n < 0 for n in (*size, *stride)):
        raise InvalidArgumentError(
            f"[{name}] size and stride do not fit: got {size} and {stride}; expected "
            "one stride for each axis, none negative")
    reach = 0 if 0 in size else 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    made = _C.as_strided(empty([max(reach, 1)]), size, stride).detach()
    if requires_grad:
        made.requires_grad = True
    return made


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False,
                  pin_memory=False):
    """A tensor of undefined values whose elements lie at these strides."""
    _ready("empty_strided", device, pin_memory)
    return _strided("empty_strided", size, stride,
                    lambda n: _C.empty(n, dtype=dtype, layout=layout), requires_grad)


def empty_permuted(size, physical_layout, *, dtype=None, layout=None, device=None,
                   requires_grad=False, pin_memory=False):
    """A tensor of undefined values without gaps, whose axes lie in this order, the outermost first.
    """
    _ready("empty_permuted", device, pin_memory)
    size = _number_for_each_axis("empty_permuted", "size", size)
    order = _number_for_each_axis("empty_permuted", "physical_layout", physical_layout)
    if sorted(order) != list(range(len(size))):
        raise InvalidArgumentError(
            f"[empty_permuted] the order is none of the axes: got {order} for a size "
            f"of {len(size)} axes; expected each of 0 to {len(size) - 1} once")
    stride, step = [1] * len(size), 1
    for axis in reversed(order):
        stride[axis] = step
        step *= size[axis]
    return _strided("empty_permuted", size, stride,
                    lambda n: _C.empty(n, dtype=dtype, layout=layout), requires_grad)


def _new_empty_strided(self, size, stride, *, dtype=None, layout=None, device=None,
                       requires_grad=False, pin_memory=False):
    """A local tensor of undefined values at these strides, in this tensor's dtype."""
    if self.is_global:
        raise InvalidArgumentError(
            "[new_empty_strided] strides are those of one rank's memory: got "
            f"{self._describe()}; expected a local tensor; use new_empty(size)")
    return empty_strided(size, stride, dtype=self.dtype if dtype is None else dtype, layout=layout,
                         device=device, requires_grad=requires_grad, pin_memory=pin_memory)


for _name, _function in (("__dlpack__", _dlpack), ("new_tensor", _new_tensor),
                         ("new_empty_strided", _new_empty_strided)):
    _function.__name__ = _function.__qualname__ = _name
    setattr(_C.Tensor, _name, _function)
_C.Tensor.__dlpack_device__ = lambda self: (1, 0)
