"""x[index] read and written where tensors, lists, arrays or masks stand among the indices.

The rest of the index is a view first, in which every such index has one axis for each of its own;
then the operators index and index_put do what is left. As in torch an integer is no index tensor:
it takes its axis away before.
"""

import builtins
import math

import numpy as np

from . import _C
from ._C import OutOfRangeError, Tensor, TypeMismatchError

_MASKS = (_C.bool, _C.uint8)
_INTEGERS = (_C.int64, _C.int32, _C.int16, _C.int8)
_MANY = 32  # a longer list is never a tuple
_ALL = slice(None)


def as_tuple(index):
    """The index; a short list with slices, lists, tensors or None in it stands for a tuple."""
    if type(index) is list and len(index) < _MANY and any(
            item is None or item is Ellipsis
            or isinstance(item, (slice, list, tuple, Tensor, np.ndarray)) for item in index):
        return tuple(index)
    return index


def _advanced(item):
    if isinstance(item, Tensor):
        return item.ndim > 0 or item.dtype in _MASKS or item.is_symbolic or _C.is_tracing()
    if isinstance(item, np.ndarray):
        return item.ndim > 0 or item.dtype == np.bool_
    return isinstance(item, (list, tuple, range, builtins.bool, np.bool_))


def is_advanced(index):
    if isinstance(index, tuple):
        return any(_advanced(item) for item in index)
    return _advanced(index)


def written_out(items, used, rank, user):
    """The index with its ellipsis written out: `used` of `rank` axes stand in it.

    As in torch every ellipsis passes over the axes that nothing else stands for; so after a second
    one none are left.
    """
    if used > rank:
        raise OutOfRangeError(
            f"[{user}] too many indices for tensor of dimension {rank}: got {used}"
            f"; expected at most {rank}")
    rest = [slice(None)] * (rank - used)
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if not dots:
        return items + rest
    after = items[dots[1]:] if len(dots) > 1 else []
    if rest and any(item is not Ellipsis for item in after):
        raise OutOfRangeError(
            f"[{user}] an index goes past the axes of the tensor: got {len(dots)} ellipses ('...') "
            f"and an index after the second, in an index of dimension {rank}; expected one")
    items = [item for i, item in enumerate(items) if i not in dots[1:]]
    return items[:dots[0]] + rest + items[dots[0] + 1:]


def _constant(array):
    return _C.from_numpy(np.array(array, order="C"))


def _plain(item, user):
    """Nested lists with numbers of tensors in them, as numbers."""
    if isinstance(item, range):
        try:
            return np.arange(item.start, item.stop, item.step)
        except (ValueError, MemoryError):
            raise OutOfRangeError(
                f"[{user}] memory cannot hold an index: got {item}; expected fewer "
                "numbers; use a slice") from None
    if isinstance(item, (list, tuple)):
        return [_plain(x, user) for x in item]
    return item.item() if isinstance(item, Tensor) and item.ndim == 0 else item


def _index_of(x, item, user):
    """The tensor that an index stands for."""
    if isinstance(item, Tensor):
        tensor = item
    else:
        try:
            array = item if isinstance(item, np.ndarray) else np.array(_plain(item, user))
        except RecursionError:
            raise OutOfRangeError(
                f"[{user}] an index contains itself, or is nested too deep; expected "
                "at most 8 levels of lists") from None
        if array.size == 0 or array.dtype.kind == "f" and not isinstance(item, np.ndarray):
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            raise TypeMismatchError(
                f"[{user}] an index holds no integers: got {array.dtype}; expected "
                "integers or truth values")
        if array.dtype.kind in "iu" and array.dtype != np.uint8:
            array = array.astype(np.int64)
        tensor = _constant(array)
    if tensor.dtype not in _MASKS and tensor.dtype not in _INTEGERS:
        raise OutOfRangeError(
            f"[{user}] tensors used as indices must be of integers or bool: got "
            f"{tensor.dtype.name}{list(tensor.shape)}; expected int64, int32, or a "
            "mask of uint8 or bool")
    return tensor._beside(x, f"[{user}] index")


def _is_mask(index):
    return index.dtype in _MASKS


def _check_mask(mask, shape, axis, user):
    for i, size in enumerate(mask.shape):
        if axis + i >= len(shape) or shape[axis + i] != size:
            raise OutOfRangeError(
                f"[{user}] the shape of the mask does not match the indexed tensor: "
                f"got {tuple(mask.shape)} at dimension {axis} of {tuple(shape)}; "
                "expected equal sizes")


class _Plan:
    """The index without its tensors, and these with the axis of the view that each stands at."""

    def __init__(self, x, index, user):
        items = index if isinstance(index, tuple) else (index,)
        items = [_index_of(x, item, user) if _advanced(item) else item for item in items]
        self.basic, self.at, axis, out = [], [], 0, 0
        for item in self._whole(items, len(x.shape), user):
            advanced = isinstance(item, Tensor) and _advanced(item)
            if advanced and _is_mask(item) and item.ndim == 0:
                self.basic.append(None)
                self.at.append((out, item))
                out += 1
            elif advanced:
                axes = item.ndim if _is_mask(item) else 1
                if _is_mask(item):
                    _check_mask(item, x.shape, axis, user)
                self.basic += [slice(None)] * axes
                self.at.append((out, item))
                axis, out = axis + axes, out + axes
            else:
                self.basic.append(item)
                axis += item is not None
                out += item is None or isinstance(item, slice)

    @staticmethod
    def _whole(items, rank, user):
        """With the ellipsis written out."""
        used = 0
        for item in items:
            if isinstance(item, Tensor) and _is_mask(item):
                used += item.ndim
            elif item is not None and item is not Ellipsis:
                used += 1
        return written_out(items, used, rank, user)

    def view(self, x):
        if all(type(item) is slice and item == slice(None) for item in self.basic):
            return x
        return x[tuple(self.basic)]


def _places(mask, user):
    """The places where a mask is true: one index for each of its axes."""
    if mask.is_symbolic or _C.is_tracing():
        use = ("flow.where(mask, x, 0), which keeps the shape" if user == "getitem" else
               "x[mask] = number, x.copy_(flow.where(mask, values, x)) or x.masked_scatter_(mask, "
               "values)")
        raise RuntimeError(f"[{user}] how many elements a mask picks depends on values, which a "
                           f"graph does not know when it is compiled: got {mask._describe()}; "
                           f"expected integers or slices inside build(); use {use}")
    if mask.ndim == 0:
        count = int(builtins.bool(mask))
        return [_constant(np.zeros(count, np.int64))._beside(mask, f"[{user}] index")]
    return _C.unbind(_C.nonzero(mask), 1)


def _prepared(x, plan, user):
    """The view, the indices of its axes from `dim` on, and `dim`."""
    view = plan.view(x)
    axes, indices, tensors = [], [], []
    for axis, item in plan.at:
        found = _places(item, user) if _is_mask(item) else [
            item if item.dtype is _C.int64 else item.to(_C.int64)]
        axes += range(axis, axis + len(found))
        indices += found
        if item.ndim > 0 or _is_mask(item):
            tensors += axes[-len(found):]
    tensors = tensors or axes  # what has no axes, as in a graph, is a number: it has no say below
    shapes = [tuple(index.shape) for index in indices]
    if any(shape != shapes[0] for shape in shapes):
        try:
            common = np.broadcast_shapes(*shapes)
        except ValueError:
            raise OutOfRangeError(
                f"[{user}] shape mismatch: indexing tensors could not be broadcast "
                f"together: got shapes {', '.join(map(builtins.str, shapes))}; "
                "expected equal sizes or 1") from None
        indices = [i if s == common else i.expand(*common)
                   for i, s in zip(indices, shapes, strict=True)]
    others = [i for i in range(view.ndim) if i not in axes]
    at = len([i for i in others if i < tensors[0]])
    if at != len([i for i in others if i < tensors[-1]]):
        at = 0  # apart: the result's axes come first
    order = [*others[:at], *axes, *others[at:]]
    if order != list(range(view.ndim)):
        view = view.permute(*order)
    return view, list(indices), at


def _is_plain(x, index):
    """Whether the index is one local tensor beside a local one, for which nothing has to be done
    first: whole numbers, or a mask of the same shape."""
    if type(index) is not Tensor or x.is_global or index.is_global or _C.is_tracing():
        return False
    if index.dtype is _C.bool:
        return index.ndim > 0 and index.shape == x.shape
    return index.dtype is _C.int64 and index.ndim > 0 and x.ndim > 0


def _plain_places(x, index):
    """The index tensors and the axis of the first, where nothing has to be done first: local whole
    numbers of one shape on axes side by side, beside slices of all. None: something has to be."""
    if type(index) is not tuple or len(index) > x.ndim or x.is_global or _C.is_tracing():
        return None
    indices, dim, shape = [], 0, None
    for axis, item in enumerate(index):
        if type(item) is Tensor:
            if item.dtype is not _C.int64 or item.ndim == 0 or item.is_global:
                return None
            if not indices:
                dim, shape = axis, item.shape
            elif dim + len(indices) != axis or item.shape != shape:
                return None
            indices.append(item)
        elif type(item) is not slice or item != _ALL:
            return None
    return (indices, dim) if indices else None


def get(x, index):
    if _is_plain(x, index):
        if index.dtype is _C.bool:
            return _C.masked_select(x, index)
        return _C._index(x, [index], 0)
    plain = _plain_places(x, index)
    if plain is not None:
        return _C._index(x, *plain)
    plan = _Plan(x, index, "getitem")
    view, indices, dim = _prepared(x, plan, "getitem")
    taken = _C._index(view, indices, dim)
    if _C.is_tracing() and all(item.ndim == 0 and not _is_mask(item) for _, item in plan.at):
        taken._note_taken(view)  # numbers, but for the graph: a view
    return taken


def _put_masked(x, plan, value):
    """Where one mask alone says which elements take one value: their number need not be known."""
    axis, mask = plan.at[0]
    view = plan.view(x)
    after = view.ndim - axis - mask.ndim
    if mask.dtype is not _C.bool:
        raise OutOfRangeError(
            "[setitem] where one value goes only masks of bool say: got "
            f"{mask.dtype.name}{list(mask.shape)}; expected bool; use mask.bool()")
    if after:
        mask = mask.reshape(*mask.shape, *[1] * after)
    if isinstance(value, Tensor) and value.ndim > 0:
        value = value.reshape(())
    view.masked_fill_(mask, value)


def put(x, index, value):
    if _is_plain(x, index):
        number = not isinstance(value, Tensor)
        if number and index.dtype is _C.bool:
            x.masked_fill_(index, value)
            return None
        if not number and index.dtype is _C.int64 and value.dtype is x.dtype and (
                tuple(value.shape) == (*index.shape, *x.shape[1:])) and not value.is_global:
            x._index_put_(value, [index], 0)
            return None
    if isinstance(value, Tensor):
        value = value._beside(x, "[setitem] value")
    plan = _Plan(x, index, "setitem")
    single = not isinstance(value, Tensor) or value.numel() == 1
    if single and len(plan.at) == 1 and _is_mask(plan.at[0][1]) and plan.at[0][1].ndim > 0:
        return _put_masked(x, plan, value)
    view, indices, dim = _prepared(x, plan, "setitem")
    shape = (*view.shape[:dim], *indices[0].shape, *view.shape[dim + len(indices):])
    if not isinstance(value, Tensor):
        value = _C._full_like(_C._index(view.detach(), indices, dim), value)
    else:
        while value.ndim > len(shape) and value.shape[0] == 1:
            value = value.reshape(*value.shape[1:])
        if tuple(value.shape) != shape:
            if math.prod(shape) == 0 and value.numel() == 1:
                return None
            try:
                np.broadcast_shapes(tuple(value.shape), shape)
                fits = value.ndim <= len(shape)
            except ValueError:
                fits = False
            if not fits:
                raise RuntimeError(
                    f"[setitem] shape mismatch: got a value of shape {tuple(value.shape)} for "
                    f"places of shape {shape}; expected sizes that broadcast to them")
            value = value.expand(*shape)
    view._index_put_(value, indices, dim)
    return None
