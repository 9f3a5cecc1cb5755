"""Where a tensor lies and in which dtype: Tensor.to and its kin; what says so of one."""

import builtins

from . import _C
from ._C import InvalidArgumentError, Tensor, TypeMismatchError, device
from ._creation import dtype_from

_MISSING = object()
# The names of old classes of tensors, which Tensor.type gives and takes.
_TYPE_NAMES = {
    _C.float32: "FloatTensor", _C.float64: "DoubleTensor", _C.float16: "HalfTensor",
    _C.bfloat16: "BFloat16Tensor", _C.complex64: "ComplexFloatTensor",
    _C.complex128: "ComplexDoubleTensor", _C.bool: "BoolTensor", _C.uint8: "ByteTensor",
    _C.int8: "CharTensor", _C.int16: "ShortTensor", _C.int32: "IntTensor",
    _C.int64: "LongTensor", _C.float8_e4m3fn: "Float8_e4m3fnTensor",
    _C.float8_e5m2: "Float8_e5m2Tensor"}


def _method(function):
    setattr(Tensor, function.__name__, function)
    return function


def _flag(name, argument, value):
    if not isinstance(value, builtins.bool):
        raise TypeMismatchError(f"[{name}] argument '{argument}' must be bool, not "
                                f"{type(value).__name__}; expected True or False")
    return value


def check_format(name, memory_format):
    """Refuses an order of elements that is not row-major."""
    if not _C.is_usual_format(memory_format):
        raise NotImplementedError(f"[{name}] tensors are row-major: got memory_format="
                                  f"{memory_format!r}; expected flow.contiguous_format or none; "
                                  "leave it out: kernels choose their own order inside")


def _check_device(self, where, name):
    """A tensor stays on the rank and the kind of device where it is."""
    where = device(where)
    if where.type != self.device.type or (where.index or 0) > 0:
        raise RuntimeError(f"[{name}] device '{where}' is not the tensor's: got a tensor on "
                           f"'{self.device}'; expected '{self.device}'; use "
                           "x.to_global(placement=...) to move a global tensor")


def _is_device(given):
    return given is None or isinstance(given, (builtins.str, device))


def _is_dtype(given):
    return isinstance(given, (_C.dtype, type))


# The forms of `to`: the names of their positions.
_FORMS = ((lambda x: isinstance(x, Tensor), ("other", "non_blocking", "copy")),
          (_is_dtype, ("dtype", "non_blocking", "copy")),
          (_is_device, ("device", "dtype", "non_blocking", "copy")))


def sorted_arguments(args, kwargs):
    """What a call of `to` asks for, by name."""
    names = next((names for fits, names in _FORMS if fits(args[0])), None) if args else ()
    if names is None or len(args) > len(names):
        got = ", ".join(type(x).__name__ for x in args)
        raise TypeMismatchError(
            f"[to] no form takes these arguments: got {got}; expected to(dtype), "
            "to(device, dtype) or to(other), each with non_blocking and copy")
    found = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        name = "other" if name == "tensor" else name  # torch takes the one and tells of the other
        if name in found or name not in ("device", "dtype", "other", "non_blocking", "copy",
                                         "memory_format"):
            what = "several values for" if name in found else "an unexpected keyword"
            raise TypeMismatchError(
                f"[to] got {what} argument '{name}'; expected to(dtype), "
                "to(device, dtype) or to(other), each with non_blocking and copy")
        found[name] = value
    _flag("to", "non_blocking", found.get("non_blocking", False))
    _flag("to", "copy", found.get("copy", False))
    check_format("to", found.get("memory_format"))
    return found


@_method
def to(self, *args, **kwargs):
    """to(dtype), to(device, dtype) or to(other), each with non_blocking and copy.

    The tensor itself where it is so already, unless copy=True. A device other than the tensor's is
    refused: global tensors are moved by to_global(placement=...).
    """
    given = sorted_arguments(args, kwargs)
    other, dtype = given.get("other"), given.get("dtype")
    if other is not None:
        if not isinstance(other, Tensor):
            raise TypeMismatchError(
                f"[to] argument 'other' must be Tensor, not {type(other).__name__}")
        dtype = other.dtype
    elif dtype is not None:
        dtype = dtype_from(dtype)
    if given.get("device") is not None:
        _check_device(self, given["device"], "to")
    if dtype is not None and dtype is not self.dtype:
        return _C.cast(self, dtype=dtype)
    return self.clone() if given.get("copy") else self


to.__overloads__ = ("to(self, dtype, non_blocking=False, copy=False, *, memory_format=None)",
                    "to(self, device=None, dtype=None, non_blocking=False, copy=False, *, "
                    "memory_format=None)",
                    "to(self, other, non_blocking=False, copy=False, *, memory_format=None)")


@_method
def cpu(self, memory_format=None):
    """The tensor itself: it lies on the CPU."""
    check_format("cpu", memory_format)
    return self.to("cpu")


@_method
def cuda(self, device=None, non_blocking=False, memory_format=None):
    """Refused: there are no kernels for CUDA."""
    _check_device(self, device if isinstance(device, _C.device) else "cuda", "cuda")


def _type(self, dtype=None, non_blocking=False, **kwargs):
    """The name of the class that PyTorch once had for this dtype ("oneflow_like.FloatTensor"), or
    the tensor in the dtype given, which may be such a name."""
    if kwargs:
        raise TypeMismatchError(f"[type] got an unexpected keyword argument '{next(iter(kwargs))}'")
    _flag("type", "non_blocking", non_blocking)
    if dtype is None:
        return "oneflow_like." + _TYPE_NAMES[self.dtype]
    if isinstance(dtype, builtins.str):
        module, _, name = dtype.rpartition(".")
        wanted = next((d for d, known in _TYPE_NAMES.items() if known == name), None)
        if wanted is None or module not in ("", "torch", "oneflow_like"):
            raise InvalidArgumentError(
                f"[type] no class of tensors has this name: got {dtype!r}; expected "
                "for example 'oneflow_like.FloatTensor', or a dtype")
        dtype = wanted
    return self.to(dtype_from(dtype))


_type.__name__ = _type.__qualname__ = "type"
Tensor.type = _type


@_method
def contiguous(self, memory_format=_C.contiguous_format):
    """The tensor itself where its memory is row-major without gaps, else a copy that is.

    A view of a global tensor is always copied: its parts lie so on some ranks only, and all ranks
    do the same.
    """
    check_format("contiguous", memory_format)
    apart = self._is_view if self.is_global else not self.is_contiguous()
    return self.clone() if apart else self


# --- what a tensor is ----------------------------------------------------------------------------

def _property(name, get, doc):
    setattr(Tensor, name, property(get, doc=doc))


_property("itemsize", lambda self: self.dtype.itemsize, "Bytes of an element.")
_property("nbytes", lambda self: self.numel() * self.dtype.itemsize,
          "Bytes of all elements; of a global tensor on all ranks together.")
_property("layout", lambda self: _C.strided, "flow.strided.")
_property("is_cpu", lambda self: self.device.type == "cpu", "Whether it lies on CPUs.")
_property("is_cuda", lambda self: self.device.type == "cuda", "Whether it lies on CUDA devices.")
for _name in ("meta", "sparse", "sparse_csr", "quantized", "mkldnn", "nested", "xpu", "mps", "ipu",
              "maia", "mtia", "vulkan", "xla"):
    _property(f"is_{_name}", lambda self: False, "False: there are no such tensors.")
_property("name", lambda self: None, "None: tensors have no names.")


@_method
def ndimension(self):
    """The number of axes."""
    return self.ndim


@_method
def dim_order(self, *, ambiguity_check=False):
    """The axes from the longest stride to the shortest; equal ones, and those of size 1, as they
    stand. With `ambiguity_check` an order that is not the only one is an error."""
    if self.ndim == 0:
        return ()
    strides = self.stride()
    order = tuple(sorted(range(self.ndim), key=lambda axis: -strides[axis]))
    if ambiguity_check is not False:
        sizes = [n for n in self.shape if n > 1]
        if len({strides[a] for a in order if self.shape[a] > 1}) < len(sizes) or (
                len(sizes) < self.ndim):
            raise RuntimeError("[dim_order] the tensor has several orders of axes: got shape "
                               f"{tuple(self.shape)} with strides {strides}; expected sizes above "
                               "1 and strides that differ")
    return order


@_method
def get_device(self):
    """-1, the number of a device that has none: the CPU."""
    return -1 if self.device.index is None else self.device.index


def get_device_of(input):
    """input.get_device()."""
    if not isinstance(input, Tensor):
        raise TypeMismatchError("[get_device] argument 'input' must be Tensor, not "
                                f"{type(input).__name__}")
    return input.get_device()


@_method
def is_inference(self):
    """False: a tensor that inference_mode() made is like one of no_grad()."""
    return False


get_device_of.__name__ = get_device_of.__qualname__ = "get_device"


def get_default_device():
    """The device of tensors that are made without another one: the CPU."""
    return device("cpu")


def set_default_device(device):
    """Takes the CPU, or None; there is no other."""
    _C.check_device("set_default_device", device)
