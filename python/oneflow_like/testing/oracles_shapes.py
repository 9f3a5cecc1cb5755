"""What the operators that move and arrange elements compute, in NumPy: helpers of oracles."""

import itertools

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
def _view_dtype(x, dtype):
    return np.array(x, order="C").view(getattr(dtype, "name", dtype))


@_helper
def _closed_range(start, end, step):
    return start + np.arange(int((end - start) / step) + 1) * step


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


@_helper
def _chunk(x, chunks, dim):
    extent = x.shape[dim]
    if extent == 0:
        return (x,) * chunks
    size = -(-extent // chunks)
    return tuple(np.split(x, range(size, extent, size), axis=dim))


# --- arrangements ---------------------------------------------------------------------------

@_helper
def _concatenate(tensors, dim):
    """Empty vectors add nothing to what has other axes."""
    kept = [t for t in tensors if t.shape != (0,)] or tensors[:1]
    return np.concatenate(kept, axis=dim if kept[0].shape != (0,) else 0)


@_helper
def _roll(x, shifts, dims):
    return np.roll(x, shifts, dims) if dims else np.roll(x, shifts[0])


@_helper
def _block_diag(tensors):
    blocks = [np.atleast_2d(t) for t in tensors]
    out = np.zeros(np.sum([b.shape for b in blocks], axis=0), np.result_type(*blocks))
    row = column = 0
    for block in blocks:
        out[row:row + block.shape[0], column:column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return out


@_helper
def _cartesian(tensors):
    if len(tensors) == 1:
        return tensors[0]
    return np.stack(np.meshgrid(*tensors, indexing="ij"), axis=-1).reshape(-1, len(tensors))


@_helper
def _constant_pad(x, pad, value):
    return _bordered(x, pad, "constant", constant_values=value)


def _bordered(x, pad, mode, **options):
    """`pad` as torch has it: the last axis first; negative sizes cut off after the others."""
    sizes = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    if mode in ("constant", "wrap"):
        x = _cut(x, sizes)
    x = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in sizes], mode, **options)
    return x if mode in ("constant", "wrap") else _cut(x, sizes)


def _cut(x, sizes):
    return x[tuple(slice(max(-a, 0), n - max(-b, 0))
                   for n, (a, b) in zip(x.shape, sizes, strict=True))]


@_helper
def _padded(x, pad, mode, value):
    if mode == "constant":
        return _constant_pad(x, pad, 0 if value is None else value)
    return _bordered(x, pad, {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])


@_helper
def _pixel_shuffle(x, factor):
    *outer, channels, height, width = x.shape
    left = channels // factor ** 2
    x = x.reshape(-1, left, factor, factor, height, width).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(*outer, left, height * factor, width * factor)


@_helper
def _pixel_unshuffle(x, factor):
    *outer, channels, height, width = x.shape
    x = x.reshape(-1, channels, height // factor, factor, width // factor, factor)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(*outer, channels * factor ** 2, height // factor,
                                                  width // factor)


@_helper
def _channel_shuffle(x, groups):
    batch, channels, *rest = x.shape
    x = x.reshape(batch, groups, channels // groups, -1) if x.size else x
    return x.swapaxes(1, 2).reshape(batch, channels, *rest)


def _pairs(*sizes):
    return [(size[0], size[-1]) for size in sizes]


def _window_places(shape, kernel, dilation, padding, stride):
    """Of each place in a window, the rows and columns where all windows have it."""
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    counts = [(n + 2 * p - s) // t + 1
              for n, p, s, t in zip(shape, padding, spans, stride, strict=True)]
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield tuple(slice(at * d, at * d + t * (count - 1) + 1, t) for at, d, t, count in zip(
                (i, j), dilation, stride, counts, strict=True))


@_helper
def _im2col(x, *sizes):
    kernel, dilation, padding, stride = _pairs(*sizes)
    images = x.reshape(-1, *x.shape[-3:]) if x.ndim == 4 else x[None]
    padded = np.pad(images, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    columns = np.stack([padded[(..., *place)] for place in _window_places(
        x.shape[-2:], kernel, dilation, padding, stride)], axis=2)
    columns = columns.reshape(len(images), x.shape[-3] * kernel[0] * kernel[1],
                              columns.shape[-2] * columns.shape[-1])
    return columns if x.ndim == 4 else columns[0]


@_helper
def _col2im(x, *sizes):
    image, kernel, dilation, padding, stride = _pairs(*sizes)
    columns = x if x.ndim == 3 else x[None]
    channels = columns.shape[1] // (kernel[0] * kernel[1])
    out = np.zeros((len(columns), channels, *[n + 2 * p for n, p in zip(
        image, padding, strict=True)]), x.dtype)
    columns = columns.reshape(len(columns), channels, kernel[0] * kernel[1], -1)
    places = _window_places(image, kernel, dilation, padding, stride)
    for i, place in enumerate(places):
        here = out[(..., *place)]
        here += columns[:, :, i].reshape(here.shape)
    out = out[..., padding[0]:out.shape[-2] - padding[0], padding[1]:out.shape[-1] - padding[1]]
    return out if x.ndim == 3 else out[0]


# --- sources --------------------------------------------------------------------------------

@_helper
def _linspace(start, end, steps, dtype):
    if dtype is not None and dtype.name.lstrip("u").startswith("int"):
        return np.linspace(int(start), int(end), steps).astype(np.int64)
    return np.linspace(start, end, steps)


@_helper
def _logspace(start, end, steps, base):
    return base ** np.linspace(start, end, steps)


@_helper
def _choices(x, r, with_replacement):
    if r == 0:
        return x[:0]
    ways = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(ways(range(len(x)), r)), np.int64).reshape(-1, r)
    return x[places]


@_helper
def _fill_diagonal(x, value, wrap):
    out = x.copy()
    if out.size:
        np.fill_diagonal(out, value, wrap)
    return out


@_helper
def _powers(x, count):
    x = np.atleast_1d(x)
    count = x.shape[-1] if count is None else count
    return np.stack([x ** i for i in range(count)], axis=-1)


@_helper
def _window(name, length, periodic, *numbers):
    if length <= 1:
        return np.ones(length)
    size = length + periodic
    if name == "hamming":
        alpha, beta = numbers
        values = alpha - beta * np.cos(2 * np.pi * np.arange(size) / (size - 1))
    else:
        values = getattr(np, name)(size, *numbers)
    return values[:length]


HELPERS["along"] = along

# Equal to the last bit.
EXACT = {
    "eye", "tril_indices", "triu_indices", "combination_indices", "combinations", "fill_tensor",
    "fill_diagonal", "select", "select_embed", "select_put", "select_scatter", "diagonal",
    "diagonal_embed", "diagonal_put", "diagonal_scatter", "diag_embed", "diag", "diagflat",
    "unfold", "unfold_embed", "unfold_put", "unfold_scatter", "as_strided", "as_strided_put",
    "as_strided_scatter", "as_strided_take", "unflatten", "ravel", "movedim",
    "matrix_transpose", "adjoint", "hermitian", "unbind", "tensor_split",
    "tensor_split_indices", "hsplit", "hsplit_indices",
    "vsplit", "vsplit_indices", "dsplit", "dsplit_indices", "slice_scatter_dim", "triu", "flip",
    "turned_flip",
    "fliplr", "flipud", "roll", "rot90", "repeat", "tile", "repeat_interleave", "meshgrid",
    "broadcast_tensors", "atleast_1d", "atleast_1d_list", "atleast_2d", "atleast_2d_list",
    "atleast_3d", "atleast_3d_list", "hstack", "vstack", "dstack", "column_stack", "block_diag",
    "cartesian_prod", "constant_pad_nd", "pad", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle", "im2col", "narrow_copy", "view_as", "view_bytes", "view_bytes_scatter",
    "view_dtype", "slice_along", *(f"{view}_copy" for view in (
        "as_strided diagonal expand permute select slice split split_with_sizes squeeze t "
        "transpose unbind unfold unsqueeze view_as_complex view_as_real view view_dtype").split()),
}
