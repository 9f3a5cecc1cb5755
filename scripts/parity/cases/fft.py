"""Fourier transforms and windows."""

FAMILY = "fft"
DTYPES = "int64 bool complex64"

_ONE = """
f(8)
f(2, 6)
f(7)
f(8), 5
f(4), 7
f(2, 4), None, 0
f(2, 4), n=4, dim=0, norm='ortho'
f(5), norm='forward'
f(5), norm='backward'
c(6)
c(2, 5), 4
! f()
! f(4), 0
! f(4), norm='other'
! f(4), dim=1
"""
_TWO = """
f(4, 5)
f(2, 3, 4)
f(4, 5), (3, 6)
f(2, 3, 4), None, (0, 1)
f(2, 3, 4), dim=(1, 2), norm='ortho'
c(3, 4)
! f(3)
"""
_MANY = """
f(4, 5)
f(2, 3, 4)
f(4)
f(4, 5), (3, 6)
f(2, 3, 4), None, (0, 2)
f(2, 3, 4), s=(2, 4), dim=(1, 2), norm='forward'
c(3, 4)
! f(3), (1, 2)
"""


def _real(text):
    return "\n".join(x for x in text.splitlines() if not x.startswith("c("))


CASES = {
    "fft.fft fft.ifft fft.irfft fft.hfft": _ONE,
    "fft.rfft fft.ihfft": _real(_ONE) + "\n! c(4)",
    "fft.fft2 fft.ifft2 fft.irfft2 fft.hfft2": _TWO,
    "fft.rfft2 fft.ihfft2": _real(_TWO),
    "fft.fftn fft.ifftn fft.irfftn fft.hfftn": _MANY,
    "fft.rfftn fft.ihfftn": _real(_MANY),
    "fft.fftfreq fft.rfftfreq": "5\n4, 0.5\n6, d=2.0\n3, dtype=torch.float64\n! 0.5",
    "fft.fftshift fft.ifftshift": """
f(5)
f(4)
f(2, 3)
f(2, 3), 1
f(2, 3), (0, 1)
f(2, 3), dim=-1
""",
    "hann_window hamming_window blackman_window bartlett_window":
        "5\n4, False\n1\n0\n6, periodic=True, dtype=torch.float64\n! -1\n! 4, dtype=torch.int64",
    "kaiser_window": "5\n5, False\n5, True, 8.0\n6, periodic=False, beta=4.0\n1\n0\n! -1",
    "(window arguments)": """
= torch.hamming_window(5, True, 0.5)
= torch.hamming_window(5, False, alpha=0.5, beta=0.4)
""",
    "stft": """
= torch.stft(f(32), 8, return_complex=True)
= torch.stft(f(2, 32), n_fft=8, hop_length=4, win_length=6, \
window=torch.hann_window(6, dtype=torch.float64).to(f(1).dtype), return_complex=True)
= torch.stft(f(32), 8, center=False, return_complex=True)
= torch.stft(f(32), 8, normalized=True, onesided=False, return_complex=True)
= torch.stft(f(32), 8, pad_mode='constant', return_complex=True)
= f(32).stft(8, return_complex=True)
= torch.stft(f(32), 8, 4, return_complex=False)
""",
    "istft": """
= torch.istft(torch.stft(f(32), 8, 4, window=torch.hann_window(8, dtype=torch.float64).to( \
f(1).dtype), return_complex=True), 8, 4, window=torch.hann_window(8, dtype=torch.float64).to( \
f(1).dtype))
= torch.istft(torch.stft(f(2, 32), 8, 2, window=torch.ones(8).to(f(1).dtype), \
return_complex=True), 8, 2, window=torch.ones(8).to(f(1).dtype), length=30)
""",
}
