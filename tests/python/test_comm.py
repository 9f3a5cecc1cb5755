"""comm, env, and the optimizer's helpers on real processes."""

import os
import subprocess
import sys

import pytest
from jobs import run_text

import oneflow_like as flow

COLLECTIVES = """
import numpy as np
import oneflow_like as flow
from oneflow_like import comm, env

rank, world = env.get_rank(), env.get_world_size()
mine = np.arange(6, dtype=np.float32).reshape(3, 2) + 10 * rank
everybody = np.stack([np.arange(6, dtype=np.float32).reshape(3, 2) + 10 * r for r in range(world)])

def check(got, want):
    np.testing.assert_array_equal(got.numpy(), want)

x = flow.tensor(mine)
check(comm.all_reduce(x), everybody.sum(0))
check(x, everybody.sum(0))
check(comm.all_reduce(flow.tensor(mine), op="max"), everybody.max(0))
parts = [flow.zeros(3, 2) for _ in range(world)]
comm.all_gather(parts, flow.tensor(mine))
for part, want in zip(parts, everybody):
    check(part, want)
joined = flow.zeros(3 * world, 2)
comm.all_gather_into_tensor(joined, flow.tensor(mine))
check(joined, everybody.reshape(-1, 2))
out = flow.zeros(2)
comm.reduce_scatter(out, [flow.tensor(np.full(2, rank + 10.0 * r, np.float32))
                          for r in range(world)])
check(out, np.full(2, sum(range(world)) + 10.0 * rank * world))
for src in range(world):
    check(comm.broadcast(flow.tensor(mine), src), everybody[src])
comm.barrier()
if rank == 0:
    comm.send(flow.tensor(mine), world - 1)
elif rank == world - 1:
    check(comm.recv(flow.zeros(3, 2), 0), everybody[0])
assert env.get_local_rank() == rank and env.get_node_size() == 1
print("fine")
"""


@pytest.mark.parametrize("world", [2, 3])
def test_collectives(tmp_path, world):
    result = run_text(tmp_path, world, COLLECTIVES)
    assert sorted(result.stdout.split("\n")) == ["", *(f"[{r}] fine" for r in range(world))]


CLIP = """
import numpy as np
import oneflow_like as flow
from oneflow_like import nn

everywhere = flow.placement.all("cpu")
other = flow.placement("cpu", ranks=[1])
random = np.random.RandomState(0)
grads = [random.standard_normal((5, 3)).astype(np.float32) for _ in range(3)]
layouts = [(everywhere, flow.sbp.split(0)), (everywhere, flow.sbp.broadcast),
           (other, flow.sbp.broadcast)]
params = []
for grad, (placement, sbp) in zip(grads, layouts):
    param = nn.Parameter(flow.zeros(5, 3, placement=placement, sbp=sbp))
    param.grad = flow.tensor(grad, placement=placement, sbp=sbp)
    params.append(param)
norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads))
total = nn.utils.clip_grad_norm_(params, 1.0)
np.testing.assert_allclose(total.item(), norm, rtol=1e-5)
for param, grad in zip(params, grads):
    np.testing.assert_allclose(param.grad.numpy(), grad / norm, rtol=1e-4)
print("fine")
"""


def test_clip_grad_norm_over_layouts_and_placements(tmp_path):
    assert run_text(tmp_path, 2, CLIP).stdout.count("fine") == 2


SAVE = """
import sys
import numpy as np
import oneflow_like as flow
from oneflow_like import nn

flow.manual_seed(5)
model = nn.Linear(5, 3).to_global(placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
want = model.weight.detach().numpy()
flow.save(model.state_dict(), "model.safetensors")
flow.comm.barrier()
fresh = nn.Linear(5, 3).to_global(placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
fresh.load_state_dict(flow.load("model.safetensors"))
np.testing.assert_array_equal(fresh.weight.detach().numpy(), want)
print("fine")
"""


def test_global_checkpoint_round_trip(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_text(tmp_path, 2, SAVE).stdout.count("fine") == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["job.py", "model.safetensors"]
    assert tuple(flow.load("model.safetensors")["weight"].shape) == (3, 5)


def test_one_process_needs_no_launcher():
    assert (flow.env.get_rank(), flow.env.get_world_size(), flow.env.get_node_size()) == (0, 1, 1)
    x = flow.ones(2)
    flow.comm.all_reduce(x)
    assert x.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"\[broadcast\] got src=1"):
        flow.comm.broadcast(x, 1)
    with pytest.raises(ValueError, match="op='mean'"):
        flow.comm.all_reduce(x, op="mean")
    with pytest.raises(TypeError, match=r"\[all_reduce\] got list"):
        flow.comm.all_reduce([1.0])


def test_bad_environment_is_named():
    env = dict(os.environ, RANK="two", WORLD_SIZE="2")
    result = subprocess.run([sys.executable, "-c", "import oneflow_like"], env=env,
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "RANK" in result.stderr and "two" in result.stderr
