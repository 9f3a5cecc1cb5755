"""Writes the type stubs of the extension module: generate_stubs.py MODULE_FILE OUT_FOLDER

Makes OUT_FOLDER/__init__.pyi and a file for each submodule. Operators come typed from the
registry, everything else from nanobind's own generator.
"""

import importlib.util
import re
import sys
from pathlib import Path

from nanobind.stubgen import ReplacePattern, StubGen

MODULE = "oneflow_like._C"
ATTR_TYPES = {"bool": "bool", "int": "int", "float": "float", "str": "str",
              "ints": "int | Sequence[int]", "dtype": "_DType", "number": "complex",
              "floats": "Sequence[float]"}
# Names that annotations need where the module or a class has a member of the plain name.
HIDDEN = {"bool": "_Bool", "float": "_Float", "int": "_Int", "str": "_Str"}
SUFFIX = [r"\import builtins", r"\from collections.abc import Sequence", "_DType = dtype",
          "_Placement = placement", "_Sbp = sbp.sbp | Sequence[sbp.sbp]",
          *(f"{alias} = builtins.{name}" for name, alias in HIDDEN.items())]
ANNOTATION = re.compile(r"(?<![\w.])(bool|float|int|str)(?=[,\]\)| ]|:$|: \.\.\.)")


def load(path: str):
    spec = importlib.util.spec_from_file_location(MODULE, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    # Types that call the package their home are defined here all the same; the package's own
    # source imports them from here.
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == MODULE.rpartition(".")[0]:
            value.__module__ = MODULE
    return module


def split_parameters(signature: str) -> list[str]:
    """The parameters of "name(a, /, *, b=(0, 1))", split at commas outside brackets."""
    inner = signature[signature.index("(") + 1:signature.rindex(")")]
    return [part.strip() for part in re.split(r",(?![^(\[]*[)\]])", inner) if part.strip()]


def annotate(parameter: str, schema: dict) -> str:
    if parameter in ("/", "*"):
        return parameter
    name, _, default = (part.strip() for part in parameter.partition("="))
    star, name = ("*", name[1:]) if name.startswith("*") else ("", name)
    for attr in schema["attrs"]:
        if attr["name"] == name:
            kind = "int" if star else ATTR_TYPES[attr["type"]]
            break
    else:
        operand = next(entry for entry in schema["inputs"] if entry["name"] == name)
        kind = "Tensor | float" if len(schema["inputs"]) > 1 else "Tensor"
        if operand["variadic"] and not star:
            kind = "Tensor | Sequence[Tensor]"
        elif operand["optional"]:
            kind = "Tensor | None"
            default = default or "None"
    if default == "None" and "None" not in kind:
        kind += " | None"
    return f"{star}{name}: {kind}" + (f" = {default}" if default else "")


def definition(schema: dict, signature: str, name: str, method: bool) -> str:
    parameters = [annotate(p, schema) for p in split_parameters(signature)]
    if method:
        parameters[0] = "self"
        if "/" not in parameters:
            parameters.insert(1, "/")
    many = ["Tensor"] * len(schema["outputs"])
    if any(entry["variadic"] for entry in schema["outputs"]):
        many = ["Tensor", "..."]
    extras = []
    if not schema["inputs"]:
        extras = ["placement: _Placement | None = None", "sbp: _Sbp | None = None",
                  "requires_grad: bool = False"]
    elif len(many) == 1 and not name.endswith("_"):
        extras = ["out: Tensor | None = None"]
    if extras and not any(p.startswith("*") for p in parameters):
        parameters.append("*")
    parameters += extras
    result = {0: "None", 1: "Tensor"}.get(len(many), f"tuple[{', '.join(many)}]")
    text = f"def {name}({', '.join(parameters)}) -> {result}:"
    return text + ("  # type: ignore[override]" if name in ("__eq__", "__ne__") else "")


def in_place_form(schema: dict) -> str | None:
    """The name of the method that puts the result into its first operand."""
    return f"{schema['method']}_" if schema["in_place"] and schema["method"] else None


def patterns(schemas: list[dict]) -> list[ReplacePattern]:
    found: dict[str, list[str]] = {}
    for schema in schemas:
        for signature in schema["signatures"]:
            name = signature.split("(", 1)[0].strip()
            found.setdefault(f"{MODULE}.{name}", []).append(
                definition(schema, signature, name, method=False))
        methods = filter(None, (schema["method"], schema["dunder"], in_place_form(schema)))
        for method in methods if schema["signatures"] else ():
            found.setdefault(f"{MODULE}.Tensor.{method}", []).append(
                definition(schema, schema["signatures"][0], method, method=True))
    made = []
    for path, lines in found.items():
        if len(lines) == 1:
            text = [lines[0], r"\doc", ""]
        else:  # the first overload carries the documentation
            text = [r"\from typing import overload"]
            for number, line in enumerate(lines):
                text += ["@overload", line if number == 0 else f"{line} ...",
                         *([r"\doc"] if number == 0 else []), ""]
        made.append(ReplacePattern(re.compile(f"^{re.escape(path)}$"), text, 0))
    made.append(ReplacePattern(re.compile(f"^{re.escape(MODULE)}.__suffix__$"), SUFFIX, 0))
    return made


def unhide(text: str) -> str:
    """Builtin types in signatures by names that nothing hides."""
    return "\n".join(
        ANNOTATION.sub(lambda match: HIDDEN[match[0]], line) if line.lstrip().startswith("def ")
        else line for line in text.split("\n"))


def main(module_file: str, folder: str) -> None:
    module = load(module_file)
    out = Path(folder) / "__init__.pyi"
    out.parent.mkdir(parents=True, exist_ok=True)
    generator = StubGen(module, recursive=True, patterns=patterns(module.op_schemas()),
                        output_file=out)
    generator.put(module)
    text = unhide(generator.get())
    compile(text, out, "exec")  # a stub that is no Python would only fail at the user's checker
    out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
