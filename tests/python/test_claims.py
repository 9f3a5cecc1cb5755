"""Global tensors that claim equal bits on all ranks: updates that ranks make differently."""

import pytest
from jobs import run_text

PRELUDE = """
import numpy as np
import oneflow_like as flow
from oneflow_like import nn, optim

B, P, S = flow.sbp.broadcast, flow.sbp.partial_sum, flow.sbp.split
RANK, WORLD = flow.env.get_rank(), flow.env.get_world_size()
everyone = flow.placement.all("cpu")


def ones(*shape):
    return flow.ones(*shape, placement=everyone, sbp=B)


def through_a_collective(tensor):
    return tensor.detach().to_global(sbp=S(0)).to_global(sbp=B).to_local().tolist()


def expect(text, call, *more):
    try:
        call()
    except RuntimeError as error:
        for part in (text, *more):
            assert part in str(error), (part, str(error))
        print("told")
        return
    raise SystemExit(f"no error: {text}")
"""

# What a rank does with an optimizer `o` of one parameter `p` that has a gradient.
OTHERWISE = """
def load(o, p):
    state = o.state_dict()
    state["param_groups"][0]["lr"] = 0.1 * (RANK + 1)
    o.load_state_dict(state)


def set_option(name, value):
    def change(o, p):
        o.param_groups[0][name] = value
    return change


def set_grad(o, p):
    p.grad = p.grad * (RANK + 1)


def no_grad_on_rank_0(o, p):
    if RANK == 0:
        o.zero_grad(set_to_none=False)


def one_more_step(o, p):
    if RANK == 0:
        o.step()


def other_state(o, p):
    if RANK == 0:
        next(iter(o.state.values()))[STATE].mul_(2)


def write(p):
    with flow.no_grad():
        p.mul_(RANK + 1)


SGD = [set_option("lr", 0.1 * (RANK + 1)), set_option("weight_decay", 0.1 * RANK), load, set_grad,
       lambda o, p: p.grad.mul_(RANK + 1), no_grad_on_rank_0, one_more_step,
       lambda o, p: nn.utils.clip_grad_norm_([p], 0.1 * (RANK + 1)), lambda o, p: write(p)]
MOMENTUM = [*SGD, set_option("momentum", 0.5 + 0.1 * RANK),
            set_option("dampening", 0.1 * RANK), other_state]
ADAM = [*SGD, set_option("betas", (0.9, 0.5 + 0.1 * RANK)), set_option("eps", 1e-8 * (RANK + 1)),
        other_state]
OPTIMIZERS = {"sgd": (lambda p: optim.SGD(p, lr=0.1), SGD, None),
              "momentum": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), MOMENTUM,
                           "momentum_buffer"),
              "adam": (lambda p: optim.Adam(p, lr=0.1), ADAM, "exp_avg"),
              "adamw": (lambda p: optim.AdamW(p, lr=0.1), ADAM, "exp_avg")}
"""

UPDATES = PRELUDE + OTHERWISE + """
make, changes, STATE = OPTIMIZERS[KIND]
for change in [None, *changes]:
    p = nn.Parameter(ones(4))
    o = make([p])
    p.grad = ones(4)
    o.step()
    if change is None:
        for _ in range(2):
            o.step()
            values = through_a_collective(p)
        print("fine")
        continue
    change(o, p)
    o.step()
    expect("computed one global tensor in different ways", lambda: through_a_collective(p),
           "[to_global]", "job.py:")
print(len(changes), "changes")
"""


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam", "adamw"])
def test_updates_that_ranks_make_differently_are_noticed(tmp_path, kind):
    done = run_text(tmp_path, 2, f"KIND = {kind!r}\n" + UPDATES)
    changes = int(done.stdout.split(" changes")[0].split()[-1])
    assert done.stdout.count("told") == 2 * changes and done.stdout.count("fine") == 2


TRAINING = PRELUDE + """
model = nn.Linear(4, 2).to_global(placement=everyone, sbp=B)
o = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
x = flow.ones(4, 4, placement=everyone, sbp=S(0))


def step():
    o.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    o.step()
    return loss.item()


step()
if RANK == 0:  # what one rank does beside the program
    (model.weight * 2).to_local().tolist()
step()
o.param_groups[0]["lr"] = 0.1 * (RANK + 1)
step()
expect("computed one global tensor in different ways", step)
"""


def test_a_training_step_notices_weights_that_were_updated_differently(tmp_path):
    assert run_text(tmp_path, 2, TRAINING).stdout.count("told") == 2


OPERATORS = PRELUDE + """
call = flow._C.call_op
value = ones(4)
cases = [lambda t: call("assign", [t, value * RANK], {}),
         lambda t: call("assign_add", [t, value * RANK], {}),
         lambda t: call("increment", [t], {"value": float(RANK)}),
         lambda t: RANK == 0 and call("increment", [t], {"value": 1.0})]
for case in cases:
    target = ones(4)
    case(target)
    expect("computed one global tensor in different ways", lambda: through_a_collective(target))
target = ones(4)
call("assign_add", [target, value], {})
assert through_a_collective(target) == [2.0] * 4
"""


def test_operators_that_change_an_operand_enter_its_claim(tmp_path):
    assert run_text(tmp_path, 2, OPERATORS).stdout.count("told") == 8
