"""Functions of shapes alone, which need no tensor."""

import operator

from ._C import InvalidArgumentError, Size


def broadcast_shapes(*shapes):
    """The shape to which tensors of these shapes broadcast; an integer is a shape of one axis."""
    common = []
    for shape in shapes:
        listed = shape if isinstance(shape, (tuple, list)) else [shape]
        sizes = [operator.index(n) for n in listed]
        if any(n < 0 for n in sizes):
            raise InvalidArgumentError(
                f"[broadcast_shapes] a size is negative: got {tuple(sizes)}; expected "
                "sizes of at least 0")
        common = [1] * (len(sizes) - len(common)) + common
        for at, size in enumerate(sizes, len(common) - len(sizes)):
            if size not in (1, common[at]) and common[at] != 1:
                raise InvalidArgumentError(
                    f"[broadcast_shapes] the shapes do not broadcast: got "
                    f"{', '.join(str(s) for s in shapes)}; expected sizes that are "
                    "equal or 1")
            common[at] = size if common[at] == 1 else common[at]
    return Size(common)
