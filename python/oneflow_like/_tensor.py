"""Methods of Tensor that are written in Python; importing this module adds them to the class."""

import builtins
import copy
import numbers
import operator

import numpy as np

from . import _C, _indexing, _printing
from ._C import InvalidArgumentError, OutOfRangeError, Size, Tensor, TypeMismatchError
from ._creation import _NUMPY_NAMES


def _method(function):
    setattr(Tensor, function.__name__, function)
    return function


# --- Size ------------------------------------------------------------------------------------

def _size_repr(self):
    return f"oneflow_like.Size({list(self)})"


def _size_numel(self):
    count = 1
    for extent in self:
        count *= extent
    return count


Size.__repr__ = Size.__str__ = _size_repr
Size.numel = _size_numel
Size.__radd__ = lambda self, other: (
    Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented)
Size.__reduce__ = lambda self: (Size, (tuple(self),))


# --- reading values --------------------------------------------------------------------------

@_method
def size(self, dim=None):
    """The sizes of all axes, or of one."""
    shape = self.shape
    if dim is None:
        return shape
    try:
        return shape[None if isinstance(dim, builtins.bool) else operator.index(dim)]
    except TypeError:
        raise TypeMismatchError(
            f"[size] argument 'dim' must be int, not {type(dim).__name__}; expected an "
            "axis, or none for all sizes") from None
    except IndexError:
        bound = max(len(shape), 1)
        raise OutOfRangeError("[size] Dimension out of range (expected to be in range of "
                              f"[{-bound}, {bound - 1}], but got {dim}): got {self._describe()}"
                              ) from None


@_method
def dim(self):
    return self.ndim


@_method
def nelement(self):
    return self.numel()


@_method
def element_size(self):
    return self.dtype.itemsize


@_method
def is_floating_point(self):
    return self.dtype.is_floating_point


_MINIFLOATS = {_C.float8_e4m3fn: (3, 7), _C.float8_e5m2: (2, 15)}  # bits of fraction, bias
_NUMPY_LACKS = (_C.bfloat16, *_MINIFLOATS)


def _widened(raw, dtype):
    """The values of bytes that NumPy has no dtype for, as float32, which holds them all."""
    if dtype is _C.bfloat16:
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    fraction, bias = _MINIFLOATS[dtype]
    exponent, rest = (raw & 0x7f) >> fraction, (raw & (2 ** fraction - 1)) / 2.0 ** fraction
    sign = np.where(raw >> 7, -1.0, 1.0)
    size = np.where(exponent == 0, rest * 2.0 ** (1 - bias),
                    (1 + rest) * 2.0 ** (exponent.astype(np.int64) - bias))
    if dtype is _C.float8_e5m2:
        size = np.where(exponent == 31, np.where(rest == 0, np.inf, np.nan), size)
    else:
        size = np.where((raw & 0x7f) == 0x7f, np.nan, size)
    return (sign * size).astype(np.float32)


def _host_values(self, read):
    """What `read` gives, or float32 in its place where NumPy has no such dtype."""
    if self.dtype not in _NUMPY_LACKS:
        return read(self)
    return _widened(_C.raw_bytes(self), self.dtype).reshape(tuple(self.shape))


@_method
def tolist(self):
    """Nested lists; of a global tensor collective."""
    if _C.is_tracing():
        return self.detach().numpy().tolist()  # says why not
    return _host_values(self, lambda x: x.detach().numpy()).tolist()


@_method
def __array__(self, dtype=None, copy=None):
    array = self.numpy()
    if dtype is None or array.dtype == dtype:
        return array.copy() if copy else array
    if copy is False:
        raise InvalidArgumentError(
            "[__array__] another dtype needs a copy: got copy=False, "
            f"{self.dtype.name} and dtype {np.dtype(dtype)}; expected copy=None")
    return array.astype(dtype)


@_method
def __array_wrap__(self, array, context=None, return_scalar=False):
    """What NumPy's functions make of a tensor is one, as in torch; of a global one they are
    refused, for they would put its parts together unasked."""
    if self.is_global:
        raise TypeMismatchError(
            f"[numpy] a function of NumPy's works on whole arrays: got {self._describe()}, a "
            "global tensor; expected a local one; use the package's own (flow.sqrt for np.sqrt), "
            "or x.numpy(), which puts the parts together on every rank")
    known = array.dtype.name in _NUMPY_NAMES
    return _C.from_numpy(np.asarray(array)) if known else array


# NumPy's operators give way to the tensor's, as they do to torch's: np.float32(2) * x is a tensor.
Tensor.__array_priority__ = 1000


def _no_operator(name):
    """For NumPy's objects on the right: their reflected operators would make an array of it."""
    def refuse(_self, other):
        if isinstance(other, (np.ndarray, np.generic)):
            raise TypeMismatchError(
                f"[{name}] a Tensor has no such operator: got {type(other).__name__} "
                "on the other side; expected x.numpy() for one of NumPy's")
        return NotImplemented
    return refuse


for _name in ("divmod",):
    assert not hasattr(Tensor, f"__{_name}__")
    setattr(Tensor, f"__{_name}__", _no_operator(f"__{_name}__"))


@_method
def __len__(self):
    if self.ndim == 0:
        raise TypeMismatchError(f"len() of a 0-d tensor: got {self._describe()}; expected an axis")
    return self.shape[0]


@_method
def __iter__(self):
    if self.ndim == 0:
        raise TypeMismatchError(
            f"iteration over a 0-d tensor: got {self._describe()}; expected an axis; "
            "use x.item() for its value")
    return (self[i] for i in range(self.shape[0]))


@_method
def __reversed__(self):
    """The tensor with its first axis from the end; a 0-d one as it is."""
    return self if self.ndim == 0 else self.flip(0)


@_method
def __contains__(self, element):
    """Whether an element equals a number or an element of a tensor that broadcasts."""
    if not isinstance(element, (Tensor, numbers.Number, np.generic)):
        raise TypeMismatchError("[__contains__] only a Tensor or a number can be an element: got "
                                f"{type(element).__name__}; expected one of them")
    return builtins.bool(_C.any(_C.eq(self.detach(), element)).item())


@_method
def __bool__(self):
    if self.numel() != 1:
        raise RuntimeError("[bool] Boolean value of Tensor with "
                           f"{'no values' if self.numel() == 0 else 'more than one value'} is "
                           f"ambiguous: got {self._describe()}; expected one element; use x.any() "
                           "or x.all()")
    return builtins.bool(self.item())


@_method
def __float__(self):
    return float(self.item())


@_method
def __complex__(self):
    return complex(self.item())


@_method
def __int__(self):
    return int(self.item())


@_method
def __index__(self):
    if self.dtype.is_floating_point or self.numel() != 1:
        raise TypeMismatchError(
            "[index] only integer tensors of a single element can be converted to an "
            f"index: got {self._describe()}; expected an integer dtype and one "
            "element; use int(x)")
    return int(self.item())


Tensor.__hash__ = object.__hash__  # by identity: == is elementwise


# --- text ------------------------------------------------------------------------------------

_printing.install(
    Tensor._peek, lambda raw, dtype: _widened(raw, dtype) if dtype in _NUMPY_LACKS else raw)


@_method
def __format__(self, spec):
    local = not self.is_symbolic and not self.is_global and not _C.is_tracing()
    if self.ndim == 0 and (spec or local):
        return format(self.item(), spec)
    if spec:
        raise TypeMismatchError(
            f"[__format__] a format is for one number: got {spec!r} for "
            f"{self._describe()}; expected none; use a number of it: x[0].item()")
    return builtins.str(self)


# --- indexing --------------------------------------------------------------------------------

def _expand_index(index, shape, user):
    """The index as a full list with the ellipsis written out; None stays."""
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    return _indexing.written_out(items, used, len(shape), user)


def _is_flag(item):
    return (isinstance(item, (builtins.bool, np.bool_))
            or (isinstance(item, Tensor) and item.dtype is _C.bool and item.ndim == 0))


def _flag_of(index):
    """What an index that is one truth value says, or None: it makes an axis of size 1 or 0."""
    item = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    return builtins.bool(item) if _is_flag(item) else None


def _integer(item, user):
    try:
        return operator.index(item)
    except TypeError:
        kind = (OutOfRangeError if isinstance(item, (builtins.float, Tensor)) else
                TypeMismatchError)
        raise kind(f"[{user}] an index must be an integer, a slice, None, '...', or integers or "
                   f"a mask: got {type(item).__name__}; expected one of these; use int(index) for "
                   "a whole number") from None


def _slice_of(item, extent, user):
    if item.step is not None and _integer(item.step, user) < 1:
        raise InvalidArgumentError(
            f"[{user}] step must be greater than zero: got {item.step}; expected at "
            "least 1; use flip to reverse")
    try:
        return item.indices(extent)
    except TypeError:
        raise TypeMismatchError(
            f"[{user}] the bounds of a slice are no integers: got "
            f"{type(item.start).__name__} and {type(item.stop).__name__}; expected "
            "integers or None") from None


def _plan_index(index, shape, user):
    """begin, end, step by axis, and the shape of the result."""
    begin, end, step, out = [], [], [], []
    axis = 0
    for item in _expand_index(index, shape, user):
        if item is None:
            out.append(1)
            continue
        extent = shape[axis]
        if isinstance(item, slice):
            start, stop, stride = _slice_of(item, extent, user)
            stop = max(start, stop)
            begin.append(start)
            end.append(stop)
            step.append(stride)
            out.append((stop - start + stride - 1) // stride)
        else:
            at = _integer(item, user)
            if not -extent <= at < extent:
                raise OutOfRangeError(
                    f"[{user}] index {at} is out of bounds for dimension {axis} with size "
                    f"{extent}: got shape {tuple(shape)}; expected -{extent} <= index < {extent}")
            at %= extent
            begin.append(at)
            end.append(at + 1)
            step.append(1)
        axis += 1
    return begin, end, step, out


def _box_of(self, plan):
    """The elements of a planned index with all axes, a view where the layout allows one."""
    begin, end, step, _ = plan
    if all(b == 0 and e == n and s == 1
           for b, e, s, n in zip(begin, end, step, self.shape, strict=True)):
        return self
    return _C.slice(self, begin=begin, end=end, step=step)


@_method
def __getitem__(self, index):
    """Integers, slices with a positive step, None, '...' or one bool: a view. With tensors, lists,
    arrays or masks among them: a copy, as torch picks it."""
    index = _indexing.as_tuple(index)
    flag = _flag_of(index)
    if flag is not None:
        return self[None] if flag else self[None][0:0]
    if _indexing.is_advanced(index):
        return _indexing.get(self, index)
    plan = _plan_index(index, self.shape, "getitem")
    result = _box_of(self, plan)
    if tuple(result.shape) != tuple(plan[3]):
        result = _C.reshape(result, plan[3])
    elif result is self:
        result = _C.slice(self, begin=plan[0], end=plan[1], step=plan[2])  # an object of its own
    return result


def _repeats(x):
    """Whether an element of a view stands in several places of it, so that it has no scatter."""
    reach = 0
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


@_method
def __setitem__(self, index, value):
    """x[index] = value for every index that x[index] reads: a number, or what broadcasts to it."""
    if not isinstance(value, (Tensor, numbers.Number)):
        raise TypeMismatchError(
            f"[setitem] the value is of no use: got {type(value).__name__}; expected a "
            "Tensor or a number; use flow.tensor(value)")
    index = _indexing.as_tuple(index)
    flag = _flag_of(index)
    if flag is not None:
        if flag:
            self[...] = value
        return
    if _indexing.is_advanced(index):
        return _indexing.put(self, index, value)
    plan = _plan_index(index, self.shape, "setitem")
    box = _box_of(self, plan)
    if isinstance(value, Tensor):
        out = plan[3]
        value = value._beside(self, "[setitem] value").to(self.dtype)
        while value.ndim > len(out) and value.shape[0] == 1:
            value = _C.reshape(value, tuple(value.shape[1:]))
        if tuple(value.shape) != tuple(out):
            value = value.expand(*out)
        value = _C.reshape(value, tuple(box.shape))
    else:
        value = _C.full_like(box, value)
    if box is not self and (box.is_symbolic or _C.is_tracing() or box._copied) and not (
            box.is_symbolic and not box.is_global and _repeats(self)):
        begin, end, step, _ = plan
        self._rebind(_C.slice_scatter(self, value, begin=begin, end=end, step=step))
    else:
        box._rebind(value)


_C.index_by(Tensor.__getitem__, Tensor.__setitem__, Tensor)


# --- history and in-place --------------------------------------------------------------------

@_method
def requires_grad_(self, requires_grad=True):
    if not isinstance(requires_grad, builtins.bool):
        raise TypeMismatchError("[requires_grad_] argument 'requires_grad' must be bool, not "
                                f"{type(requires_grad).__name__}; expected True or False")
    self.requires_grad = requires_grad
    return self




class _NoGrad:
    """The module autograd imports this one's class: a small twin of its no_grad."""

    def __enter__(self):
        self._before = _C.is_grad_enabled()
        _C.set_grad_enabled(False)

    def __exit__(self, *_):
        _C.set_grad_enabled(self._before)
        return False


def _set_data(self, value):
    if not isinstance(value, Tensor):
        raise TypeMismatchError(
            f"[data] the value is no tensor: got {type(value).__name__}; expected a "
            "Tensor")
    value = value._beside(self, "[data] value")
    if value.dtype is self.dtype and tuple(value.shape) == tuple(self.shape):
        with _NoGrad():
            return self._rebind(value.detach())
    if self.requires_grad and not (value.is_floating_point() or value.is_complex()):
        raise TypeMismatchError(
            "[data] data set to a tensor that requires gradients must be floating point or complex "
            f"dtype: got {value.dtype.name}{list(value.shape)}; expected another dtype; convert "
            "with .to(flow.float32)")
    self._become(value)


def _part_setter(name):
    def put(self, value):
        getattr(self, name).copy_(value)
    return put


for _name in ("real", "imag"):
    setattr(Tensor, _name, getattr(Tensor, _name).setter(_part_setter(_name)))


Tensor.data = property(lambda self: self.detach(), _set_data,
                       doc="The same memory outside the tape. Setting it copies the values of a "
                           "tensor of the same dtype and shape; with another one the tensor stands "
                           "for that memory from then on, without a gradient.")


@_method
def copy_(self, other, non_blocking=False):
    """The values of `other`, a tensor or a number, broadcast, in this tensor's dtype and layout.
    Nothing is left to be done when it returns, whatever `non_blocking` says."""
    if not isinstance(non_blocking, bool):
        raise TypeMismatchError("copy_(): argument 'non_blocking' must be bool, not "
                                f"{type(non_blocking).__name__}")
    if isinstance(other, np.generic):
        other = other.item()
    if isinstance(other, (bool, int, float, complex)):  # as torch takes them
        wide = (_C.complex128 if isinstance(other, complex) else
                _C.float64 if isinstance(other, float) else None)
        other = _C.full([], other, dtype=wide)
    if not isinstance(other, Tensor):
        raise TypeMismatchError(
            f"copy_(): argument 'other' must be Tensor, not {type(other).__name__}")
    value = other._beside(self, "[copy_] other").to(self.dtype)
    if self.is_global and value.is_global and value.placement != self.placement:
        value = value.to_global(placement=self.placement, sbp=self.sbp)
    if tuple(value.shape) != tuple(self.shape):
        sizes = tuple(zip(reversed(value.shape), reversed(self.shape), strict=False))
        if value.ndim > self.ndim or any(n not in (1, to) for n, to in sizes):
            raise InvalidArgumentError(
                f"[copy_] the values do not broadcast to the target: got "
                f"{other._describe()} for the shape {tuple(self.shape)}; expected "
                "each axis equal or 1")
        value = value.expand(*self.shape)
    if value is other and other.is_symbolic:
        value = _C.reshape(other, tuple(other.shape))  # costs nothing in a plan, and is not other
    elif value is other and other.requires_grad and _C.is_grad_enabled():
        value = other.clone()  # what is recorded takes its place: it must not share its memory
    self._rebind(value)
    return self


# --- copies and pickles ------------------------------------------------------------------------

@_method
def __pos__(self):
    if self.dtype is _C.bool:
        raise TypeMismatchError(
            f"[pos] bool is not a number: got {self._describe()}; expected a floating, "
            "complex or integer dtype")
    return self


def _fields_of(tensor):
    """Attributes that were set on a tensor of a subclass."""
    return dict(getattr(tensor, "__dict__", {}))


def _give_fields(tensor, fields):
    if fields:
        tensor.__dict__.update(fields)


@_method
def __deepcopy__(self, memo):
    """A leaf with its gradient; of a Parameter without, as in torch."""
    if not self.is_leaf and not self.is_symbolic:
        raise RuntimeError("[deepcopy] only leaves can be copied deeply: got the result of "
                           f"{self.grad_fn}; expected a tensor without history; use "
                           "x.detach().clone(), or copy.deepcopy(x.detach())")
    made = type(self).__new__(type(self))
    memo[id(self)] = made
    with _NoGrad():
        Tensor.__init__(made, self.detach().clone_memory())
    if self.requires_grad:
        made.requires_grad = True
    _give_fields(made, copy.deepcopy(_fields_of(self), memo))
    if self._copies_grad and not _C.is_tracing() and self.grad is not None:
        made.grad = copy.deepcopy(self.grad, memo)
    return made


Tensor._copies_grad = True


@_method
def __copy__(self):
    """Another handle of the same memory, outside the tape."""
    made = type(self).__new__(type(self))
    Tensor.__init__(made, self.detach())
    if self.requires_grad and self.is_leaf:
        made.requires_grad = True
    _give_fields(made, _fields_of(self))
    return made


@_method
def __reduce__(self):
    if self.is_global:
        raise TypeMismatchError(
            f"[pickle] a global tensor cannot be pickled: got {self._describe()}; "
            "expected a local one; use flow.save(...), which all ranks call, or "
            "x.to_local() for this rank's part")
    # Bytes, which are checked when they are read: NumPy's own pickles of arrays are not.
    return _rebuild, (_C.raw_bytes(self.detach()).tobytes(), self.dtype, tuple(self.shape),
                      self.requires_grad and self.is_leaf, type(self), _fields_of(self))


def _rebuild(data, dtype, shape, requires_grad, kind=Tensor, fields=None):
    if not isinstance(kind, type) or not issubclass(kind, Tensor):
        raise TypeMismatchError(
            f"[pickle] a class of tensors is none: got {kind!r}; expected Tensor or "
            "one that inherits from it")
    made = kind.__new__(kind)
    Tensor.__init__(made, _C.from_raw_bytes(data, dtype, list(shape)))
    if requires_grad:
        made.requires_grad = True
    _give_fields(made, fields or {})
    return made


@_method
def local_to_global(self, placement=None, sbp=None, *, grad_sbp=None, copy=False):
    if self.is_global:
        raise InvalidArgumentError("[local_to_global] got a global tensor; use x.to_global(...)")
    return self.to_global(placement, sbp, grad_sbp=grad_sbp, copy=copy)


@_method
def global_to_global(self, placement=None, sbp=None, *, grad_sbp=None, copy=False):
    if not self.is_global:
        raise InvalidArgumentError("[global_to_global] got a local tensor; use x.to_global(...)")
    return self.to_global(placement, sbp, grad_sbp=grad_sbp, copy=copy)
