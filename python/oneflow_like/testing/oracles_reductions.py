"""What oracles of reductions, scans and sorting share."""

import math

import numpy as np


def axes(x, dim):
    return tuple(dim) if dim and x.ndim else None


def one_axis(x, dim):
    return None if dim is None or x.ndim == 0 else dim


def combined(function, x, axis, keepdim, dtype):
    if dtype is not None:
        x = x.astype({"float16": np.float64, "float32": np.float64, "bfloat16": np.float64}.get(
            dtype.name, dtype.name))
    kind = x.dtype.kind
    wide = {"dtype": np.int64} if kind in "iub" and function is not np.mean else {}
    return np.asarray(function(x, axis=axis, keepdims=keepdim, **wide))


def truth(function, x, dim, keepdim):
    axis = tuple(dim) if dim is not None and (x.ndim or not dim) else None
    return np.asarray(function(x != 0, axis=axis, keepdims=keepdim)).astype(
        np.uint8 if x.dtype == np.uint8 else bool)


def spread(x, dim, keepdim, correction, unbiased, root, with_mean):
    if unbiased is not None:
        correction = int(unbiased)
    over = {"axis": axes(x, dim), "keepdims": keepdim}
    value = np.var(x, ddof=1 if correction is None else correction, **over)
    value = np.asarray(np.sqrt(value) if root else value)
    return (value, np.asarray(np.mean(x, **over))) if with_mean else value


def norm(x, p, dim, keepdim):
    size, over = np.abs(x), {"axis": axes(x, dim), "keepdims": keepdim}
    if p == 0:
        return np.asarray((x != 0).sum(**over).astype(size.dtype))
    if np.isinf(p):
        return np.asarray((np.max if p > 0 else np.min)(size, **over))
    return np.asarray(np.sum(size ** p, **over) ** (1 / p))


def renorm(x, p, dim, maxnorm):
    others = [i for i in range(x.ndim) if i != dim % x.ndim]
    size = norm(x, p, others, True)
    return x * np.where(size > maxnorm, maxnorm / (size + 1e-7), 1)


def cosine_similarity(x1, x2, dim, eps):
    x1, x2 = np.broadcast_arrays(x1, x2)
    return np.sum(x1 / np.maximum(norm(x1, 2, [dim], True), eps)
                  * (x2 / np.maximum(norm(x2, 2, [dim], True), eps)), axis=dim)


# --- scans -----------------------------------------------------------------------------------

def running(function, x, dim, dtype, reverse):
    wide = np.int64 if x.dtype.kind in "iub" else x.dtype
    if dtype is not None:
        wide = np.float64 if dtype.is_floating_point else np.dtype(dtype.name)
    x = x.astype(wide)
    if x.ndim == 0:
        return x
    return np.flip(function(np.flip(x, dim), axis=dim), dim) if reverse else function(x, axis=dim)


def running_extreme(function, x, dim):
    if x.ndim == 0:
        return x, np.zeros((), np.int64)
    values = function.accumulate(x, axis=dim)
    places = np.where(x == values, np.expand_dims(
        np.arange(x.shape[dim]), tuple(i for i in range(x.ndim) if i != dim % x.ndim)), 0)
    return values, np.maximum.accumulate(places, axis=dim)


def linear_scan(factor, term, dim, reverse):
    if term.ndim == 0:
        return term
    a, b = (np.moveaxis(z, dim, 0) for z in (factor, term))
    out, state = np.zeros_like(b), np.zeros_like(b[:1].sum(axis=0))
    for k in reversed(range(len(b))) if reverse else range(len(b)):
        state = b[k] + a[k] * state
        out[k] = state
    return np.moveaxis(out, 0, dim)


# --- sorting ---------------------------------------------------------------------------------

def sort(x, dim, descending):
    if x.ndim == 0:
        return x, np.zeros((), np.int64)
    order = np.argsort(x, axis=dim, kind="stable")
    if descending:  # equal ones keep their order
        order = np.flip(x.shape[dim] - 1 - np.argsort(np.flip(x, dim), axis=dim, kind="stable"),
                        dim)
    return np.take_along_axis(x, order, dim), order


def topk(x, k, dim, largest):
    if x.ndim == 0:
        return x, np.zeros((), np.int64)
    parts = sort(x, dim, largest)
    return tuple(np.take(y, range(k), axis=dim) for y in parts)


def kthvalue(x, k, dim, keepdim):
    if x.ndim == 0:
        return x, np.zeros((), np.int64)
    values, places = sort(x, dim, False)
    picked = tuple(np.take(y, [k - 1], axis=dim) for y in (values, places))
    return picked if keepdim else tuple(y.squeeze(dim) for y in picked)


def median(x, dim, keepdim):
    return kthvalue(x, (x.shape[dim] + 1) // 2 if x.ndim else 1, dim, keepdim)


def mode(x, dim, keepdim):
    if x.ndim == 0:
        return x, np.zeros((), np.int64)
    rows = np.moveaxis(x, dim, -1)
    values = np.zeros(rows.shape[:-1], x.dtype)
    places = np.zeros(rows.shape[:-1], np.int64)
    for at in np.ndindex(values.shape):
        kinds, counts = np.unique(rows[at], return_counts=True)
        values[at] = kinds[np.argmax(counts)]
        places[at] = np.flatnonzero(rows[at] == values[at])[-1]
    return tuple(np.expand_dims(y, dim) if keepdim else y for y in (values, places))


def quantile(function, x, q, dim, keepdim, interpolation):
    return np.asarray(function(x, q, axis=None if x.ndim == 0 else dim, keepdims=keepdim,
                               method=interpolation))


def searchsorted(sequence, values, sorter, right, side, out_int32):
    side = side or ("right" if right else "left")
    out = np.zeros(values.shape, np.int32 if out_int32 else np.int64)
    if sequence.ndim == 1:
        out[...] = np.searchsorted(sequence, values, side, sorter)
        return out
    for at in np.ndindex(values.shape[:-1]):
        out[at] = np.searchsorted(sequence[at], values[at], side,
                                  None if sorter is None else sorter[at])
    return out


def unique(x, consecutive):
    """The different slices of axis 0, which each one is, and how often it stands there."""
    if not consecutive:
        return tuple(np.asarray(y).reshape(-1) if i else y for i, y in enumerate(
            np.unique(x, axis=0, return_inverse=True, return_counts=True)))
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    new = np.ones(len(x), bool)
    new[1:] = (flat[1:] != flat[:-1]).any(axis=1)
    inverse = np.cumsum(new) - 1
    return x[new], inverse, np.bincount(inverse, minlength=0)


def unique_of(x, consecutive, dim):
    if dim is None:
        return unique(x.reshape(-1), consecutive)[0]
    return np.swapaxes(unique(np.swapaxes(x, 0, dim), consecutive)[0], 0, dim)


# --- statistics ------------------------------------------------------------------------------

def histc(x, low, high, bins):
    low, high = float(low), float(high)
    if low > high:
        return np.zeros(bins, x.dtype)
    low, high = (low - 1, high + 1) if low == high else (low, high)
    return np.histogram(x, bins, (low, high))[0].astype(x.dtype)


def histogram(x, bins, range_, weight, density):
    edges = bins if isinstance(bins, int) else np.sort(bins)
    return np.histogram(x, edges, range_, density, weight)


def bincount(x, weights, size):
    return np.bincount(x.astype(np.int64), weights, size)


def diff(arity, x, prepend, append, n, dim):
    if len(arity) == 3 and not arity[1] and arity[2]:
        prepend, append = None, prepend if append is None else append
    given = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, dim, **given)


def _areas(y, x, dx, dim):
    y = np.moveaxis(y, dim, -1)
    if x is not None:
        dx = np.diff(np.moveaxis(x, dim, -1) if x.ndim > 1 else x)
    return (y[..., 1:] + y[..., :-1]) * dx / 2


def trapezoid(y, x, dx, dim):
    return _areas(y, x, dx, dim).sum(axis=-1)


def cumulative_trapezoid(y, x, dx, dim):
    return np.moveaxis(np.cumsum(_areas(y, x, dx, dim), axis=-1), -1, dim)


def gradient(x, spacing, dim, edge_order):
    axes_ = range(x.ndim) if dim is None else [d % x.ndim for d in dim]
    steps = spacing if isinstance(spacing, list) else [spacing] * len(axes_)
    x = x.astype(np.float64) if x.dtype.kind in "iub" else x
    return tuple(np.gradient(x, step, axis=axis, edge_order=edge_order)
                 for axis, step in zip(axes_, steps, strict=True))


def cov(arity, x, fweights, aweights, correction):
    if not arity[1] and arity[2]:
        fweights, aweights = None, fweights if aweights is None else aweights
    return np.asarray(np.cov(x, ddof=correction, aweights=aweights,
                             fweights=None if fweights is None else fweights.astype(np.int64)))


HELPERS = {f.__name__: f for f in (
    axes, one_axis, combined, truth, spread, norm, renorm, cosine_similarity, running,
    running_extreme, linear_scan, sort, topk, kthvalue, median, mode, quantile, searchsorted,
    unique, unique_of, histc, histogram, bincount, diff, trapezoid, cumulative_trapezoid,
    gradient, cov)}
EXACT = {"all", "any", "count_nonzero", "max", "min", "aminmax", "without_gradient", "cummax",
         "cummin", "sort", "argsort", "msort", "topk", "kthvalue", "median", "median_along", "mode",
         "searchsorted", "bucketize", "unique_slices", "unique", "unique_consecutive"}
