"""histogramdd, whose second result is a tuple of its own."""

import builtins
from collections import namedtuple

from . import _C
from ._C import TypeMismatchError

_Result = namedtuple("histogramdd", ["hist", "bin_edges"])


def _edges(column, bins, bounds, weight):
    """The edges of one axis: given, or `bins` of one width between bounds or the extremes."""
    if isinstance(bins, _C.Tensor):
        return bins
    return _C.histogram(column, bins, range=bounds, weight=weight)[1]


def histogramdd(input, bins, range=None, weight=None, density=False):
    """How many rows of `input` (..., D) fall into each cell of a grid, and the edges of its axes.

    bins: how many for all axes or for each, or the edges of each axis; range: two bounds for each
    axis; weight: what each row counts; density: divided so that the whole is 1.
    """
    if not isinstance(input, _C.Tensor):
        raise TypeMismatchError(f"[histogramdd] argument 'input' must be Tensor, not "
                                f"{type(input).__name__}")
    if input.ndim < 2:
        raise RuntimeError(f"[histogramdd] got an input of {input.ndim} axes; expected (..., D)")
    axes = input.shape[-1]
    bins = [bins] * axes if isinstance(bins, int) else list(bins)
    if len(bins) != axes:
        raise RuntimeError(f"[histogramdd] got {len(bins)} bins; expected one for each of the "
                           f"{axes} columns")
    if range is not None and len(range) != 2 * axes:
        raise RuntimeError(f"[histogramdd] got a range of {len(range)} numbers; expected "
                           f"{2 * axes}, two for each column")
    rows = input.reshape(-1, axes)
    columns = [rows[:, d] for d in builtins.range(axes)]
    bounds = [None if range is None else tuple(float(x) for x in range[2 * d:2 * d + 2])
              for d in builtins.range(axes)]
    edges = [_edges(c, b, r, None) for c, b, r in zip(columns, bins, bounds, strict=True)]
    inside, cell = None, None
    for column, edge in zip(columns, edges, strict=True):
        count = edge.shape[0] - 1
        at = _C.searchsorted(edge, column.contiguous(), right=True) - 1
        at = _C.where(column == edge[count], count - 1, at)  # the last bin has its upper edge
        seen = (at >= 0) & (at < count)
        inside = seen if inside is None else inside & seen
        cell = at if cell is None else cell * count + at
    shape = [edge.shape[0] - 1 for edge in edges]
    total = 1
    for count in shape:
        total *= count
    counts = inside.to(input.dtype)
    if weight is not None:
        counts = counts * weight.reshape(-1)
    hist = _C.bincount_sized(_C.where(inside, cell, 0), counts, size=total).reshape(*shape)
    if density:
        hist = hist / hist.sum()
        for d, edge in enumerate(edges):
            widths = edge[1:] - edge[:-1]
            hist = hist / widths.reshape(*(-1 if d == i else 1 for i in builtins.range(axes)))
    return _Result(hist, tuple(edges))
