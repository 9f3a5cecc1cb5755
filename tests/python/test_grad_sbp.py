"""Gradients between local and global tensors: whose layout they have, and what B means for them."""

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow

PRELUDE = """
import itertools
import numpy as np
import oneflow_like as flow

B, P, S = flow.sbp.broadcast, flow.sbp.partial_sum, flow.sbp.split
RANK, WORLD = flow.env.get_rank(), flow.env.get_world_size()
everyone = flow.placement.all("cpu")


def refused(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), str(error)
        return
    raise SystemExit(f"no error: {text}")
"""

SUMMED = PRELUDE + """
# Data parallel by hand: every rank has its own batch and a share of the gradient.
batch = flow.tensor(np.arange(6, dtype=np.float32).reshape(2, 3) + 10 * RANK)
total = sum((np.arange(6, dtype=np.float32).reshape(2, 3) + 10 * r).sum(0) for r in range(WORLD))
w = flow.ones(3, placement=everyone, sbp=B)
w.requires_grad = True
(w.to_local(grad_sbp=P) * batch).sum().backward()
assert w.grad.sbp == (B,) and w.grad.to_local().tolist() == total.tolist()

# The same through a conversion, into a split leaf.
for grad_sbp in (P, (P,)):
    v = flow.ones(3, placement=everyone, sbp=S(0))
    v.requires_grad = True
    (v.to_global(sbp=B).to_local(grad_sbp) * batch).sum().backward()
    assert v.grad.sbp == (S(0),)
    np.testing.assert_array_equal(v.grad.numpy(), total)

# Equal local gradients are what B says, and cost one comparison.
w.grad = None
(w.to_local() * 3.0).sum().backward()
assert w.grad.sbp == (B,) and w.grad.to_local().tolist() == [3.0] * 3

# Split needs no agreement: each rank's gradient is its part.
s = flow.ones(WORLD, placement=everyone, sbp=S(0))
s.requires_grad = True
(s.to_local() * float(RANK + 1)).sum().backward()
assert s.grad.numpy().tolist() == [float(r + 1) for r in range(WORLD)]

# A partial tensor's parts have gradients of their own, which add up to that of the whole or agree.
p = flow.ones(2, placement=everyone, sbp=B)
p.requires_grad = True
(p.to_global(sbp=P).to_local(grad_sbp=P) * float(RANK + 1)).sum().backward()
assert p.grad.to_local().tolist() == [float(sum(range(1, WORLD + 1)))] * 2

# A rank outside the placement takes no part.
part = flow.placement("cpu", ranks=[0, 1])
q = flow.ones(2, placement=part, sbp=B)
q.requires_grad = True
(q.to_local() * 2.0).sum().backward()
assert q.grad is not None and q.grad.numpy().tolist() == [2.0, 2.0]
print("fine")
"""


@pytest.mark.parametrize("world", [2, 3])
def test_local_gradients_become_one_global_gradient(tmp_path, world):
    assert run_text(tmp_path, world, SUMMED).stdout.count("fine") == world


UNEQUAL = PRELUDE + """
w = flow.ones(3, placement=everyone, sbp={sbp})
w.requires_grad = True
local = {made}.to_local()
try:
    (local * {scale}).sum().backward()
except RuntimeError as error:
    for text in ("[to_local] the local gradients of a broadcast tensor differ", "grad_sbp",
                 "partial_sum", "job.py:{line}", "on rank"):
        assert text in str(error), (text, str(error))
    assert w.grad is None
    print("told")
"""


@pytest.mark.parametrize("sbp, made, scale, world", [
    ("B", "w", "float(RANK + 1)", 2), ("B", "w", "float(RANK // 2 + 1)", 3),
    ("B", "w", "(1.0 if RANK == 0 else -0.0 if RANK == 1 else 1.0)", 3),
    ("B", "w.to_global(sbp=P)", "float(RANK + 1)", 2),
    ("S(0)", "w.to_global(sbp=B)", "float(RANK + 1)", 2)])
def test_a_broadcast_gradient_that_differs_is_refused_on_all_ranks(tmp_path, sbp, made, scale,
                                                                   world):
    job = UNEQUAL
    line = 1 + next(i for i, text in enumerate(job.splitlines()) if "to_local()" in text)
    for name, value in (("{sbp}", sbp), ("{made}", made), ("{scale}", scale),
                        ("{line}", str(line))):
        job = job.replace(name, value)
    assert run_text(tmp_path, world, job, check=False).stdout.count("told") == world


ON_A_MESH = PRELUDE + """
mesh = flow.placement("cpu", ranks=[[0, 1], [2, 3]])
row, column = RANK // 2, RANK % 2
x = flow.ones(4, 2, placement=mesh, sbp=(S(0), B))
x.requires_grad = True
(x.to_local() * float(row + 1)).sum().backward()  # equal along the second axis, as B says
np.testing.assert_array_equal(x.grad.numpy(), np.repeat([[1.0], [2.0]], 2, 0) * np.ones((1, 2)))
x.grad = None
(x.to_local(grad_sbp=(S(0), P)) * float(column + 1)).sum().backward()
np.testing.assert_array_equal(x.grad.numpy(), np.full((4, 2), 3.0))
refused(ValueError, "grad_sbp does not fit", lambda: x.to_local(grad_sbp=(P, B)))
refused(ValueError, "grad_sbp does not fit", lambda: x.to_local(grad_sbp=(B, S(0))))
square = flow.ones(4, 4, placement=mesh, sbp=(S(0), S(1)))
refused(ValueError, "grad_sbp does not fit", lambda: square.to_local(grad_sbp=(S(1), S(0))))
x.grad = None
try:
    (x.to_local() * float(column + 1)).sum().backward()
except RuntimeError as error:
    assert "differ between ranks" in str(error)
    print("told")
"""


def test_a_mesh_compares_where_it_says_b(tmp_path):
    assert run_text(tmp_path, 4, ON_A_MESH, check=False).stdout.count("told") == 4


TO_GLOBAL = PRELUDE + """
for placement in (everyone, flow.placement("cpu", ranks=[1, 0])):
    for start, end, middle in itertools.product((S(0), B, P), (S(0), B, P), (S(0), B, P)):
        leaf = flow.ones(4, placement=everyone, sbp=B)
        leaf.requires_grad = True
        x = leaf.to_global(sbp=start)
        y = x.to_global(placement=placement, sbp=end, grad_sbp=middle)
        assert y.sbp == (end,) and y.requires_grad
        (y.to_global(placement=placement, sbp=B) * 3.0).sum().backward()
        assert leaf.grad.sbp == (B,)
        assert leaf.grad.numpy().tolist() == [3.0] * 4, (start, end, middle)

# From local tensors: the gradient is this rank's part under grad_sbp.
for sbp, grad_sbp, want in ((B, None, 2.0), (B, B, 2.0), (P, None, 2.0), (P, B, 2.0)):
    local = flow.ones(4, requires_grad=True)
    (local.to_global(everyone, sbp, grad_sbp=grad_sbp) * 2.0).sum().backward()
    assert local.grad.tolist() == [want] * 4
local = flow.ones(4, requires_grad=True)
(local.to_global(everyone, B, grad_sbp=P) * 2.0).sum().backward()
whole = local.grad.to_global(placement=everyone, sbp=P)
assert whole.numpy().tolist() == [2.0] * 4
local = flow.ones(2, requires_grad=True)
(local.to_global(everyone, S(0), grad_sbp=S(0)) * 2.0).sum().backward()
assert local.grad.tolist() == [2.0, 2.0]

refused(ValueError, "grad_sbp does not fit",
        lambda: local.to_global(placement=everyone, sbp=B, grad_sbp=S(0)))
refused(ValueError, "symbols", lambda: leaf.to_global(sbp=B, grad_sbp=(B, B)))
refused(ValueError, "a gradient is a sum",
        lambda: leaf.to_global(sbp=S(0), grad_sbp=flow.sbp.partial_max))
refused(ValueError, "cannot be split", lambda: leaf.to_global(sbp=B, grad_sbp=S(3)))
refused(TypeError, "argument 'sbp'", lambda: leaf.to_local(grad_sbp="P"))
print("fine")
"""


def test_to_global_gives_the_gradient_its_layout(tmp_path):
    assert run_text(tmp_path, 2, TO_GLOBAL).stdout.count("fine") == 2


LOCAL_DATA = PRELUDE + """
# Local data that differs becomes equal: the placement's first rank sends its own.
mine = np.full(3, RANK, np.float32)
for order in ([0, 1], [1, 0]):
    where = flow.placement("cpu", ranks=order)
    for x in (flow.tensor(mine).to_global(placement=where, sbp=B),
              flow.tensor(mine, placement=where, sbp=B),
              flow.tensor(mine, placement=where, sbp=S(0)).to_global(sbp=B)):
        assert x.to_local().tolist() == [float(order[0])] * 3
layer = flow.nn.Linear(2, 2)
layer.weight.data = flow.full((2, 2), float(RANK))
layer = layer.to_global(placement=everyone, sbp=B)
assert layer.weight.to_local().detach().tolist() == [[0.0, 0.0]] * 2
layer.load_state_dict({"weight": flow.full((2, 2), RANK + 7.0), "bias": flow.zeros(2)})
assert layer.weight.to_local().detach().tolist() == [[7.0, 7.0]] * 2

x = flow.zeros(3, placement=everyone, sbp=B)
refused(ValueError, "differs between ranks", lambda: x.copy_(flow.tensor(mine)))
refused(ValueError, "mixed", lambda: x.add_(flow.tensor(mine)))
x.requires_grad = True
def give(grad):
    x.grad = grad
refused(ValueError, "the gradient lies elsewhere", lambda: give(flow.tensor(mine)))
refused(ValueError, "the gradient lies elsewhere",
        lambda: give(flow.ones(3, placement=flow.placement("cpu", ranks=[0]), sbp=B)))
give(flow.ones(3, placement=everyone, sbp=S(0)))
print("fine")
"""


def test_local_data_under_broadcast_is_the_first_ranks(tmp_path):
    assert run_text(tmp_path, 2, LOCAL_DATA).stdout.count("fine") == 2


def test_a_copy_stays_in_the_tape():
    everyone, B = flow.placement.all("cpu"), flow.sbp.broadcast
    x = flow.ones(3, placement=everyone, sbp=B)
    x.requires_grad = True
    for y in (x.to_global(copy=True), x.to_local(copy=True),
              x.to_global(sbp=flow.sbp.split(0), copy=True), x.to_global(grad_sbp=B)):
        x.grad = None
        (y * 2.0).sum().backward()
        assert x.grad.numpy().tolist() == [2.0] * 3
    kept = x.detach().to_local(copy=True)
    with flow.no_grad():
        x.zero_()
    assert kept.tolist() == [1.0] * 3 and x.detach().to_local().tolist() == [0.0] * 3


@pytest.mark.parametrize("sbp", [flow.sbp.broadcast, flow.sbp.split(0)])
def test_gradients_through_local_tensors_can_be_differentiated_again(sbp):
    everyone = flow.placement.all("cpu")
    x = flow.tensor([1.0, 2.0, 3.0], placement=everyone, sbp=sbp)
    x.requires_grad = True
    for part in (lambda: x.to_local(), lambda: x.to_local().to_global(everyone, sbp)):
        y = part()
        first, = flow.autograd.grad((y * y * y).sum(), x, create_graph=True)
        second, = flow.autograd.grad((first * first).sum(), x)
        np.testing.assert_array_equal(second.numpy(), 36 * np.array([1.0, 8.0, 27.0]))


def test_a_graph_refuses_grad_sbp():
    class Convert(flow.nn.Graph):
        def build(self, x):
            return x.to_global(sbp=flow.sbp.broadcast, grad_sbp=flow.sbp.broadcast)

    x = flow.ones(3, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
    with pytest.raises(NotImplementedError, match=r"\[to_global\] a graph chooses"):
        Convert()(x)
    np.testing.assert_array_equal(x.numpy(), np.ones(3))
