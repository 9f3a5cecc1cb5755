"""The stub beside the extension module types every operator that Python can call."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_stubs", ROOT / "scripts" / "generate_stubs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def operand(name, variadic=False, optional=False):
    return {"name": name, "variadic": variadic, "optional": optional, "mutated": False}


def schema(signature, inputs, attrs=(), outputs=("output",)):
    return {"signatures": [signature], "inputs": list(inputs),
            "outputs": [{"name": name, "variadic": name.endswith("...")} for name in outputs],
            "attrs": [{"name": name, "type": kind, "required": False} for name, kind in attrs]}


@pytest.mark.parametrize(("given", "method", "expected"), [
    (schema("exp(input, /)", [operand("input")]), False,
     "def exp(input: Tensor, /, *, out: Tensor | None = None) -> Tensor:"),
    (schema("add(input, other, /)", [operand("input"), operand("other")]), True,
     "def add(self, other: Tensor | float, /, *, out: Tensor | None = None) -> Tensor:"),
    (schema("sum(input, /, dim=None, *, keepdim=False)", [operand("input")],
            [("dim", "ints"), ("keepdim", "bool")]), False,
     "def sum(input: Tensor, /, dim: int | Sequence[int] | None = None, *, "
     "keepdim: bool = False, out: Tensor | None = None) -> Tensor:"),
    (schema("linear(input, weight, bias=None, /)",
            [operand("input"), operand("weight"), operand("bias", optional=True)]), False,
     "def linear(input: Tensor | float, weight: Tensor | float, bias: Tensor | None = None, /, "
     "*, out: Tensor | None = None) -> Tensor:"),
    (schema("cat(tensors, /, dim=0)", [operand("tensors", variadic=True)], [("dim", "int")]), False,
     "def cat(tensors: Tensor | Sequence[Tensor], /, dim: int = 0, *, out: Tensor | None = None)"
     " -> Tensor:"),
    (schema("permute(input, /, *dims)", [operand("input")], [("dims", "ints")]), True,
     "def permute(self, /, *dims: int, out: Tensor | None = None) -> Tensor:"),
    (schema("full(shape, value, *, dtype=float32)", [],
            [("shape", "ints"), ("value", "float"), ("dtype", "dtype")]), False,
     "def full(shape: int | Sequence[int], value: float, *, dtype: _DType = float32, "
     "placement: _Placement | None = None, sbp: _Sbp | None = None, "
     "requires_grad: bool = False) -> Tensor:"),
    (schema("norm(input, /, eps=1e-5)", [operand("input")], [("eps", "float")],
            ("y", "mean")), False,
     "def norm(input: Tensor, /, eps: float = 1e-5) -> tuple[Tensor, Tensor]:"),
    (schema("parts(input, /)", [operand("input")], (), ("parts...",)), False,
     "def parts(input: Tensor, /) -> tuple[Tensor, ...]:"),
    (schema("update(parameter, grad, /)", [operand("parameter"), operand("grad")], (), ()), False,
     "def update(parameter: Tensor | float, grad: Tensor | float, /) -> None:"),
])
def test_definition(generator, given, method, expected):
    signature = given["signatures"][0]
    text = generator.definition(given, signature, signature.split("(")[0], method)
    assert text == expected
    ast.parse(text + " ...")


def test_defaults_in_brackets_are_one_parameter(generator):
    assert generator.split_parameters("f(a, /, dim=(0, 1), *, b=[2, 3])") == [
        "a", "/", "dim=(0, 1)", "*", "b=[2, 3]"]


def test_installed_stub_has_every_operator():
    native = importlib.import_module("oneflow_like._C")
    path = Path(native.__file__).parent / "_C" / "__init__.pyi"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    tensor = next(node for node in tree.body
                  if isinstance(node, ast.ClassDef) and node.name == "Tensor")
    methods = {node.name: node for node in tensor.body if isinstance(node, ast.FunctionDef)}
    operators = [s for s in native.op_schemas() if s["signatures"]]
    assert operators
    assert {text.split("(")[0] for s in operators for text in s["signatures"]} <= functions
    assert {s["method"] for s in operators if s["method"]} <= set(methods)
    assert (path.parent / "sbp.pyi").exists()
    assert (path.parent.parent / "py.typed").exists()
