"""Changes of a tensor that no operator makes: its history, its size, each element by a function."""

import numbers

from . import _C
from ._C import InvalidArgumentError, Tensor, TypeMismatchError
from ._conversion import check_format
from ._values import _answer, _tensors

__all__ = ["detach", "detach_", "resize_as_"]


def _method(function):
    setattr(Tensor, function.__name__, function)
    return function


def detach(input):
    """The same memory outside the tape."""
    _tensors("detach", input=input)
    return input.detach()


def detach_(input):
    """The tensor itself, without its history: a leaf that requires no grad."""
    _tensors("detach_", input=input)
    return input.detach_()


# --- size ------------------------------------------------------------------------------------

@_method
def resize_(self, *size, memory_format=None):
    """The tensor itself in another shape, row-major from its first element on.

    Its memory stays where it is large enough. Where it is not, the tensor gets a new one that
    begins with its elements and ends with zeros; views of the old one keep that.
    """
    if not size:
        raise TypeMismatchError("[resize_] missing argument 'size'; expected resize_(*size)")
    check_format("resize_", memory_format)
    if memory_format is _C.preserve_format:
        raise RuntimeError("[resize_] another shape has no format to preserve: got "
                           "preserve_format; expected contiguous_format or None")
    whole = len(size) == 1 and isinstance(size[0], (tuple, list))
    _C.resize(self, tuple(size[0]) if whole else size)
    return self


@_method
def resize_as_(self, the_template, *, memory_format=None):
    """resize_ to the shape of another tensor."""
    _tensors("resize_as_", the_template=the_template)
    return resize_(self, tuple(the_template.shape), memory_format=memory_format)


def resize_as_(input, the_template, *, memory_format=None):  # noqa: F811  (the function)
    """resize_ of input to the shape of another tensor."""
    _tensors("resize_as_", input=input)
    return input.resize_as_(the_template, memory_format=memory_format)


# --- each element by a function --------------------------------------------------------------

def _by_function(name, self, others, function):
    """Every element becomes what the function makes of it and of those of the others."""
    for tensor in (self, *others):
        if not isinstance(tensor, Tensor):
            raise TypeMismatchError(
                f"[{name}] an operand must be Tensor, not {type(tensor).__name__}")
        if tensor.requires_grad:
            raise RuntimeError(f"[{name}] what a function of Python makes has no gradient: got "
                               f"{tensor._describe()}; expected one that requires none; use "
                               f"x.detach().{name}(...)")
        if tensor.is_symbolic or _C.is_tracing() or tensor.is_global:
            raise RuntimeError(f"[{name}] a function of Python is called for each element, which "
                               f"lies on one rank and outside graphs: got {tensor._describe()}; "
                               "expected a local tensor outside build()")
        if tensor.dtype is not self.dtype:
            raise TypeMismatchError(
                f"[{name}] dtypes differ: got {self.dtype.name} and "
                f"{tensor.dtype.name}; expected one dtype; convert with .to(dtype)")
    if not callable(function):
        raise TypeMismatchError(f"[{name}] argument 'callable' cannot be called: got "
                                f"{type(function).__name__}")
    rows = [tensor.expand(*self.shape).reshape(-1).tolist() for tensor in (self, *others)]
    kind = (float if self.dtype.is_floating_point else complex if self.dtype.is_complex
            else bool if self.dtype is _C.bool else int)
    made = [function(*row) for row in zip(*rows, strict=True)]
    wrong = next((type(x).__name__ for x in made if not isinstance(x, numbers.Number)), None)
    if wrong is not None:
        raise TypeMismatchError(f"[{name}] the function gave no number: got {wrong}; expected "
                                f"{kind.__name__}")
    made = [kind(x) for x in made]
    return self.copy_(_C.reshape(_tensor_of(made, self.dtype), tuple(self.shape)))


def _tensor_of(numbers, dtype):
    from ._creation import tensor  # which imports _tensor
    return tensor(numbers, dtype=dtype)


@_method
def apply_(self, callable):
    """Every element becomes what a function of Python makes of it. Slow: for tests and for fun."""
    return _by_function("apply_", self, (), callable)


@_method
def map_(self, tensor, callable):
    """Every element becomes what a function makes of it and of that of another tensor."""
    return _by_function("map_", self, (tensor,), callable)


@_method
def map2_(self, x, y, callable):
    """Every element becomes what a function makes of it and of those of two tensors."""
    return _by_function("map2_", self, (x, y), callable)


# --- as often as a tensor says ---------------------------------------------------------------

def _check_counts(repeats, size):
    if repeats.dtype not in (_C.int64, _C.int32) or repeats.ndim > 1:
        raise TypeMismatchError(f"[repeat_interleave] repeats holds no numbers of times: got "
                                f"{repeats._describe()}; expected int64 or int32 of one axis")
    if repeats.numel() != size:
        raise InvalidArgumentError(
            f"[repeat_interleave] repeats has not a number for each place: got "
            f"{repeats._describe()} for an axis of size {size}; expected {size} "
            "numbers, or one")


def _counts_of(repeats, size):
    """The sum of the numbers of times, one for each of `size` places."""
    _check_counts(repeats, size)
    if size and _answer("repeat_interleave", _C.amin(repeats)) < 0:
        raise InvalidArgumentError(
            f"[repeat_interleave] repeats is negative: got {repeats._describe()} with "
            "a number below 0; expected numbers of at least 0")
    return _answer("repeat_interleave", _C.sum(repeats)) if size else 0


def _places_of(repeats, size, output_size):
    """Each place as often as it is to be taken."""
    if _C.is_tracing():
        return _places_in_build(repeats, size, output_size)
    total = _counts_of(repeats, size)
    if output_size is not None and output_size != total:
        raise InvalidArgumentError(
            f"[repeat_interleave] output_size is not the result's: got {output_size}; "
            f"expected {total}")
    return _C.searchsorted(_C.cumsum(repeats, 0, dtype=_C.int64), _C.arange(total), right=True)


def _places_in_build(repeats, size, output_size):
    """The same where the numbers are read in each launch: `output_size` has to say their sum. If it
    does not, the places are none, which the launch refuses."""
    if output_size is None:
        raise RuntimeError(
            "[repeat_interleave] the size of the result depends on values, which a graph does not "
            f"know when it is compiled: got repeats={repeats._describe()} inside build(); expected "
            "a number of times, or the result's size; use output_size=")
    if repeats.numel() == 1 and size != 1:
        repeats = repeats.reshape(1).expand(size)
    _check_counts(repeats, size)
    if size == 0 or output_size < 0:
        return _C.arange(output_size)
    ends = _C.cumsum(repeats, 0, dtype=_C.int64)
    wrong = (ends[-1] != output_size) | (_C.amin(repeats) < 0)
    return _C.searchsorted(ends, _C.arange(output_size), right=True) + wrong.long() * size


@_method
def repeat_interleave(input=None, repeats=None, dim=None, *, output_size=None):
    """Every element along axis `dim`, of the flattened input without one, `repeats` times: a
    number, or a tensor with one for each. Of `repeats` alone: each of its
    places as often as it says."""
    if input is None or repeats is None:
        alone = repeats if input is None else input
        _tensors("repeat_interleave", repeats=alone)
        if dim is not None or alone.ndim != 1:
            raise InvalidArgumentError(
                "[repeat_interleave] the numbers of times alone are one axis: got "
                f"{alone._describe()}, dim={dim}; expected one axis and no dim; or "
                "repeat_interleave(input, repeats)")
        return _places_of(alone, alone.numel(), output_size).to(alone.dtype)
    _tensors("repeat_interleave", input=input)
    if isinstance(repeats, Tensor):
        repeats = repeats._beside(input, "[repeat_interleave] repeats")
    if isinstance(repeats, Tensor) and repeats.numel() == 1 and not _C.is_tracing():
        _counts_of(repeats, 1)
        repeats = int(_answer("repeat_interleave", repeats))
    if not isinstance(repeats, Tensor):
        return _C._repeat_interleave(input, repeats, dim, output_size=output_size)
    x = input.reshape(-1) if dim is None or input.ndim == 0 else input
    axis = 0 if dim is None else dim
    return _C.index_select(x, axis, _places_of(repeats, x.shape[axis], output_size))


repeat_interleave.__overloads__ = (
    "repeat_interleave(input, repeats, dim=None, *, output_size=None)",
    "repeat_interleave(repeats, *, output_size=None)")
__all__.append("repeat_interleave")

Tensor.output_nr = property(_C.output_number,
                            doc="Which result of the call that made it the tensor is.")
