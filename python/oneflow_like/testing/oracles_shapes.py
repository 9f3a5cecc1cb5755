"""What the operators that move and arrange elements compute, in NumPy: helpers of oracles."""

import numpy as np

HELPERS = {}


def _helper(function):
    HELPERS[function.__name__.lstrip("_")] = function
    return function


# --- views ----------------------------------------------------------------------------------

def along(rank, dim, index):
    """An index of `rank` axes that takes `index` of one and all of the others."""
    places = [slice(None)] * rank
    places[dim] = index
    return tuple(places)


@_helper
def _at(shape, dim, index):
    return along(len(shape), dim, index)


@_helper
def _put(base, value, index):
    out = base.copy()
    out[index] = value
    return out


def _diagonal_of(x, offset, dim1, dim2):
    """A writable view."""
    rows, columns = x.shape[dim1], x.shape[dim2]
    down, right = max(-offset, 0), max(offset, 0)
    size = min(rows - down, columns - right)
    return np.einsum("...ii->...i", np.moveaxis(x, (dim1, dim2), (-2, -1))[
        ..., down:down + size, right:right + size])


@_helper
def _put_diagonal(base, value, offset, dim1, dim2):
    out = base.copy()
    if value.size:
        _diagonal_of(out, offset, dim1, dim2)[...] = value
    return out


@_helper
def _diag_embed(x, offset, dim1, dim2):
    side = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], side, side), x.dtype)
    place = np.arange(x.shape[-1])
    out[..., place + max(-offset, 0), place + max(offset, 0)] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


def _windows_of(x, dimension, size, step, start):
    if x.ndim == 0:
        return x.reshape(1)[:size]
    dimension %= x.ndim
    x = x[along(x.ndim, dimension, slice(start, None))]
    count = (x.shape[dimension] - size) // step + 1
    strides = list(x.strides) + [x.strides[dimension]]
    strides[dimension] *= step
    shape = list(x.shape) + [size]
    shape[dimension] = count
    return np.lib.stride_tricks.as_strided(x, shape, strides)


@_helper
def _windows(x, *where):
    return _windows_of(np.ascontiguousarray(x) if x.ndim else x, *where).copy()


@_helper
def _put_windows(base, value, *where):
    out = base.copy()
    _windows_of(out, *where)[...] = value
    return out


@_helper
def _add_windows(base, value, dimension, size, step, start):
    out = base.copy()
    dimension %= out.ndim
    for i in range(value.shape[dimension]):
        here = slice(start + i * step, start + i * step + size)
        out[along(out.ndim, dimension, here)] += np.moveaxis(
            value[along(value.ndim, dimension, i)], -1, dimension)
    return out


def _places(size, stride, offset):
    places = np.full(size, offset or 0)
    for axis, step in enumerate(stride):
        shape = [-1 if i == axis else 1 for i in range(len(size))]
        places = places + step * np.arange(size[axis]).reshape(shape)
    return places


@_helper
def _as_strided(x, *where):
    return x.reshape(-1)[_places(*where)]


@_helper
def _put_strided(base, value, *where):
    out = base.reshape(-1).copy()
    out[_places(*where)] = value
    return out.reshape(base.shape)


@_helper
def _add_strided(base, value, *where):
    out = base.reshape(-1).copy()
    np.add.at(out, _places(*where), value)
    return out.reshape(base.shape)


# --- axes -----------------------------------------------------------------------------------

@_helper
def _unflatten(x, dim, sizes):
    dim %= x.ndim
    known = int(np.prod([n for n in sizes if n != -1]))
    sizes = [x.shape[dim] // known if n == -1 else n for n in sizes]
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1:])


@_helper
def _movedim(x, source, destination):
    return np.moveaxis(x, source, destination) if x.ndim else x


@_helper
def _split_at(x, indices, dim):
    places = list(indices)
    bounds = [slice(a, b) for a, b in zip([0, *places], [*places, None], strict=True)]
    return tuple(x[along(x.ndim, dim, part)] for part in bounds)


HELPERS["along"] = along

# Equal to the last bit.
EXACT = {
    "select", "select_embed", "select_put", "select_scatter", "diagonal", "diagonal_embed",
    "diagonal_put", "diagonal_scatter", "diag_embed", "diag", "diagflat", "unfold", "unfold_embed",
    "unfold_put", "unfold_scatter", "as_strided", "as_strided_put", "as_strided_scatter",
    "unflatten", "ravel", "movedim", "adjoint", "hermitian", "unbind", "tensor_split",
    "tensor_split_indices", "hsplit", "hsplit_indices", "vsplit", "vsplit_indices", "dsplit",
    "dsplit_indices", "slice_scatter_dim",
}
