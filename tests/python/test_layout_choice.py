"""Layouts that the chooser gives, eager and compiled (docs/layout-choice.md)."""

import itertools
import pathlib
import re

import pytest
from jobs import run_text
from test_graph_cases import Of

import oneflow_like as flow
from oneflow_like import nn

HERE = pathlib.Path(__file__).resolve().parent
PRELUDE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_layout_choice import *
from graph_case import *
"""
SPLIT, WHOLE, PARTIAL = flow.sbp.split, flow.sbp.broadcast, flow.sbp.partial_sum
WIDTH = 16


def conversions(plan):
    """What a plan converts: pairs of the steps' kinds and the operator it is for."""
    found = re.findall(r"^  boxing_\d+ +(.+?)  .*?  for (\S+)_\d+ ", plan.summary(), re.MULTILINE)
    count = int(re.search(r"conversions +(\d+),", plan.summary())[1])
    asked = count - len(found)  # the user's own to_global
    return [(kind.strip(), cause) for kind, cause in found] + [("to_global", "")] * asked


class Positions(nn.Module):
    """An embedding of positions: made in forward, or kept as a buffer."""

    def __init__(self, buffer):
        super().__init__()
        flow.manual_seed(1)
        self.e, self.p = nn.Embedding(32, WIDTH), nn.Embedding(8, WIDTH)
        self.l, self.o = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)
        if buffer:
            self.register_buffer("positions", flow.arange(8))
        self.buffer = buffer

    def forward(self, i):
        positions = self.positions if self.buffer else flow.arange(8)
        return self.o(flow.relu(self.l(self.e(i) + self.p(positions))))


def train(model, i):
    y = model(i)
    y.sum().backward()
    return y


@pytest.mark.parametrize("buffer", [False, True])
@pytest.mark.parametrize("batch", [2, 4, 64])
def test_a_batch_that_came_in_split_stays_split(buffer, batch):
    with flow.compile_world(2):
        everyone = flow.placement.all("cpu")
        model = Positions(buffer).to_global(placement=everyone, sbp=WHOLE)
        i = flow.zeros(batch, 8, dtype=flow.int64, placement=everyone, sbp=SPLIT(0))
        assert conversions(Of(model, model).compile(i)) == []
        optimizer = flow.optim.SGD(model.parameters(), lr=0.1)
        made = conversions(Of(lambda i: train(model, i), model,
                              optimizers=[optimizer]).compile(i))
        assert made == [("all-reduce", "sgd_update")] * 6


def test_positions_made_in_forward_give_the_buffer_s_values_on_two_processes(tmp_path):
    run_text(tmp_path, 2, PRELUDE + """
i = flow.tensor(np.random.RandomState(0).randint(0, 32, (4, 8)))
i = i.to_global(placement=P, sbp=B).to_global(sbp=SPLIT(0))
results = []
for buffer in (True, False):
    model = Positions(buffer).to_global(placement=P, sbp=B)
    if buffer:
        results.append(model(i).detach().numpy())
    optimizer = flow.optim.SGD(model.parameters(), lr=0.1)
    graph = Of(lambda i: train(model, i), model, optimizers=[optimizer])
    results.append(graph(i).detach().numpy())
    assert conversions(graph.plan()) == [("all-reduce", "sgd_update")] * 6
    results.append(model(i).detach().numpy() if buffer else graph(i).detach().numpy())
eager, first, second, made, made_second = results
np.testing.assert_array_equal(first, eager)
np.testing.assert_array_equal(made, eager)
np.testing.assert_array_equal(made_second, second)
""")


def causal(x):
    scores = flow.matmul(x, x.transpose(1, 2))
    return flow.softmax(flow.where(flow.tril(flow.ones(8, 8)) == 0.0, flow.full((), -1e9), scores),
                        dim=-1)


# Programs whose own values must not cost a conversion, on (batch, 8, WIDTH) split by rows.
PROGRAMS = {
    "a mask by tril": causal,
    "a mask by full": lambda x: x * flow.full((8, WIDTH), 0.5),
    "positions": lambda x: x + flow.arange(8).to(flow.float32).reshape(8, 1),
    "a scalar": lambda x: x * flow.full((), 2.0) + flow.ones(1),
    "noise": lambda x: x + (flow.rand(*x.shape) * 2.0 - 1.0),
    "noise like": lambda x: x + flow.randn_like(x),
    "zeros like": lambda x: flow.maximum(x, flow.zeros_like(x)),
    "a chain of constants": lambda x: x + flow.exp(flow.ones(8, 8)).sum(0).reshape(8, 1),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("ranks, sbp", [([0, 1], SPLIT(0)),
                                        ([[0, 1], [2, 3]], (SPLIT(0), WHOLE)),
                                        ([[0, 1], [2, 3]], (SPLIT(0), SPLIT(0)))])
def test_values_made_in_forward_cost_no_conversion(name, ranks, sbp):
    with flow.compile_world(4):
        x = flow.zeros(8, 8, WIDTH, placement=flow.placement("cpu", ranks=ranks), sbp=sbp)
        graph = Of(PROGRAMS[name])
        plan = graph.compile(x)
        assert conversions(plan) == [], plan.summary()


def test_noise_of_the_batch_s_shape_is_drawn_split():
    with flow.compile_world(2):
        x = flow.zeros(8, 4, placement=flow.placement.all("cpu"), sbp=SPLIT(0))
        rows = 8 * 4 * 4 // 2  # of x on a rank, in bytes
        text = Of(lambda x: x + flow.rand(8, 4)).compile(x).summary()
        arena = re.search(r"memory +(\d+) B", text)[1]
        assert int(arena) <= 2 * rows + 128, text  # whole noise alone would be 2 * rows


def test_positions_under_tensor_parallel_weights():
    """A 2-D mesh, data by tensor parallel: only the sums over hidden units are reduced."""
    with flow.compile_world(4):
        mesh = flow.placement("cpu", ranks=[[0, 1], [2, 3]])
        model = Positions(False).to_global(placement=mesh, sbp=(WHOLE, WHOLE))
        for name, axis in (("l", 0), ("o", 1)):
            layer = getattr(model, name)
            layer.weight = nn.Parameter(layer.weight.to_global(sbp=(WHOLE, SPLIT(axis))))
        model.l.bias = nn.Parameter(model.l.bias.to_global(sbp=(WHOLE, SPLIT(0))))
        i = flow.zeros(8, 8, dtype=flow.int64, placement=mesh, sbp=(SPLIT(0), WHOLE))
        made = conversions(Of(model, model).compile(i))
        assert {kind for kind, _ in made} <= {"fill", "slice"}, made


LAYOUTS = [SPLIT(0), SPLIT(1), WHOLE, PARTIAL]
BINARY = {"add": flow.add, "mul": flow.mul, "matmul": flow.matmul, "maximum": flow.maximum,
          "cat": lambda a, b: flow.cat([a, b], dim=0), "div": flow.div,
          "linear": nn.functional.linear}
UNARY = {"relu": flow.relu, "neg": flow.neg, "sum": lambda x: x.sum(0), "mean": lambda x: x.mean(),
         "softmax": lambda x: flow.softmax(x, dim=-1), "t": lambda x: x.t(),
         "reshape": lambda x: x.reshape(-1), "amax": lambda x: x.amax(1),
         "layer_norm": lambda x: nn.functional.layer_norm(x, (16,))}




@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_eager_and_graph_choose_alike(name, monkeypatch, tmp_path):
    monkeypatch.setenv("OFL_DUMP", str(tmp_path))
    function = BINARY.get(name) or UNARY[name]
    with flow.compile_world(2):
        operands = 2 if name in BINARY else 1
        for number, sbps in enumerate(itertools.product(LAYOUTS, repeat=operands)):
            operands = [flow.zeros(16, 16, placement=flow.placement.all("cpu"), sbp=sbp)
                        for sbp in sbps]
            eager = function(*operands)
            graph = Of(function)
            graph.name = f"case{number}"
            graph.compile(*operands)
            text = next(tmp_path.glob(f"case{number}.*layout.txt")).read_text()
            output = re.search(r"output_\d+\(%(\d+)\)", text)[1]
            chosen = re.search(rf"%{output}: \S+?\{{(.*?)\}}", text)[1]
            wanted = eager.sbp[0].__getstate__()
            assert wanted == chosen, f"{sbps}: eager {wanted}, graph {chosen}"
