"""One case: a call tried in PyTorch and in ours, forward and backward, and what differs."""

import dataclasses
import warnings

import numpy as np
from language import FLOATS, Operands
from outcome import Array, Error, difference, dtype_name, flat, plain

SPACES = {"torch": "", "Tensor": "Tensor", "F": "nn.functional", "special": "special",
          "linalg": "linalg", "fft": "fft"}
BAD_CALLS = {"no arguments": "", "an unknown keyword": "nonsense=1", "a text as operand": "'text'"}


@dataclasses.dataclass(frozen=True)
class Case:
    row: str             # "torch.add", "Tensor.add_"
    text: str            # the call's arguments, an expression or statements
    form: str = "call"   # call, method, inplace, out, expression, statements, or a bad call
    dtype: str = "float32"
    grad: bool = False
    strided: bool = False
    how: str = "values"  # what is compared: values, shapes or moments; error: both refuse
    layout: str = ""     # how our operands lie over two ranks: S0, S1 or P; none: local

    def __str__(self):
        form = self.form if self.form not in ("call", "expression") else ""
        extra = [w for w in (form, self.dtype, "gradient" * self.grad, "strided" * self.strided,
                             self.layout) if w]
        return f"{self.row}({self.text})  [{', '.join(extra)}]" if self.form not in (
            "expression", "statements") else f"{self.text}  [{', '.join(extra)}]"


def find(lib, row):
    """The object of a row; raises AttributeError where the library has none."""
    space, name = row.split(".", 1)
    owner = lib
    for part in filter(None, SPACES[space].split(".")):
        owner = getattr(owner, part)
    return getattr(owner, name)


def has(lib, row):
    """Whether the library has the name; a row in brackets, "torch.(promotion)", is no function."""
    if ".(" in row:
        return True
    try:
        find(lib, row)
    except AttributeError:
        return False
    return True


# --- calling ----------------------------------------------------------------------------------

def _call(lib, case, names):
    if case.form in ("expression", "statements") and ".(" not in case.row:
        names["FN"] = find(lib, case.row)
    if case.form == "expression":
        return eval(case.text, names)
    if case.form == "statements":
        exec(case.text, names)
        return names["r"]
    given = eval(f"A({case.text})", names)
    args, kwargs = given.args, given.kwargs
    if case.form in BAD_CALLS:
        extra = eval(f"A({BAD_CALLS[case.form]})", names)
        args = {"no arguments": (), "a text as operand": ("text", *args[1:])}.get(case.form, args)
        kwargs = {} if case.form == "no arguments" else {**kwargs, **extra.kwargs}
    space, name = case.row.split(".", 1)
    if space == "Tensor":
        def function(x, *rest, **kw):
            return getattr(x, name)(*rest, **kw)
    else:
        function = find(lib, case.row)
    if case.form == "inplace":
        result = function(*args, **kwargs)
        return [result, args[0], result is args[0]]
    if case.form == "out":
        return _with_out(lib, function, args, kwargs)
    return function(*args, **kwargs)


def _with_out(lib, function, args, kwargs):
    whole = function(*args, **kwargs)
    many = isinstance(whole, (tuple, list))
    out = tuple(lib.empty(tuple(y.shape), dtype=y.dtype) for y in (whole if many else [whole]))
    result = function(*args, **kwargs, out=out if many else out[0])
    same = all(a is b for a, b in zip(result, out, strict=True)) if many else result is out[0]
    return [list(out), same]


def _tensors(lib, x):
    if isinstance(x, lib.Tensor):
        return [x]
    if isinstance(x, (list, tuple)):
        return [z for y in x for z in _tensors(lib, y)]
    return []


def _gradients(lib, result, leaves):
    rng, total = np.random.default_rng(7), None
    for y in _tensors(lib, result):
        name = dtype_name(y.dtype)
        if not y.requires_grad or name not in (*FLOATS, "complex64", "complex128"):
            continue
        weights = rng.uniform(-1, 1, tuple(y.shape))
        if name.startswith("complex"):
            weights = weights + 1j * rng.uniform(-1, 1, tuple(y.shape))
        stored = "float32" if name == "bfloat16" else name
        w = lib.from_numpy(np.asarray(weights, stored)).to(y.dtype)
        if getattr(y, "is_global", False):
            w = w.to_global(placement=y.placement, sbp=[lib.sbp.broadcast] * len(y.sbp))
        part = (y * w).sum()
        part = part.real if name.startswith("complex") else part
        total = part if total is None else total + part
    if total is None:
        return []
    total.backward()
    return [plain(lib, x.grad) for x in leaves]


def _try(lib, case, place=None):
    """(result, gradients), both without their library; an Error where it refused."""
    operands = Operands(lib, case.text, case.dtype, case.grad, case.strided,
                        leaves=case.form not in ("inplace", "statements"), place=place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = _call(lib, case, operands.names())
            found = plain(lib, result)
        except Exception as error:
            return Error(type(error), str(error)), []
        try:
            return found, _gradients(lib, result, operands.leaves) if case.grad else []
        except Exception as error:
            return found, Error(type(error), str(error))


# --- comparing --------------------------------------------------------------------------------

def _gradient_difference(want, got):
    if isinstance(want, Error) or isinstance(got, Error):
        return difference(want, got)
    if not want and not got:
        return ""
    if len(want) != len(got):
        return f"{len(got)} gradients instead of {len(want)}"
    for n, (w, g) in enumerate(zip(want, got, strict=True)):
        w, g = _zeros_are_none(w), _zeros_are_none(g)
        text = difference(w, g)
        if text:
            return f"operand {n}: {text}"
    return ""


def _zeros_are_none(x):
    return None if isinstance(x, Array) and np.allclose(x.values, 0, atol=1e-13, rtol=0) else x


def compare(torch, ours, case, place=None):
    """(status, what differs, PyTorch's outcome, ours): equal, open, or dropped where the case says
    nothing, as of a form that PyTorch does not have."""
    want, want_grads = _try(torch, case)
    if isinstance(want, Error) and case.form == "out" and issubclass(
            want.kind, (TypeError, AttributeError)):
        return "dropped", "", "", ""
    if case.form in BAD_CALLS and not isinstance(want, Error):
        return "dropped", "", "", ""
    if case.how == "error" and not isinstance(want, Error):
        return ("open", "the sample is wrong: PyTorch accepts it", str(want), "")
    if not has(ours, case.row):
        return "open", "absent", _text(want), ""
    got, got_grads = _try(ours, case, place)
    text = difference(want, got, case.how)
    if text:
        return "open", text, _text(want), _text(got)
    text = "" if case.how != "values" else _gradient_difference(want_grads, got_grads)
    if text:
        return "open", "gradient: " + text, _text(want_grads), _text(got_grads)
    return "equal", "", "", ""


def _text(x):
    return "; ".join(str(y) for y in flat(x))[:600]
