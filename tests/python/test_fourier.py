"""Fourier transforms of every length, alone and many side by side, against NumPy's."""

import numpy as np
import pytest

import oneflow_like as flow

LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 21, 30, 49, 53, 60, 97, 101, 106, 128, 225, 1009]


def draw(shape, dtype):
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("lines", [1, 3, 8, 19])
def test_every_length(lines):
    for n in LENGTHS:
        for axis in (0, 1):
            shape = (n, lines) if axis == 0 else (lines, n)
            for dtype, tolerance in (("complex64", 1e-5), ("complex128", 1e-13)):
                x = draw(shape, dtype)
                scale = tolerance * np.sqrt(n) * 3
                given = flow.from_numpy(x)
                np.testing.assert_allclose(flow.fft.fft(given, dim=axis).numpy(),
                                           np.fft.fft(x, axis=axis), atol=scale)
                back = flow.fft.ifft(flow.fft.fft(given, dim=axis), dim=axis)
                np.testing.assert_allclose(back.numpy(), x, atol=scale)
                real = flow.from_numpy(x.real.copy())
                half = flow.fft.rfft(real, dim=axis)
                np.testing.assert_allclose(half.numpy(), np.fft.rfft(x.real, axis=axis), atol=scale)
                np.testing.assert_allclose(flow.fft.irfft(half, n, dim=axis).numpy(), x.real,
                                           atol=scale)


def test_threads_share_the_lines():
    x = draw((37, 24, 5), "complex64")
    want = np.fft.fftn(x, axes=(0, 2))
    np.testing.assert_allclose(flow.fft.fftn(flow.from_numpy(x), dim=(0, 2)).numpy(), want,
                               atol=1e-4)


def test_istft_gives_the_signal_back():
    x = flow.from_numpy(draw((2, 50), "float32"))
    window = flow.hann_window(16)
    spectrum = flow.stft(x, 16, 4, window=window, return_complex=True)
    assert spectrum.shape == (2, 9, 13)
    np.testing.assert_allclose(flow.istft(spectrum, 16, 4, window=window, length=50).numpy(),
                               x.numpy(), atol=1e-5)


def test_complex_views_share_memory():
    x = flow.zeros(3, 2)
    z = flow.view_as_complex(x)
    z[1] = 2 + 3j
    assert x.numpy().tolist() == [[0, 0], [2, 3], [0, 0]]
    parts = flow.view_as_real(z)
    parts[0, 1] = 5.0
    assert z[0].item() == 5j and x[0, 1].item() == 5
    with pytest.raises(RuntimeError, match="side by side"):
        flow.view_as_complex(flow.zeros(2, 3).t())


def test_histogramdd_is_numpy_s():
    x = draw((40, 2), "float64")
    for kinds in ({}, {"density": True}, {"range": [-1.0, 1.0, -2.0, 0.5]}):
        bounds = kinds.get("range")
        want, edges = np.histogramdd(x, [3, 4], density=kinds.get("density", False),
                                     range=None if bounds is None else [bounds[:2], bounds[2:]])
        got = flow.histogramdd(flow.from_numpy(x), [3, 4], **kinds)
        np.testing.assert_allclose(got.hist.numpy(), want)
        for a, b in zip(got.bin_edges, edges, strict=True):
            np.testing.assert_allclose(a.numpy(), b)
