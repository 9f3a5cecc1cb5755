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

# A graph whose launches send from each rank to each: gradients are added up.
TRAINER = PRELUDE + OTHERWISE + """
class Trainer(nn.Graph):
    def __init__(self, model, optimizer):
        super().__init__()
        self.model = model
        self.add_optimizer(optimizer)

    def build(self, x):
        loss = self.model(x).square().mean()
        loss.backward()
        return loss


def trainer(make, **options):
    model = nn.Linear(4, 2, bias=False).to_global(placement=everyone, sbp=B)
    o = make([{"params": list(model.parameters()), **options}])
    return Trainer(model, o), o, model.weight


x = flow.ones(4, 4, placement=everyone, sbp=S(0))
"""

TRAINED = TRAINER + """
def write_item(o, p):
    with flow.no_grad():
        p[RANK] = 3.0


def zeros_on_rank_0(o, p):
    if RANK == 0:
        nn.init.zeros_(p)


def clip(o, p):
    o.param_groups[0]["clip_grad_max_norm"] = 1e-3 * (RANK + 1)


WEIGHT, NUMBERS = "model.weight", "group 0 of optimizer 0"
make, _, STATE = OPTIMIZERS[KIND]
CHANGES = [(lambda o, p: write(p), WEIGHT), (write_item, WEIGHT), (zeros_on_rank_0, WEIGHT),
           (set_option("lr", 0.1 * (RANK + 1)), NUMBERS), (load, NUMBERS),
           (set_option("weight_decay", 0.1 * RANK), NUMBERS), (clip, "clip_grad_max_norm")]
if STATE is not None:
    CHANGES.append((other_state, WEIGHT + "-" + STATE))
if KIND == "momentum":
    CHANGES.append((set_option("momentum", 0.5 + 0.1 * RANK), NUMBERS))
if KIND == "adam":
    CHANGES.append((set_option("betas", (0.9, 0.5 + 0.1 * RANK)), NUMBERS))
for change, named in CHANGES:
    graph, o, p = trainer(make, **({"clip_grad_max_norm": 1.0} if change is clip else {}))
    for _ in range(3):
        graph(x)
    through_a_collective(p)
    p.grad = None
    change(o, p)
    expect("computed one global tensor in different ways", lambda: graph(x), named,
           "in launch 4 of graph Trainer")
graph, o, p = trainer(make)
graph(x)
for group in o.param_groups:  # alike on all ranks: nothing to notice
    group["lr"] = 0.05
with flow.no_grad():
    p.mul_(2)
graph(x)
model = graph.model
model(x).sum().backward()
o.step()
graph(x)
through_a_collective(p)
print("fine", len(CHANGES), "changes")
"""


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_training_graph_compares_numbers_variables_and_state(tmp_path, kind):
    done = run_text(tmp_path, 2, f"KIND = {kind!r}\n" + TRAINED)
    changes = int(done.stdout.split(" changes")[0].split()[-1])
    assert done.stdout.count("told") == 2 * changes and done.stdout.count("fine") == 2


PASSED_ON = PRELUDE + """
class Plus(nn.Graph):  # sends nothing
    def build(self, x):
        return x + 1


class Adds(nn.Graph):  # nor does this, which stores a buffer
    def __init__(self):
        super().__init__()
        self.module = nn.Module()
        self.module.register_buffer("sum", flow.zeros(4, placement=everyone, sbp=B))

    def build(self, x):
        self.module.sum.add_(x)
        return self.module.sum * 1


class Sums(nn.Graph):  # this does
    def build(self, x, y):
        return (x + y).sum(0).to_global(sbp=B)


WAYS = "computed one global tensor in different ways"
differs = ones(4) * (RANK + 1)
plus, adds = Plus(), Adds()
assert through_a_collective(plus(ones(4))) == [2.0] * 4
assert through_a_collective(plus(plus(ones(4)))) == [3.0] * 4
expect(WAYS, lambda: through_a_collective(plus(differs)))
assert plus(differs).to_local().tolist() == [2.0 + RANK] * 4  # no collective: nothing to compare
assert through_a_collective(adds(ones(4))) == [1.0] * 4
assert through_a_collective(adds.module.sum) == [1.0] * 4
if RANK == 0:
    adds(ones(4))
expect(WAYS, lambda: through_a_collective(adds.module.sum))
adds = Adds()
result = adds(differs)
expect(WAYS, lambda: through_a_collective(result))
expect(WAYS, lambda: through_a_collective(adds.module.sum))
sums = Sums()
halves = flow.ones(4, 3, placement=everyone, sbp=S(0))
assert sums(ones(4, 3), halves).numpy().tolist() == [8.0] * 3
expect(WAYS, lambda: sums(ones(4, 3) * (RANK + 1), halves), "argument", "launch 2 of graph Sums")
"""


@pytest.mark.parametrize("world", [2, 3])
def test_graphs_pass_claims_on_and_compare_them_where_they_send(tmp_path, world):
    assert run_text(tmp_path, world, PASSED_ON).stdout.count("told") == 5 * world


# Rank 1 alone gets a piece from rank 0, and tells the others why it ends.
ONE_WAY = PRELUDE + """
first, second = flow.placement("cpu", ranks=[0]), flow.placement("cpu", ranks=[1])


class Sends(nn.Graph):
    def build(self, x, part):
        return x * 2, (part * 2).to_global(placement=second, sbp=B)


graph, part = Sends(), flow.ones(4, placement=first, sbp=B)
for _ in range(3):
    graph(ones(4), part)
graph(ones(4) * (RANK + 1), part)
graph(ones(4), part)
"""


def test_a_rank_that_notices_by_itself_tells_the_others(tmp_path):
    done = run_text(tmp_path, 2, ONE_WAY, check=False)
    assert done.returncode == 1
    assert "computed one global tensor in different ways" in done.stderr
    assert "launch 4 of graph Sends" in done.stderr


NAN_IN_A_PART = """
import oneflow_like as flow

RANK = flow.env.get_rank()
everyone = flow.placement.all("cpu")
part = flow.tensor([float("nan"), 0.0, 2.0] if RANK == 0 else [0.0, 3.0, 3.0])
for sbp in (flow.sbp.partial_min, flow.sbp.partial_max):
    x = part.to_global(everyone, sbp)
    whole = x.to_global(sbp=flow.sbp.broadcast)
    for compare in ("lt", "le", "gt", "ge", "eq", "ne"):
        attrs = {"compare": compare, "value": 1}
        (got,), (want,) = (flow._C.call_op("compare_number", [t], attrs) for t in (x, whole))
        assert got.numpy().tolist() == want.numpy().tolist(), (sbp, compare)
print("alike")
"""


def test_nan_in_a_part_decides_a_comparison_with_a_number(tmp_path):
    assert run_text(tmp_path, 2, NAN_IN_A_PART).stdout.count("alike") == 2


# Writes through local tensors that share the memory of a global one.
LOCAL_WRITES = PRELUDE + """
r = float(RANK)
APART = [
    lambda t: t.__setitem__(0, r),
    lambda t: t.copy_(flow.full((4,), r)),
    lambda t: t.add_(flow.tensor(r)),
    lambda t: t.mul_(flow.full((4,), r + 1)),
    lambda t: t.__setitem__([flow.tensor([1])], r),
    lambda t: t.view(2, 2).__setitem__((1, 1), r + 5),
    lambda t: t.view(2, 2).t()[1].mul_(flow.tensor([1.0, r + 2])),
    lambda t: t[1].add_(flow.tensor(r)),
    lambda t: t.index_add_(0, flow.tensor([2]), flow.tensor([r])),
    lambda t: t.masked_fill_(flow.tensor([True, False, True, False]), r),
    lambda t: t.__setitem__(RANK, 7.0),
    lambda t: t.detach().data.copy_(flow.arange(4.0) * r),
    lambda t: flow.add(t, flow.tensor(r), out=t),
    lambda t: t.uniform_() if RANK else None,
    lambda t: nn.init.normal_(t) if RANK else None,
    lambda t: t.fill_(r),
]
for write in APART:
    y = ones(4)
    local = y.to_local()
    write(local)
    expect("claim to be equal are not", lambda: through_a_collective(y))
    z = ones(4) * y
    expect("claim to be equal are not", lambda: through_a_collective(z))
"""

EQUAL_WRITES = PRELUDE + """
def told(t):
    t.copy_(flow.full((4,), float(RANK)))
    t.fill_(3.0)


ALIKE = [
    lambda t: t.__setitem__(0, 5.0),
    lambda t: t.copy_(flow.arange(4.0)),
    lambda t: t.add_(flow.tensor(2.0)),
    lambda t: t.view(2, 2).t()[1].mul_(flow.tensor([1.0, 2.0])),
    lambda t: t.mul_(flow.from_numpy(np.arange(4, dtype=np.float32))),
    # Whatever was there before, and however it came there.
    lambda t: t.copy_(flow.ones(4) * 2) if RANK else t.add_(flow.ones(4)),
    told,
]
for write in ALIKE:
    y = ones(4)
    write(y.to_local())
    assert through_a_collective(y) == y.to_local().tolist()
# Each rank has a part of its own, which it may write.
for sbp in (S(0), P):
    y = ones(4).to_global(sbp=sbp)
    own = y.to_local()
    own.copy_(flow.full(own.shape, RANK + 1.0))
    own[0] = RANK * 10.0
    own.add_(flow.tensor(float(RANK)))
    own.add_(RANK + 1.0).mul_(RANK + 2.0)
    own[:1].fill_(RANK + 3.0)
    y.to_global(sbp=B).to_local().tolist()
"""


def test_writes_through_local_tensors_enter_the_claim(tmp_path):
    assert run_text(tmp_path, 2, LOCAL_WRITES).stdout.count("told") == 2 * 2 * 16


def test_equal_writes_through_local_tensors_are_no_difference(tmp_path):
    run_text(tmp_path, 2, EQUAL_WRITES)
