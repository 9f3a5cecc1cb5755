"""What convolutions, pooling and resampling compute, in NumPy: helpers of oracles."""

import functools
import itertools
import math

import numpy as np

HELPERS = {}
_zip = functools.partial(zip, strict=True)


def _helper(function):
    HELPERS[function.__name__.lstrip("_")] = function
    return function


# --- convolution ----------------------------------------------------------------------------

def _places(kernel, out, stride, dilation, before):
    """Each place of the kernel, and the elements that all windows see there, borders included."""
    for at in itertools.product(*map(range, kernel)):
        yield at, tuple(slice(k * d, k * d + (o - 1) * s + 1, s)
                        for k, d, o, s in _zip(at, dilation, out, stride))


def _bordered(spatial, kernel, out, stride, dilation, before):
    """Sizes of the input with its borders, at least what windows reach."""
    return [max(p + n, (o - 1) * s + (k - 1) * d + 1)
            for p, n, o, s, k, d in _zip(before, spatial, out, stride, kernel, dilation)]


def _grouped(x, axis, grouped):
    return x if grouped else np.expand_dims(x, axis)


def _inner(spatial, before):
    return (..., *(slice(p, p + n) for p, n in _zip(before, spatial)))


@_helper
def _conv(x, w, bias, stride, padding, dilation, padding_after, grouped):
    x, w = _grouped(x, 1, grouped), _grouped(w, 0, grouped)
    spatial, kernel = x.shape[3:], w.shape[3:]
    out = [(n + p + q - d * (k - 1) - 1) // s + 1 for n, p, q, d, k, s in _zip(
        spatial, padding, padding_after, dilation, kernel, stride)]
    wide = np.zeros((*x.shape[:3], *_bordered(spatial, kernel, out, stride, dilation, padding)),
                    x.dtype)
    wide[_inner(spatial, padding)] = x
    y = np.zeros((x.shape[0], x.shape[1], w.shape[1], *out), x.dtype)
    for at, seen in _places(kernel, out, stride, dilation, padding):
        y += np.einsum("ngc...,gfc->ngf...", wide[(..., *seen)], w[(..., *at)])
    if bias is not None:
        y += _grouped(bias, 0, grouped).reshape(w.shape[:2] + (1,) * len(out))
    return y if grouped else y[:, 0]


@_helper
def _conv_input(y, w, stride, padding, dilation, size, grouped):
    y, w = _grouped(y, 1, grouped), _grouped(w, 0, grouped)
    kernel, out = w.shape[3:], y.shape[3:]
    wide = np.zeros((y.shape[0], y.shape[1], w.shape[2],
                     *_bordered(size, kernel, out, stride, dilation, padding)), y.dtype)
    for at, seen in _places(kernel, out, stride, dilation, padding):
        wide[(..., *seen)] += np.einsum("ngf...,gfc->ngc...", y, w[(..., *at)])
    x = wide[_inner(size, padding)]
    return x if grouped else x[:, 0]


@_helper
def _conv_weight(y, x, stride, padding, dilation, kernel, grouped):
    y, x = _grouped(y, 1, grouped), _grouped(x, 1, grouped)
    spatial, out = x.shape[3:], y.shape[3:]
    wide = np.zeros((*x.shape[:3], *_bordered(spatial, kernel, out, stride, dilation, padding)),
                    x.dtype)
    wide[_inner(spatial, padding)] = x
    w = np.zeros((y.shape[1], y.shape[2], x.shape[2], *kernel), x.dtype)
    for at, seen in _places(kernel, out, stride, dilation, padding):
        flat = wide[(..., *seen)].reshape(*x.shape[:3], math.prod(out))
        w[(..., *at)] = np.einsum("ngfl,ngcl->gfc", y.reshape(*y.shape[:3], math.prod(out)), flat)
    return w if grouped else w[0]


def _numbers(given, axes):
    return list(given) * (axes if len(given) == 1 else 1)


@_helper
def _convolution(x, w, bias, stride, padding, dilation, groups, mode=None, output_padding=None):
    axes = w.ndim - 2
    if x.ndim == axes + 1:
        return _convolution(x[None], w, bias, stride, padding, dilation, groups, mode,
                            output_padding)[0]
    stride, padding, dilation = (_numbers(v, axes) for v in (stride, padding, dilation))
    after = padding
    if mode == "valid":
        padding = after = [0] * axes
    elif mode == "same":
        total = [d * (k - 1) for d, k in _zip(dilation, w.shape[2:])]
        padding, after = [t // 2 for t in total], [t - t // 2 for t in total]
    x = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    w = w.reshape(groups, -1, *w.shape[1:])
    if output_padding is None:
        y = _conv(x, w, None, stride, padding, dilation, after, True)
    else:
        size = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, s, p, d, k, o in _zip(
            x.shape[3:], stride, padding, dilation, w.shape[3:], _numbers(output_padding, axes))]
        y = _conv_input(x, w, stride, padding, dilation, size, True)
    y = y.reshape(y.shape[0], -1, *y.shape[3:])
    return y if bias is None else y + bias.reshape(-1, *(1,) * axes)


# --- pooling --------------------------------------------------------------------------------

def _windows(n, out, kernel, stride, dilation, before, adaptive):
    """The elements of each window of an axis, those of its borders included."""
    if adaptive:
        return [range(o * n // out, -(-(o + 1) * n // out)) for o in range(out)]
    return [range(o * stride - before, o * stride - before + (kernel - 1) * dilation + 1, dilation)
            for o in range(out)]


def _all_windows(space, kernel, stride, padding, dilation, size, adaptive):
    """(place of the window, its elements along each axis) of every window."""
    axes = [_windows(*each, adaptive) for each in (
        _zip(space, size, kernel, stride, dilation, padding) if not adaptive
        else ((n, out, 0, 0, 1, 0) for n, out in _zip(space, size)))]
    for at in itertools.product(*map(range, size)):
        yield at, [axis[o] for axis, o in _zip(axes, at)]


def _largest(x, out, windows, axes):
    space = x.shape[-axes:]
    rows = x.reshape(*x.shape[:-axes], math.prod(space))
    places = np.zeros(out, np.int64)
    values = np.zeros(out, x.dtype)
    for at, seen in windows:
        inside = [[k for k in one if 0 <= k < n] for one, n in _zip(seen, space)]
        flat = [int(np.ravel_multi_index(p, space)) for p in itertools.product(*inside)]
        taken = rows[..., flat].astype(np.float64 if x.dtype.kind == "f" else x.dtype)
        place = np.array(flat)[np.argmax(taken, axis=-1)]
        places[(..., *at)] = place
        values[(..., *at)] = np.take_along_axis(rows, place[..., None], axis=-1)[..., 0]
    return values, places


@_helper
def _window_max(x, kernel, stride, padding, dilation, size, adaptive):
    axes = len(size)
    return _largest(x, (*x.shape[:-axes], *size), _all_windows(
        x.shape[-axes:], kernel, stride, padding, dilation, size, adaptive), axes)


def _fractional_begins(sample, n, out, kernel):
    if out == 1:
        return [n - kernel]
    alpha = sample.dtype.type(n - kernel) / sample.dtype.type(out - 1)
    return [int((sample.dtype.type(o) + sample) * alpha) - int(sample * alpha)
            for o in range(out - 1)] + [n - kernel]


@_helper
def _fractional_max(x, samples, kernel, size):
    axes = len(size)
    kernel = _numbers(kernel, axes)
    values = np.zeros((*x.shape[:2], *size), x.dtype)
    places = np.zeros(values.shape, np.int64)
    for plane in np.ndindex(*x.shape[:2]):
        each = samples[plane][::-1] if axes == 2 else samples[plane]
        begins = [_fractional_begins(*one) for one in _zip(each, x.shape[2:], size, kernel)]
        windows = [(at, [range(b[o], b[o] + k) for b, o, k in _zip(begins, at, kernel)])
                   for at in itertools.product(*map(range, size))]
        values[plane], places[plane] = _largest(x[plane], size, windows, axes)
    return values, places


def _mean_windows(space, kernel, stride, padding, size, adaptive, borders, divisor):
    """(place, the elements inside, what their sum is divided by)."""
    for at, seen in _all_windows(space, kernel, stride, padding, [1] * len(size), size, adaptive):
        inside = [[k for k in one if 0 <= k < n] for one, n in _zip(seen, space)]
        counted = inside
        if borders and not adaptive:
            counted = [[k for k in one if k < n + p] for one, n, p in _zip(seen, space, padding)]
        by = divisor if divisor is not None else math.prod(map(len, counted))
        yield at, inside, by


@_helper
def _window_mean(x, kernel, stride, padding, size, adaptive, count_include_pad, divisor):
    axes = len(size)
    y = np.zeros((*x.shape[:-axes], *size), x.dtype)
    for at, inside, by in _mean_windows(x.shape[-axes:], kernel, stride, padding, size, adaptive,
                                        count_include_pad, divisor):
        sums = x[(..., *np.ix_(*inside))].sum(tuple(range(-axes, 0)), dtype=x.dtype)
        if x.dtype.kind == "i":
            y[(..., *at)] = np.trunc(sums / by) if by else 0
        else:
            y[(..., *at)] = sums / by if by else 0
    return y


@_helper
def _window_mean_grad(y, shape, kernel, stride, padding, size, adaptive, count_include_pad,
                      divisor):
    axes = len(size)
    x = np.zeros((*y.shape[:-axes], *shape), y.dtype)
    for at, inside, by in _mean_windows(shape, kernel, stride, padding, size, adaptive,
                                        count_include_pad, divisor):
        if by:
            share = y[(..., *at)] / by if y.dtype.kind != "i" else y[(..., *at)] // by
            x[(..., *np.ix_(*inside))] += share.reshape(*share.shape, *(1,) * axes)
    return x


def _pool_numbers(x, kernel_size, stride, padding, dilation, ceil_mode, axes):
    kernel, padding, dilation = (_numbers(v, axes) for v in (kernel_size, padding, dilation))
    stride = _numbers(stride, axes) if stride else kernel
    size = []
    for n, k, s, p, d in _zip(x.shape[-axes:], kernel, stride, padding, dilation):
        out = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        size.append(out - 1 if ceil_mode and (out - 1) * s >= n + p else out)
    return kernel, stride, padding, dilation, size


@_helper
def _max_pool(x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, axes):
    made = _window_max(x, *_pool_numbers(x, kernel_size, stride, padding, dilation, ceil_mode,
                                         axes), False)
    return made if return_indices else made[0]


@_helper
def _avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override,
              axes):
    kernel, stride, padding, _, size = _pool_numbers(x, kernel_size, stride, padding, [1],
                                                     ceil_mode, axes)
    wide = x.astype(np.int64) if x.dtype.kind in "iu" else x
    return _window_mean(wide, kernel, stride, padding, size, False, count_include_pad,
                        divisor_override).astype(x.dtype)


@_helper
def _adaptive_pool(x, output_size, axes, largest, return_indices):
    size = _numbers(output_size, axes)
    if not largest:
        return _window_mean(x, None, None, None, size, True, True, None)
    made = _window_max(x, None, None, None, None, size, True)
    return made if return_indices else made[0]


@_helper
def _lp_pool(x, norm_type, kernel_size, stride, ceil_mode, axes):
    mean = _avg_pool(x ** norm_type, kernel_size, stride, [0], ceil_mode, True, None, axes)
    count = math.prod(_numbers(kernel_size, axes))
    return (np.sign(mean) * np.maximum(np.abs(mean), 0) * count) ** (1 / norm_type)


@_helper
def _fractional_pool(x, samples, kernel_size, output_size, return_indices, axes):
    made = _fractional_max(x, samples, kernel_size, _numbers(output_size, axes))
    return made if return_indices else made[0]


@_helper
def _max_unpool(x, indices, kernel_size, stride, padding, output_size, axes):
    kernel = _numbers(kernel_size, axes)
    steps = _numbers(stride, axes) if stride else kernel
    size = output_size or [(n - 1) * s + k - 2 * p for n, s, k, p in _zip(
        x.shape[-axes:], steps, kernel, _numbers(padding, axes))]
    out = np.zeros((*x.shape[:-axes], math.prod(size)), x.dtype)
    np.put_along_axis(out, indices.reshape(*x.shape[:-axes], -1),
                      x.reshape(*x.shape[:-axes], -1), axis=-1)
    return out.reshape(*x.shape[:-axes], *size)


# --- columns --------------------------------------------------------------------------------

@_helper
def _window_columns(x, kernel, stride, padding, dilation):
    space = x.shape[2:]
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1
           for n, k, s, p, d in _zip(space, kernel, stride, padding, dilation)]
    wide = np.zeros((*x.shape[:2], *(n + 2 * p for n, p in _zip(space, padding))), x.dtype)
    wide[_inner(space, padding)] = x
    rows = [wide[(..., *seen)].reshape(*x.shape[:2], math.prod(out))
            for _, seen in _places(kernel, out, stride, dilation, padding)]
    return np.stack(rows, axis=2)


@_helper
def _add_window_columns(columns, shape, kernel, stride, padding, dilation):
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1
           for n, k, s, p, d in _zip(shape, kernel, stride, padding, dilation)]
    wide = np.zeros((*columns.shape[:2], *(n + 2 * p for n, p in _zip(shape, padding))),
                    columns.dtype)
    for row, (_, seen) in enumerate(_places(kernel, out, stride, dilation, padding)):
        wide[(..., *seen)] += columns[:, :, row].reshape(*columns.shape[:2], *out)
    return wide[_inner(shape, padding)]


@_helper
def _unfold_images(x, kernel_size, dilation, padding, stride):
    if x.ndim == 3:
        return _unfold_images(x[None], kernel_size, dilation, padding, stride)[0]
    columns = _window_columns(x, *(_numbers(v, 2) for v in (kernel_size, stride, padding,
                                                            dilation)))
    return columns.reshape(x.shape[0], -1, columns.shape[-1])


@_helper
def _fold_images(x, output_size, kernel_size, dilation, padding, stride):
    if x.ndim == 2:
        return _fold_images(x[None], output_size, kernel_size, dilation, padding, stride)[0]
    places = math.prod(_numbers(kernel_size, 2))
    return _add_window_columns(x.reshape(x.shape[0], -1, places, x.shape[-1]), *(
        _numbers(v, 2) for v in (output_size, kernel_size, stride, padding, dilation)))


# --- resampling -----------------------------------------------------------------------------

def _cubic(x, a):
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def _triangle(x, _):
    return max(1 - abs(x), 0.0)


def _weights(n, out, mode, align_corners, antialias, factor):
    """The matrix of a resampling from `n` elements to `out`."""
    if align_corners:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = 1 / factor if factor else n / out
    matrix = np.zeros((out, n))
    for o in range(out):
        if mode.startswith("nearest"):
            matrix[o, min(int((o + (0.5 if mode != "nearest" else 0)) * step), n - 1)] = 1
        elif antialias:
            wide = max(step, 1)
            half = (2 if mode == "cubic" else 1) * wide
            center = step * (o + 0.5)
            seen = range(max(int(center - half + 0.5), 0),
                         min(int(center + half + 0.5), n))
            shape = _cubic if mode == "cubic" else _triangle
            for k in seen:
                matrix[o, k] = shape((k - center + 0.5) / wide, -0.5)
            matrix[o] /= matrix[o].sum()
        else:
            at = step * o if align_corners else step * (o + 0.5) - 0.5
            at = max(at, 0) if mode == "linear" else at
            place = min(math.floor(at), n - 1)
            rest = min(max(at - place, 0), 1)
            taps = range(2) if mode == "linear" else range(-1, 3)
            for k in taps:
                weight = _triangle(rest - k, 0) if mode == "linear" else _cubic(rest - k, -0.75)
                matrix[o, min(max(place + k, 0), n - 1)] += weight
    return matrix


def _quantized(matrix):
    """Multiples of the power of two that keeps the largest below 2**15."""
    bits = 0
    while bits < 22 and 0.5 + matrix.max() * 2.0 ** (bits + 1) < 2 ** 15:
        bits += 1
    return np.trunc(matrix * 2.0 ** bits + np.copysign(0.5, matrix)) / 2.0 ** bits


@_helper
def _resample(x, dim, size, mode, align_corners, antialias, factor, of_bytes=False):
    matrix = _weights(x.shape[dim], size, mode, align_corners, antialias, factor)
    matrix = _quantized(matrix) if of_bytes else matrix
    return np.moveaxis(np.moveaxis(x, dim, -1) @ matrix.T.astype(x.dtype), -1, dim)


@_helper
def _resample_adjoint(y, dim, size, mode, align_corners, antialias, factor, of_bytes=False):
    matrix = _weights(size, y.shape[dim], mode, align_corners, antialias, factor)
    matrix = _quantized(matrix) if of_bytes else matrix
    return np.moveaxis(np.moveaxis(y, dim, -1) @ matrix.astype(y.dtype), -1, dim)


@_helper
def _interpolate(x, size, scale_factor, mode, align_corners, recompute, antialias):
    axes = x.ndim - 2
    factors = _numbers(scale_factor, axes) if scale_factor else [None] * axes
    size = _numbers(size, axes) if size else [
        math.floor(n * f) for n, f in _zip(x.shape[2:], factors)]
    if mode == "area":
        return _window_mean(x, None, None, None, size, True, True, None)
    if recompute:
        factors = [None] * axes
    along = mode if mode.startswith("nearest") else "cubic" if mode == "bicubic" else "linear"
    y, smooth = x.astype(np.float64), x.dtype == np.uint8 and not along.startswith("nearest")
    for i in reversed(range(axes)):
        y = _resample(y, 2 + i, size[i], along, bool(align_corners), antialias, factors[i], smooth)
        y = np.clip(np.floor(y + 0.5), 0, 255) if smooth else y
    return y.astype(x.dtype)


def _reflected(x, n, align_corners):
    low, span = (0, n - 1) if align_corners else (-0.5, n)
    if span == 0:
        return np.zeros_like(x)
    far = np.abs(x - low)
    extra, odd = np.fmod(far, span), np.floor(far / span) % 2 == 1
    return np.where(odd, span - extra, extra) + low


def _padded(x, n, padding, align_corners):
    if padding == "zeros":
        return x
    return np.clip(_reflected(x, n, align_corners) if padding == "reflection" else x, 0, n - 1)


def _read(image, at):
    """Elements of (channels, spatial axes) at whole places, zeros outside."""
    inside = np.logical_and.reduce([(0 <= p) & (p < n) for p, n in _zip(at, image.shape[1:])])
    places = [np.clip(p, 0, n - 1).astype(np.int64) for p, n in _zip(at, image.shape[1:])]
    return image[(slice(None), *places)] * inside


@_helper
def _grid_sample(x, grid, mode, padding, align_corners):
    align_corners, axes = bool(align_corners), x.ndim - 2
    if len(x) == 0:
        return np.zeros((*x.shape[:2], *grid.shape[1:-1]), x.dtype)
    images = []
    for image, points in _zip(x.astype(np.float64), grid.astype(np.float64)):
        at = [points[..., axes - 1 - i] for i in range(axes)]
        at = [(p + 1) / 2 * (n - 1) if align_corners else ((p + 1) * n - 1) / 2
              for p, n in _zip(at, image.shape[1:])]
        pad = [lambda p, n=n: _padded(p, n, padding, align_corners) for n in image.shape[1:]]
        if mode != "bicubic":
            at = [f(p) for f, p in _zip(pad, at)]
        if mode == "nearest":
            images.append(_read(image, [np.round(p) for p in at]))
            continue
        floors = [np.floor(p) for p in at]
        taps, weigh = range(2), np.vectorize(lambda t: max(1 - abs(t), 0.0), otypes=[float])
        if mode == "bicubic":
            taps, weigh = range(-1, 3), np.vectorize(lambda t: _cubic(t, -0.75), otypes=[float])
        total = 0
        for tap in itertools.product(taps, repeat=axes):
            places = [f + t for f, t in _zip(floors, tap)]
            weight = math.prod(weigh(p - f - t) for p, f, t in _zip(at, floors, tap))
            if mode == "bicubic":
                places = [f(p) for f, p in _zip(pad, places)]
            total = total + weight * _read(image, places)
        images.append(total)
    return np.stack(images).astype(x.dtype)


@_helper
def _grid_sample_input(dy, grid, mode, padding, align_corners, size):
    """Of each element: what an image of it alone is read as, times the gradient."""
    dx = np.zeros((*dy.shape[:2], math.prod(size)), dy.dtype)
    for k in range(dx.shape[2]):
        unit = np.zeros((len(dy), 1, *size), dy.dtype)
        unit.reshape(len(dy), math.prod(size))[:, k] = 1
        seen = _grid_sample(unit, grid, mode, padding, align_corners)
        dx[:, :, k] = (dy * seen).sum(axis=tuple(range(2, dy.ndim)))
    return dx.reshape(*dy.shape[:2], *size)


@_helper
def _grid_sample_grid(dy, x, grid, mode, padding, align_corners):
    """By differences, which are exact of polynomials up to the fourth degree."""
    step, dtype = 5e-5, grid.dtype  # small, since the slope changes from element to element
    dy, x, grid = (v.astype(np.float64) for v in (dy, x, grid))
    made = np.zeros_like(grid)
    for k in range(grid.shape[-1]):
        def at(times):
            moved = grid.copy()
            moved[..., k] += times * step  # noqa: B023
            return _grid_sample(x, moved, mode, padding, align_corners)
        slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
        made[..., k] = (dy * slope).sum(axis=1)
    return made.astype(dtype)


@_helper
def _affine_grid(theta, size, align_corners):
    lines = [np.linspace(-1, 1, n) if align_corners and n > 1 else (2 * np.arange(n) + 1) / n - 1
             for n in size[2:]]
    grids = np.meshgrid(*lines, indexing="ij")
    base = np.stack([*grids[::-1], np.ones_like(grids[0])], axis=-1)
    return np.einsum("nij,...j->n...i", theta, base.astype(theta.dtype))


@_helper
def _affine_points_grad(grad, align_corners):
    unit = np.zeros((1, grad.shape[-1], grad.shape[-1] + 1), grad.dtype)
    made = []
    for k in range(unit.shape[2]):
        unit[...] = 0
        unit[:, :, k] = 1
        base = _affine_grid(unit, (1, 1, *grad.shape[1:-1]), align_corners)
        made.append((grad * base).reshape(len(grad), -1, grad.shape[-1]).sum(axis=1))
    return np.stack(made, axis=-1)


# --- borders --------------------------------------------------------------------------------

@_helper
def _pad_edges_adjoint(y, pad, mode):
    pairs = [(0, 0)] * (y.ndim - len(pad) // 2) + list(_zip(pad[::2], pad[1::2]))[::-1]
    shape = [n - before - after for n, (before, after) in _zip(y.shape, pairs)]
    places = np.arange(math.prod(shape)).reshape(shape)
    how = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    x = np.zeros(math.prod(shape), y.dtype)
    if x.size:
        np.add.at(x, np.pad(places, pairs, how).reshape(-1), y.reshape(-1))
    return x.reshape(shape)


EXACT = {"pad_edges", "window_max", "fractional_max", "window_columns", "unfold_images",
         "max_pool1d",
         "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
         "adaptive_max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
         "fractional_max_pool2d", "fractional_max_pool3d"}
