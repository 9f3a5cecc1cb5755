"""Batches of sequences of different lengths, padded or packed, with torch's names.

A packed batch holds the rows of all sequences by time: first the first row of every sequence, then
the second of those that have one, and so on; sequences are in the order of their lengths.
"""

import operator
from collections import namedtuple
from itertools import groupby

from ... import _C
from ..._C import InvalidArgumentError, TypeMismatchError
from ..._creation import tensor

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence",
           "pad_sequence", "unpad_sequence", "pack_sequence", "unpack_sequence"]

_Packed = namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices",
                                        "unsorted_indices"])


class PackedSequence(_Packed):
    """Rows by time, how many sequences have a row of each time, and how these were ordered."""

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:  # a pair
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """The same with `data` converted as Tensor.to converts it."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, *self[1:])

    def cpu(self, *args, **kwargs):
        return self.to(*args, device="cpu", **kwargs)

    def double(self):
        return self.to(_C.float64)

    def float(self):
        return self.to(_C.float32)

    def half(self):
        return self.to(_C.float16)

    def long(self):
        return self.to(_C.int64)

    def int(self):
        return self.to(_C.int32)

    def short(self):
        return self.to(_C.int16)

    def char(self):
        return self.to(_C.int8)

    def byte(self):
        return self.to(_C.uint8)

    @property
    def is_cuda(self):
        return False

    def is_pinned(self):
        return False


def lengths_of(values, what):
    """A list of integers, of a tensor or a list."""
    if isinstance(values, _C.Tensor):
        values = values.numpy().tolist()
    try:
        return [operator.index(n) for n in values]
    except TypeError:
        raise TypeMismatchError(
            f"[{what}] lengths are integers: got {values!r}; expected a tensor or a "
            "list of integers") from None


def indices_beside(x, values):
    """The integers as a tensor that indexes `x`: global where that is."""
    if not x.is_global:
        return tensor(values, dtype=_C.int64)
    layout = [_C.sbp.broadcast] * len(x.sbp)
    return tensor(values, dtype=_C.int64, placement=x.placement, sbp=layout)


def reordered(x, indices, dim):
    """Along `dim` in the order of `indices`; None: as it is."""
    if indices is None:
        return x
    if x.is_global and not indices.is_global:
        indices = indices_beside(x, indices.numpy().tolist())
    return _C.index_select(x, dim, indices)


def invert_permutation(permutation):
    """The permutation that undoes one; of None None."""
    if permutation is None:
        return None
    order = lengths_of(permutation, "invert_permutation")
    if sorted(order) != list(range(len(order))):
        raise InvalidArgumentError(
            f"[invert_permutation] got no permutation of {len(order)} sequences; "
            f"expected each of 0 to {len(order) - 1} once")
    inverse = [0] * len(order)
    for place, i in enumerate(order):
        inverse[i] = place
    return indices_beside(permutation, inverse)


def _require_tensor(value, argument, axes, what):
    if not isinstance(value, _C.Tensor) or value.ndim < axes:
        got = value._describe() if isinstance(value, _C.Tensor) else type(value).__name__
        raise TypeMismatchError(
            f"[{what}] argument '{argument}' must be a Tensor of at least {axes} axes: "
            f"got {got}")


def sizes_of(packed, what):
    """How many sequences have a row of each time, as a list."""
    if not isinstance(packed, _Packed):
        raise TypeMismatchError(f"[{what}] got {type(packed).__name__}; expected a PackedSequence")
    _require_tensor(packed.data, "data", 1, what)
    sizes = lengths_of(packed.batch_sizes, what)
    falls = all(a >= b for a, b in zip(sizes, sizes[1:], strict=False))
    if not sizes or sizes[-1] < 1 or not falls or sum(sizes) != packed.data.shape[0]:
        shown = f"{sizes}" if len(sizes) < 9 else f"{len(sizes)} numbers"
        raise InvalidArgumentError(
            f"[{what}] batch_sizes do not fit the data: got {shown} and "
            f"{packed.data.shape[0]} rows; expected numbers of at least 1 that never "
            "grow, as many rows in all")
    return sizes


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """The rows of padded sequences (time, batch, ...) that lie within their `lengths`.

    Without `enforce_sorted` the sequences may stand in any order.
    """
    lengths = lengths_of(lengths, "pack_padded_sequence")
    _require_tensor(input, "input", 2, "pack_padded_sequence")
    batch = input.shape[0 if batch_first else 1]
    if len(lengths) != batch or not lengths or min(lengths) < 1:
        raise RuntimeError(f"[pack_padded_sequence] got lengths {lengths} of a batch of {batch}; "
                           "expected one of at least 1 for each sequence")
    indices = None
    if enforce_sorted:
        if sorted(lengths, reverse=True) != lengths:
            raise RuntimeError(f"[pack_padded_sequence] the lengths {lengths} are not sorted; "
                               "expected decreasing ones, or enforce_sorted=False")
    else:
        order = sorted(range(batch), key=lambda i: -lengths[i])
        lengths = [lengths[i] for i in order]
        indices = indices_beside(input, order)
        input = reordered(input, indices, 0 if batch_first else 1)
    if batch_first:
        input = input.transpose(0, 1)
    if lengths[0] > input.shape[0]:
        raise RuntimeError(f"[pack_padded_sequence] got a length of {lengths[0]} and "
                           f"{input.shape[0]} times; expected lengths that there are")
    sizes, longer = [], len(lengths)  # lengths fall
    for time in range(lengths[0]):
        while lengths[longer - 1] <= time:
            longer -= 1
        sizes.append(longer)
    parts, begin = [], 0
    for size, run in groupby(sizes):
        end = begin + len(list(run))
        parts.append(input[begin:end, :size].reshape((end - begin) * size, *input.shape[2:]))
        begin = end
    return PackedSequence(_C.concat(parts, dim=0), tensor(sizes, dtype=_C.int64), indices)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The padded sequences of a packed batch, and their lengths."""
    sizes = sizes_of(sequence, "pad_packed_sequence")
    data, _, _, unsorted = sequence
    batch, times = sizes[0], len(sizes)
    if total_length is not None and total_length < times:
        raise InvalidArgumentError(
            f"[pad_packed_sequence] got total_length={total_length}; expected at "
            f"least {times}, the longest sequence")
    parts, begin, rest = [], 0, tuple(data.shape[1:])
    for size, run in groupby(sizes):
        count = len(list(run))
        rows = data[begin:begin + count * size].reshape(count, size, *rest)
        pad = [0, 0] * len(rest) + [0, batch - size]
        parts.append(_C.constant_pad_nd(rows, pad, padding_value) if size < batch else rows)
        begin += count * size
    padded = _C.concat(parts, dim=0)
    if total_length is not None and total_length > times:
        pad = [0, 0] * (len(rest) + 1) + [0, total_length - times]
        padded = _C.constant_pad_nd(padded, pad, padding_value)
    ends, last = [], times  # of sequence i: sizes fall
    for i in range(batch):
        while sizes[last - 1] <= i:
            last -= 1
        ends.append(last)
    lengths = tensor(ends, dtype=_C.int64)
    if unsorted is not None:
        padded = reordered(padded, unsorted, 1)
        order = lengths_of(unsorted, "pad_packed_sequence")
        lengths = _C.index_select(lengths, 0, tensor(order, dtype=_C.int64))
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Sequences (time, ...) as one batch (longest, batch, ...), padded at one side."""
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"[pad_sequence] got padding_side={padding_side!r}; expected 'left' or "
                           "'right'")
    sequences = list(sequences.unbind(0) if isinstance(sequences, _C.Tensor) else sequences)
    if not sequences:
        raise RuntimeError("[pad_sequence] got no sequences; expected at least one")
    for x in sequences:
        _require_tensor(x, "sequences", 1, "pad_sequence")
    longest = max(x.shape[0] for x in sequences)
    padded = []
    for x in sequences:
        missing = longest - x.shape[0]
        pad = [0, 0] * (x.ndim - 1) + ([missing, 0] if padding_side == "left" else [0, missing])
        padded.append(_C.constant_pad_nd(x, pad, padding_value) if missing else x)
    return _C.stack(padded, dim=0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences of a padded batch, each as long as its length."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    lengths = lengths_of(lengths, "unpad_sequence")
    if len(lengths) != padded_sequences.shape[0]:
        raise InvalidArgumentError(f"[unpad_sequence] got {len(lengths)} lengths of a batch of "
                                   f"{padded_sequences.shape[0]}; expected one for each sequence")
    return [x[:n] for x, n in zip(padded_sequences.unbind(0), lengths, strict=True)]


def pack_sequence(sequences, enforce_sorted=True):
    """Sequences (time, ...) as a packed batch."""
    sequences = list(sequences)
    for x in sequences:
        _require_tensor(x, "sequences", 1, "pack_sequence")
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
