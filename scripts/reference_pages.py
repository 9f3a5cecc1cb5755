"""Writes the reference of all operators, from the registry: reference_pages.py OUT_FOLDER

One page for each namespace (flow, Tensor, nn.functional, special, linalg, ...), an entry for each
function: what it does, parameters, dtypes, layouts on two ranks, gradient, refusals, and an example
that has just run. A function without an example that runs is an error.
"""

import inspect
import pathlib
import re
import sys

import numpy as np
from reference_examples import EXAMPLES, NAMES

import oneflow_like as flow
from oneflow_like import _C
from oneflow_like.testing.samples import draw, tensors

PAGES = {"": "flow", "nn.functional": "nn.functional", "special": "special", "linalg": "linalg",
         "fft": "fft"}
MOST_SIGNATURES = 6
MOST_ELEMENTS = 64


def public_functions():
    """{page: {name: (function, schema)}} of what the registry shows."""
    found = {page: {} for page in PAGES.values()}
    found["Tensor"] = {}
    for schema in _C.op_schemas():
        for binding in schema["bindings"]:
            for shown in binding["shown"]:
                space, _, name = shown.rpartition(".")
                owner = flow
                for part in filter(None, space.split(".")):
                    owner = getattr(owner, part)
                found[PAGES[space]][name] = (getattr(owner, name), schema)
        for method in schema["methods"]:
            name = method["name"]
            if not name.startswith("_") and not method["property"]:
                found["Tensor"].setdefault(name, (getattr(flow.Tensor, name), schema))
    return found


def literal(value):
    if isinstance(value, flow.dtype):
        return f"flow.{value.name}"
    return repr(value)


def text_of(tensor):
    """The tensor as a call that makes it, in few digits."""
    array = tensor.numpy() if tensor.dtype not in (flow.bfloat16, flow.float16) else (
        tensor.float().numpy())
    if array.dtype.kind in "fc":
        array = np.round(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64), 2)
    if 0 in array.shape:
        return f"flow.zeros({', '.join(map(str, array.shape))}, dtype=flow.{tensor.dtype.name})"
    dtype = "" if tensor.dtype in (flow.float32, flow.int64, flow.bool) else (
        f", dtype=flow.{tensor.dtype.name}")
    return f"flow.tensor({array.tolist()}{dtype})"


def parameters_of(schema, page, name):
    """{operand or attribute: parameter} of a function that calls some otherwise."""
    for binding in schema["bindings"]:
        if binding["name"] in (name, f"{page}_{name}"):
            pairs = re.findall(r"(\w+): (\w+)", binding["signature"])
            return {target: parameter for parameter, target in pairs}
    return {}


def arguments(schema, sample, operands, parameters, renamed):
    """Names to texts, as the function calls them; None where the sample says what it cannot."""
    given = dict(sample["attrs"])
    counts = given.pop("_arity", None)
    names, rest = {}, list(operands)
    for index, operand in enumerate(schema["inputs"]):
        count = counts[index] if counts else (1 if rest else 0)
        if operand["variadic"]:
            count = count if counts else len(rest)
            names[operand["name"]] = "[" + ", ".join(map(text_of, rest[:count])) + "]"
        elif count:
            names[operand["name"]] = text_of(rest[0])
        rest = rest[count:]
    names |= {name: literal(value) for name, value in given.items() if not name.startswith("_")}
    names = {renamed.get(name, name): text for name, text in names.items()}
    known = {p.name for p in parameters}
    return names if set(names) <= known else None


def example_of(prefix, name, function, schema):
    """(call, result) by the table, or of the first small sample that the function takes."""
    if written := EXAMPLES.get(f"{prefix}.{name}", EXAMPLES.get(name)):
        call = f"{prefix}.{name}({written})"
        for short, text in NAMES.items():
            call = re.sub(rf"\b{short}\b", text, call)
        flow.manual_seed(0)
        try:
            return call, eval(call, {"flow": flow})  # noqa: S307  (the text stands in this tree)
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
            print(f"{call}: {error}", file=sys.stderr)
            return None
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    for sample in _C.op_samples(schema["name"]):
        sizes = [int(np.prod(shape)) for _, shape in sample["inputs"]]
        if any(size > MOST_ELEMENTS for size in sizes):
            continue
        if any(dtype.name.startswith("float8") for dtype, _ in sample["inputs"]):
            continue
        arrays = draw(sample["inputs"], sample["low"], sample["high"], 0, sample["note"])
        operands = tensors(arrays, [dtype for dtype, _ in sample["inputs"]])
        names = arguments(schema, sample, operands, parameters,
                          parameters_of(schema, prefix.removeprefix("flow."), name))
        if names is None:
            continue
        positional = []
        for parameter in parameters:
            if parameter.name not in names or parameter.kind is parameter.KEYWORD_ONLY:
                break
            positional.append(names.pop(parameter.name))
        call = (f"{prefix}.{name}(" +
                ", ".join(positional + [f"{key}={text}" for key, text in names.items()]) + ")")
        flow.manual_seed(0)
        try:
            return call, eval(call, {"flow": flow})  # noqa: S307  (the text was made here)
        except (TypeError, ValueError, RuntimeError, IndexError):
            continue
    return None


def layouts_of(schema):
    """On a mesh of two ranks, of the first sample that has axes: "S(0), B -> S(0)"."""
    for sample in _C.op_samples(schema["name"]):
        if not any(len(shape) for _, shape in sample["inputs"]):
            continue
        found = _C.op_signatures(schema["name"], sample["inputs"], sample["attrs"], [2])
        lines = [f"{', '.join(i[0] for i in inputs)} -> {', '.join(o[0] for o in outputs)}"
                 for inputs, outputs in found]
        more = len(lines) - MOST_SIGNATURES
        shapes = ", ".join(str(tuple(shape)) for _, shape in sample["inputs"])
        return (f"of {shapes}: " + "; ".join(lines[:MOST_SIGNATURES]) +
                (f"; and {more} more" if more > 0 else ""))
    return ""


def entry(page, name, function, schema):
    prefix = "flow" if page == "flow" else f"flow.{page}"
    lines = [f"### {name}", ""]
    texts = [b["text"] for b in schema["bindings"] for shown in b["shown"]
             if shown.rpartition(".")[2] == name]
    texts += [t for m in schema["methods"] if m["name"] == name for t in m["texts"]]
    lines += ["```python", *dict.fromkeys(texts), "```", ""]
    lines += [(inspect.getdoc(function) or schema["doc"]).strip(), ""]
    if schema["composite"]:
        lines += ["Layouts: those of its parts.", ""]
    elif layouts := layouts_of(schema):
        lines += [f"Layouts on two ranks, {layouts}.", ""]
    lines += ["Gradient: " + ("yes, and it can be differentiated again." if schema["gradient"]
                              else "none."), ""]
    example = example_of(prefix, name, function, schema)
    if example is not None:
        call, result = example
        lines += ["```python", f">>> {call}", repr(result), "```", ""]
    return "\n".join(lines), example is not None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    total, bare = 0, []
    for page, functions in public_functions().items():
        if not functions:
            continue
        entries = []
        for name, (function, schema) in sorted(functions.items()):
            text, shown = entry(page, name, function, schema)
            entries.append(text)
            total += 1
            if not shown:
                bare.append(f"{page}.{name}")
        path = folder / f"{page}.md"
        path.write_text(f"# {page}\n\n" + "\n".join(entries), encoding="utf-8")
        print(f"{path}: {len(entries)} functions")
    print(f"{total} entries, {total - len(bare)} with an example that ran")
    if bare:
        sys.exit("without: " + ", ".join(bare))


if __name__ == "__main__":
    main()
