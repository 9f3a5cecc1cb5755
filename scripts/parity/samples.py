"""From the sample files to cases: every line in every form that says something.

A sample file has `FAMILY`, and `CASES`: a text of names -> calls, one a line. A name alone is
torch's; its method and its in-place forms come from it. `F.x`, `linalg.x`, `Tensor.x` ... are of
those namespaces. A line is the arguments of a call, or begins with

    !   both refuse the call              ~   compare shape, dtype, mean and deviation
    ?   compare shapes and dtypes alone   =   an expression in place of a call
    >   statements that leave `r`

and may end with ` # words`: `nograd`, `float` (no other dtypes), `function` (no method or in-place
form). `DTYPES` are the further dtypes that the first line of each name is tried in.
"""

import dataclasses
import importlib
import pkgutil
import re

import cases as families
from calls import BAD_CALLS, Case, has
from language import VARIED

DTYPES = "float16 bfloat16 int64 int32 uint8 bool complex64"
HOW = {"?": "shapes", "~": "moments", "!": "error"}


def modules():
    return {m.name: importlib.import_module(f"cases.{m.name}")
            for m in pkgutil.iter_modules(families.__path__)}


def _line(text):
    """(how it is compared, its form, the call, the words after #)."""
    text, _, words = text.strip().partition(" # ")
    how, form = "values", "call"
    while text and text[0] in "!?~=>":
        mark, text = text[0], text[1:].strip()
        how = HOW.get(mark, how)
        form = {"=": "expression", ">": "statements"}.get(mark, form)
    return how, form, text, set(words.split())


def _of_line(row, line, dtypes, first, method):
    how, form, text, words = line
    varied = re.search(VARIED, text) is not None
    grad = varied and how == "values" and "nograd" not in words
    yield Case(row, text, form, how=how)
    if how in ("error", "moments") or form == "statements" and not varied:
        return
    if varied:
        yield Case(row, text, form, "float64", grad=grad, how=how)
    if varied and first and "float" not in words:
        for dtype in dtypes.split():
            yield Case(row, text, form, dtype, how=how)
    if form != "call" or not first:
        return
    if varied:
        yield Case(row, text, form, strided=True, how=how)
    if not method:
        yield Case(row, text, "out", how=how)
    for bad in BAD_CALLS:
        if not method or bad != "no arguments":
            if bad != "a text as operand" or (varied and not method):
                yield Case(row, text, bad, how="error")


def _of_row(row, lines, dtypes, method=False):
    first = True
    for line in lines:
        yield from _of_line(row, line, dtypes, first, method)
        first = first and line[0] == "error"


def _derived(torch, space, name, lines, explicit):
    """The method and the in-place forms that PyTorch has beside a function."""
    calls = [x for x in lines if x[1] == "call" and "function" not in x[3]]
    if not calls or name.endswith("_"):
        return
    if space == "torch" and callable(getattr(torch.Tensor, name, None)) and (
            f"Tensor.{name}" not in explicit):
        for n, (how, form, text, words) in enumerate(calls[:4]):
            yield Case(f"Tensor.{name}", text, form, how=how)
            if n == 0 and re.search(VARIED, text) and "nograd" not in words and how == "values":
                yield Case(f"Tensor.{name}", text, form, "float64", grad=True, how=how)
    for row in ((f"Tensor.{name}_", f"torch.{name}_") if space == "torch" else (f"F.{name}_",)):
        if not has(torch, row) or row in explicit:
            continue
        for n, (how, _, text, words) in enumerate(calls[:3]):
            yield Case(row, text, "inplace", how=how)
            if n == 0 and row[0] != "t" and "nograd" not in words and how == "values":
                yield Case(row, text, "inplace", "float64", grad=True, how=how)
                for dtype in ("int64", "float16", "bool"):
                    yield Case(row, text, "inplace", dtype, how=how)
                yield Case(row, text, "inplace", strided=True, how=how)


def laid_out(cases):
    """The cases that say something of layouts, in each of them."""
    for case in cases:
        local = "torch." in case.text or case.how == "error" or case.strided
        if local or case.form not in ("call", "inplace", "expression") or not re.search(
                VARIED, case.text) or case.dtype not in ("float32", "float64"):
            continue
        if case.form == "inplace" and case.grad:
            continue
        for layout in ("S0", "S1", "P") if case.form != "inplace" else ("S0",):
            yield dataclasses.replace(case, layout=layout)


def all_cases(torch):
    """{family: cases}. A name that PyTorch has not is a mistake of the file."""
    found, files = {}, modules()
    explicit = {name for module in files.values() for key in module.CASES for name in key.split()}
    for family, module in files.items():
        dtypes = getattr(module, "DTYPES", DTYPES)
        cases = found.setdefault(family, [])
        for key, text in module.CASES.items():
            lines = [_line(x) for x in text.strip().splitlines() if x.strip()]
            for name in [key] if key.startswith("(") else key.split():
                space, _, last = name.rpartition(".")
                row = f"{space or 'torch'}.{last}"
                if not has(torch, row) and not last.startswith("("):
                    raise SystemExit(f"cases/{family}.py: PyTorch has no {row}")
                cases += _of_row(row, lines, dtypes, method=space == "Tensor")
                if (space or "torch") in ("torch", "F"):
                    cases += _derived(torch, space or "torch", last, lines, explicit)
        found[family] = list(dict.fromkeys(cases))
    return found
