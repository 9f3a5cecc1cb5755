"""Fourier transforms of every length, alone and many side by side, against NumPy's."""

import numpy as np
import pytest

import oneflow_like as flow

LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 21, 30, 49, 53, 59, 60, 97, 101, 106, 128, 159,
           225, 509, 1009, 1018, 2018, 2809, 3127]


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


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_a_line_s_bits_do_not_depend_on_those_beside_it(dtype):
    for n in LENGTHS:
        x = flow.from_numpy(draw((11, n), dtype))
        transform = flow.fft.fft if np.dtype(dtype).kind == "c" else flow.fft.rfft
        every = transform(x).numpy()
        for line in (0, 7, 10):
            np.testing.assert_array_equal(transform(x[line:line + 1]).numpy(),
                                          every[line:line + 1])


# A sum over a whole turn of roots must cancel: their errors would add up in the first number.
@pytest.mark.parametrize("n", [1009, 2018, 9973, 16381])
def test_a_signal_comes_back_from_lengths_with_large_primes(n):
    x = draw((9, n), "float64")
    half = flow.fft.rfft(flow.from_numpy(x))
    np.testing.assert_allclose(flow.fft.irfft(half, n).numpy(), x, atol=8e-15, rtol=0)


# Many real numbers are transformed as a half, and mirrored.
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(130, 127), (128, 130), (3, 6000), (16400, 1), (2, 8200)])
def test_many_real_numbers(shape, axis):
    x = draw(shape, "float64")
    for name in ("fft", "ifft"):
        given = flow.tensor(x, requires_grad=True)
        got = getattr(flow.fft, name)(given, dim=axis)
        want = getattr(np.fft, name)(x, axis=axis)
        np.testing.assert_allclose(got.detach().numpy(), want, atol=1e-12 * np.abs(want).max())
        seed = draw(shape, "complex128")
        got.backward(flow.from_numpy(seed))
        # The adjoint of a transform is the one with the other sign, of which a real signal's
        # gradient is the real part.
        other, size = ("ifft", shape[axis]) if name == "fft" else ("fft", 1 / shape[axis])
        adjoint = getattr(np.fft, other)(seed, axis=axis).real * size
        np.testing.assert_allclose(given.grad.numpy(), adjoint,
                                   atol=1e-12 * np.abs(adjoint).max())


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
