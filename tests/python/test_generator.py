"""flow.Generator: draws apart from the default generators, on local and global tensors."""

import copy
import pickle

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

DRAWS = {
    "rand": lambda g: flow.rand(7, generator=g),
    "randn": lambda g: flow.randn((2, 3), generator=g),
    "randint": lambda g: flow.randint(2, 50, (9,), generator=g),
    "rand_like": lambda g: flow.rand_like(flow.zeros(5), generator=g),
    "randn_like": lambda g: flow.randn_like(flow.zeros(5), generator=g),
    "randint_like": lambda g: flow.randint_like(flow.zeros(8, dtype=flow.int64), 90, generator=g),
    "normal_": lambda g: flow.zeros(5).normal_(1.0, 2.0, generator=g),
    "uniform_": lambda g: flow.zeros(5).uniform_(generator=g),
    "out": lambda g: flow.rand(4, generator=g, out=flow.zeros(4)),
    "init": lambda g: nn.init.xavier_normal_(flow.zeros(3, 4), generator=g),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_call_draws_from_the_generator_that_it_is_given(draw):
    g = flow.Generator().manual_seed(5)
    before = flow.get_rng_state().tolist()
    first, second = draw(g).tolist(), draw(g).tolist()
    assert flow.get_rng_state().tolist() == before and first != second
    g.manual_seed(5)
    assert draw(g).tolist() == first and draw(g).tolist() == second
    flow.manual_seed(5)
    assert draw(None).tolist() == first  # the default one draws alike
    flow.manual_seed(5)
    assert draw(flow.default_generator).tolist() == first
    with pytest.raises(TypeError, match="must be Generator, not int|no form takes"):
        draw(3)


def test_seeds_and_states():
    g = flow.Generator()
    assert g.device == flow.device("cpu") and g.initial_seed() == 67280421310721
    assert g.manual_seed(-1) is g and g.initial_seed() == 2**64 - 1
    state = g.get_state()
    assert state.dtype is flow.uint8 and state.ndim == 1
    values = flow.rand(3, generator=g).tolist()
    moved = g.get_state()
    assert g.set_state(state) is g and flow.rand(3, generator=g).tolist() == values
    assert g.get_state().tolist() == moved.tolist() != state.tolist()
    for other in (g.clone_state(), copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        assert flow.rand(3, generator=other).tolist() == flow.rand(
            3, generator=flow.Generator().manual_seed(-1).set_state(moved)).tolist()
    seed = g.seed()
    assert isinstance(seed, int) and g.initial_seed() == seed != g.seed()
    for wrong, error, text in ((1.5, TypeError, "the seed must be int"),
                               (2**64, ValueError, "beyond 64 bits"), ("a", TypeError, "be int")):
        with pytest.raises(error, match=text):
            g.manual_seed(wrong)
    for wrong, error in ((flow.zeros(5, dtype=flow.uint8), ValueError), (flow.zeros(5), TypeError),
                         (3, TypeError)):
        with pytest.raises(error, match="Generator.set_state"):
            g.set_state(wrong)


def test_the_default_generators_are_one_to_the_user():
    g = flow.default_generator
    assert flow.manual_seed(3) is g and isinstance(g, flow.Generator)
    assert flow.initial_seed() == g.initial_seed() == 3
    state, values = g.get_state(), flow.rand(4).tolist()
    g.set_state(state)
    assert flow.rand(4).tolist() == values
    flow.set_rng_state(flow.Generator().manual_seed(3).get_state())
    assert flow.rand(4).tolist() == values
    own = flow.Generator().set_state(state)
    assert flow.rand(4, generator=own).tolist() == values
    assert pickle.loads(pickle.dumps(g)) is g
    seed = flow.seed()
    assert flow.initial_seed() == seed == flow.random.initial_seed()
    assert copy.deepcopy(flow.Generator().manual_seed(4)).initial_seed() == 4


def test_fork_rng_leaves_no_trace():
    flow.manual_seed(8)
    with flow.random.fork_rng():
        inside = flow.rand(3).tolist()
        flow.manual_seed(0)
    assert flow.rand(3).tolist() == inside
    with flow.random.fork_rng(enabled=False):
        flow.manual_seed(8)
    assert flow.rand(3).tolist() == inside
    with pytest.raises(ValueError, match="no device besides the CPU"), flow.random.fork_rng([0]):
        pass


class Noise(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, x):
        return x + flow.rand(*x.shape, generator=self.generator) + flow.rand(*x.shape)


def test_a_graph_draws_as_eager_calls_do():
    g = flow.Generator().manual_seed(5)
    noise = Noise(g)

    class Graph(nn.Graph):
        def __init__(self):
            super().__init__()
            self.noise = noise

        def build(self, x):
            return self.noise(x)

    x = flow.zeros(6)
    flow.manual_seed(1)
    eager = [noise(x).numpy() for _ in range(3)]
    graph = Graph()
    flow.manual_seed(1)
    g.manual_seed(5)
    for values in eager:
        np.testing.assert_array_equal(graph(x).numpy(), values)
    noise.generator = None
    del g
    assert graph(x).shape == (6,)


def test_nothing_is_seeded_inside_build():
    g = flow.Generator()

    class Graph(nn.Graph):
        def build(self, x):
            self.call()
            return x * 1

    for call in (lambda: g.manual_seed(1), g.seed, g.get_state, lambda: flow.manual_seed(1),
                 flow.seed):
        graph = Graph()
        graph.call = call
        with pytest.raises(RuntimeError, match="inside build"):
            graph(flow.ones(1))


GLOBAL = """
import numpy as np
import oneflow_like as flow

B, S = flow.sbp.broadcast, flow.sbp.split
RANK, everyone = flow.env.get_rank(), flow.placement.all("cpu")
local = flow.rand(4, 6, generator=flow.Generator().manual_seed(9)).numpy()
for sbp in (B, S(0), S(1)):
    g = flow.Generator().manual_seed(9)
    x = flow.rand(4, 6, generator=g, placement=everyone, sbp=sbp)
    np.testing.assert_array_equal(x.numpy(), local)
    y = flow.zeros(4, 6, placement=everyone, sbp=sbp).uniform_(generator=g.manual_seed(9))
    np.testing.assert_array_equal(y.numpy(), local)
try:
    flow.seed()
except RuntimeError as error:
    assert "flow.manual_seed(n)" in str(error), error
    print("told")
apart = flow.Generator().manual_seed(RANK)
x = flow.rand(4, generator=apart, placement=everyone, sbp=S(0))
try:
    x.to_global(sbp=B)
except RuntimeError as error:
    assert "rand" in str(error), error
    print("differ")
"""


def test_global_tensors_draw_alike_on_all_ranks(tmp_path):
    out = run_text(tmp_path, 2, GLOBAL).stdout
    assert out.count("told") == 2 and out.count("differ") == 2
