"""Every public signature against PyTorch's, kept as data: names, order, kinds, defaults."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import oneflow_like as flow
from oneflow_like import _C

DATA = Path(__file__).parent / "data"
SPACES = {"torch": "", "Tensor": "Tensor", "F": "nn.functional", "special": "special",
          "linalg": "linalg", "fft": "fft"}
LEFT_OUT = {"layout", "memory_format", "pin_memory", "non_blocking"}  # of the table
OURS_ALONE = {"placement", "sbp", "out"}  # keywords that any function of ours may have beside


class Form:
    """One overload: its positional parameters in order, and those by keyword alone."""

    def __init__(self, text, is_method=False):
        arguments = ast.parse(f"def f{text[text.index('('):]}: ...").body[0].args
        given = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(given) - len(arguments.defaults)) + arguments.defaults
        self.text = text
        self.positions = [(a.arg, _default(d)) for a, d in zip(given, defaults, strict=True)
                          if a.arg not in LEFT_OUT]
        self.positions = self.positions[is_method:]
        self.rest = arguments.vararg.arg if arguments.vararg else None
        self.keywords = {a.arg: _default(d) for a, d in zip(
            arguments.kwonlyargs, arguments.kw_defaults, strict=True) if a.arg not in LEFT_OUT}

    def misses(self, theirs, other_names):
        """What of PyTorch's form this one does not take in the same way; empty: nothing."""
        ours, rest = list(self.positions), theirs.rest
        if self.rest and not theirs.rest and theirs.positions and (
                theirs.positions[-1] == (self.rest, "")):
            rest, positions = self.rest, theirs.positions[:-1]  # a list in place of positions
        else:
            positions = theirs.positions
        if rest != self.rest:
            return f"*{self.rest} instead of *{rest}"
        for name, default in positions:
            if not ours or ours[0][0] != name:
                return f"'{name}' in its place" if name in dict(self.positions) else f"'{name}'"
            if default and not _same(default, ours[0][1]):
                return f"{name}={default}"
            ours = ours[1:]
        for name, default in ours:
            if not default or name not in other_names:
                return f"no '{name}' there"
        for name, default in theirs.keywords.items():
            if name not in self.keywords:
                return f"the keyword '{name}'"
            if self.keywords[name] != "?" and default and not _same(default, self.keywords[name]):
                return f"{name}={default}"
        extra = set(self.keywords) - set(theirs.keywords) - other_names - OURS_ALONE
        return f"no {sorted(extra)}" if extra else ""


def _default(node):
    if node is None:
        return ""
    text = ast.unparse(node)
    try:
        return repr(ast.literal_eval(text))
    except ValueError:
        return text


def _same(theirs, ours):
    """Whether two defaults mean the same: 0 and 0.0; () and None, which is every axis."""
    if theirs == ours or (theirs, ours) == ("()", "None"):
        return True
    try:
        a, b = ast.literal_eval(theirs), ast.literal_eval(ours)
    except (ValueError, SyntaxError):
        return False
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _lines(file):
    text = (DATA / file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


TORCH = {}  # row -> PyTorch's forms
for _line in _lines("torch_signatures.txt"):
    TORCH.setdefault(_line.split("(")[0], []).append(_line)
EXCEPTIONS = dict(line.split(": ", 1) for line in _lines("signature_differences.txt"))
REGISTRY, METHODS = {}, {}  # overloads by name
for _schema in _C.op_schemas():
    for _binding in _schema["bindings"]:
        REGISTRY.setdefault(_binding["name"], []).append(_binding["text"])
    for _method in _schema["methods"]:
        METHODS.setdefault(_method["name"], []).extend(_method["texts"])


def find(row):
    space, name = row.split(".")
    owner = flow
    for part in filter(None, SPACES[space].split(".")):
        owner = getattr(owner, part, None)
    return getattr(owner, name, None)


def _told(value):
    """The signature of a function that is no operator: Python's, or the binding's."""
    for text, _, defaults in getattr(value, "__nb_signature__", ()):
        text = re.sub(r"\\(\d+)", lambda m, given=defaults: repr(given[int(m[1])]), text)
        node = ast.parse(text + ": ...").body[0]
        for argument in ast.walk(node):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return f"({ast.unparse(node.args)})"
    return re.sub(r"<[^>]*>", "None", str(inspect.signature(value))).split(" ->")[0]


def forms_of(row):
    """Our overloads; of two that differ in a required keyword alone, one takes it or not."""
    value, name = find(row), row.split(".")[1]
    is_method = row.startswith("Tensor.")
    if is_method and name in METHODS:
        texts = METHODS[name]
    elif not is_method and getattr(value, "__module__", "") == "oneflow_like._C" and (
            value.__name__ in REGISTRY):
        texts = REGISTRY[value.__name__]
    else:
        texts = getattr(value, "__overloads__", None) or [_told(value)]
    forms = [Form(text, is_method) for text in dict.fromkeys(texts)]
    for form in forms:
        for other in forms:
            lacking = {k for k, d in form.keywords.items() if not d} - set(other.keywords)
            if other is not form and lacking and other.positions == form.positions:
                form.keywords |= {k: "?" for k in lacking}
    return forms


def differences(row):
    theirs = [Form(line) for line in TORCH[row]]
    names = {n for t in theirs for n in (*dict(t.positions), *t.keywords)}
    forms, said = forms_of(row), []
    for form in theirs:
        misses = [ours.misses(form, names) for ours in forms]
        if all(misses):
            said.append(f"{form.text}: expected {'; or '.join(dict.fromkeys(misses))}; "
                        f"got {' '.join(f.text for f in forms)}")
    return said


ROWS = [row for row in TORCH if find(row) is not None]


def test_the_table_covers_what_there_is():
    assert len(ROWS) > 100 and all(row in TORCH for row in EXCEPTIONS)


@pytest.mark.parametrize("row", ROWS)
def test_signature_is_pytorch_s(row):
    said = differences(row)
    if row in EXCEPTIONS:
        assert said, "no longer differs: take it off the list"
    else:
        assert not said, "\n".join(said)
