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


def schema(inputs, attrs=(), outputs=("output",)):
    return {"inputs": list(inputs),
            "outputs": [{"name": name, "variadic": name.endswith("...")} for name in outputs],
            "attrs": [{"name": name, "type": kind, "required": False} for name, kind in attrs]}


INPUT = [operand("input")]
OUT = "out: Tensor | None = None"


@pytest.mark.parametrize(("signature", "given", "method", "expected"), [
    ("exp(input)", schema(INPUT), False, f"def exp(input: Tensor, *, {OUT}) -> Tensor:"),
    ("exp(input, /)", schema(INPUT), False, f"def exp(input: Tensor, /, *, {OUT}) -> Tensor:"),
    ("add(input, other)", schema([*INPUT, operand("other")]), True,
     f"def add(self, other: Tensor | float, *, {OUT}) -> Tensor:"),
    ("pow(input, exponent: other)", schema([*INPUT, operand("other")]), False,
     f"def pow(input: Tensor | float, exponent: Tensor | float, *, {OUT}) -> Tensor:"),
    ("sum(input, dim=None, *, keepdim=False)",
     schema(INPUT, [("dim", "ints"), ("keepdim", "bool")]), False,
     "def sum(input: Tensor, dim: int | Sequence[int] | None = None, *, "
     f"keepdim: bool = False, {OUT}) -> Tensor:"),
    ("linear(input, weight, bias=None)",
     schema([*INPUT, operand("weight"), operand("bias", optional=True)]), False,
     "def linear(input: Tensor | float, weight: Tensor | float, bias: Tensor | None = None, "
     f"*, {OUT}) -> Tensor:"),
    ("cat(tensors, dim=0)", schema([operand("tensors", variadic=True)], [("dim", "int")]), False,
     f"def cat(tensors: Sequence[Tensor], dim: int = 0, *, {OUT}) -> Tensor:"),
    ("clamp(input, min=None)", schema(INPUT), False,
     f"def clamp(input: Tensor, min: None = None, *, {OUT}) -> Tensor:"),
    ("full(size: shape, value, *, dtype=float32)",
     schema([], [("shape", "ints"), ("value", "float"), ("dtype", "dtype")]), False,
     "def full(size: int | Sequence[int], value: float, *, dtype: _DType = float32, "
     f"{OUT}, device: str | None = None, placement: _Placement | None = None, "
     "sbp: _Sbp | None = None, requires_grad: bool = False) -> Tensor:"),
    ("full_like(input, value)", schema([], [("value", "float")]), False,
     "def full_like(input: Tensor, value: float, *, device: str | None = None, "
     "placement: _Placement | None = None, sbp: _Sbp | None = None, "
     "requires_grad: bool = False) -> Tensor:"),
    ("norm(input, eps=1e-5)", schema(INPUT, [("eps", "float")], ("y", "mean")), False,
     "def norm(input: Tensor, eps: float = 1e-5, *, out: tuple[Tensor, Tensor] | None = None) "
     "-> tuple[Tensor, Tensor]:"),
    ("parts(input)", schema(INPUT, (), ("parts...",)), False,
     "def parts(input: Tensor) -> tuple[Tensor, ...]:"),
    ("update(parameter, grad)", schema([operand("parameter"), operand("grad")], (), ()), False,
     "def update(parameter: Tensor | float, grad: Tensor | float) -> None:"),
])
def test_definition(generator, signature, given, method, expected):
    text, = generator.definitions(given, signature, signature.split("(")[0], method)
    assert text == expected
    ast.parse(text + " ...")


def test_sizes_may_be_written_with_and_without_brackets(generator):
    given = schema(INPUT, [("dims", "ints")])
    assert generator.definitions(given, "permute(input, *dims)", "permute", True) == [
        f"def permute(self, *dims: int, {OUT}) -> Tensor:",
        f"def permute(self, dims: Sequence[int], *, {OUT}) -> Tensor:"]


def test_methods_that_write_into_their_tensor_take_no_out(generator):
    given = schema([*INPUT, operand("other")])
    assert generator.definitions(given, "add(input, other)", "add_", True, in_place=True) == [
        "def add_(self, other: Tensor | float) -> Tensor:"]


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
    methods = {node.name for node in tensor.body if isinstance(node, ast.FunctionDef)}
    operators = native.op_schemas()
    assert operators
    assert {b["name"] for s in operators for b in s["bindings"] if b["function"]} <= functions
    assert {method["name"] for s in operators for method in s["methods"]} <= methods
    assert (path.parent / "sbp.pyi").exists()
    assert (path.parent.parent / "py.typed").exists()
