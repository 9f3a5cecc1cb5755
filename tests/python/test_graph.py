"""nn.Graph: compiling, running, refusing, and the plan as a file."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from graph_case import Train, data, mlp
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

HERE = pathlib.Path(__file__).resolve().parent
PRELUDE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import oneflow_like as flow
from oneflow_like import nn
from graph_case import *
"""


def test_graph_equals_eager_bit_for_bit_and_shares_parameters():
    x, y = data()
    eager, graphed = mlp(), mlp()
    eager_opt = flow.optim.AdamW(eager.parameters(), lr=1e-2)
    graph_opt = flow.optim.AdamW(graphed.parameters(), lr=1e-2)
    graph = Train(graphed, graph_opt)
    for _ in range(4):
        error = eager(x) - y
        loss = (error * error).mean()
        eager_opt.zero_grad()
        loss.backward()
        eager_opt.step()
        assert graph(x, y).item() == loss.item()
    for a, b in zip(eager.parameters(), graphed.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_eager_and_graph_steps_may_alternate():
    x, y = data()
    plain, mixed = mlp(), mlp()
    plain_opt = flow.optim.AdamW(plain.parameters(), lr=1e-2)
    mixed_opt = flow.optim.AdamW(mixed.parameters(), lr=1e-2)
    graph = Train(mixed, mixed_opt)

    def eager_step(model, optimizer):
        loss = ((model(x) - y) * (model(x) - y)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for i in range(4):
        eager_step(plain, plain_opt)
        if i % 2:
            eager_step(mixed, mixed_opt)
        else:
            graph(x, y)
    for a, b in zip(plain.parameters(), mixed.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-7)


def test_micro_batches_give_a_loss_each_and_the_whole_batch_s_update():
    x, y = data()
    whole, parts = mlp(), mlp()
    whole_graph = Train(whole, flow.optim.SGD(whole.parameters(), lr=0.1))
    parts_graph = Train(parts, flow.optim.SGD(parts.parameters(), lr=0.1), micro_batches=4)
    for _ in range(3):
        one, four = whole_graph(x, y), parts_graph(x, y)
        assert tuple(four.shape) == (4,)
        np.testing.assert_allclose(four.numpy().mean(), one.item(), rtol=1e-6)


def test_learning_rate_schedule_needs_no_second_compilation():
    x, y = data()
    model = mlp()
    optimizer = flow.optim.SGD(model.parameters(), lr=0.0)
    graph = Train(model, optimizer)
    before = graph(x, y).item()
    assert graph(x, y).item() == before
    optimizer.param_groups[0]["lr"] = 0.1
    graph(x, y)
    assert graph(x, y).item() < before


def test_clipping_in_a_graph_equals_eager():
    x, y = data()
    eager, graphed = mlp(), mlp()

    def make(model):
        group = {"params": model.parameters(), "clip_grad_max_norm": 0.05}
        return flow.optim.SGD([group], lr=1.0)

    eager_opt, graph = make(eager), Train(graphed, make(graphed))
    for _ in range(3):
        error = eager(x) - y
        loss = (error * error).mean()
        eager_opt.zero_grad()
        loss.backward()
        eager_opt.clip_grad()
        eager_opt.step()
        np.testing.assert_allclose(graph(x, y).item(), loss.item(), rtol=1e-6)


def test_dropout_draws_a_new_mask_in_every_call_and_its_gradient_the_same():
    class Drop(nn.Graph):
        def __init__(self, weight, optimizer):
            super().__init__()
            self.weight = weight
            self.add_optimizer(optimizer)

        def build(self, x):
            y = nn.functional.dropout(x * self.weight, p=0.5)
            y.sum().backward()
            return y

    weight = nn.Parameter(flow.ones(1000))
    graph = Drop(weight, flow.optim.SGD([weight], lr=1.0))
    x = flow.ones(1000)
    before = weight.detach().numpy().copy()
    first = graph(x).numpy()
    # d sum(y) / d weight is the mask itself, scaled: 2 where kept.
    np.testing.assert_array_equal(before - weight.detach().numpy(), np.where(first != 0, 2.0, 0.0))
    second = graph(x).numpy()
    assert ((first == 0) != (second == 0)).mean() > 0.3


def test_nested_inputs_and_outputs_keep_their_structure():
    class Nested(nn.Graph):
        def build(self, pair, scale):
            return {"sum": pair[0] + pair[1], "scaled": [pair[0] * scale]}

    a, b = flow.ones(2, 3), flow.ones(2, 3)
    out = Nested()((a, b), 3.0)
    np.testing.assert_array_equal(out["sum"].numpy(), np.full((2, 3), 2.0))
    np.testing.assert_array_equal(out["scaled"][0].numpy(), np.full((2, 3), 3.0))


def test_counters_equal_the_prediction():
    x, y = data()
    model = mlp()
    graph = Train(model, flow.optim.AdamW(model.parameters()))
    for _ in range(3):
        graph(x, y)
    counters = graph.counters()
    assert counters["launches"] == 3
    assert counters["firings"] == counters["predicted_firings"] > 0


@pytest.mark.parametrize("arguments", [
    lambda: data(rows=12), lambda: (data()[0], 3), lambda: (data()[0], data()[1][:, :1])])
def test_other_arguments_than_compiled_for_trace_anew(arguments):
    model = mlp()
    graph = Train(model)
    graph(*data())
    assert graph(*arguments()).item() == Train(model)(*arguments()).item()


def test_arguments_that_build_does_not_take_are_refused():
    graph = Train(mlp())
    expected = graph(*data()).item()
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        graph(data()[0])
    assert graph(*data()).item() == expected


def test_a_batch_that_does_not_divide_is_refused():
    graph = Train(mlp(), micro_batches=5)
    with pytest.raises(ValueError, match="micro-batches"):
        graph(*data())


def test_wrong_shapes_in_build_name_operator_and_line():
    class Wrong(nn.Graph):
        def build(self, x):
            return flow.matmul(x, x)

    with pytest.raises(ValueError) as caught:
        Wrong()(flow.ones(2, 3))
    assert "[matmul]" in str(caught.value) and "test_graph.py" in str(caught.value)


def test_values_cannot_be_read_in_build():
    class Reads(nn.Graph):
        def build(self, x):
            return x * float(x.sum().item())

    with pytest.raises(Exception, match="(?i)graph|build|trac"):
        Reads()(flow.ones(2))


def test_plan_files_are_checked(tmp_path):
    graph = Train(mlp())
    graph(*data())
    path = tmp_path / "plan.pb"
    graph.plan().save(path)
    assert flow._C.plan_check(str(path)) == graph.plan().hash
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(Exception, match="plan"):
            flow._C.plan_show(str(path))
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0x40
    path.write_bytes(bytes(flipped))
    with pytest.raises(RuntimeError):
        flow._C.plan_check(str(path))
    with pytest.raises(Exception, match="cannot open"):
        flow._C.plan_show(str(tmp_path / "absent.pb"))


def test_pass_dumps(tmp_path, monkeypatch):
    monkeypatch.setenv("OFL_DUMP", str(tmp_path))
    Train(mlp())(*data())
    names = sorted(p.name.split(".")[-2] for p in tmp_path.iterdir())
    assert names[0] == "00_trace" and names[-1].endswith("_views")


def test_a_dump_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OFL_DUMP", str(tmp_path / "file"))
    with pytest.raises(RuntimeError, match="OFL_DUMP: got '.*/file', which is no folder"):
        Train(mlp())(*data())
    monkeypatch.setenv("OFL_DUMP", str(tmp_path / "file" / "below"))
    with pytest.raises(RuntimeError, match="OFL_DUMP: got '.*/below', which is no folder"):
        Train(mlp())(*data())
    graph = Train(mlp())
    taken = tmp_path / "dump" / f"{graph.name}.rank0.00_trace.txt"
    taken.mkdir(parents=True)
    monkeypatch.setenv("OFL_DUMP", str(tmp_path / "dump"))
    with pytest.raises(RuntimeError, match=f"OFL_DUMP: cannot write {taken}"):
        graph(*data())


def gpt_plan(world, batch):
    """The GPT of the example on `world` data-parallel ranks that do not exist."""
    sys.path.insert(0, str(HERE.parents[1] / "examples" / "gpt"))
    import model as gpt

    with flow.compile_world(world):
        laid = gpt.Laid(gpt.GPT(gpt.Config()), "dp", world)

        class Step(nn.Graph):
            def __init__(self):
                super().__init__()
                self.model = laid.module
                self.add_optimizer(flow.optim.AdamW(laid.module.parameters(), lr=1e-3))

            def build(self, tokens, targets):
                loss = self.model.loss(tokens, targets)
                loss.backward()
                return loss

        tokens = flow.zeros((batch, 128), dtype=flow.int64, placement=flow.placement.all("cpu"),
                            sbp=flow.sbp.split(0))
        return Step().compile(tokens, tokens).to_bytes()


def test_a_plan_does_not_grow_with_ranks():
    two, many = len(gpt_plan(2, 512)), len(gpt_plan(64, 512))
    print(f"plan bytes: {two} at 2 ranks, {many} at 64, ratio {many / two:.4f}")
    assert many <= 1.02 * two


HASH_JOB = PRELUDE + """
model = mlp().to_global(placement=P, sbp=B)
graph = Train(model, flow.optim.AdamW(model.parameters()))
x, y = data(placement=P, sbp=flow.sbp.split(0))
print("HASH", graph.compile(x, y).hash)
"""


def test_a_hundred_compilations_on_all_ranks_give_one_hash(tmp_path, monkeypatch):
    hashes = []
    for seed in range(4):
        monkeypatch.setenv("PYTHONHASHSEED", str(seed * 101))
        job = HASH_JOB + "for _ in range(24): print('HASH', Train(model, flow.optim.AdamW(" \
                         "model.parameters())).compile(x, y).hash)\n"
        out = run_text(tmp_path, 2, job.replace('f"{name}_{count}"', "name")).stdout
        hashes += [line.split()[-1] for line in out.splitlines() if "HASH" in line]
    assert len(hashes) == 4 * 25 * 2
    assert len(set(hashes)) == 1


def test_ranks_that_build_different_graphs_hear_the_first_operator(tmp_path):
    result = run_text(tmp_path, 2, PRELUDE + """
class Uneven(nn.Graph):
    def build(self, x):
        y = x * 2.0
        return y + y if RANK == 0 else flow.exp(y)
x, _ = data(placement=P, sbp=flow.sbp.split(0))
Uneven()(x)
""", check=False)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "different plans" in text and "add_" in text and "exp_" in text


def test_pipeline_stages_and_counters_on_two_processes(tmp_path):
    out = run_text(tmp_path, 2, PRELUDE + """
stages = [flow.placement("cpu", ranks=[r]) for r in range(2)]
class Two(nn.Module):
    def __init__(self):
        super().__init__()
        base = mlp()
        self.first = nn.Sequential(base[0], base[1]).to_global(placement=stages[0], sbp=B)
        self.second = base[2].to_global(placement=stages[1], sbp=B)
    def forward(self, x):
        return self.second(self.first(x))
class Piped(Train):
    def __init__(self, model, optimizer):
        super().__init__(model, optimizer, micro_batches=4)
        for i, part in enumerate((self.model.first, self.model.second)):
            part.to(nn.graph.GraphModule).set_stage(i, stages[i])
model = Two()
graph = Piped(model, flow.optim.SGD(model.parameters(), lr=0.1))
x, _ = data(placement=stages[0], sbp=B)
_, y = data(placement=stages[1], sbp=B)
losses = [float(graph(x, y).numpy().mean()) for _ in range(3)]
counters = graph.counters()
assert counters["firings"] == counters["predicted_firings"]
assert counters["messages"] == counters["predicted_messages"] > 0
assert counters["message_bytes"] == counters["predicted_message_bytes"]
assert counters["unplanned_messages"] == 0
if RANK == 0:
    print("LOSSES", losses)
""").stdout
    losses = json.loads(out.split("LOSSES", 1)[1].splitlines()[0])
    model = mlp()
    graph = Train(model, flow.optim.SGD(model.parameters(), lr=0.1), micro_batches=4)
    np.testing.assert_allclose(losses, [float(graph(*data()).numpy().mean()) for _ in range(3)],
                               rtol=3e-6)


def test_conversions_of_several_steps_on_three_processes(tmp_path):
    out = run_text(tmp_path, 3, PRELUDE + """
flow.manual_seed(3)
model = nn.Sequential(nn.Linear(8, 400), nn.GELU(), nn.Linear(400, 400), nn.Linear(400, 4))
model = model.to_global(placement=P, sbp=B)
graph = Train(model, flow.optim.SGD(model.parameters(), lr=0.1))
x, y = data(rows=17, placement=P, sbp=flow.sbp.split(0))
losses = [graph(x, y).numpy().item() for _ in range(4)]
counters = graph.counters()
assert counters["messages"] == counters["predicted_messages"] > 0
assert "reduce-scatter + all-gather" in graph.plan().summary()
if RANK == 0:
    print("LOSSES", losses)
""").stdout
    losses = json.loads(out.split("LOSSES", 1)[1].splitlines()[0])
    flow.manual_seed(3)
    model = nn.Sequential(nn.Linear(8, 400), nn.GELU(), nn.Linear(400, 400), nn.Linear(400, 4))
    graph = Train(model, flow.optim.SGD(model.parameters(), lr=0.1))
    x, y = data(rows=17)
    np.testing.assert_allclose(losses, [graph(x, y).item() for _ in range(4)], rtol=3e-6)


def test_a_saved_plan_runs_without_python(tmp_path):
    program = shutil.which("oneflow-like-exec", path=os.pathsep.join(
        [str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if program is None:
        pytest.skip("oneflow-like-exec is not installed beside this Python")
    x, y = data()
    model = mlp()
    graph = Train(model, flow.optim.SGD(model.parameters(), lr=0.1))
    graph.compile(x, y)
    graph.plan().save(tmp_path / "plan.pb")
    graph.save_variables(tmp_path / "variables")
    (tmp_path / "inputs").mkdir()
    for name, value in (("input_0", x.numpy()), ("input_1", y.numpy()),
                        ("hyper.0.0", np.array([0.1, 0.0]))):
        np.save(tmp_path / "inputs" / f"{name}.npy", value)
    command = [program, "--plan", "plan.pb", "--variables", "variables", "--inputs", "inputs",
               "--outputs", "out", "--launches", "2"]
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    graph(x, y)
    assert float(np.load(tmp_path / "out" / "output_0.rank0.npy")) == graph(x, y).item()
    (tmp_path / "inputs" / "input_0.npy").write_bytes(b"junk")
    bad = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=clean)
    assert bad.returncode == 65 and "input_0.npy" in bad.stderr


def test_a_graph_traces_anew_for_the_other_mode():
    model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5))
    graph = Train(model)
    trained = graph(*data()).item()
    model.eval()
    error = model(data()[0]) - data()[1]
    assert graph(*data()).item() == (error * error).mean().item() != trained
    model.train()
    graph(*data())


def test_a_graph_of_an_imaginary_world_cannot_run():
    with flow.compile_world(2):
        everyone = flow.placement.all("cpu")
        model = mlp().to_global(placement=everyone, sbp=flow.sbp.broadcast)
        graph = Train(model)
        x = flow.zeros(4, 8, placement=everyone, sbp=flow.sbp.split(0))
        y = flow.zeros(4, 4, placement=everyone, sbp=flow.sbp.split(0))
        graph.compile(x, y)
    with pytest.raises(RuntimeError, match="compile_world|imaginary|does not exist"):
        graph(x, y)
