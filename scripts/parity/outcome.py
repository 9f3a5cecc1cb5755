"""What a call gave, in plain Python and NumPy, and how two such outcomes differ."""

import dataclasses

import numpy as np

TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-7, 1e-9), "float16": (4e-3, 1e-3),
             "bfloat16": (3e-2, 1e-2), "complex64": (5e-5, 5e-6), "complex128": (1e-7, 1e-9)}
REFUSALS = (IndexError, RuntimeError, TypeError, ValueError, NotImplementedError, ArithmeticError)


@dataclasses.dataclass
class Array:
    dtype: str
    values: np.ndarray
    requires_grad: bool

    def __str__(self):
        text = np.array2string(self.values, precision=6, threshold=24, max_line_width=400)
        return f"{self.dtype}{list(self.values.shape)} {' '.join(text.split())}"


@dataclasses.dataclass
class Error:
    kind: type
    text: str

    def __str__(self):
        return f"{self.kind.__name__}: {' '.join(self.text.split())[:240]}"


@dataclasses.dataclass
class Named:
    fields: tuple
    items: list


def dtype_name(dtype):
    return str(dtype).rsplit(".", 1)[-1]


def plain(lib, x):
    """A result without its library."""
    if isinstance(x, lib.Tensor):
        return _array(lib, x)
    if isinstance(x, lib.dtype):
        return "dtype " + dtype_name(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return Named(tuple(x._fields), [plain(lib, y) for y in x])
    if type(x).__module__ in ("torch.return_types",):
        fields = [n for n in dir(x) if not n.startswith(("_", "n_")) and n not in dir(tuple)]
        return Named(tuple(fields), [plain(lib, y) for y in x])
    if isinstance(x, (list, tuple)):
        return [plain(lib, y) for y in x]
    if isinstance(x, dict):
        return [plain(lib, y) for item in sorted(x.items()) for y in item]
    if isinstance(x, np.ndarray):
        return Array("numpy " + x.dtype.name, x, False)
    if x is None or isinstance(x, (bool, int, float, complex, str)):
        return x
    if type(x).__name__ in ("device", "layout", "memory_format"):
        return dtype_name(x)
    return "a " + type(x).__name__


def _array(lib, x):
    name = dtype_name(x.dtype)
    y = x.detach()
    if name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        y = y.to(lib.float32)
    if hasattr(y, "resolve_conj"):
        y = y.resolve_conj()
    if hasattr(y, "resolve_neg"):
        y = y.resolve_neg()
    if getattr(y, "_is_zerotensor", bool)():  # PyTorch's lazy zeros
        y = lib.zeros_like(y) + 0
    return Array(name, np.array(y.numpy()), bool(x.requires_grad))


def flat(x):
    if isinstance(x, Named):
        return [z for y in x.items for z in flat(y)]
    if isinstance(x, list):
        return [z for y in x for z in flat(y)]
    return [x]


def difference(want, got, how="values"):
    """What differs, in a few words; empty when nothing does. `how`: values, shapes or moments."""
    if isinstance(want, Error) or isinstance(got, Error):
        return _of_errors(want, got)
    if isinstance(want, Named):
        if not isinstance(got, Named) or set(want.fields) != set(got.fields):
            return f"fields differ: {getattr(got, 'fields', type(got).__name__)}; {want.fields}"
        return difference(want.items, got.items, how)
    if isinstance(want, list):
        got = got.items if isinstance(got, Named) else got
        if not isinstance(got, list) or len(got) != len(want):
            return f"not {len(want)} results: {_short(got)}"
        each = (difference(w, g, how) for w, g in zip(want, got, strict=True))
        return next((f"result {i}: {text}" for i, text in enumerate(each) if text), "")
    if isinstance(want, Array):
        return _of_arrays(want, got, how) if isinstance(got, Array) else \
            f"no tensor: {_short(got)}"
    if isinstance(got, (Array, Named, list)) or type(want) is not type(got):
        return f"{type(got).__name__} {_short(got)} instead of {type(want).__name__} {want}"
    if isinstance(want, (float, complex)):
        close = how != "values" or np.allclose(got, want, rtol=1e-5, atol=1e-7, equal_nan=True)
        return "" if close else f"{got} instead of {want}"
    return "" if want == got or how != "values" else f"{_short(got)} instead of {want}"


def _short(x):
    return " ".join(str(x).split())[:200]


def _of_errors(want, got):
    if isinstance(want, Error) and isinstance(got, Error):
        return "" if issubclass(got.kind, REFUSALS) else f"raised {got}"
    return f"raised {got}" if isinstance(got, Error) else f"accepted: {_short(got)}"


def _of_arrays(want, got, how):
    if want.dtype != got.dtype:
        return f"dtype {got.dtype} instead of {want.dtype}"
    if want.values.shape != got.values.shape:
        return f"shape {list(got.values.shape)} instead of {list(want.values.shape)}"
    if want.requires_grad != got.requires_grad:
        return f"requires_grad is {got.requires_grad}"
    if how == "shapes" or want.values.size == 0:
        return ""
    if how == "moments":
        return _of_moments(want.values, got.values)
    rtol, atol = TOLERANCE.get(want.dtype.removeprefix("numpy "), (0, 0))
    w, g = want.values, got.values
    if rtol:
        finite = np.abs(w[np.isfinite(w)])
        atol *= max(1.0, float(finite.max())) if finite.size else 1.0
        wrong = ~np.isclose(g, w, rtol=rtol, atol=atol, equal_nan=True)
    else:
        wrong = g != w
    if not wrong.any():
        return ""
    first = tuple(int(n) for n in np.argwhere(wrong)[0]) if w.ndim else ()
    return f"{int(wrong.sum())} of {w.size} values: {g[first]} instead of {w[first]} at {first}"


def _of_moments(want, got):
    w, g = (x.astype(np.complex128 if x.dtype.kind == "c" else np.float64).ravel()
            for x in (want, got))
    error = 6 * np.sqrt((w.std() ** 2 + g.std() ** 2) / w.size) + 1e-6
    if not abs(w.mean() - g.mean()) <= error:
        return f"mean {g.mean():.4} instead of {w.mean():.4}"
    if not abs(w.std() - g.std()) <= 0.15 * w.std() + 1e-6:
        return f"standard deviation {g.std():.4} instead of {w.std():.4}"
    return ""
