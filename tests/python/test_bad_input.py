"""Wrong calls in one process: each is one clear error, and nothing is half done afterwards."""

import os

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.nn.utils import rnn

F = nn.functional
B, S = flow.sbp.broadcast, flow.sbp.split
PARTIAL = flow.sbp.partial_sum


def here():
    return flow.placement("cpu", ranks=[0])


def local(*shape, dtype=flow.float32):
    return flow.ones(shape or (4, 4), dtype=dtype)


def spread(*shape, dtype=flow.float32, sbp=B):
    return flow.ones(shape or (4, 4), dtype=dtype, placement=here(), sbp=sbp)


def param(*shape):
    return nn.Parameter(flow.ones(shape or (3,)))


def numbers(*values):
    return flow.tensor(list(values))


def bags(*offsets):
    return F.embedding_bag(numbers(0, 1, 2), local(3, 2), flow.tensor(offsets, dtype=flow.int64))


def packed_sequence(*sizes, order=None):
    return rnn.PackedSequence(local(3, 2), flow.tensor(sizes, dtype=flow.int64),
                              None if order is None else flow.tensor(order))


def packed(*sizes):
    return rnn.pad_packed_sequence(packed_sequence(*sizes))


LAYOUTS = {
    "axis beyond the shape": (lambda: spread(sbp=S(5)), ValueError,
                              ["axis 5", "(4, 4)", "expected an axis below 2"]),
    "axis beyond, converted": (lambda: spread().to_global(sbp=S(5)), ValueError,
                               ["to_global", "axis 5", "expected an axis below 2"]),
    "negative axis": (lambda: S(-1), ValueError, ["[sbp.split]", "-1"]),
    "huge axis": (lambda: S(10**30), ValueError, ["[sbp.split]", "maximum axis"]),
    "axis of a wrong type": (lambda: S("0"), TypeError, ["[sbp.split]", "not str"]),
    "no axis": (lambda: S(), ValueError, ["[sbp.split]", "sbp.split(0)"]),
    "partial of bool": (lambda: spread(dtype=flow.bool, sbp=PARTIAL), ValueError,
                        ["bool", "P(sum)", "expected P(max)"]),
    "too many symbols": (lambda: spread(sbp=(B, B)), ValueError,
                         ["symbols", "(B, B)", "1 mesh axes"]),
    "no symbols": (lambda: spread(sbp=()), ValueError, ["0 symbols", "one for each axis"]),
    "text for a symbol": (lambda: spread(sbp="S0"), TypeError, ["'sbp'", "not str", "sbp.split"]),
    "rank outside the world": (lambda: flow.placement("cpu", ranks=[0, 1]), ValueError,
                               ["[placement]", "[0, 1]", "from 0 to 0", "oneflow-like-run"]),
    "negative rank": (lambda: flow.placement("cpu", ranks=[-1]), ValueError,
                      ["[placement]", "[-1]"]),
    "huge rank": (lambda: flow.placement("cpu", ranks=[10**30]), ValueError, ["outside the world"]),
    "rank twice": (lambda: flow.placement("cpu", ranks=[0, 0]), ValueError,
                   ["[placement]", "rank 0 stands twice"]),
    "no ranks": (lambda: flow.placement("cpu", ranks=[]), ValueError,
                 ["[placement]", "at least one rank"]),
    "None for ranks": (lambda: flow.placement("cpu", ranks=None), ValueError,
                       ["[placement]", "NoneType", "for example [0, 1]"]),
    "uneven mesh": (lambda: flow.placement("cpu", ranks=[[0], [0, 0]]), ValueError,
                    ["nested unevenly", "[[0, 1], [2, 3]]"]),
    "unknown device": (lambda: flow.placement("tpu", ranks=[0]), ValueError,
                       ["[placement]", "'tpu'", "cpu, cuda or null"]),
    "number for a device": (lambda: flow.placement(3, ranks=[0]), TypeError, ["'type'", "not int"]),
    "device without kernels": (
        lambda: flow.ones(2, placement=flow.placement("cuda", ranks=[0]), sbp=B),
        NotImplementedError, ["[full]", "cuda", "cpu only"]),
    "names that do not fit the mesh": (
        lambda: flow.placement("cpu", ranks=[0], axis_names=["a", "b"]), ValueError,
        ["2 axis names", "1 axes"]),
    "placement without sbp": (lambda: flow.ones(2, placement=here()), ValueError,
                              ["placement", "sbp=None", "expected both"]),
    "text for a placement": (lambda: local().to_global(placement="cpu", sbp=B), TypeError,
                             ["'placement'", "not str"]),
    "local to_global without a layout": (lambda: local().to_global(), ValueError, ["needs both"]),
    "to_local of a local tensor": (lambda: local().to_local(), ValueError, ["[to_local]"]),
    "no world to compile for": (lambda: flow.compile_world(0).__enter__(), ValueError,
                                ["[compile_world]", "got 0"]),
    "a world too large": (lambda: flow.compile_world(2**31).__enter__(), ValueError,
                          ["[compile_world]", "65536"]),
}

TENSORS = {
    "shapes that do not broadcast": (lambda: local(2, 3) + local(4, 5), ValueError,
                                     ["[add]", "float32[2,3]", "float32[4,5]", "expected"]),
    "inner sizes": (lambda: local(2, 3) @ local(2, 3), ValueError,
                    ["[matmul]", "3 != 2", "expected"]),
    "two dtypes": (lambda: local() @ local(dtype=flow.int64), TypeError,
                   ["[matmul]", "one dtype", ".to(dtype)"]),
    "more memory than there is": (lambda: local(10**12), RuntimeError,
                                  ["out of memory", "4000000000000", "[full]"]),
    "more elements than a shape holds": (lambda: local(10**10, 10**10), ValueError, ["2^48"]),
    "a product that does not fit": (lambda: local(10**6, 1) @ local(1, 10**6), RuntimeError,
                                    ["out of memory", "[matmul]"]),
    "an expansion that does not fit": (lambda: flow.ones(1).expand(10**13) + 1, RuntimeError,
                                       ["out of memory"]),
    "nine axes": (lambda: local(*[1] * 9), ValueError, ["at most 8 axes"]),
    "negative size": (lambda: flow.ones(-1), ValueError, ["shape=[-1]", "negative"]),
    "fraction of a size": (lambda: flow.ones(2.5), TypeError, ["[ones]", "'size'", "holds float"]),
    "text for a dtype": (lambda: flow.tensor([1], dtype="float32"), TypeError,
                         ["'dtype'", "not str", "flow.float32"]),
    "text for data": (lambda: flow.tensor(["a"]), TypeError, ["<U1"]),
    "nothing for data": (lambda: flow.tensor(None), TypeError, ["object"]),
    "dates for data": (lambda: flow.tensor(np.array(["2020-01-01"], "datetime64[D]")), TypeError,
                       ["datetime64"]),
    "whole number beyond 64 bits": (lambda: flow.tensor(2**70), TypeError, ["[tensor]"]),
    "ragged list": (lambda: flow.tensor([[1], [1, 2]]), ValueError, ["not rectangular"]),
    "list for an array": (lambda: flow.from_numpy([1]), TypeError, ["np.ndarray", "list"]),
    "value beyond its dtype": (lambda: flow.full((2,), 300, dtype=flow.uint8), ValueError,
                               ["uint8", "300"]),
    "array as an operand": (lambda: flow.add(local(), np.ones((4, 4))), TypeError,
                            ["[add]", "ndarray", "flow.from_numpy"]),
    "None as an operand": (lambda: flow.matmul(local(), None), TypeError, ["[matmul]", "'other'"]),
    "item of many": (lambda: local().item(), ValueError, ["[item]", "16 elements"]),
    "item of none": (lambda: flow.zeros(0).item(), ValueError, ["[item]", "0 elements"]),
    "extreme of nothing": (lambda: flow.max(flow.zeros(0)), ValueError, ["[amax]", "empty"]),
    "index outside a table": (lambda: F.embedding(numbers(9), local()), IndexError,
                              ["[embedding]", "got 9", "index < 4"]),
    "fractions as indices": (lambda: F.embedding(numbers(1.0), local()), TypeError,
                             ["[embedding]", "int64", ".to(flow.int64)"]),
    "class that does not exist": (lambda: F.cross_entropy(local(2, 3), numbers(0, 9)), IndexError,
                                  ["cross_entropy", "got 9", "target < 3"]),
    "not a probability": (lambda: F.dropout(local(), p=float("nan")), ValueError, ["[dropout]"]),
    "shape of another size": (lambda: local().reshape(3, -1), ValueError, ["[reshape]", "16"]),
    "axes named twice": (lambda: local().permute(0, 0), ValueError, ["[permute]", "repeated"]),
    "nothing to concatenate": (lambda: flow.cat([]), ValueError, ["at least 1"]),
    "numbers to stack": (lambda: flow.stack([1, 2]), TypeError, ["[stack]", "not int"]),
    "parts of no size": (lambda: local().split(0), ValueError, ["[split]", "got 0"]),
    "parts of negative size": (lambda: local().split([5, -1]), RuntimeError, ["[5, -1]"]),
    "no chunks": (lambda: local().chunk(0), ValueError, ["[chunk]", "got 0"]),
    "range without end": (lambda: flow.arange(0, float("inf")), ValueError, ["[arange]", "finite"]),
    "range of text": (lambda: flow.arange("a"), TypeError, ["[arange]", "'end'", "not str"]),
    "range the wrong way": (lambda: flow.arange(0, 9, -1), ValueError, ["[arange]", "towards"]),
    "no integers to draw": (lambda: flow.randint(5, 2, (3,)), ValueError,
                            ["[randint]", "low < high"]),
    "integers too large to draw": (lambda: flow.randint(0, 2**70, (3,)), TypeError,
                                   ["[randint]", "'high'", "beyond 64 bits"]),
    "list assigned": (lambda: local().__setitem__(0, [1.0]), TypeError, ["[setitem]", "list"]),
    "bags that begin elsewhere": (lambda: bags(1, 2), ValueError,
                                  ["[embedding_bag]", "offsets[0]", "got 1"]),
    "a bag behind the input": (lambda: bags(0, 5), ValueError,
                               ["[embedding_bag]", "offsets[1]", "got 5", "0 to its length 3"]),
    "a bag before the input": (lambda: bags(0, -1), ValueError, ["offsets[1]", "got -1"]),
    "no bags": (lambda: bags(), ValueError, ["[embedding_bag]", "no bag"]),
    "a stride without end": (lambda: F.conv2d(local(1, 1, 4, 4), local(1, 1, 3, 3), stride=2**63-1),
                             ValueError, ["[conv2d]", "at least 1, less than 2^47"]),
    "sizes of a packed batch that grow": (lambda: packed(1, 2), ValueError,
                                          ["[pad_packed_sequence]", "[1, 2]", "never grow"]),
    "sizes of other rows": (lambda: packed(5, 1), ValueError, ["[5, 1]", "3 rows"]),
    "sizes below 1": (lambda: packed(-2, 5), ValueError, ["[-2, 5]"]),
    "no sizes": (lambda: packed(), ValueError, ["[]"]),
    "a layer of a wrong packed batch": (lambda: nn.LSTM(2, 3)(packed_sequence(2, 2)), ValueError,
                                        ["[LSTM]", "[2, 2]"]),
    "an order that is none": (lambda: packed_sequence(2, 1, order=[5, 9]), ValueError,
                              ["[invert_permutation]", "each of 0 to 1 once"]),
    "a number for a packed batch": (lambda: rnn.pad_packed_sequence(3), TypeError,
                                    ["[pad_packed_sequence]", "int"]),
    "a vector for padded sequences": (lambda: rnn.pack_padded_sequence(local(5), [1]), TypeError,
                                      ["[pack_padded_sequence]", "float32[5]"]),
    "numbers for sequences": (lambda: rnn.pack_sequence([1, 2]), TypeError, ["[pack_sequence]"]),
    "lengths of another batch": (lambda: rnn.unpad_sequence(local(3, 2), [1]), ValueError,
                                 ["[unpad_sequence]", "1 lengths of a batch of 2"]),
    "copy of another shape": (lambda: local().copy_(local(3, 3)), ValueError,
                              ["float32[3,3]", "(4, 4)"]),
}


def twice():
    y = (param() * param()).sum()
    y.backward()
    y.backward()


def saved_then_changed():
    z = flow.ones(3)
    y = param() * z
    z.add_(1)
    y.sum().backward()


TRAINING = {
    "backward twice": (twice, RuntimeError, ["[backward]", "second backward", "retain_graph"]),
    "backward of many": (lambda: (param() * 2).backward(), RuntimeError,
                         ["[backward]", "scalar", "float32[3]", "backward(gradient)"]),
    "backward without history": (lambda: local().sum().backward(), RuntimeError,
                                 ["[backward]", "requires_grad"]),
    "gradient of another shape": (lambda: (param() * 2).backward(flow.ones(4)), ValueError,
                                  ["[backward]", "float32[4]", "float32[3]"]),
    "saved tensor changed": (saved_then_changed, RuntimeError,
                             ["[mul]", "version 1", "expected version 0", "copy"]),
    "leaf changed": (lambda: param().add_(1), RuntimeError, ["leaf", "no_grad()"]),
    "whole numbers with gradients": (lambda: flow.ones(3, dtype=flow.int64, requires_grad=True),
                                     ValueError, ["int64", "floating"]),
    "array with history": (lambda: param().numpy(), RuntimeError, ["[numpy]", "detach()"]),
    "parameter of a list": (lambda: nn.Parameter([1.0]), TypeError, ["[Parameter]", "list"]),
    "features that differ": (lambda: nn.Linear(3, 2)(local()), ValueError,
                             ["[linear]", "4 != 3"]),
    "nothing to optimize": (lambda: flow.optim.SGD([], lr=0.1), ValueError, ["empty"]),
    "numbers to optimize": (lambda: flow.optim.SGD([3], lr=0.1), TypeError, ["int"]),
    "result to optimize": (lambda: flow.optim.SGD([param() * 2], lr=0.1), ValueError,
                           ["non-leaf", "detach()"]),
    "parameter twice": (lambda: flow.optim.SGD([p := param(), p], lr=0.1), ValueError,
                        ["more than one"]),
    "rate below zero": (lambda: flow.optim.AdamW([param()], lr=-1), ValueError, ["-1"]),
    "rate that is no number": (lambda: flow.optim.AdamW([param()], lr="a"), ValueError,
                               ["learning rate", "a"]),
    "clipping numbers": (lambda: nn.utils.clip_grad_norm_([3], 1.0), TypeError,
                         ["[clip_grad_norm_]", "int"]),
    "state of nothing": (lambda: nn.Linear(2, 2).load_state_dict(None), TypeError,
                         ["[load_state_dict]", "NoneType"]),
    "state of arrays": (
        lambda: nn.Linear(2, 2).load_state_dict({"weight": np.ones((2, 2)), "bias": 3}),
        RuntimeError, ["weight: got ndarray", "bias: got int", "flow.from_numpy"]),
    "state of another shape": (
        lambda: nn.Linear(2, 2).load_state_dict({"weight": local(3, 3)}), RuntimeError,
        ["Missing", "bias", "size mismatch for weight", "[3, 3]", "[2, 2]"]),
}

GRAPHS = {}


def graph_case(error, *words):
    def add(function):
        GRAPHS[function.__name__.replace("_", " ")] = (function, error, words)
        return function
    return add


class Program(nn.Graph):
    """A graph of a function (self, *inputs); its modules and optimizers are given."""

    def __init__(self, function, *, optimizers=(), micro_batches=1, **modules):
        super().__init__()
        self.function = function
        self.config.set_gradient_accumulation_steps(micro_batches)
        for name, module in modules.items():
            setattr(self, name, module)
        for optimizer in optimizers:
            self.add_optimizer(optimizer)

    def build(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def double():
    graph = Program(lambda _, x: x * 2)
    graph(local())
    return graph


@graph_case(TypeError, "[nn.Graph]", "build()", "set")
def a_set_as_the_result():
    Program(lambda _, x: {x * 2})(local())


@graph_case(RuntimeError, "super().__init__()")
def no_super_init():
    class Bare(nn.Graph):
        def __init__(self):
            pass

        def build(self, x):
            return x
    Bare()(local())


@graph_case(NotImplementedError, "defines no build()")
def no_build():
    nn.Graph()(local())


@graph_case(ValueError, "[nn.Graph]", "mixes local and global", "to_global")
def local_inputs_with_global_ones():
    Program(lambda _, a, b: a + b)(local(), spread())


@graph_case(RuntimeError, "[nn.Graph]", "inside the build()")
def a_graph_in_a_graph():
    inner = double()
    Program(lambda _, x: inner(x) + 1)(local())


@graph_case(RuntimeError, "[tensor]", "while build() runs", "flow.where")
def a_number_read_in_build():
    Program(lambda _, x: x * x.sum().item())(local())


@graph_case(RuntimeError, "[tensor]", "while build() runs", "flow.where")
def a_branch_by_a_value_in_build():
    Program(lambda _, x: x if x.sum() > 0 else -x)(local())


@graph_case(RuntimeError, "[tensor]", "outside its nn.Graph")
def a_value_read_after_build():
    kept = []
    Program(lambda _, x: kept.append(x + 1) or x)(local())
    kept[0].numpy()


@graph_case(ValueError, "[to_local]", "float32[4,4], a local value in build()", "leave to_local()")
def a_local_value_made_local_in_build():
    Program(lambda _, x: x.to_local())(local())


@graph_case(RuntimeError, "[add_]", "outside build()", "copy_()")
def a_buffer_changed_in_build():
    buffer = flow.zeros(4, 4)
    try:
        Program(lambda _, x: buffer.add_(x))(local())
    finally:
        assert buffer.tolist() == [[0.0] * 4] * 4


@graph_case(ValueError, "[nn.Graph]", "another graph", "earlier build()")
def a_value_of_another_graph():
    kept = []
    Program(lambda _, x: kept.append(x * 2) or x)(local())
    Program(lambda _, x: x + kept[0])(local())


@graph_case(ValueError, "[nn.Graph]", "another graph")
def a_value_of_another_graph_returned():
    kept = []
    Program(lambda _, x: kept.append(x * 2) or x)(local())
    Program(lambda _, x: kept[0])(local())


@graph_case(ValueError, "4 micro-batches", "float32[6,4]", "a multiple of 4")
def a_batch_that_does_not_divide():
    Program(lambda _, x: x * 2, micro_batches=4)(local(6, 4))


@graph_case(ValueError, "from 1 to 4096")
def micro_batches_without_end():
    Program(lambda _, x: x, micro_batches=10**12)


@graph_case(RuntimeError, "[nn.Graph]", "did not call backward()")
def an_optimizer_without_backward():
    model = nn.Linear(4, 4)
    Program(lambda g, x: g.model(x).sum(), model=model,
            optimizers=[flow.optim.SGD(model.parameters(), lr=0.1)])(local())


@graph_case(ValueError, "[add_optimizer]", "another optimizer")
def two_optimizers_of_one_parameter():
    model = nn.Linear(4, 4)
    Program(None, model=model, optimizers=[flow.optim.SGD(model.parameters(), lr=0.1)] * 2)


@graph_case(ValueError, "[nn.Graph]", "no parameter of the optimizers", "that build() calls")
def an_optimizer_of_other_parameters():
    other = nn.Linear(4, 4)
    Program(train, model=nn.Linear(4, 4),
            optimizers=[flow.optim.SGD(other.parameters(), lr=0.1)])(local())


@graph_case(TypeError, "[add_optimizer]", "int")
def a_number_for_an_optimizer():
    nn.Graph().add_optimizer(3)


def train(g, x):
    loss = (g.model(x) ** 2).mean()
    loss.backward()
    return loss


@graph_case(NotImplementedError, "[backward]", "twice", "add the losses")
def two_backwards():
    model = nn.Linear(4, 4)
    Program(lambda g, x: (train(g, x), train(g, x)), model=model)(local())


@graph_case(ValueError, "[backward]", "one element", "float32[4,4]", "mean()")
def backward_of_many_in_build():
    Program(lambda g, x: g.model(x).backward(), model=nn.Linear(4, 4))(local())


@graph_case(ValueError, "[set_stage]", "got -1")
def a_negative_stage():
    nn.Linear(2, 2).to(nn.graph.GraphModule).set_stage(-1)


@graph_case(TypeError, "[set_stage]", "got str", "flow.placement")
def a_stage_on_text():
    nn.Linear(2, 2).to(nn.graph.GraphModule).set_stage(0, "cpu")


@graph_case(TypeError, "[GraphModule]", "got int")
def a_stage_of_no_module():
    nn.graph.GraphModule(3)


@graph_case(RuntimeError, "[compile_world]", "do not exist")
def a_launch_in_a_world_that_does_not_exist():
    with flow.compile_world(4):
        x = flow.ones(8, 8, placement=flow.placement.all("cpu"), sbp=S(0))
        Program(lambda _, a: a * 2)(x)


@graph_case(RuntimeError, "[numpy]", "do not exist")
def values_read_in_a_world_that_does_not_exist():
    with flow.compile_world(4):
        flow.ones(8, 8, placement=flow.placement.all("cpu"), sbp=S(0)).numpy()


@graph_case(RuntimeError, "[mul_scalar]", "compile_world", "no values")
def a_tensor_that_left_its_compile_world():
    with flow.compile_world(4):
        x = flow.ones(8, 8, placement=flow.placement.all("cpu"), sbp=S(0))
    x * 2


@graph_case(IndexError, "[embedding_bag]", "got 9", "index < 4")
def an_index_outside_a_table_of_bags():
    Program(lambda _, i: F.embedding_bag(i, flow.ones(4, 2)))(numbers([1, 9]))


@graph_case(IndexError, "[embedding]", "got 9", "earlier call")
def a_graph_that_failed_before():
    table = flow.ones(4, 2)
    graph = Program(lambda _, i: F.embedding(i, table))
    with pytest.raises(IndexError, match="got 9"):
        graph(numbers(1, 9))
    graph(numbers(1, 2))


CASES = {f"{group}: {name}": case for group, table in
         (("layout", LAYOUTS), ("tensor", TENSORS), ("training", TRAINING), ("graph", GRAPHS))
         for name, case in table.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_call_is_one_clear_error(name):
    call, error, words = CASES[name]
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert "incompatible function arguments" not in text
    # Either the text names the user's line, or the error was raised in Python, under a traceback.
    assert "test_bad_input.py:" in text or any(
        "oneflow_like" in str(entry.path) for entry in caught.traceback), text
    assert flow.is_grad_enabled() and (local() + 1).sum().item() == 32  # all goes on


def test_an_exception_in_build_leaves_a_graph_that_can_be_called_again():
    calls = []

    def build(_, x):
        calls.append(len(calls))
        if calls[-1] == 0:
            raise KeyError("mine")
        if calls[-1] == 1:
            x @ flow.ones(3, 3)
        return x * 2

    graph = Program(build)
    with pytest.raises(KeyError, match="mine"):
        graph(local())
    with pytest.raises(ValueError, match=r"\[matmul\]"):
        graph(local())
    assert graph(local()).tolist() == [[2.0] * 4] * 4


def test_a_swallowed_error_of_an_operator_still_fails_the_graph():
    def build(_, x):
        with pytest.raises(ValueError, match=r"\[matmul\]"):
            x @ flow.ones(3, 3)
        return x * 2

    with pytest.raises(ValueError, match=r"\[matmul\]"):
        Program(build)(local())


def test_values_of_a_graph_can_be_printed_in_build():
    texts = []
    Program(lambda _, x: texts.append(repr(x * 2)) or x)(local())
    Program(lambda _, x: texts.append(repr(x * 2)) or x)(spread())
    assert all(text.startswith("tensor(<symbolic (4, 4) float32>") for text in texts)


def test_unusual_results_of_build():
    assert Program(lambda _, x: None)(local()) is None
    assert Program(lambda _, x: [x, 3, "a"])(local())[1:] == [3, "a"]
    y = Program(lambda _, x: (x * 2,) * 2)(local())
    assert y[0].tolist() == y[1].tolist() == [[2.0] * 4] * 4


def test_two_hundred_launches_of_two_graphs_that_share_parameters():
    model = nn.Linear(4, 4)
    optimizer = flow.optim.SGD(model.parameters(), lr=0.05)
    training = Program(train, model=model, optimizers=[optimizer])
    looking = Program(lambda g, x: (g.model(x) ** 2).mean(), model=model)
    losses = []
    for _ in range(100):
        expected = (model(local()) ** 2).mean().item()
        assert looking(local()).item() == expected == training(local()).item()
        losses.append(expected)
    assert losses[-1] < losses[0]
    del training
    assert looking(local()).item() < losses[0]


@pytest.mark.parametrize("array", [
    np.arange(12, dtype=np.float32).reshape(3, 4).T, np.arange(8, dtype=np.float32)[::-2],
    np.broadcast_to(np.float32(2), (3, 2)), np.arange(3, dtype=">f4"), np.arange(3, dtype=">i8"),
    np.zeros((0, 3), np.float32), np.array(3.0, np.float32)],
    ids=["transposed", "reversed", "read-only", "big-endian", "big-endian integers", "empty",
         "0-d"])
def test_unusual_arrays(array):
    np.testing.assert_array_equal(flow.tensor(array).numpy(), array)


@pytest.mark.parametrize("call", [
    lambda sizes: flow.zeros(sizes), lambda sizes: flow.ones(3).view(sizes),
    lambda sizes: flow.ones(2, 3).sum(sizes), lambda sizes: flow.ones(2, 3).permute(sizes),
    lambda sizes: flow.empty_strided(sizes, (1, 1)), lambda sizes: flow.empty_permuted(sizes, (0,)),
])
@pytest.mark.parametrize("sizes", [np.array([1, 0]), np.array([0.0]), np.array(["a"])], ids=str)
def test_an_array_is_no_list_of_sizes(call, sizes):
    found = r"must be .*not (tuple that holds )?(numpy\.)?ndarray; expected"
    with pytest.raises(TypeError, match=found):
        call(sizes)


def test_not_a_number_is_a_value():
    nan = flow.tensor([1.0, float("nan")])
    assert np.isnan(nan.sum().item()) and np.isnan(flow.max(nan).item())
    assert not (nan == nan).tolist()[1]


def test_empty_tensors_go_through():
    assert flow.zeros(0, 3).sum().item() == 0.0 and np.isnan(flow.zeros(0).mean().item())
    assert (flow.zeros(0, 3) @ flow.zeros(3, 2)).shape == (0, 2)
    assert F.layer_norm(flow.zeros(0, 4), (4,)).shape == (0, 4)
    assert [p.shape for p in flow.zeros(0).split(2)] == [(0,)]


def test_a_tape_of_any_length_ends():
    p = param(1)
    y = p
    for _ in range(100_000):
        y = y * 1.0
    y.sum().backward()
    assert p.grad.tolist() == [1.0]


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    flow.save({"a": local()}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"\[save\] b"):
        flow.save({"a": local(), "b": object()}, path)

    def full_disk(_):
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            flow.save({"a": local() * 2}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.safetensors"]
    path.write_bytes(before[:-5])
    with pytest.raises(ValueError, match="truncated"):
        flow.load(path)


def test_plans_are_written_whole_or_not_at_all(tmp_path):
    plan = double().plan()
    with pytest.raises(Exception, match="no/such/plan.pb"):
        plan.save(tmp_path / "no" / "such" / "plan.pb")
    (tmp_path / "plan.pb").mkdir()
    with pytest.raises(Exception, match="plan.pb"):
        plan.save(tmp_path / "plan.pb")
    assert os.listdir(tmp_path) == ["plan.pb"] and not os.listdir(tmp_path / "plan.pb")


def test_refusals_are_runtime_errors_as_well():
    """As torch raises them; each is also the more precise error of Python."""
    x = flow.ones(2, 3)
    for kind, call in ((TypeError, lambda: x.to(flow.int64).exp_()),
                       (TypeError, lambda: flow.softmax(x.to(flow.int64), 0)),
                       (IndexError, lambda: x.sum(5)), (ValueError, lambda: x.reshape(4)),
                       (TypeError, lambda: x.sum("a"))):
        with pytest.raises(kind) as caught:
            call()
        assert isinstance(caught.value, RuntimeError), kind
    assert [row.sum().item() for row in x] == [3, 3]  # an IndexError still ends an iteration


@pytest.mark.parametrize("dtype", [flow.complex64, flow.int64])
def test_rows_that_have_no_length_are_not_bounded(dtype):
    with pytest.raises(TypeError, match=r"(?s)^\[embedding\] max_norm bounds rows of real numbers"):
        flow.nn.functional.embedding(flow.tensor([0]), flow.ones(2, 3).to(dtype), max_norm=1.0)
