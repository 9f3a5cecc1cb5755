"""Views of global tensors that have memory of their own behave as views, whoever asks first."""

import pathlib

import pytest
from jobs import run_job, run_text

CASE = pathlib.Path(__file__).resolve().parent / "copied_views_case.py"
PREAMBLE = """
import copy
import oneflow_like as flow
from oneflow_like import nn
P, B, S0 = flow.placement.all("cpu"), flow.sbp.broadcast, flow.sbp.split(0)

def new(grad=False):
    x = flow.arange(5.0, placement=P, sbp=B).to_global(sbp=S0).detach()
    return x.requires_grad_(grad)

def holds(x, expected):
    got = x.detach().numpy().tolist()
    assert got == expected, (got, expected)

one = flow.ones(2, placement=P, sbp=B)
"""


@pytest.mark.parametrize("layout", ["S0", "S1", "P", "B"])
def test_random_programs_agree_with_local_ones(layout):
    run_job(CASE, 2, layout, 200)


def test_a_recorded_change_begins_with_what_the_base_holds_now(tmp_path):
    run_text(tmp_path, 2, PREAMBLE + """
x = new(True); a = x * 1; b = a[1:3]; a.mul_(10); b.square_()
holds(a, [0, 100, 400, 30, 40])
holds(flow.autograd.grad(a.sum(), x)[0], [10, 200, 400, 10, 10])
x = new(True); a = x * 1; b = a[1:3]; a.mul_(10)
w = (one * 2).detach().requires_grad_()
b *= w
holds(a, [0, 20, 40, 30, 40])
holds(flow.autograd.grad(a.sum(), w)[0], [10, 20])
""")


def test_other_handles_of_the_memory_follow_too(tmp_path):
    run_text(tmp_path, 2, PREAMBLE + """
for other in (lambda b: b.detach(), lambda b: b.data, lambda b: b.unsqueeze(0).detach()[0],
              lambda b: b.to_global(sbp=b.sbp), lambda b: b.detach().unsqueeze_(0).squeeze_(0)):
    a = new(); b = a[1:3]; d = other(b); a.add_(10)
    holds(d, [11, 12])
    d.mul_(2)
    holds(a, [10, 22, 24, 13, 14]); holds(b, [22, 24])
    c = b[1:]; e = c.detach(); a.add_(1); e.add_(1)
    holds(c, [26]); holds(d, [23, 26]); holds(a, [11, 23, 26, 14, 15])
a = new(); b = a[1:3]; del b; a.add_(1)
a = new(); b = a[1:3].detach(); a.add_(1); del a  # the base lives as long as what follows it
holds(b, [2, 3])
a = new(); b = a[1:3]; a.add_(1)
holds(copy.deepcopy(b.detach()), [2, 3])
z = flow.zeros(2, placement=P, sbp=B); a = new(); b = a[1:3]; a.add_(1); z.add_(b.detach())
holds(z, [2, 3])
a = new(); b = a[1:3]; version = b._version; a.add_(1)
assert b._version > version
""")


def test_what_is_detached_is_copied_where_its_strides_stand_in_the_way(tmp_path):
    run_text(tmp_path, 2, PREAMBLE + """
S1 = flow.sbp.split(1)
TURNED = [lambda x: x.t().detach(), lambda x: x.t().detach().t().detach().t(),
          lambda x: x.detach().t_()]
for sbp in (B, S0, S1):
    for turned in TURNED:
        x = flow.arange(6.0, placement=P, sbp=B).reshape(3, 2).to_global(sbp=sbp) * 1
        d = turned(x); f = d.flatten(); g = d.contiguous(); x.zero_()
        holds(f, [0, 2, 4, 1, 3, 5]); holds(g, [[0, 2, 4], [1, 3, 5]])
        holds(d, [[0, 0, 0], [0, 0, 0]])
""")


def test_what_backward_needs_and_the_base_changed_is_noticed(tmp_path):
    run_text(tmp_path, 2, PREAMBLE + """
for change in (lambda a: a.mul_(2), lambda a: a[0:2].mul_(2), lambda a: a.detach().mul_(2)):
    a = new(); b = a[1:3]; w = (one * 1).detach().requires_grad_()
    y = (w * b).sum(); change(a)
    try:
        y.backward()
        raise SystemExit("not noticed")
    except RuntimeError as error:
        assert "changed in place" in str(error), error
a = new(); b = a[1:3]; a.mul_(2); w = (one * 1).detach().requires_grad_()
(w * b).sum().backward(); holds(w.grad, [2, 4])
""")


def test_graphs_read_what_a_captured_view_holds_at_each_launch(tmp_path):
    run_text(tmp_path, 2, PREAMBLE + """
class Closure(nn.Graph):
    def build(self, x):
        return x * b

class Attribute(nn.Graph):
    def __init__(self, held):
        super().__init__()
        self.held = held
    def build(self, x):
        return x * self.held

for take in (lambda a: a[1:3], lambda a: a[1:3].detach(), lambda a: a[1:4][:2]):
    a = new(); b = take(a)
    for graph in (Closure(), Attribute(b)):
        for _ in range(3):
            holds(graph(one), (one * b).numpy().tolist())
            a.add_(10)
            holds(graph(one), a.numpy()[1:3].tolist())
""")


def test_a_graph_that_changes_a_view_changes_its_base(tmp_path):
    run_text(tmp_path, 2, PREAMBLE + """
class Adds(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.register_buffer("held", held)
    def forward(self, x):
        self.held.add_(10)
        return x * self.held

class Graph(nn.Graph):
    def __init__(self, module):
        super().__init__()
        self.module = module
    def build(self, x):
        return self.module(x)

for take in (lambda a: a[1:3], lambda a: a[1:3].detach(), lambda a: a[1:4][:2]):
    a = new(); other = a[2:4]; module = Adds(take(a)); graph = Graph(module)
    holds(graph(one), [11, 12])
    holds(a, [0, 11, 12, 3, 4]); holds(other, [12, 3]); holds(module.held, [11, 12])
    a.mul_(2)
    holds(graph(one), [32, 34])
    holds(a, [0, 32, 34, 6, 8]); holds(other, [34, 6])
""")
