"""The little language of the samples: what `f(2, 3)` in a call makes, for either library.

    f(2, 3)              numbers in [-3, 3) of the dtype that is being tried; gets a gradient
    f(2, 3, lo=0, hi=1)  others; dtype="int32" fixes the dtype, grad=False takes no gradient
    u(2, 3)              distinct numbers in random order
    v([1, 2.5, nan])     these numbers
    i(4, lo=0, hi=5)     int64;  idx(5, 2, 3): indices below 5 of shape 2 x 3;  b(2): bool
    c(2)                 complex
    spd(2, 3) dd(2, 3)   symmetric positive definite, well conditioned 3 x 3 matrices
"""

import zlib

import numpy as np

VARIED = r"\b(f|u|v|spd|dd)\((?!.*dtype=)"  # a call that holds an operand of the dtype tried
FLOATS = ("float32", "float64", "float16", "bfloat16")


class Operands:
    """Makes the operands of one call for one library; both libraries get the same numbers."""

    def __init__(self, lib, text, dtype, grad=False, strided=False, leaves=True, place=None):
        self.lib, self.dtype, self.grad, self.strided = lib, dtype, grad, strided
        self.place = place  # makes a global tensor of a local one
        self.use_leaves = leaves
        self.rng = np.random.default_rng(zlib.crc32(text.encode()))
        self.leaves = []

    def names(self):
        makers = ("f", "u", "v", "i", "idx", "b", "c", "spd", "dd", "npf")
        return {name: getattr(self, name) for name in makers} | {
            "nan": float("nan"), "inf": float("inf"), "np": np, "torch": self.lib,
            "F": self.lib.nn.functional, "Tensor": self.lib.Tensor, "A": Arguments,
            "special": getattr(self.lib, "special", None), "fft": getattr(self.lib, "fft", None),
            "linalg": getattr(self.lib, "linalg", None)}

    # --- makers ---------------------------------------------------------------------------------

    def f(self, *shape, lo=-3, hi=3, dtype=None, grad=True):
        return self._tensor(self._numbers(shape, lo, hi, dtype or self.dtype), dtype, grad)

    def u(self, *shape, dtype=None):
        count = int(np.prod(shape, dtype=int))
        values = self.rng.permutation(count).reshape(shape)
        kind = dtype or self.dtype
        return self._tensor(values * 0.5 - count / 5 if kind in FLOATS else values, dtype, True)

    def v(self, values, dtype=None, grad=True):
        return self._tensor(np.asarray(values), dtype, grad)

    def i(self, *shape, lo=-3, hi=4, dtype="int64"):
        return self._tensor(self._numbers(shape, lo, hi, dtype), dtype, False)

    def idx(self, below, *shape):
        return self.i(*shape, lo=0, hi=below)

    def b(self, *shape):
        return self._tensor(self.rng.integers(0, 2, shape).astype(bool), "bool", False)

    def c(self, *shape):
        dtype = "complex128" if self.dtype == "float64" else "complex64"
        return self._tensor(self._numbers(shape, -3, 3, dtype), dtype, True)

    def npf(self, *shape, dtype="float32"):
        return np.asarray(self._numbers(shape, -3, 3, dtype), dtype)

    def spd(self, *shape):
        a = self._numbers((*shape, shape[-1]), -1, 1, self.dtype)
        full = a @ np.conj(np.swapaxes(a, -1, -2)) + shape[-1] * np.eye(shape[-1])
        return self._tensor(full, None, True)

    def dd(self, *shape):
        a = self._numbers((*shape, shape[-1]), -1, 1, self.dtype)
        return self._tensor(a + shape[-1] * np.eye(shape[-1]), None, True)

    # --- how they are made ------------------------------------------------------------------------

    def _numbers(self, shape, lo, hi, dtype):
        real = self.rng.uniform(lo, hi, shape)
        if dtype == "bool":
            return real > (lo + hi) / 2
        if dtype.startswith("complex"):
            return real + 1j * self.rng.uniform(lo, hi, shape)
        if dtype in FLOATS:
            return real
        low = max(0, int(np.ceil(lo))) if dtype == "uint8" else int(np.ceil(lo))
        return np.clip(np.floor(real), low, max(low, int(np.ceil(hi)) - 1))

    def _tensor(self, values, dtype, grad):
        name = dtype or self.dtype
        stored = "float32" if name == "bfloat16" else name
        with np.errstate(all="ignore"):
            array = np.ascontiguousarray(values).astype(stored).reshape(np.shape(values))
        x = self._laid_out(array) if self.strided else self.lib.from_numpy(array)
        if stored != name:
            x = x.to(getattr(self.lib, name))
        if self.place:
            x = self.place(x)
        if not (self.grad and grad and name in (*FLOATS, "complex64", "complex128")):
            return x
        x.requires_grad = True
        self.leaves.append(x)
        return x if self.use_leaves else x.clone()

    def _laid_out(self, array):
        """The same values, no element where a dense tensor would have it."""
        if array.ndim == 0:
            return self.lib.from_numpy(array)
        if array.ndim == 1:
            wide = np.zeros(2 * array.size, array.dtype)
            wide[::2] = array
            return self.lib.from_numpy(wide)[::2]
        order = tuple(reversed(range(array.ndim)))
        return self.lib.from_numpy(np.ascontiguousarray(array.transpose(order))).permute(order)


class Arguments:
    """The arguments of a call, as `A(...)` was given them."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs
