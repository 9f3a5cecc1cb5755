"""Names in Python: all operators come from the registry, with signature, stub and help."""

import ast
import builtins
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import _C, nn

F = nn.functional
PACKAGE = Path(flow.__file__).parent
SCHEMAS = _C.op_schemas()
FUNCTIONS, METHODS, PROPERTIES = {}, {}, {}  # name -> the (schema, signature) of its overloads
IN_PLACE = {m["name"] for schema in SCHEMAS for m in schema["methods"] if m["in_place"]}
for schema in SCHEMAS:
    for binding in schema["bindings"]:
        if binding["function"]:
            FUNCTIONS.setdefault(binding["name"], []).append((schema, binding["text"]))
    for method in schema["methods"]:
        table = PROPERTIES if method["property"] else METHODS
        for text in method["texts"]:
            table.setdefault(method["name"], []).append((schema, text))
SHOWN = _C.namespaces
PUBLIC = sorted({function for names in SHOWN.values() for function in names.values()})
SLOTS = {"__add__", "__sub__", "__mul__", "__truediv__", "__matmul__"}  # filled in C
# What flow has that is callable and no operator.
OTHERS = {"allclose", "as_tensor", "asarray", "bincount", "broadcast_shapes", "can_cast",
          "compile_world", "detach", "detach_", "einsum", "empty_permuted", "empty_strided",
          "enable_grad", "equal", "from_dlpack", "from_numpy", "frombuffer", "get_default_device",
          "get_default_dtype", "get_device", "get_num_threads", "get_rng_state", "histogramdd",
          "initial_seed", "is_complex", "is_conj", "is_floating_point", "is_grad_enabled",
          "is_inference_mode_enabled", "is_neg", "is_nonzero", "is_same_size", "is_signed",
          "is_tensor", "load", "lobpcg", "lu", "manual_seed", "no_grad", "nonzero", "numel",
          "pca_lowrank", "promote_types", "repeat_interleave", "resize_as_", "result_type", "save",
          "seed", "set_default_device", "set_default_dtype", "set_grad_enabled", "set_num_threads",
          "set_printoptions", "set_rng_state", "show_config", "svd_lowrank", "tensor", "tensordot"}


# Those that need values on the host, call a function of the caller's, or may give None.
PLAIN_OF = {"linalg": {"LinAlgError"},
            "nn.functional": {"multi_head_attention_forward", "one_hot",
                              "triplet_margin_with_distance_loss"}}


# --- where names come from ---------------------------------------------------------------------

def owner_of(namespace):
    return importlib.import_module("oneflow_like" + ("." + namespace if namespace else ""))


def test_public_names_are_the_very_objects_of_the_registry():
    assert {"", "nn.functional", "special"} <= set(SHOWN) and len(SHOWN[""]) > 70
    for namespace, names in SHOWN.items():
        owner = owner_of(namespace)
        for name, function in names.items():
            assert getattr(owner, name) is getattr(_C, function), name
            assert name in owner.__all__ and function in FUNCTIONS
        said = {path for s in SCHEMAS for b in s["bindings"] for path in b["shown"]
                if path.rpartition(".")[0] == namespace}
        assert {path.rpartition(".")[2] for path in said} == set(names)


def test_no_operator_is_public_by_another_way():
    operators = {id(getattr(_C, name)) for name in FUNCTIONS}
    for namespace, names in SHOWN.items():
        owner = owner_of(namespace)
        for name, value in vars(owner).items():
            if id(value) in operators:
                assert name in names, f"{owner.__name__}.{name} is an operator of no list"
        if namespace:
            known = {*names, *PLAIN_OF.get(namespace, ())}
            assert [n for n in vars(owner) if not n.startswith("_") and n not in known] == []
    functions = {name for name in flow.__all__ if callable(getattr(flow, name))
                 and not isinstance(getattr(flow, name), type)}
    assert functions - set(SHOWN[""]) <= OTHERS


def test_inplace_writes_into_the_first_operand():
    x = flow.tensor([-1.0, 2.0])
    assert F.relu(x).tolist() == [0, 2] == F.relu(x, inplace=False).tolist()
    assert x.tolist() == [-1, 2] and F.relu(x, True) is x and x.tolist() == [0, 2]
    leaf = flow.tensor([-1.0, 2.0], requires_grad=True)
    y = leaf * 2
    assert F.relu(y, inplace=True) is y
    y.sum().backward()
    assert leaf.grad.tolist() == [0, 2]
    with pytest.raises(TypeError, match="'inplace' must be bool, not int"):
        F.relu(x, 1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        F.relu(x, out=x)


def test_a_namespace_may_have_a_function_of_its_own():
    """flow.<namespace>.<name> need not have the signature of flow.<name>."""
    assert flow.special.expit is _C.special_expit and "special_expit" not in dir(flow)
    assert "expit" not in dir(flow) and flow.special.expit.__name__ == "special_expit"
    assert flow.special.expit(flow.zeros(2)).tolist() == [0.5, 0.5]
    with pytest.raises(TypeError, match=r"\[special.expit\] missing argument 'input'"):
        flow.special.expit()


def test_python_s_source_names_no_operator_of_its_own():
    """Neither an alias of an operator nor a method that the registry has."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                owner = node.value.value
                alias = isinstance(owner, ast.Name) and owner.id == "_C"
                assert not (alias and node.value.attr in FUNCTIONS), f"{path}: {node.value.attr}"
    for name in {*METHODS} - SLOTS:
        assert type(vars(flow.Tensor)[name]).__name__ == "instancemethod", name


# --- signature, stub, text -----------------------------------------------------------------------

def overloads_of(kind, name):
    return {"function": FUNCTIONS, "method": METHODS}[kind][name]


EVERY = [("function", name) for name in PUBLIC] + [("method", name) for name in METHODS
                                                  if name not in SLOTS]


def object_of(kind, name):
    return getattr(_C if kind == "function" else flow.Tensor, name)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_signature_is_the_registry_s(kind, name):
    value = object_of(kind, name)
    assert value.__name__ == name
    signature = inspect.signature(value)  # every default can be evaluated
    text = overloads_of(kind, name)[0][1]
    assert name + value.__text_signature__ == text
    assert list(signature.parameters) == names_in(ast.parse(f"def {text}: ...").body[0])
    if name in IN_PLACE:
        assert "out" not in signature.parameters


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_reference_text_tells_what_the_definition_says(kind, name):
    doc = object_of(kind, name).__doc__
    for schema, _ in overloads_of(kind, name):
        assert schema["doc"].split("\n")[0] in doc
        assert "Returns: " in doc
        if schema["dtypes"]:
            assert ", ".join(schema["dtypes"]) in doc
        arguments = doc[doc.index("Arguments:"):]
        for parameter in inspect.signature(object_of(kind, name)).parameters:
            assert f"{parameter}: " in arguments or parameter in ("placement", "sbp", "out")
    for _, text in overloads_of(kind, name)[1:]:
        assert text in doc
    assert "Shapes, for example: " in doc


def test_properties_have_their_text():
    assert {"T", "mT", "real", "imag"} <= set(PROPERTIES)
    for name, [(schema, _)] in PROPERTIES.items():
        assert schema["doc"] in vars(flow.Tensor)[name].__doc__


def names_in(node):
    parts = node.args
    every = [*parts.posonlyargs, *parts.args, *([parts.vararg] if parts.vararg else []),
             *parts.kwonlyargs]
    return [argument.arg for argument in every]


def test_stubs_have_every_signature():
    folder = Path(_C.__file__).parent
    tree = ast.parse((folder / "_C" / "__init__.pyi").read_text(encoding="utf-8"))
    tensor = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    for body, table in ((tree.body, FUNCTIONS), (tensor.body, METHODS)):
        stubs = {}
        for node in body:
            if isinstance(node, ast.FunctionDef):
                stubs.setdefault(node.name, []).append(names_in(node))
        for name, overloads in table.items():
            for _, text in overloads:
                given = names_in(ast.parse(f"def {text}: ...").body[0])
                if body is tensor.body:
                    given[0] = "self"
                assert given in stubs[name], (name, given, stubs[name])
    for namespace, names in SHOWN.items():
        file = folder / f"{(namespace or '_functions').replace('.', '/')}.pyi"
        stub = ast.parse(file.read_text(encoding="utf-8"))
        imported = [n.names[0] for n in stub.body if isinstance(n, ast.ImportFrom)]
        assert {alias.asname: alias.name for alias in imported} == names


# --- overloads -----------------------------------------------------------------------------------

def values(tensor):
    return tensor.tolist()


def test_max_and_min_have_torch_s_three_forms():
    x, y = flow.tensor([[1.0, 5.0], [4.0, 2.0]]), flow.tensor([[2.0, 2.0], [2.0, 2.0]])
    for call in (flow.max, flow.Tensor.max):
        assert call(x).item() == 5
        assert values(call(x, 1).values) == [5, 4] and values(call(x, dim=1).indices) == [1, 0]
        assert values(call(x, 0, True).values) == [[4, 5]]
        assert values(call(x, axis=0, keepdims=True).values) == [[4, 5]]
        assert values(call(x, y)) == values(call(x, other=y)) == [[2, 5], [4, 2]]
    with pytest.raises(TypeError, match="'dim' must be int, not float"):
        flow.max(x, 1.5)
    with pytest.raises(TypeError, match=r"no form takes these arguments: got Tensor, Tensor "):
        flow.max(x, y, keepdim=True)
    assert values(x.min(y)) == [[1, 2], [2, 2]] and x.min().item() == 1
    # A whole number of one element is an operand here, not an axis.
    assert values(flow.max(flow.tensor([0, 5]), flow.tensor(1))) == [1, 5]


def test_clamp_takes_numbers_tensors_and_both():
    x = flow.tensor([-2.0, 0.5, 3.0])
    low, high = flow.tensor([-1.0, 1.0, 0.0]), flow.tensor(2.0)
    assert values(x.clamp(-1, 1)) == values(flow.clamp(x, min=-1, max=1)) == [-1, 0.5, 1]
    assert values(x.clamp(low)) == values(x.clamp(min=low)) == [-1, 1, 3]
    assert values(x.clamp(None, high)) == values(flow.clamp(x, max=high)) == [-2, 0.5, 2]
    assert values(x.clamp(low, high)) == [-1, 1, 2]
    assert values(x.clamp(low, 2)) == values(x.clamp(min=low, max=2.0)) == [-1, 1, 2]
    assert values(x.clamp(0, max=high)) == values(x.clamp(min=0, max=high)) == [0, 0.5, 2]
    assert values(x.clamp_(low, 2)) == [-1, 1, 2] == values(x)
    whole = flow.tensor([1, 5]).clamp(max=flow.tensor(2.5))
    assert whole.dtype is flow.float32 and values(whole) == [1, 2.5]
    for wrong in (lambda: x.clamp(), lambda: x.clamp(None, None)):
        with pytest.raises(ValueError, match="neither min nor max"):
            wrong()
    with pytest.raises(TypeError, match="'min' must be number, not str"):
        x.clamp("a")
    with pytest.raises(TypeError, match=r"no form takes these arguments: got Tensor, Tensor, str"):
        x.clamp(low, "a")


def test_gradients_flow_through_tensor_bounds():
    x = flow.tensor([-2.0, 0.5, 3.0], requires_grad=True)
    low = flow.tensor([-1.0, -1.0, -1.0], requires_grad=True)
    x.clamp(low, 2).sum().backward()
    assert values(x.grad) == [0, 1, 0] and values(low.grad) == [1, 0, 0]


def test_add_and_sub_take_alpha():
    x, y = flow.tensor([1.0, 2.0]), flow.tensor([10, 20])
    assert values(flow.add(x, y, alpha=2)) == values(x.add(y, alpha=2)) == [21, 42]
    assert values(x.sub(y, alpha=0.5)) == [-4, -8] and values(x.add(3, alpha=2)) == [7, 8]
    assert values(x.add_(y, alpha=2).sub_(1, alpha=3)) == [18, 39] == values(x)
    with pytest.raises(TypeError, match="whole"):
        flow.tensor([1]).add(flow.tensor([2]), alpha=0.5)


def test_positions_are_torch_s():
    x = flow.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert x.sum(1, True).shape == (2, 1) and x.argmax(0, True).shape == (1, 3)
    assert flow.mean(x, (0, 1), True).shape == (1, 1)
    assert F.embedding(flow.tensor([1, 0]), x).tolist() == [[3, 4, 5], [0, 1, 2]]
    assert F.embedding(weight=x, input=flow.tensor([1])).tolist() == [[3, 4, 5]]
    assert F.one_hot(flow.tensor([1]), 3).tolist() == [[0, 1, 0]]
    assert values(flow.pow(x, exponent=2)[1]) == [9, 16, 25] and values((2 ** x)[0]) == [1, 2, 4]
    assert F.cross_entropy(x, flow.tensor([0, 1]), None, None, 1).shape == ()
    for refused in (lambda: F.cross_entropy(x, flow.tensor([0, 1]), None, True),
                    lambda: F.mse_loss(x, x, True)):
        with pytest.raises(TypeError, match="must be None"):
            refused()
    for refused in (lambda: F.softmax(x, True), lambda: flow.zeros(True), lambda: x.sum((True,))):
        with pytest.raises(TypeError, match="bool"):
            refused()
    with pytest.raises(TypeError, match="must be a tuple or list of Tensors, not Tensor"):
        flow.cat(x)


def test_ranges_have_torch_s_forms():
    assert values(flow.arange(3)) == values(flow.arange(end=3)) == [0, 1, 2]
    assert values(flow.arange(1, 3)) == values(flow.arange(start=1, end=3)) == [1, 2]
    assert values(flow.arange(1, 6, 2)) == values(flow.arange(1, 6, step=2)) == [1, 3, 5]
    assert flow.arange(3).dtype is flow.int64 and flow.arange(3.0).dtype is flow.float32
    assert flow.arange(3, dtype=flow.int8).dtype is flow.int8
    assert flow.arange(0, 1, 0.5).dtype is flow.float32


def test_numbers_say_the_dtype_of_full():
    for number, dtype in ((1, flow.int64), (1.0, flow.float32), (True, flow.bool),
                          (1j, flow.complex64)):
        assert flow.full((2,), number).dtype is dtype
        assert flow.full(2, number, dtype=None).dtype is dtype
        assert flow.full_like(flow.ones(2, dtype=flow.float64), 3).dtype is flow.float64
    assert flow.zeros(2, dtype=None).dtype is flow.ones(2).dtype is flow.float32
    assert flow.zeros(size=(2, 3)).shape == flow.zeros([2, 3]).shape == (2, 3)
    assert flow.zeros().shape == flow.rand().shape == ()
    assert flow.randint(5, (3,)).shape == flow.randint(2, 5, size=(3,)).shape == (3,)
    assert set(values(flow.randint_like(flow.ones(50, dtype=flow.int32), 3, 5))) == {3, 4}


def test_what_makes_tensors_of_tensors():
    x = flow.ones(2, 3, dtype=flow.float64)
    assert x.new_zeros(4).dtype is flow.float64 and x.new_ones((2, 2)).shape == (2, 2)
    assert values(x.new_full((2,), 7)) == [7, 7]
    assert values(x.fill_(3)[0]) == [3, 3, 3] and values(x.zero_()[0]) == [0, 0, 0]
    flow.manual_seed(3)
    first = values(x.normal_(1.0, std=0.0)[0])
    assert first == [1, 1, 1] and x.uniform_(5, 6).numpy().min() >= 5
    with pytest.raises(TypeError, match="argument 'input' .* must be Tensor, not int"):
        flow.zeros_like(3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        x.add_(1, out=x)
    with pytest.raises(ValueError, match="sbp=None beside a local tensor"):
        flow.zeros_like(x, placement=flow.placement("cpu", ranks=[0]))


def test_what_changes_nothing_returns_the_tensor_itself():
    x, parameter = flow.ones(2, 3), nn.Parameter(flow.ones(2))
    assert x.float() is x and x.to(flow.float32) is x and x.type_as(flow.zeros(1)) is x
    assert F.dropout(x, training=False) is x and F.dropout(x, 0.0) is x
    assert parameter.float() is parameter and parameter.t() is parameter
    assert x.long().dtype is flow.int64 and x.bfloat16().dtype is flow.bfloat16
    assert (F.dropout(x, 1.0) is not x) and values(F.dropout(x, 1.0)[0]) == [0, 0, 0]


def test_parts():
    x = flow.tensor(np.arange(10).reshape(5, 2))
    for parts in (flow.split(x, 2), x.split(split_size_or_sections=2), flow.split(x, [2, 2, 1]),
                  x.chunk(3), flow.chunk(x, chunks=3)):
        assert isinstance(parts, tuple) and [p.shape[0] for p in parts] == [2, 2, 1]
        assert values(flow.cat(parts)) == values(x)
    assert isinstance(x.split(5), tuple) and len(x.split(5)) == 1
    assert values(flow.narrow(x, 0, 1, 2)) == values(x.narrow(0, -4, 2)) == [[2, 3], [4, 5]]
    with pytest.raises(ValueError, match=r"\[narrow\] start \(4\) \+ length \(2\)"):
        x.narrow(0, 4, 2)
    with pytest.raises(ValueError, match="at most 1048576 parts"):
        flow.zeros(2**40, 0).split(1)


def test_properties():
    z = flow.tensor([[1 + 2j, 3 - 1j]])
    assert values(z.real) == [[1, 3]] and values(z.imag) == [[2, -1]]
    assert z.T.shape == z.mT.shape == (2, 1) and flow.ones(2, 3, 4).mT.shape == (2, 4, 3)
    with pytest.raises(AttributeError):
        z.T = z


def test_errors_name_the_operator_and_what_was_called():
    with pytest.raises(ValueError, match=r"^\[ones\] sizes must not be negative(.|\n)*in \[full\]"):
        flow.ones(-1)
    with pytest.raises(IndexError, match=r"\[squeeze\] Dimension out of range"):
        flow.ones(2).squeeze(3)
    with pytest.raises(ValueError, match=r"\[embedding\] weight must be a matrix"):
        F.embedding(flow.tensor([0]), flow.ones(3))


def test_requires_grad_is_honoured_or_refused():
    assert flow.zeros_like(flow.ones(2), requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="only floating tensors"):
        flow.zeros(2, dtype=flow.int64, requires_grad=True)

    class Program(nn.Graph):
        def build(self):
            return flow.zeros(2, requires_grad=True)

    with pytest.raises(RuntimeError, match="requires_grad was set inside build"):
        Program()()


def test_every_function_of_flow_is_no_builtin_of_python():
    for name in ("abs", "max", "min", "sum", "pow"):
        assert getattr(flow, name) is not getattr(builtins, name)


LIKE = """
import oneflow_like as flow
P = flow.placement.all("cpu")
B, S, PARTIAL = flow.sbp.broadcast, flow.sbp.split, flow.sbp.partial_sum
x = flow.ones(4, 2).to_global(placement=P, sbp=PARTIAL)
for made in (flow.zeros_like(x), flow.rand_like(x), flow.full_like(x, 3), x.new_ones(4, 2)):
    assert made.sbp == (B,) and made.placement == P and made.shape == (4, 2), made
split = x.to_global(sbp=S(0))
assert flow.ones_like(split).sbp == (S(0),)
assert flow.ones_like(split, sbp=B).sbp == (B,) and flow.ones_like(x, placement=P).sbp == (B,)
assert flow.zeros_like(flow.ones(2), placement=P, sbp=S(0)).sbp == (S(0),)
assert x.fill_(5) is x and x.sbp == (PARTIAL,) and x.numpy().tolist() == [[5.0, 5.0]] * 4
assert split.zero_().sbp == (S(0),) and split.numpy().sum() == 0
assert split.uniform_(1, 2).sbp == (S(0),) and split.numpy().min() >= 1
if flow.env.get_rank() == 0:  # no communication
    assert flow.zeros_like(x).to_local().sum().item() == 0

class Program(flow.nn.Graph):
    def build(self, a):
        b = a * 2
        return flow.ones_like(b) + b, flow.randn_like(a).sbp == a.sbp

y, same = Program()(split)
assert same and (y.numpy() == split.numpy() * 2 + 1).all()
print("fine")
"""


def test_layouts_of_what_is_made_like_a_tensor(tmp_path):
    assert run_text(tmp_path, 2, LIKE).stdout.count("fine") == 2
