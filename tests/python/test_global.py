"""Global tensors on real processes: every pair of layouts and placements, operators, and errors."""

import textwrap

import pytest
from jobs import run_text

import oneflow_like as flow

SETUP = """
import itertools
import numpy as np
import oneflow_like as flow

RANK, WORLD = flow.env.get_rank(), flow.env.get_world_size()
SYMBOLS = [flow.sbp.split(0), flow.sbp.split(1), flow.sbp.broadcast, flow.sbp.partial_sum]
SHAPES = [(4, 6), (5, 3), (1, 2), (0, 3)]


def source(shape, placement, symbol, seed):
    ranks = placement.ranks
    parts = [np.random.RandomState(seed + r).randint(-50, 50, shape).astype(np.float32)
             for r in range(len(ranks))]
    at = ranks.index(RANK) if RANK in ranks else None
    if symbol == flow.sbp.partial_sum:
        value, local = sum(parts), parts[at or 0]
    elif symbol == flow.sbp.broadcast:
        value = local = parts[0]
    else:
        value = parts[0]
        local = np.array_split(value, len(ranks), axis=symbol.dim)[at or 0]
    return value, flow.tensor(local).to_global(placement=placement, sbp=symbol)


everyone = list(range(WORLD))
PLACEMENTS = [(everyone, everyone)]
if WORLD > 1:
    PLACEMENTS += [([0], [1]), (everyone, [WORLD - 1]), ([1, 0], everyone)]
if WORLD > 2:
    PLACEMENTS += [([0, 1], [1, 2]), ([0], [2, 1])]
if WORLD > 3:
    PLACEMENTS += [([0, 1], [2, 3]), ([3, 0, 1], [2, 1])]
"""

PAIRS = SETUP + """
for a, b in PLACEMENTS:
    P, Q = flow.placement("cpu", ranks=a), flow.placement("cpu", ranks=b)
    for shape, s, t in itertools.product(SHAPES, SYMBOLS, SYMBOLS):
        value, x = source(shape, P, s, 11)
        assert tuple(x.shape) == shape and x.sbp == (s,)
        y = x.to_global(placement=Q, sbp=t)
        assert y.placement == Q and y.sbp == (t,) and y.is_global
        np.testing.assert_array_equal(y.numpy(), value, err_msg=f"{a}->{b} {shape} {s}->{t}")
print("fine")
"""


GRAPH_PAIRS = SETUP + """
class Convert(flow.nn.Graph):
    def __init__(self, target):
        super().__init__()
        self.target = target

    def build(self, xs):
        return [[x.to_global(placement=self.target, sbp=t) for t in SYMBOLS] for x in xs]


for a, b in PLACEMENTS:
    P, Q = flow.placement("cpu", ranks=a), flow.placement("cpu", ranks=b)
    sources = [source(shape, P, s, 11) for shape in SHAPES for s in SYMBOLS]
    graph = Convert(Q)
    for launch in range(2):
        for (value, x), ys in zip(sources, graph([x for _, x in sources])):
            for t, y in zip(SYMBOLS, ys):
                assert y.placement == Q and y.sbp == (t,)
                np.testing.assert_array_equal(y.numpy(), value, err_msg=f"{a}->{b} {x.sbp} {t}")
    counters = graph.counters()
    assert counters["messages"] == counters["predicted_messages"]
    assert counters["message_bytes"] == counters["predicted_message_bytes"]
print("fine")
"""


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("job", [PAIRS, GRAPH_PAIRS], ids=["eager", "graph"])
def test_every_pair_of_layouts_equals_numpy(tmp_path, world, job):
    assert run_text(tmp_path, world, job).stdout.count("fine") == world


TOUR = """
import numpy as np
import oneflow_like as flow

P = flow.placement("cpu", ranks=[0, 1])
x = flow.randn(8, 512, placement=P, sbp=flow.sbp.split(0))
w = flow.randn(512, 2048, placement=P, sbp=flow.sbp.broadcast)
y = x @ w
assert y.sbp == (flow.sbp.split(0),)
z = y.to_global(sbp=flow.sbp.broadcast)
np.testing.assert_allclose(z.numpy(), x.numpy() @ w.numpy(), rtol=1e-4, atol=1e-3)
assert tuple(y.shape) == (8, 2048)
assert tuple(y.to_local().shape) == (4 if flow.env.get_rank() < 2 else 0, 2048)
assert "tensor(<global (8, 2048) float32>" in repr(y)

flow.manual_seed(3)
a = flow.randn(5, 7, placement=P, sbp=flow.sbp.split(1))
flow.manual_seed(3)
b = flow.randn(5, 7)
np.testing.assert_array_equal(a.numpy(), b.numpy())

# Data and tensor parallel together, forward and backward.
mesh_ranks = np.arange(4).reshape(2, 2) if flow.env.get_world_size() == 4 else None
data = np.random.RandomState(0).randint(-5, 5, (6, 4)).astype(np.float32)
weight = np.random.RandomState(1).randint(-5, 5, (4, 5)).astype(np.float32)
if mesh_ranks is not None:
    M = flow.placement("cpu", ranks=mesh_ranks)
    S, B = flow.sbp.split, flow.sbp.broadcast
    x = flow.tensor(data, placement=M, sbp=(S(0), B))
    w = flow.tensor(weight, placement=M, sbp=(B, S(1)))
    w.requires_grad = True
    y = x @ w
    assert y.sbp == (S(0), S(1)), y.sbp
    (y * y).sum().backward()
    assert w.grad.sbp == w.sbp
    np.testing.assert_allclose(w.grad.numpy(), 2 * data.T @ (data @ weight))
print("fine")
"""


@pytest.mark.parametrize("world", [2, 4])
def test_the_quick_tour(tmp_path, world):
    assert run_text(tmp_path, world, TOUR).stdout.count("fine") == world


ERRORS = """
import oneflow_like as flow

B, S = flow.sbp.broadcast, flow.sbp.split
P, Q = flow.placement("cpu", ranks=[0, 1]), flow.placement("cpu", ranks=[1])
x = flow.ones(4, 4, placement=P, sbp=S(0))


def expect(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), (text, str(error))
        assert "job.py:" in str(error), str(error)
        return
    raise SystemExit(f"no error: {text}")


expect(ValueError, "local and global tensors are mixed, and the local one differs between ranks",
       lambda: x + flow.tensor([float(flow.env.get_rank())] * 4))
expect(ValueError, "expected all tensors to be on the same placement",
       lambda: x + flow.ones(4, 4, placement=Q, sbp=B))
expect(ValueError, "cannot be split on axis 5", lambda: x.to_global(sbp=S(5)))
expect(ValueError, "a rank is outside the world",
       lambda: flow.placement("cpu", ranks=[0, 2]))
expect(ValueError, "symbols", lambda: x.to_global(sbp=(S(0), B)))
expect(ValueError, "balanced split",
       lambda: flow.ones(1 + 2 * flow.env.get_rank(), 2).to_global(placement=P, sbp=S(0)))
expect(TypeError, "argument 'sbp' must be", lambda: x.to_global(sbp="S(0)"))
print("fine")
"""


def test_mistakes_are_explained(tmp_path):
    assert run_text(tmp_path, 2, ERRORS).stdout.count("fine") == 2


DIFFERENT = """
import oneflow_like as flow

x = flow.ones(4, 6, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
try:
    if flow.env.get_rank() == 0:
        x.to_global(sbp=flow.sbp.broadcast)
    else:
        x.to_global(sbp=flow.sbp.split(1))
except RuntimeError as error:
    assert "ranks run different programs" in str(error), error
    assert "job.py:7" in str(error) and "job.py:9" in str(error), error
    print("told")
"""


def test_ranks_that_run_different_programs_are_told(tmp_path):
    assert run_text(tmp_path, 2, DIFFERENT, check=False).stdout.count("told") == 2


def test_one_process_needs_no_launcher():
    P = flow.placement.all("cpu")
    x = flow.ones(2, 3, placement=P, sbp=flow.sbp.partial_sum)
    assert x.to_global(sbp=flow.sbp.split(1)).numpy().tolist() == [[1.0] * 3] * 2
    assert repr(P) == 'oneflow_like.placement(type="cpu", ranks=[0])'
    assert repr(flow.sbp.split(0)) == "oneflow_like.sbp.split(dim=0)"
    assert flow.sbp.split(0) == flow.sbp.split(axis=0) != flow.sbp.split(1)
    with pytest.raises(ValueError, match="must not be negative, but got -1"):
        flow.sbp.split(-1)




def test_in_place_forms_write_where_the_target_lies(tmp_path):
    """Whatever layouts meet: right values, in the target's memory and layout."""
    run_text(tmp_path, 2, SETUP + """
P = flow.placement("cpu", ranks=everyone)
for shape, s, t in itertools.product(SHAPES, SYMBOLS, SYMBOLS):
    a, x = source(shape, P, s, 0)
    b, y = source(shape, P, t, 10)
    at = x.data_ptr()
    x.add_(y)
    assert x.data_ptr() == at and x.sbp == (s,), (shape, s, t)
    np.testing.assert_array_equal(x.numpy(), a + b, err_msg=str((shape, s, t)))
    x.mul_(2)
    x.sub_(x)
    np.testing.assert_array_equal(x.numpy(), 0 * a)
    x.copy_(y)
    flow.add(x, y, out=x)
    assert x.data_ptr() == at and x.sbp == (s,), (shape, s, t)
    np.testing.assert_array_equal(x.numpy(), 2 * b)
# Shards that are views of each other's memory, and targets of other ranks.
x = flow.arange(6, placement=P, sbp=flow.sbp.broadcast)
x.to_global(sbp=flow.sbp.split(0)).add_(x)
x.add_(x)
assert sorted(x.numpy().tolist())[0] == 0
for ranks in ([0], [1]):
    z = flow.ones(3, placement=flow.placement("cpu", ranks=ranks), sbp=flow.sbp.broadcast)
    z.add_(z).add_(1)
    assert z.numpy().tolist() == [3.0] * 3
w = flow.ones(4, placement=P, sbp=flow.sbp.split(0), requires_grad=True)
for turn in range(3):
    (w * 2).sum().backward()
    held = w.grad if turn == 0 else held
assert held.sbp == w.sbp and held.numpy().tolist() == w.grad.numpy().tolist() == [6.0] * 4
""")


def test_new_tensors_beside_a_global_one_keep_its_layout(tmp_path):
    run_text(tmp_path, 2, textwrap.dedent("""
        import numpy as np
        import oneflow_like as flow

        P = flow.placement.all("cpu")
        B, S = flow.sbp.broadcast, flow.sbp.split
        for sbp, kept in ((S(0), S(0)), (S(1), S(1)), (B, B), (flow.sbp.partial_sum, B)):
            x = flow.ones(4, 6, placement=P, sbp=sbp)
            for made in (x.new_zeros(2, 3), x.new_ones((2, 3)), x.new_full((2, 3), 2.0),
                         x.new_empty(2, 3)):
                assert made.placement == P and made.sbp == (kept,) and made.shape == (2, 3)
        # An axis that the new tensor has not splits nothing.
        short = flow.ones(4, 6, placement=P, sbp=S(1)).new_ones(3)
        assert short.sbp == (B,) and short.tolist() == [1.0] * 3
        x = np.float32(2) * flow.ones(4, placement=P, sbp=S(0)) - np.int64(1)
        assert x.is_global and x.sbp == (S(0),) and x.tolist() == [1.0] * 4
    """))


def test_what_loses_a_maximum_never_comes_back(tmp_path):
    """A part of a P(max) may lie outside the domain, or hold what an empty part holds."""
    run_text(tmp_path, 3, textwrap.dedent("""
        import numpy as np
        import oneflow_like as flow

        P, B, S0 = flow.placement.all("cpu"), flow.sbp.broadcast, flow.sbp.split(0)

        def split(values):
            return flow.tensor(values, placement=P, sbp=B).to_global(sbp=S0)

        x = split([-4.0, 9.0])  # and an empty part
        assert x.amax(0).sqrt().item() == 3.0 and x.amin(0).abs().item() == 4.0
        np.testing.assert_allclose(x.amax(0).log().item(), np.log(9.0), rtol=1e-6)
        np.testing.assert_allclose(x.amax(0).rsqrt().item(), 1 / 3, rtol=1e-6)
        np.testing.assert_allclose((x.amax(0) ** 0.5).item(), 3.0, rtol=1e-6)
        assert (x.amax(0) * 0.0).item() == 0.0 and (x.amax(0) + float("inf")).item() == np.inf
        n = split([-4, 9])
        top, low = n.amax(0), n.amin(0)
        assert (-top).item() == -9 and (3 - top).item() == -6 and (top - 2).item() == 7
        assert (top * -2).item() == -18 and (low - 1).item() == -5 and (low * 2).item() == -8
        assert (top + low).item() == 5 and (top - low).item() == 13 and (-low).item() == 4
    """))


def test_rows_of_a_split_mask_can_be_read(tmp_path):
    """Truth values are not added up over ranks: what each has of them is joined by "or"."""
    run_text(tmp_path, 2, textwrap.dedent("""
        import oneflow_like as flow

        P, B, S0 = flow.placement.all("cpu"), flow.sbp.broadcast, flow.sbp.split(0)
        rows = [[True, False], [False, True], [True, True]]
        mask = flow.tensor(rows, placement=P, sbp=B).to_global(sbp=S0)
        index = flow.tensor([2, 0], placement=P, sbp=B)
        assert flow.index_select(mask, 0, index).tolist() == [rows[2], rows[0]]
        at = flow.tensor([[2, 1]], placement=P, sbp=B)
        assert flow.gather(mask, 0, at).tolist() == [[True, True]]
        small = flow.tensor(rows, placement=P, sbp=B).to(flow.float8_e4m3fn).to_global(sbp=S0)
        assert flow.index_select(small, 0, index).to(flow.float32).tolist() == [[1, 1], [1, 0]]
    """))
