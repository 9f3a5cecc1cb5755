"""The text of tensors, as torch writes it, and set_printoptions."""

import builtins
import contextlib
import dataclasses
import math

import numpy as np

from . import _C
from ._C import InvalidArgumentError, Tensor, TypeMismatchError

__all__ = ["set_printoptions"]


@dataclasses.dataclass
class _Options:
    precision: float = 4      # digits after the point
    threshold: float = 1000   # elements beyond which a part of them is written
    edgeitems: int = 3        # of each end of an axis, then
    linewidth: int = 80
    sci_mode: builtins.bool | None = None  # powers of ten; None: where the numbers need them


_PROFILES = {"default": {}, "short": {"precision": 2, "edgeitems": 2},
             "full": {"threshold": math.inf}}
_options = _Options()


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None,
                     sci_mode=None):
    """How tensors are written: digits after the point, elements beyond which only the ends of each
    axis are (`edgeitems` of them), characters of a line, numbers with powers of ten (None: where
    they need them). `profile` is "default", "short" or "full", and sets all of them first."""
    global _options
    if profile is not None and profile not in _PROFILES:
        raise InvalidArgumentError(
            f"[set_printoptions] no profile has this name: got {profile!r}; expected "
            "'default', 'short' or 'full'")
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems,
             "linewidth": linewidth}
    for name, value in given.items():
        whole = isinstance(value, int) or (name == "threshold" and isinstance(value, float))
        if value is not None and (not whole or isinstance(value, builtins.bool) or value < 0):
            raise InvalidArgumentError(
                f"[set_printoptions] {name} is no count: got {value!r}; expected a "
                "whole number >= 0")
    if sci_mode is not None and not isinstance(sci_mode, builtins.bool):
        raise TypeMismatchError("[set_printoptions] argument 'sci_mode' must be bool, not "
                                f"{type(sci_mode).__name__}; expected True, False or None")
    start = _options if profile is None else _Options(**_PROFILES[profile])
    changes = {name: value for name, value in given.items() if value is not None}
    _options = dataclasses.replace(start, sci_mode=sci_mode, **changes)


@contextlib.contextmanager
def printoptions(**kwargs):
    """Within the block tensors are written under these options of set_printoptions."""
    global _options
    before = _options
    set_printoptions(**{"sci_mode": before.sci_mode, **kwargs})
    try:
        yield
    finally:
        _options = before


# --- numbers -------------------------------------------------------------------------------------

class _Plain:
    """Bools and integers: as wide as the longest."""

    def __init__(self, values):
        self.width = max((len(builtins.str(v)) for v in values.ravel().tolist()), default=1)

    def text(self, value):
        return builtins.str(value).rjust(self.width)


class _Floats:
    """Numbers that share one form: whole ones with a point, or digits after it, or powers of ten.
    What is zero, infinite or no number has no say in it."""

    def __init__(self, values, options):
        flat = values.ravel().astype(np.float64)
        flat = flat[np.isfinite(flat) & (flat != 0)]
        self.options, self.width = options, 1
        self.whole = builtins.bool(np.all(flat == np.ceil(flat)))
        self.powers = False
        if flat.size > 0:
            size = np.abs(flat)
            least, most = float(size.min()), float(size.max())
            self.powers = most / least > 1000 or most > 1e8 or (not self.whole and least < 1e-4)
        if options.sci_mode is not None:
            self.powers = options.sci_mode
        self.width = max((len(self._plain(v)) for v in flat.tolist()), default=1)

    def _plain(self, value):
        if self.powers:
            return f"{value:.{self.options.precision}e}"
        if self.whole:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{self.options.precision}f}"

    def text(self, value):
        return self._plain(value).rjust(self.width)


class _Complexes:
    def __init__(self, values, options):
        self.real, self.imag = _Floats(values.real, options), _Floats(values.imag, options)
        self.width = self.real.width + self.imag.width + 1

    def text(self, value):
        imag = self.imag.text(value.imag).lstrip()
        sign = "" if imag[0] in "+-" else "+"
        return f"{self.real.text(value.real)}{sign}{imag}j"


def _form_of(values, options):
    if values.dtype.kind == "c":
        return _Complexes(values, options)
    return _Floats(values, options) if values.dtype.kind == "f" else _Plain(values)


# --- axes ----------------------------------------------------------------------------------------

def _ends(values, edge, axis=0):
    """The elements that are written of what is too much; nothing else is read or copied."""
    if axis == values.ndim:
        return values
    size = values.shape[axis]
    if size <= 2 * edge:
        return _ends(values, edge, axis + 1)
    before = (slice(None),) * axis
    return np.concatenate([_ends(values[(*before, part)], edge, axis + 1)
                           for part in (slice(0, edge), slice(size - edge, size))], axis=axis)


def _vector(values, indent, form, cut, options):
    words, each = values.tolist(), form.width + 2
    a_line = max(1, (options.linewidth - indent) // each)
    texts = list(map(form.text, words))
    if cut[-1]:
        texts.insert(options.edgeitems, " ...")
    lines = [", ".join(texts[i:i + a_line]) for i in range(0, len(texts), a_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values, indent, form, cut, options):
    if values.ndim == 0:
        return form.text(values.item())
    if values.ndim == 1:
        return _vector(values, indent, form, cut, options)
    parts = [_nested(part, indent + 1, form, cut, options) for part in values]
    if cut[-values.ndim]:
        parts.insert(options.edgeitems, "...")
    between = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
    return "[" + between.join(parts) + "]"


def values_text(values, indent, widen=lambda array: array):
    """The numbers of an array in brackets, the first line after `indent` characters. `widen` makes
    numbers of elements that NumPy has no dtype for."""
    options = _options
    if values.size == 0:
        return "[]"
    most = 2 * options.edgeitems if values.size > options.threshold else math.inf
    cut = [size > most for size in values.shape]
    values = widen(_ends(values, options.edgeitems) if any(cut) else values)
    return _nested(values, indent, _form_of(values, options), cut, options)


def joined(text, suffixes, indent):
    """The text and what is said after it, on new lines where it would be too long."""
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            length = indent + len(suffix)
        else:
            text += ", " + suffix
            length += len(suffix) + 2
    return text + ")"


# --- tensors -------------------------------------------------------------------------------------

def _says_itself(dtype, empty):
    usual = _C.get_default_dtype()
    if empty:
        return dtype is usual
    return dtype in (usual, usual.to_complex(), _C.int64, _C.bool)


def _history(self):
    if self.grad_fn is not None:
        return [f"grad_fn={self.grad_fn}"]
    return ["requires_grad=True"] if self.requires_grad else []


def _symbolic_place(self):
    """Without the sbp, which would pin it; nothing once build() has ended."""
    try:
        return f", placement={self.placement}" if self.is_global else ""
    except RuntimeError:
        return ""


def _kept_apart(self):
    """Of a graph's value, or a global tensor: printing never waits for other ranks."""
    kind = f"{tuple(self.shape)} {self.dtype.name}"
    history = "".join(f", {s}" for s in _history(self))
    if self.is_symbolic:
        return f"tensor(<symbolic {kind}>{_symbolic_place(self)}{history})"
    values = ("a null device holds no values" if self.placement.type == "null" else
              "x.numpy(), called on all ranks, gives the values")
    return (f"tensor(<global {kind}>, placement={self.placement}, sbp={self.sbp}{history}; "
            f"{values})")


def text_of(self, read, widen):
    """`read(self)` gives the elements of a local tensor, or one that this rank holds whole, as they
    lie in memory, `widen(elements, dtype)` their values."""
    alone = not self.is_symbolic and (not self.is_global or (
        self.placement.ranks == [_C.rank()] and self.placement.type != "null"))
    if not alone:
        return _kept_apart(self)
    suffixes = []
    if self.is_global:
        suffixes += [f"placement={self.placement}", f"sbp={self.sbp}"]
    empty = self.numel() == 0
    if empty and self.ndim != 1:
        suffixes.append(f"size={tuple(self.shape)}")
    if not _says_itself(self.dtype, empty):
        suffixes.append(f"dtype={self.dtype}")
    prefix = "tensor("
    text = prefix + values_text(read(self), len(prefix), lambda raw: widen(raw, self.dtype))
    return joined(text, [*suffixes, *_history(self)], len(prefix))


def install(read, widen):
    def __repr__(self, *, tensor_contents=None):
        """Values only where that needs no communication: printing never waits for other ranks."""
        return text_of(self, read, widen)

    Tensor.__repr__ = __repr__
