"""What oracles of Fourier transforms share."""

import numpy as np


def fft_complex(x, dims, forward):
    if not dims:
        return np.asarray(x, dtype=complex)
    return np.fft.fftn(x, axes=dims) if forward else np.fft.ifftn(x, axes=dims, norm="forward")


def fft_hermitian(name, x, s, dim, norm):
    """hfft and ihfft over several axes, which NumPy has not."""
    turned = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}[norm]
    if name == "hfft":
        return np.fft.irfftn(np.conj(x), s, dim, turned)
    return np.conj(np.fft.rfftn(x, s, dim, turned))


HELPERS = {f.__name__: f for f in (fft_complex, fft_hermitian)}
EXACT = {"fft_fftshift", "fft_ifftshift"}


def _window(x, window, n_fft, win_length):
    """The window in the middle of n_fft points, and how far apart windows are by default."""
    length = n_fft if win_length is None else win_length
    window = np.ones(length) if window is None else window
    before = (n_fft - length) // 2
    return np.pad(window, (before, n_fft - length - before)), length


def stft(x, window, n_fft, hop, win_length, center, normalized, onesided, pad_mode, return_complex,
         align):
    window, length = _window(x, window, n_fft, win_length)
    hop = n_fft // 4 if hop is None else hop
    edges = [(0, 0)] * (x.ndim - 1)
    if center:
        x = np.pad(x, [*edges, (n_fft // 2, n_fft // 2)], mode=pad_mode)
    elif align:
        x = np.pad(x, [*edges, ((n_fft - length) // 2,) * 2])
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=-1)[..., ::hop, :] * window
    half = not np.iscomplexobj(frames) and onesided is not False
    made = np.swapaxes((np.fft.rfft if half else np.fft.fft)(
        frames, norm="ortho" if normalized else None), -1, -2)
    return np.stack([made.real, made.imag], -1) if return_complex is False else made


def istft(x, window, n_fft, hop, win_length, center, normalized, onesided, length, return_complex):
    window, _ = _window(x, window, n_fft, win_length)
    hop = n_fft // 4 if hop is None else hop
    norm = "ortho" if normalized else None
    x = np.swapaxes(x, -1, -2)
    real = x[..., :n_fft // 2 + 1]
    frames = np.fft.ifft(x, norm=norm) if return_complex else np.fft.irfft(real, n_fft, norm=norm)
    whole = n_fft + hop * (x.shape[-2] - 1)
    signal, weight = np.zeros((*x.shape[:-2], whole), frames.dtype), np.zeros(whole)
    for k in range(x.shape[-2]):
        signal[..., k * hop:k * hop + n_fft] += frames[..., k, :] * window
        weight[k * hop:k * hop + n_fft] += window * window
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else whole - start
    made = signal[..., start:end] / weight[start:end]
    return np.pad(made, [(0, 0)] * (made.ndim - 1) + [(0, max(0, end - whole))])


HELPERS |= {"stft": stft, "istft": istft}
