"""Errors of everyday slips say what was wrong, what was given, what is expected and what to do."""

import ast
import math
import os
import pathlib
import pickle
import re

import numpy as np
import pytest
from graph_case import Of
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.autograd import functional

F = nn.functional


def rows(*shape, dtype=flow.float32):
    return flow.ones(*shape, dtype=dtype)


def spread(*shape):
    return flow.ones(*shape, placement=flow.placement("cpu", ranks=[0]), sbp=flow.sbp.broadcast)


def linear(a):
    return (a * 2).sum()


# the call; what PyTorch raises; words of the text, in their order
CASES = {
    "bool": (lambda: bool(rows(2)), RuntimeError,
             ["[bool] Boolean value", "more than one", "got float32[2]", "expected", "x.any()"]),
    "bool of nothing": (lambda: bool(rows(0)), RuntimeError, ["with no values", "got float32[0]"]),
    "len": (lambda: len(rows()), TypeError, ["len() of a 0-d tensor", "got float32[]"]),
    "iteration": (lambda: list(rows()), TypeError, ["over a 0-d tensor", "got", "x.item()"]),
    "fraction for an index": (lambda: rows(2)[1.0], IndexError,
                              ["[getitem]", "got float", "expected one of these", "int(index)"]),
    "tensor for an index": (lambda: [1, 2][rows(2)], TypeError,
                            ["only integer tensors", "got float32[2]", "expected an integer"]),
    "two inferred sizes": (lambda: rows(2, 3).reshape(-1, -1), RuntimeError,
                           ["[reshape] only one dimension can be inferred", "[-1, -1]",
                            "expected the size -1 at most once"]),
    "two inferred sizes of a view": (lambda: rows(2, 3).view(-1, 2, -1), RuntimeError,
                                     ["[view] only one dimension can be inferred", "expected"]),
    "another negative size": (lambda: rows(2, 3).reshape(-2, 3), RuntimeError,
                              ["[reshape] sizes must not be negative, got -2",
                               "expected sizes of at least 0"]),
    "cat": (lambda: flow.cat([rows(2, 3, 4), rows(2, 4, 4)]), RuntimeError,
            ["[cat] the tensors must agree", "float32[2,4,4]", "tensor 1", "expected (*, 3, 4)"]),
    "cat of other ranks": (lambda: flow.cat([rows(2, 3), rows(3)], dim=1), RuntimeError,
                           ["[cat]", "tensor 1", "expected (2, *)"]),
    "axis": (lambda: rows(2, 3).sum(dim=3), IndexError,
             ["[sum] Dimension out of range", "[-2, 1]", "got 3", "float32[2,3]"]),
    "axis of size": (lambda: rows(2, 3).size(2), IndexError,
                     ["[size] Dimension out of range", "[-2, 1]", "got 2", "float32[2,3]"]),
    "text for an axis of size": (lambda: rows(2).size("0"), TypeError,
                                 ["[size] argument 'dim' must be int, not str", "expected"]),
    "flag for an axis of size": (lambda: rows(2).size(True), TypeError, ["must be int, not bool"]),
    "axis of stride": (lambda: rows(2, 3).stride(2), IndexError,
                       ["[stride] Dimension out of range", "[-2, 1]", "got 2", "float32[2,3]"]),
    "item": (lambda: rows(1).item(1), TypeError, ["[item]", "got (int)", "expected item(self)"]),
    "numpy": (lambda: rows(1).numpy(force=1), TypeError,
              ["[numpy]", "got (kwargs = { force: int })", "expected numpy(self, *, force: bool"]),
    "numel": (lambda: flow.Tensor.numel(3), TypeError, ["[numel]", "got (int)", "numel(self)"]),
    "stride": (lambda: rows(1).stride("a"), TypeError, ["[stride]", "got (str)", "dim: int |"]),
    "placement": (lambda: flow.placement(), TypeError,
                  ["[placement]", "got ()", "expected placement(type:", "ranks:"]),
    "device": (lambda: flow.device(), TypeError, ["[device]", "got ()", "expected device(type:"]),
    "generator": (lambda: flow.Generator("cpu", 2), TypeError,
                  ["[Generator]", "got (str, int)", "expected Generator(device:"]),
    "sbp": (lambda: flow.sbp.split(1, 2, 3), TypeError, ["[split]", "got (int, int, int)"]),
    "size": (lambda: flow.Size("ab"), TypeError, ["[Size]", "item 0, which is str", "expected"]),
    "requires_grad": (lambda: setattr(rows(1), "requires_grad", 2), RuntimeError,
                      ["[requires_grad] requires_grad must be a bool", "got int", "expected True"]),
    "size_average": (lambda: F.mse_loss(rows(2), rows(2), size_average=True), TypeError,
                     ["[mse_loss]", "'size_average'", "not bool", "expected", "use reduction="]),
    "reduce": (lambda: F.kl_div(rows(2), rows(2), reduce=False), TypeError,
               ["[kl_div]", "'reduce'", "not bool", "use reduction="]),
    "size_average of a loss": (lambda: nn.MSELoss(size_average=False), TypeError,
                               ["[MSELoss]", "'size_average'", "use reduction="]),
    "reduce of a loss": (lambda: nn.CrossEntropyLoss(reduce=True), TypeError,
                         ["[CrossEntropyLoss]", "'reduce'", "use reduction="]),
    "tril": (lambda: rows(2).tril(), RuntimeError, ["[tril]", "got", "float32[2]", "expected"]),
    "normal": (lambda: flow.normal(0.0, -1.0, (2,)), RuntimeError,
               ["[normal] std must not be negative", "std=-1.0", "expected at least 0"]),
    "one_hot": (lambda: F.one_hot(flow.tensor([-3])), RuntimeError,
                ["[one_hot] a class is negative", "got -3", "expected"]),
    "train": (lambda: nn.Linear(1, 1).train(5), ValueError,
              ["[train] training mode is expected to be boolean", "got int", "expected True"]),
    "dtype": (lambda: flow.promote_types(5, flow.float32), TypeError,
              ["[promote_types]", "not int", "expected for example flow.float32"]),
    "pickle": (lambda: pickle.dumps(spread(2)), TypeError,
               ["[pickle]", "got float32[2]{(B)", "expected a local one", "flow.save"]),
    "vjp": (lambda: functional.vjp(lambda a: a * 2, rows(3)), RuntimeError,
            ["[vjp] The vector v can only be None", "got float32[3]", "expected v"]),
    "jvp": (lambda: functional.jvp(lambda a: a * 2, rows(3)), RuntimeError,
            ["[jvp] The vector v can only be None", "got float32[3]", "expected v"]),
    "hvp": (lambda: functional.hvp(linear, rows(3)), RuntimeError,
            ["[hvp] The vector v can only be None", "got float32[3]", "expected v"]),
    "hvp of another shape": (lambda: functional.hvp(linear, rows(3), rows(4)), RuntimeError,
                             ["[hvp] v has an invalid size", "got (4,)", "expected (3,)"]),
    "vhp": (lambda: functional.vhp(lambda a: a * 2, rows(3), rows(3)), RuntimeError,
            ["function given to vhp should contain a single element", "got float32[3]", "sum it"]),
    "strict jacobian": (
        lambda: functional.jacobian(lambda a: (a * 2, rows(2)), rows(3), strict=True), RuntimeError,
        ["[jacobian] Output 1 of the user-provided function does not require gradients", "got",
         "expected", "use strict=False"]),
    "strict jacobian of two": (
        lambda: functional.jacobian(lambda a, b: a * 2, (rows(3), rows(3)), strict=True),
        RuntimeError, ["Output 0 of the user-provided function is independent of input 1", "got",
                       "expected", "use strict=False"]),
    "strict hessian": (lambda: functional.hessian(linear, rows(3), strict=True), RuntimeError,
                       ["[hessian] the jacobian of the user-provided", "use strict=False"]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_says_it_all(name):
    call, kind, words = CASES[name]
    with pytest.raises(kind) as caught:
        call()
    text, at = str(caught.value), 0
    for word in words:
        assert word in text[at:], (word, text)
        at = text.index(word, at) + len(word)


def test_what_is_right_still_goes():
    assert rows(2, 3).size(np.int64(1)) == 3 and rows(2, 3).size(-1) == 3
    assert flow.Size([2, 3]) == (2, 3)
    assert flow.Size(np.arange(3)) == (0, 1, 2) and flow.Size() == ()
    weight = flow.tensor([1.0, 3.0])
    assert nn.Parameter().shape == (0,) and nn.Parameter().requires_grad
    loss = nn.CrossEntropyLoss(weight, label_smoothing=0.5)
    got = loss(rows(2, 2), flow.tensor([0, 1]))
    np.testing.assert_allclose(got.item(), np.log(2), rtol=1e-6)
    assert list(loss.state_dict()) == ["weight"] and not nn.CrossEntropyLoss().state_dict()


# PyTorch's class of calls that are refused in Python here; each is a RuntimeError too.
CLASSES = {
    "copy_": (lambda: rows(2).copy_(rows(3)), RuntimeError),
    "copy_ of text": (lambda: rows(2).copy_("a"), TypeError),
    "bincount": (lambda: flow.bincount(flow.tensor([-1])), RuntimeError),
    "broadcast_shapes": (lambda: flow.broadcast_shapes((2,), (3,)), RuntimeError),
    "empty_strided": (lambda: flow.empty_strided((2,), (-1,)), RuntimeError),
    "tensor": (lambda: flow.tensor(None), RuntimeError),
    "tensor of text": (lambda: flow.tensor("a"), TypeError),
    "getitem": (lambda: rows(2)[5], IndexError),
    "getitem by fraction": (lambda: rows(2)[1.5], IndexError),
    "setitem": (lambda: rows(2).__setitem__(0, "a"), TypeError),
    "to": (lambda: rows(2).to(3.5), TypeError),
    "set_num_threads": (lambda: flow.set_num_threads("a"), RuntimeError),
    "set_grad_enabled": (lambda: flow.set_grad_enabled("a"), TypeError),
    "argmax of nothing": (lambda: rows(0).argmax(), IndexError),
    "max along nothing": (lambda: rows(0, 3).max(0), IndexError),
    "amin along nothing": (lambda: rows(0, 3).amin(0), IndexError),
    "median along nothing": (lambda: rows(0, 3).median(0), IndexError),
    "max of nothing": (lambda: rows(0).max(), RuntimeError),
    "pad": (lambda: F.pad(rows(2, 3), (1, 1), mode="mirror"), NotImplementedError),
    "interpolate": (lambda: F.interpolate(rows(1, 1, 2, 2), size=3, mode="cubical"),
                    NotImplementedError),
    "learning rate": (lambda: flow.optim.SGD([nn.Parameter(rows(1))], lr=-1.0), ValueError),
    "register_buffer": (lambda: nn.Module().register_buffer("a", 1), TypeError),
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_class_is_pytorchs_and_a_runtime_error(name):
    call, kind = CLASSES[name]
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, RuntimeError)


def test_no_function_raises_a_class_that_is_no_runtime_error():
    home = pathlib.Path(flow.__file__).parent
    apart = {"cli", "testing", "distributed"}  # programs, and tools of tests
    for path in home.rglob("*.py"):
        name = path.relative_to(home)
        if name.parts[0] in apart or str(name) in ("env.py", "_lifecycle.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.exc.func if isinstance(node, ast.Raise) and isinstance(
                node.exc, ast.Call) else None
            assert getattr(called, "id", "") not in ("ValueError", "TypeError", "IndexError"), (
                f"{name}:{node.lineno}")


class Twice(flow.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def gradient_of_the_argument(x):
    return flow.autograd.grad((x * x).sum(), x)


def masked(x):
    y = x * 1
    y[y > 0] = x
    return y


GRADIENTS = ["inside build()", "got a call while tracing", "expected loss.backward()", "outside"]
IN_GRAPHS = {
    "grad": (gradient_of_the_argument, NotImplementedError, ["[grad]", *GRADIENTS]),
    "jacobian": (lambda x: functional.jacobian(lambda a: a * a, x), NotImplementedError,
                 ["[jacobian]", *GRADIENTS]),
    "hvp": (lambda x: functional.hvp(lambda a: (a * a).sum(), x, x), NotImplementedError,
            ["[hvp]", *GRADIENTS]),
    "a mask read": (lambda x: x[x > 0], RuntimeError,
                    ["[getitem]", "depends on values", "got bool[2]", "expected integers",
                     "use flow.where(mask, x, 0)"]),
    "a mask written": (masked, RuntimeError,
                       ["[setitem]", "depends on values", "got bool[2]", "expected integers",
                        "use x[mask] = number", "x.masked_scatter_"]),
}


@pytest.mark.parametrize("where", ["local", "global"])
@pytest.mark.parametrize("name", IN_GRAPHS)
def test_the_text_of_a_graph_says_it_all(name, where):
    build, kind, words = IN_GRAPHS[name]
    with pytest.raises(kind) as caught:
        Of(build)(rows(2) if where == "local" else spread(2))
    text, at = str(caught.value), 0
    for word in words:
        assert word in text[at:], (word, text)
        at = text.index(word, at) + len(word)


def test_a_function_in_a_graph():
    layer = nn.Linear(2, 2)
    assert Of(Twice.apply)(rows(2)).tolist() == [2.0, 2.0]
    with pytest.raises(NotImplementedError, match=r"\[Twice\] a Function of values that require"):
        Of(lambda x: Twice.apply(layer(x)), layer)(rows(2))


AWAY = """
import os
os.environ["OFL_OPERATION_TIMEOUT_S"] = "1"
import oneflow_like as flow
x = flow.ones(4, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
flow.comm.barrier()
if flow.env.get_rank() == 1:
    {away}
    os._exit(0)
try:
    {call}
except {kind} as error:
    open({line!r}, "w").close()
    text = str(error)
    assert text.startswith("[{name}] rank 1 ") and "; expected every rank to make" in text, text
    assert "{fix}" in text, text
    print("told")
os._exit(0)
"""


@pytest.mark.parametrize(("call", "name"), [
    ("x.to_global(sbp=flow.sbp.broadcast)", "to_global"), ("x.numpy()", "numpy"),
    ("x.sum().item()", "item")])
def test_who_waits_for_a_rank_in_vain_hears_for_what(tmp_path, call, name):
    line = str(tmp_path / "line")
    gone = AWAY.format(away="pass", call=call, name=name, kind="ConnectionError", line=line,
                       fix="what that rank wrote")
    assert run_text(tmp_path, 2, gone).stdout.count("told") == 1
    os.remove(line)
    os.mkfifo(line)  # rank 1 waits until rank 0 has heard
    late = AWAY.format(away=f"open({line!r}).read()", call=call, name=name, kind="TimeoutError",
                       line=line, fix="set OFL_OPERATION_TIMEOUT_S")
    assert run_text(tmp_path, 2, late).stdout.count("told") == 1


@pytest.mark.parametrize("call", [
    lambda: flow.einsum("a" * 10 ** 6, flow.ones(1)), lambda: flow.device("x" * 10 ** 6),
    lambda: flow.comm.all_reduce(flow.ones(1), op="x" * 10 ** 6),
    lambda: nn.MSELoss(reduction="x" * 10 ** 6)])
def test_an_error_does_not_repeat_megabytes(call):
    with pytest.raises(ValueError, match="expected") as told:
        call()
    text = str(told.value)
    assert len(text) < 10_000
    left_out = re.search(r" \.\.\. \(\d+ (bytes|characters) left out\) \.\.\. ", text)
    assert text.startswith("[") and ("\n  at " in text or left_out.group(1) == "characters")


@pytest.mark.parametrize(("call", "text"), [
    (lambda: flow.arange(0, 10, 0), "the step is 0: got .*expected step != 0"),
    (lambda: flow.arange(0.0, 1, 0), "the step is 0"),
    (lambda: flow.range(0, 1, 0), "the step is 0"),
    (lambda: flow.arange(0, math.inf), "bounds and step must be finite: got end=inf; expected num"),
    (lambda: flow.ones(1, device="cuda"), "there are no kernels for other devices"),
])
def test_an_error_names_what_is_wrong(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def parameter():
    return [flow.ones(1, requires_grad=True)]


@pytest.mark.parametrize(("call", "text"), [
    (lambda: nn.Linear(2), r"\[Linear\] .*'out_features'; expected Linear\(in_features, out_feat"),
    (lambda: nn.Linear(2, 2, gain=1), r"\[Linear\] .* 'gain'; expected Linear\("),
    (lambda: nn.Tanh(inplace=True), r"\[Tanh\] .* 'inplace'; expected Tanh\(\)"),
    (lambda: nn.LSTM(), r"\[LSTM\] .*'input_size'; expected LSTM\("),
    (lambda: flow.optim.AdamW(parameter(), amsgrad=True), r"\[AdamW\] .*'amsgrad'.*maximize=False"),
    (lambda: flow.optim.Adam(parameter(), foreach=True), r"\[Adam\] .*one by one; leave it out"),
    (lambda: flow.optim.lr_scheduler.StepLR(flow.optim.SGD(parameter())),
     r"\[StepLR\] .*'step_size'; expected StepLR\(optimizer, step_size"),
])
def test_a_constructor_says_what_it_takes(call, text):
    with pytest.raises(flow.TypeMismatchError, match=text):
        call()


def test_a_type_error_inside_a_constructor_stays_as_it_is():
    class Broken(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            len(3)
    with pytest.raises(TypeError, match="has no len") as told:
        Broken()
    assert not isinstance(told.value, flow.TypeMismatchError)


@pytest.mark.parametrize("call", [
    lambda: flow.comm.all_gather([None], flow.ones(1)),
    lambda: flow.comm.all_gather(None, flow.ones(1)),
    lambda: flow.comm.all_gather_into_tensor(None, flow.ones(1)),
    lambda: flow.comm.reduce_scatter_tensor(None, flow.ones(1)),
    lambda: flow.comm.reduce_scatter(None, [flow.ones(1)]),
    lambda: flow.comm.reduce_scatter(flow.ones(1), [None]),
    lambda: flow.comm.reduce_scatter(flow.ones(1), 3)])
def test_a_collective_takes_tensors_alone(call):
    with pytest.raises(flow.TypeMismatchError, match="NoneType|not int"):
        call()
