"""What the operators that read and write by an index compute, in NumPy: helpers of oracles."""

import numpy as np

HELPERS = {}


def _helper(function):
    HELPERS[function.__name__.lstrip("_")] = function
    return function


@_helper
def _nonzero_static(x, size, fill_value):
    out = np.full((size, x.ndim), fill_value, np.int64)
    found = np.argwhere(x)[:size]
    out[:len(found)] = found
    return out


@_helper
def _index(x, indices, dim):
    return x[(slice(None),) * dim + tuple(indices)]


@_helper
def _put_at(x, place, value, accumulate):
    """In the order of the indices: of values for one place the last stays."""
    out = x.copy()
    if accumulate:
        np.add.at(out, place, value)
    else:
        out[place] = value
    return out


@_helper
def _index_put(x, values, indices, dim, accumulate):
    return _put_at(x, (slice(None),) * dim + tuple(indices), values, accumulate)


def _places(index, dim):
    places = list(np.indices(index.shape))
    places[dim] = index
    return tuple(places)


@_helper
def _gather(x, index, dim):
    given = index.shape
    x, index = np.atleast_1d(x), np.atleast_1d(index)
    return x[_places(index, dim)].reshape(given)


@_helper
def _index_select_along(x, index, dim):
    return np.take(np.atleast_1d(x), np.atleast_1d(index), dim).reshape(
        x.shape if x.ndim == 0 else np.take(x, np.atleast_1d(index), dim).shape)


@_helper
def _take_along(x, index, dim):
    if dim is None:
        return x.reshape(-1)[index.reshape(-1)]
    return np.take_along_axis(x, index, dim)


_COMBINE = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum,
            "amin": np.minimum}


def _neutral(dtype, reduce):
    if reduce in ("amax", "amin"):
        lowest = reduce == "amax"
        if dtype.kind == "f":
            return -np.inf if lowest else np.inf
        if dtype.kind == "b":
            return not lowest
        return np.iinfo(dtype).min if lowest else np.iinfo(dtype).max
    return 1 if reduce == "prod" else 0


@_helper
def _scatter_to(x, index, src, dim, reduce, include_self):
    shape = x.shape
    x, index, src = np.atleast_1d(x), np.atleast_1d(index), np.atleast_1d(src)
    out, places = x.copy(), _places(index, dim)
    src = src[tuple(slice(0, n) for n in index.shape)]
    if not reduce:
        for at in np.ndindex(index.shape):
            out[tuple(p[at] for p in places)] = src[at]
        return out.reshape(shape)
    if not include_self:
        out[places] = _neutral(x.dtype, reduce)
    _COMBINE[reduce].at(out, places, src)
    if reduce == "mean":
        count = np.full(x.shape, int(include_self))
        np.add.at(count, places, 1)
        count = np.maximum(count, 1)
        out = (out // count if x.dtype.kind in "iu" else out / count).astype(x.dtype)
    return out.reshape(shape)


@_helper
def _index_reduce(x, index, src, dim, reduce, include_self):
    column = [1] * src.ndim
    column[dim] = -1
    return _scatter_to(x, np.broadcast_to(index.reshape(column), src.shape), src, dim, reduce,
                       include_self)


@_helper
def _masked_select(x, mask):
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


@_helper
def _masked_scatter(x, mask, source):
    x, mask = np.broadcast_arrays(x, mask)
    out = x.copy()
    out[mask] = source.reshape(-1)[:np.count_nonzero(mask)]
    return out


@_helper
def _number_dtype(*numbers):
    kind = max(("b?" if isinstance(n, (bool, np.bool_)) else "i" if isinstance(n, int) else
                "z" if isinstance(n, complex) else "l" for n in numbers), key="b?ilz".index)
    return {"b?": np.bool_, "i": np.int64, "l": np.float32, "z": np.complex64}[kind]


@_helper
def _unravel_index(indices, shape):
    indices = indices.astype(np.int64)
    if indices.size == 0:
        return (indices,) * len(shape)
    places = np.unravel_index(indices % np.prod(shape), shape)
    return tuple(np.asarray(i, np.int64) for i in places)


# Equal to the last bit.
EXACT = {
    "isin", "unravel_index",
    "index", "index_select_along", "gather_along", "take_along_dim", "scatter_number",
    "index_copy", "index_fill", "index_fill_tensor", "take", "masked_fill",
    "masked_fill_tensor", "masked_select", "masked_scatter", "nonzero_places", "where_numbers",
}
