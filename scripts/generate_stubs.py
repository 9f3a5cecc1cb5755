"""Writes the type stubs of the package: generate_stubs.py MODULE_FILE OUT_FOLDER

OUT_FOLDER/_C has those of the extension module, with operators typed from the registry and
everything else from nanobind's own generator; OUT_FOLDER/_functions.pyi (flow), special.pyi,
nn/functional.pyi name the operators that each namespace has of it.
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
    """The parameters of "name(a, *, b=(0, 1))", split at commas outside brackets."""
    inner = signature[signature.index("(") + 1:signature.rindex(")")]
    return [part.strip() for part in re.split(r",(?![^(\[]*[)\]])", inner) if part.strip()]


def kind_of(name: str, schema: dict) -> tuple[str, str]:
    """The type of what a parameter gives, and its default where the definition has one."""
    for attr in schema["attrs"]:
        if attr["name"] == name:
            return ATTR_TYPES[attr["type"]], ""
    for operand in schema["inputs"]:
        if operand["name"] == name:
            if operand["variadic"]:
                return "Sequence[Tensor]", ""
            kind = "Tensor | float" if len(schema["inputs"]) > 1 else "Tensor"
            return ("Tensor | None", "None") if operand["optional"] else (kind, "")
    if name == "_stacklevel":
        return "int", ""
    if name == "inplace":
        return "bool", ""
    if name == "generator":
        return "Generator", ""
    # Of an operator that makes tensors: the one that the result is like. Else a parameter of torch
    # that takes None alone.
    return ("Tensor" if not schema["inputs"] and name == "input" else "None"), ""


def annotate(parameter: str, schema: dict, gathered: bool = True) -> str:
    """"*size: shape=None" with types; a parameter that gathers, if not `gathered`, as a list."""
    if parameter in ("/", "*"):
        return parameter
    name, _, default = (part.strip() for part in parameter.partition("="))
    star, name = ("*", name[1:]) if name.startswith("*") else ("", name)
    name, _, target = (part.strip() for part in name.partition(":"))
    kind, from_definition = kind_of(target or name, schema)
    if name.startswith("tensor_"):  # integers that it holds
        kind = "Tensor"
    default = default or from_definition
    if star:
        kind, star = ("int", "*") if gathered else ("Sequence[int]", "")
    if default == "None" and "None" not in kind:
        kind += " | None"
    return f"{star}{name}: {kind}" + (f" = {default}" if default else "")


def definitions(schema: dict, signature: str, name: str, method: bool = False,
                in_place: bool = False) -> list[str]:
    """One definition, or two for a list of sizes that may be written without brackets."""
    given = split_parameters(signature)
    forms = [definition(schema, given, name, method, in_place, gathered=True)]
    if any(p.startswith("*") and p != "*" for p in given):
        forms.append(definition(schema, given, name, method, in_place, gathered=False))
    return forms


def definition(schema: dict, given: list[str], name: str, method: bool, in_place: bool,
               gathered: bool) -> str:
    parameters = []
    for parameter in given:
        parameters.append(annotate(parameter, schema, gathered))
        if not gathered and parameter.startswith("*") and parameter != "*":
            parameters.append("*")
    if method:
        parameters[0] = "self"
    # What a definition may leave out has no default where torch's signature asks for what follows.
    for at, parameter in enumerate(parameters):
        later = parameters[at + 1:]
        later = later[:next((i for i, p in enumerate(later) if p.startswith("*")), len(later))]
        if "=" not in given[min(at, len(given) - 1)] and any(
                "=" not in p and p != "/" for p in later):
            parameters[at] = parameter.removesuffix(" = None")
    many = ["Tensor"] * len(schema["outputs"])
    if any(entry["variadic"] for entry in schema["outputs"]):
        many = ["Tensor", "..."]
    extras = []
    if in_place or any(p.startswith("inplace") for p in given):
        pass
    elif not schema["inputs"]:
        extras = ["device: str | None = None", "placement: _Placement | None = None",
                  "sbp: _Sbp | None = None", "requires_grad: bool = False"]
        if not given or given[0] != "input":
            extras.insert(0, "out: Tensor | None = None")
    elif len(many) == 1:
        extras = ["out: Tensor | None = None"]
    elif many and "..." not in many:
        extras = [f"out: tuple[{', '.join(many)}] | None = None"]
    if extras and not any(p.startswith("*") for p in parameters):
        parameters.append("*")
    parameters += extras
    if parameters[-1] == "*":
        parameters.pop()
    result = {0: "None", 1: "Tensor"}.get(len(many), f"tuple[{', '.join(many)}]")
    text = f"def {name}({', '.join(parameters)}) -> {result}:"
    return text + ("  # type: ignore[override]" if name in ("__eq__", "__ne__") else "")


def found_in(schemas: list[dict]) -> dict[str, list[str]]:
    """The definitions of every function and method, by its full name."""
    found: dict[str, list[str]] = {}
    for schema in schemas:
        for binding in schema["bindings"]:
            if binding["function"]:
                found.setdefault(f"{MODULE}.{binding['name']}", []).extend(definitions(
                    schema, binding["signature"], binding["name"],
                    in_place=binding["name"].endswith("_")))
        for method in schema["methods"]:
            for index in method["bindings"]:
                lines = ["@property", f"def {method['name']}(self) -> Tensor:"]
                if not method["property"]:
                    lines = definitions(schema, schema["bindings"][index]["signature"],
                                        method["name"], method=True, in_place=method["in_place"])
                found.setdefault(f"{MODULE}.Tensor.{method['name']}", []).extend(lines)
    return found


def patterns(schemas: list[dict]) -> list[ReplacePattern]:
    made = []
    for path, lines in found_in(schemas).items():
        if lines[0] == "@property" or len(lines) == 1:
            text = [*lines, r"\doc", ""]
        else:  # the first overload carries the documentation
            text = [r"\from typing import overload"]
            for number, line in enumerate(dict.fromkeys(lines)):
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


def names_stub(names: dict[str, str], source: str) -> str:
    """A module that has these operators of the extension module, by its own names for them."""
    lines = [f"from {source} import {function} as {name}" for name, function in names.items()]
    return "\n".join([*lines, "", f"__all__ = {list(names)!r}", ""])


def write(path: Path, text: str) -> None:
    compile(text, path, "exec")  # a stub that is no Python would only fail at the user's checker
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main(module_file: str, folder: str) -> None:
    module = load(module_file)
    out = Path(folder) / "_C" / "__init__.pyi"
    out.parent.mkdir(parents=True, exist_ok=True)
    generator = StubGen(module, recursive=True, patterns=patterns(module.op_schemas()),
                        output_file=out)
    generator.put(module)
    write(out, unhide(generator.get()))
    for namespace, names in module.namespaces.items():
        parts = (namespace or "_functions").split(".")
        source = "." * len(parts) + "_C"
        write(Path(folder, *parts).with_suffix(".pyi"), names_stub(names, source))


if __name__ == "__main__":
    main(*sys.argv[1:])
