"""Random numbers: a generator of the job for global tensors, one of the process for local ones."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from jobs import run_job, run_text

import oneflow_like as flow
from oneflow_like import nn

FILLS = """
import itertools
import numpy as np
import oneflow_like as flow
from oneflow_like.nn import init

B, P, S = flow.sbp.broadcast, flow.sbp.partial_sum, flow.sbp.split
WORLD = flow.env.get_world_size()
FILLS = {
    "normal_": lambda t: t.normal_(), "normal_(1, 2)": lambda t: t.normal_(1, std=2.0),
    "uniform_": lambda t: t.uniform_(), "uniform_(-3, 5)": lambda t: t.uniform_(-3.0, b=5.0),
    "zero_": lambda t: t.zero_(), "fill_": lambda t: t.fill_(2.5),
    "init.normal_": lambda t: init.normal_(t, 1.0, 2.0),
    "init.uniform_": lambda t: init.uniform_(t, -3.0, 5.0),
    "constant_": lambda t: init.constant_(t, 7.0), "zeros_": init.zeros_, "ones_": init.ones_,
    "xavier_uniform_": init.xavier_uniform_, "xavier_normal_": init.xavier_normal_,
    "kaiming_uniform_": init.kaiming_uniform_, "kaiming_normal_": init.kaiming_normal_,
}
everyone = flow.placement.all("cpu")
layouts = [(everyone, (s,)) for s in (S(0), S(1), B, P)]
if WORLD > 1:
    layouts += [(flow.placement("cpu", ranks=[1]), (B,)),
                (flow.placement("cpu", ranks=[1, 0]), (P,))]
if WORLD == 4:
    mesh = flow.placement("cpu", ranks=[[0, 1], [2, 3]])
    layouts += [(mesh, pair) for pair in itertools.product((S(0), B, P), (S(1), B, P))]
for (name, fill), shape, dtype in itertools.product(
        FILLS.items(), [(5, 3), (1, 2)], [flow.float32, flow.float64]):
    flow.manual_seed(11)
    local = flow.zeros(*shape, dtype=dtype)
    result = fill(local)
    assert result is local
    for placement, sbp in layouts:
        flow.manual_seed(11)
        x = flow.ones(*shape, dtype=dtype, placement=placement, sbp=sbp)
        alias = x.detach()
        result = fill(x)
        assert result is x and x.placement == placement and x.sbp == sbp and x.dtype is dtype
        np.testing.assert_array_equal(x.numpy(), local.numpy(), err_msg=f"{name} {sbp}")
        np.testing.assert_array_equal(alias.numpy(), local.numpy())
print("fine")
"""


@pytest.mark.parametrize("world", [1, 2, 4])
def test_filling_keeps_the_layout_and_draws_the_same_logical_values(tmp_path, world):
    assert run_text(tmp_path, world, FILLS).stdout.count("fine") == world


def test_filling_with_random_values():
    flow.manual_seed(5)
    x = flow.zeros(10000)
    assert abs(x.normal_(3.0, 0.5).numpy().mean() - 3) < 0.05 and abs(x.numpy().std() - 0.5) < 0.05
    values = x.uniform_(-2, 6).numpy()
    assert -2 <= values.min() < -1.9 and 5.9 < values.max() < 6
    assert flow.zeros(3).double().normal_().dtype is flow.float64
    weight = flow.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Tensor that requires grad"):
        weight.normal_()
    with flow.no_grad():
        assert weight.uniform_().requires_grad and weight.is_leaf
    for mistake, text in (
            (lambda: x.normal_(std=-1.0), "std must not be negative"),
            (lambda: x.uniform_(1.0, 0.0), "low <= high"),
            (lambda: nn.init.normal_(x, std=-1.0), "std >= 0"),
            (lambda: nn.init.uniform_(x, 2.0, 1.0), "a <= b")):
        with pytest.raises(ValueError, match=text):
            mistake()
    with pytest.raises(TypeError, match="real numbers"):
        flow.zeros(2, dtype=flow.int64).normal_()


def test_doubles_are_drawn_with_all_their_bits():
    for x in (flow.rand(500, dtype=flow.float64), flow.zeros(500, dtype=flow.float64).uniform_(),
              nn.init.uniform_(flow.zeros(500, dtype=flow.float64))):
        values = x.numpy()
        assert 0 <= values.min() and values.max() < 1
        assert np.mean(values * 2.0 ** 24 % 1 != 0) > 0.9  # below what a float's draw has
        assert np.all(values * 2.0 ** 53 % 1 == 0)


PRELUDE = """
import numpy as np
import oneflow_like as flow
from oneflow_like import nn

B, P, S = flow.sbp.broadcast, flow.sbp.partial_sum, flow.sbp.split
RANK, WORLD = flow.env.get_rank(), flow.env.get_world_size()
everyone = flow.placement.all("cpu")


def equal_on_all_ranks(tensor):
    mine = tensor.detach().to_local() * 1
    theirs = [flow.empty(*mine.shape) for _ in range(WORLD)]
    flow.comm.all_gather(theirs, mine)
    return all(np.array_equal(other.numpy(), mine.numpy()) for other in theirs)


def expect(text, call, *sites):
    try:
        call()
    except RuntimeError as error:
        for part in (text, *sites):
            assert part in str(error), (part, str(error))
        print("told")
        return
    raise SystemExit(f"no error: {text}")
"""

APART = PRELUDE + """
flow.manual_seed(4)
if RANK == 0:  # local draws of one rank leave the job's generator alone
    flow.rand(3)
    nn.Linear(3, 2)
    nn.functional.dropout(flow.ones(5), 0.5)
    flow.zeros(2).normal_()
x = flow.randn(2, 3, placement=everyone, sbp=B)
assert equal_on_all_ranks(x)
assert equal_on_all_ranks(nn.functional.dropout(x, 0.5))
weight = flow.zeros(4, 3, placement=everyone, sbp=B)
nn.init.kaiming_uniform_(weight)
assert equal_on_all_ranks(weight)
assert equal_on_all_ranks(weight.uniform_())
assert equal_on_all_ranks(flow.randint(100, (4,), placement=everyone, sbp=B).to(flow.float32))

# A rank outside the placement counts the draw too, and whatever came before stays as it was.
flow.manual_seed(4)
flow.randn(5, placement=flow.placement("cpu", ranks=[WORLD - 1]), sbp=B)
after = flow.randn(6, placement=everyone, sbp=S(0)).numpy()
flow.manual_seed(4)
flow.randn(5)
np.testing.assert_array_equal(flow.randn(6).numpy(), after)

# Local draws: the same seed gives the same numbers on every rank, another gives others, and neither
# is a difference as long as nothing global is drawn.
flow.manual_seed(9)
assert equal_on_all_ranks(flow.rand(3).to_global(placement=everyone, sbp=P))
flow.manual_seed(RANK)
mine = flow.rand(3)
parts = [flow.empty(3) for _ in range(WORLD)]
flow.comm.all_gather(parts, mine)
assert len({tuple(part.tolist()) for part in parts}) == WORLD
print("fine")
"""


@pytest.mark.parametrize("world", [2, 3])
def test_local_draws_leave_global_ones_equal_on_all_ranks(tmp_path, world):
    assert run_text(tmp_path, world, APART).stdout.count("fine") == world


# What rank 0 alone does, and the collective that notices it.
EXTRA_DRAWS = {
    "source": "flow.randn(2, placement=everyone, sbp=B)",
    "dropout": "nn.functional.dropout(ones, 0.5)",
    "fill": "ones.normal_()",
    "not-a-member": "flow.randn(2, placement=flow.placement('cpu', ranks=[1]), sbp=B)",
    "seed": "flow.manual_seed(77)",
}
NOTICED_BY = {
    "boxing": "x.to_global(sbp=S(0)).to_global(sbp=B)",
    "from-local": "flow.ones(2).to_global(placement=everyone, sbp=P)",
    "comm": "flow.comm.barrier()",
}


def site(job, text):
    """Where `text` stands in a job."""
    lines = [number for number, line in enumerate(job.splitlines(), 1) if text in line]
    assert len(lines) == 1
    return f"job.py:{lines[0]}"


@pytest.mark.parametrize("extra, by, world", [
    *((extra, "boxing", 2) for extra in EXTRA_DRAWS),
    ("source", "from-local", 2), ("source", "comm", 2), ("dropout", "boxing", 3)])
def test_other_draws_are_noticed_by_the_next_collective(tmp_path, extra, by, world):
    job = PRELUDE + f"""
ones = flow.ones(4, placement=everyone, sbp=B)
if RANK == 0:
    {EXTRA_DRAWS[extra]}
x = flow.randn(4, placement=everyone, sbp=B)
expect("drawn different random numbers", lambda: {NOTICED_BY[by]}, *SITES)
"""
    sites = [site(job, "x = flow.randn(4"),
             "with seed 77" if extra == "seed" else site(job, EXTRA_DRAWS[extra])]
    job = job.replace("*SITES", ", ".join(map(repr, sites)))
    assert run_text(tmp_path, world, job, check=False).stdout.count("told") == world


# What makes a broadcast tensor's bits differ without any message: numbers that the rank gives.
OTHER_NUMBERS = {
    "full": "flow.full((4,), RANK, placement=everyone, sbp=B)",
    "fill": "flow.zeros(4, placement=everyone, sbp=B).fill_(RANK)",
    "constant": "nn.init.constant_(flow.zeros(4, placement=everyone, sbp=B), RANK)",
    "scalar": "flow.ones(4, placement=everyone, sbp=B) * (RANK + 1.5)",
    "in-place": "flow.ones(4, placement=everyone, sbp=B).add_(RANK)",
    "comparison": "(flow.ones(4, placement=everyone, sbp=B) > RANK).to(flow.float32)",
    "range": "flow.arange(RANK, RANK + 4, placement=everyone, sbp=B)",
    "probability": "nn.functional.dropout(flow.ones(4, placement=everyone, sbp=B), 0.5 + RANK / 4)",
    "operator": "flow.exp(ones) if RANK == 0 else flow.sqrt(ones)",
}


@pytest.mark.parametrize("made", OTHER_NUMBERS)
def test_values_that_ranks_compute_differently_are_noticed(tmp_path, made):
    job = PRELUDE + f"""
ones = flow.ones(4, placement=everyone, sbp=B)
x = {OTHER_NUMBERS[made]}
y = x + x
expect("computed one global tensor in different ways",
       lambda: y.to_global(sbp=S(0)).to_global(sbp=B), "[to_global]", "job.py:")
"""
    assert run_text(tmp_path, 2, job, check=False).stdout.count("told") == 2


ALLOWED = PRELUDE + """
x = flow.ones(4, placement=everyone, sbp=B)
w = flow.ones(4, 2, placement=everyone, sbp=S(0))
w.requires_grad = True
for step in range(2):
    loss = (x @ w).sum()
    loss.backward()
    if RANK == 0:  # looking at values is no part of the program
        print(repr(loss), (x * 100).to_local().tolist(), (x * step + 2).to_local().tolist())
    with flow.no_grad():
        w -= 0.1 * w.grad
    # A local tensor is the rank's own, wherever it came from.
    local = x.to_local() if RANK == 0 else flow.full((4,), float(RANK))
    part = local.to_global(placement=everyone, sbp=P)
    assert part.numpy()[0] == 1 + sum(range(1, WORLD))
    sent = (local * (RANK + 1)).to_global(placement=everyone, sbp=B)
    assert equal_on_all_ranks(sent) and sent.to_local().tolist() == [1.0] * 4
    sent.to_global(sbp=S(0)).to_global(sbp=B)
print("fine")
"""


@pytest.mark.parametrize("world", [2, 3])
def test_what_one_rank_does_beside_the_program_is_no_difference(tmp_path, world):
    assert run_text(tmp_path, world, ALLOWED).stdout.count("fine") == world


class Drop(nn.Graph):
    def __init__(self, micro_batches=1):
        super().__init__()
        self.config.set_gradient_accumulation_steps(micro_batches)

    def build(self, x):
        x = nn.functional.dropout(x, 0.5)
        return nn.functional.dropout(x, 0.25) + flow.randn(*x.shape)


def eager(x):
    x = nn.functional.dropout(x, 0.5)
    return nn.functional.dropout(x, 0.25) + flow.randn(*x.shape)


def test_a_graph_draws_what_eager_mode_draws_launch_after_launch():
    x = flow.ones(16, 4)
    flow.manual_seed(3)
    expected = [eager(x).tolist() for _ in range(3)]
    flow.manual_seed(3)
    graph = Drop()
    assert [graph(x).tolist() for _ in range(3)] == expected
    flow.manual_seed(3)
    mixed = [eager(x).tolist(), graph(x).tolist(), eager(x).tolist()]
    assert mixed == expected


class Unused(nn.Graph):
    def build(self, x):
        return draw_and_drop(x)


def draw_and_drop(x):
    flow.rand(2)
    y = nn.functional.dropout(x, 0.5)
    nn.functional.dropout(y, 0.5)
    return y


class Fills(nn.Graph):
    def build(self, x):
        flow.rand(2)
        flow.randn(3)
        return x * 2.0


def test_draws_whose_results_nobody_uses_count_as_in_eager_mode():
    x = flow.ones(16, 4)
    flow.manual_seed(3)
    expected = [draw_and_drop(x).tolist() for _ in range(3)]
    after = flow.rand(3).tolist()
    flow.manual_seed(3)
    graph = Unused()
    assert [graph(x).tolist() for _ in range(3)] == expected
    assert flow.rand(3).tolist() == after
    fills = Fills()  # no random operator is left in this plan
    flow.manual_seed(3)
    fills(x)
    assert "dropout" not in str(fills.plan()) and "default  2 draws a launch" in str(fills.plan())
    values = flow.rand(3).tolist()
    flow.manual_seed(3)
    flow.rand(2), flow.randn(3)
    assert flow.rand(3).tolist() == values


def test_a_draw_is_no_attribute_of_other_operators():
    x = flow.ones(3)
    call = flow._C.call_op
    assert call("dropout", [x], {"draw": [1, 2]})[0].tolist() == call(
        "dropout", [x], {"draw": [1, 2]})[0].tolist()
    for op, attrs, text in (
            ("relu", {"draw": [1, 2]}, "no attribute is named 'draw'"),
            ("dropout", {"draw": [1]}, "is no draw of 'generator'"),
            ("dropout", {"draw": [1, 2, 0]}, "belongs to a graph's generator"),
            ("dropout", {"seed": 1}, "no attribute is named 'seed'")):
        with pytest.raises((ValueError, TypeError), match=text):
            call(op, [x], attrs)


def test_reseeding_between_two_calls_counts_and_retraces_nothing():
    graph, x = Drop(), flow.ones(8, 4)
    flow.manual_seed(1)
    first = graph(x).tolist()
    plan = graph.plan().hash
    second = graph(x).tolist()
    flow.manual_seed(1)
    assert graph(x).tolist() == first != second
    flow.manual_seed(2)
    assert graph(x).tolist() not in (first, second)
    assert graph.plan().hash == plan


def test_the_state_of_the_generators_is_saved_and_restored(tmp_path):
    everyone = flow.placement.all("cpu")
    layout = {"placement": everyone, "sbp": flow.sbp.broadcast}

    def draw():
        return flow.rand(3).tolist(), flow.randn(3, **layout).numpy().tolist()

    flow.manual_seed(-5)
    draw()
    flow.rand(1)  # one more local draw than global ones
    state = flow.get_rng_state()
    flow.save({"rng": state}, tmp_path / "state.safetensors")
    expected = draw()
    assert draw() != expected
    flow.set_rng_state(state)
    assert draw() == expected
    flow.manual_seed(8)
    flow.set_rng_state(flow.load(tmp_path / "state.safetensors")["rng"])
    assert draw() == expected

    # A graph on global tensors keeps the job's generator, and leaves this rank's own alone.
    graph = nn.Graph()
    graph.model = nn.Linear(2, 2).to_global(**layout)
    saved = graph.state_dict()
    expected = draw()
    local = flow.rand(3).tolist()
    graph.load_state_dict(saved)
    assert draw()[1] == expected[1] and flow.rand(3).tolist() != local
    del saved["rng_state"]
    graph.load_state_dict(saved)


@pytest.mark.parametrize("wrong, error", [
    (lambda: b"x", TypeError), (lambda: flow.ones(3), TypeError),
    (lambda: flow.zeros(2, dtype=flow.uint8), ValueError),
    (lambda: flow.zeros(40, dtype=flow.uint8), ValueError),
    (lambda: flow.get_rng_state()[:20], ValueError)])
def test_what_is_no_state_of_a_generator_is_refused(wrong, error):
    before = flow.get_rng_state().tolist()
    with pytest.raises(error, match=r"\[set_rng_state\].*get_rng_state"):
        flow.set_rng_state(wrong())
    assert flow.get_rng_state().tolist() == before


def test_compile_world_takes_local_numbers_from_the_same_generator():
    flow.manual_seed(6)
    expected = [flow.rand(2).tolist() for _ in range(3)]
    everyone = flow.placement.all("cpu")
    globally = flow.rand(2, placement=everyone, sbp=flow.sbp.broadcast).numpy().tolist()
    flow.manual_seed(6)
    drawn = [flow.rand(2).tolist()]
    with flow.compile_world(4):
        drawn.append(flow.rand(2).tolist())
        flow.rand(2, placement=flow.placement.all("cpu"), sbp=flow.sbp.broadcast)
    drawn.append(flow.rand(2).tolist())
    assert drawn == expected
    real = flow.rand(2, placement=everyone, sbp=flow.sbp.broadcast).numpy().tolist()
    assert real == expected[0] == globally


TRAINED = PRELUDE + """
import sys

phase = sys.argv[1]
flow.manual_seed(int(sys.argv[2]))
layout = {"placement": everyone, "sbp": B}
model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 4)).to_global(**layout)
optimizer = flow.optim.SGD(model.parameters(), lr=0.1)


class Train(nn.Graph):
    def __init__(self):
        super().__init__()
        self.model = model
        self.config.set_gradient_accumulation_steps(2)
        self.add_optimizer(optimizer)

    def build(self, x):
        loss = (self.model(x) ** 2).mean()
        loss.backward()
        return loss


graph = Train()
x = flow.tensor(np.random.RandomState(0).rand(8, 8).astype(np.float32), placement=everyone,
                sbp=S(0))
if RANK == 0 and phase == "whole":
    flow.rand(7)  # a local draw of one rank changes nothing
if phase == "second":
    graph.load_state_dict(flow.load("half.safetensors"))
for step in range(2 if phase == "second" else 4):
    loss = graph(x).numpy()
    if RANK == 0:
        print("LOSS", loss.tolist())
    if phase == "whole" and step == 1:
        flow.save(graph.state_dict(), "half.safetensors")
"""


def test_dropout_continues_in_a_resumed_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.py").write_text(TRAINED)

    def losses(*args):
        out = run_job(tmp_path / "job.py", 2, *args).stdout
        return [line.split("LOSS", 1)[1] for line in out.splitlines() if "LOSS" in line]

    whole = losses("whole", 3)
    assert len(set(whole)) == 4
    assert losses("second", 5) == whole[2:]


GRAPH_JOB = PRELUDE + """
class Drop(nn.Graph):
    def build(self, x):
        return nn.functional.dropout(x, 0.5) + flow.randn(*x.shape)


def eager(x):
    return nn.functional.dropout(x, 0.5) + flow.randn(*x.shape, placement=x.placement, sbp=x.sbp)


for sbp in (B, S(0)):
    x = flow.ones(8, 6, placement=everyone, sbp=sbp)
    flow.manual_seed(2)
    expected = [eager(x).numpy() for _ in range(3)]
    flow.manual_seed(2)
    graph = Drop()
    for want in expected:
        if RANK == 0:
            flow.rand(3)  # local
            Local = type("Local", (nn.Graph,), {"build": Drop.build})
            Local()(flow.ones(4))  # a local graph draws from the rank's own generator
        np.testing.assert_array_equal(graph(x).numpy(), want)
part = flow.placement("cpu", ranks=[0])
Drop()(flow.ones(2, 2, placement=part, sbp=B))  # the other rank counts this launch as well
assert equal_on_all_ranks(flow.randn(3, placement=everyone, sbp=B))
print("fine")
"""


def test_graphs_on_global_tensors_draw_from_the_jobs_generator(tmp_path):
    assert run_text(tmp_path, 2, GRAPH_JOB).stdout.count("fine") == 2


def test_a_plan_without_python_draws_from_its_seed(tmp_path):
    program = shutil.which("oneflow-like-exec", path=os.pathsep.join(
        [str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if program is None:
        pytest.skip("oneflow-like-exec is not installed beside this Python")
    graph, x = Drop(), flow.ones(4, 6)
    flow.manual_seed(12)
    graph.compile(x).save(tmp_path / "plan.pb")
    for folder in ("variables", "inputs"):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "inputs" / "input_0.npy", x.numpy())
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}

    def run(launches, *seed):
        done = subprocess.run(
            [program, "--plan", "plan.pb", "--variables", "variables", "--inputs", "inputs",
             "--outputs", "out", "--launches", str(launches), *seed],
            cwd=tmp_path, capture_output=True, text=True, env=clean)
        return done, done.returncode == 0 and np.load(
            tmp_path / "out" / "output_0.rank0.npy").tolist()

    first, second = graph(x).tolist(), graph(x).tolist()
    assert run(1, "--seed", "12")[1] == first and run(2, "--seed", "12")[1] == second
    flow.manual_seed(0)
    assert run(1)[1] == graph(x).tolist()
    assert run(1, "--seed", "one")[0].returncode == 64

    # The state of its generator is saved beside the variables: by Python and by the run itself.
    flow.manual_seed(-9)
    graph(x)
    graph.save_variables(tmp_path / "variables")
    state = tmp_path / "variables" / "generator@default.npy"
    assert np.load(state).tolist() == [-9, 3]
    assert run(2)[1] == [graph(x).tolist(), graph(x).tolist()][1]
    after = tmp_path / "out" / "variables" / "generator@default.npy"
    assert np.load(after).tolist() == [-9, 9]
    shutil.copy(after, state)
    assert run(1)[1] == graph(x).tolist()
    assert run(1, "--seed", "12")[1] == first  # anew
    np.save(state, np.zeros(3))
    done, _ = run(1)
    assert done.returncode == 65 and "seed and offset" in done.stderr
