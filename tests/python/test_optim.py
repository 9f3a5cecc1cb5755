"""Optimizers against their formulas in NumPy; groups, state, clipping, schedules."""

import math

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn, optim


def parameter(values):
    return nn.Parameter(flow.tensor(np.asarray(values, dtype=np.float32)))


def set_grad(param, values):
    param.grad = flow.tensor(np.asarray(values, dtype=np.float32))


def gradients(shape, steps, seed=0):
    return np.random.RandomState(seed).standard_normal((steps, *shape)).astype(np.float32)


def test_adamw_follows_its_formula():
    start = gradients((3, 2), 1, seed=5)[0]
    p = parameter(start)
    opt = optim.AdamW([p], lr=0.1, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.05)
    x = start.astype(np.float64)
    m = v = np.zeros_like(x)
    for t, g in enumerate(gradients((3, 2), 5), start=1):
        set_grad(p, g)
        opt.step()
        x = x * (1 - 0.1 * 0.05)
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g.astype(np.float64) ** 2
        x = x - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-6)
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("options", [
    {}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "dampening": 0.2}, {"weight_decay": 0.1}, {"maximize": True}])
def test_sgd_follows_its_formula(options):
    p = parameter([1.0, -2.0])
    opt = optim.SGD([p], lr=0.1, **options)
    x, buffer = np.array([1.0, -2.0]), None
    momentum, decay = options.get("momentum", 0), options.get("weight_decay", 0)
    for g in gradients((2,), 4):
        set_grad(p, g)
        opt.step()
        d = (-g if options.get("maximize") else g) + decay * x
        if momentum:
            buffer = d if buffer is None else momentum * buffer + (
                1 - options.get("dampening", 0)) * d
            d = d + momentum * buffer if options.get("nesterov") else buffer
        x = x - 0.1 * d
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-5, atol=1e-6)


def test_parameter_without_gradient_keeps_its_own_step_count():
    def run(pattern):
        a, b = parameter([1.0]), parameter([1.0])
        opt = optim.AdamW([a, b], lr=0.1)
        for has_b in pattern:
            set_grad(a, [1.0])
            b.grad = flow.ones(1) if has_b else None
            opt.step()
        return a, b, opt

    a, b, opt = run([True, False, True])
    alone, _, _ = run([True, True])
    np.testing.assert_array_equal(b.detach().numpy(), alone.detach().numpy())
    state = opt.state_dict()["state"]
    assert [state[i]["step"].item() for i in (0, 1)] == [3.0, 2.0]


def test_groups_state_round_trip_and_repr():
    a, b = parameter([1.0, 2.0]), parameter([3.0])
    opt = optim.AdamW([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    set_grad(a, [1.0, 1.0]), set_grad(b, [1.0])
    opt.step()
    assert opt.param_groups[0]["lr"] == 0.5 and opt.param_groups[1]["lr"] == 0.1
    assert "lr: 0.5" in repr(opt)
    a2, b2 = parameter(a.detach().numpy()), parameter(b.detach().numpy())
    other = optim.AdamW([{"params": [a2]}, {"params": [b2]}], lr=9.0)
    other.load_state_dict(opt.state_dict())
    for p, g in ((a, [0.5, -1]), (a2, [0.5, -1]), (b, [2.0]), (b2, [2.0])):
        set_grad(p, g)
    opt.step(), other.step()
    np.testing.assert_array_equal(a.detach().numpy(), a2.detach().numpy())
    np.testing.assert_array_equal(b.detach().numpy(), b2.detach().numpy())


def test_zero_grad():
    p = parameter([1.0])
    opt = optim.SGD([p], lr=0.1)
    set_grad(p, [2.0])
    opt.zero_grad(set_to_none=False)
    assert p.grad.item() == 0.0
    opt.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize("make, error, text", [
    (lambda p: optim.SGD([], lr=0.1), ValueError, "empty parameter list"),
    (lambda p: optim.SGD(p, lr=0.1), TypeError, "iterable of Tensors"),
    (lambda p: optim.SGD([p], lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda p: optim.SGD([p], lr=1, nesterov=True), ValueError, "requires a momentum"),
    (lambda p: optim.SGD(["w"], lr=1), TypeError, "one of the params is str"),
    (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}], lr=1), ValueError, "more than one"),
    (lambda p: optim.AdamW([p], betas=(0.9, 1.0)), ValueError, "beta parameter at index 1"),
])
def test_bad_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make(parameter([1.0]))


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_clip_grad_norm_is_of_all_gradients_together(norm_type):
    grads = [gradients((3, 2), 1)[0], gradients((4,), 1, seed=1)[0]]
    params = [parameter(g) for g in grads]
    for p, g in zip(params, grads, strict=True):
        set_grad(p, g)
    flat = np.concatenate([g.ravel() for g in grads])
    want = np.linalg.norm(flat, norm_type)
    total = nn.utils.clip_grad_norm_(params, want / 2, norm_type=norm_type)
    np.testing.assert_allclose(total.item(), want, rtol=1e-5)
    clipped = np.concatenate([p.grad.numpy().ravel() for p in params])
    np.testing.assert_allclose(clipped, flat / 2, rtol=1e-4)
    nn.utils.clip_grad_norm_(params, 1e9, norm_type=norm_type)
    np.testing.assert_array_equal(clipped,
                                  np.concatenate([p.grad.numpy().ravel() for p in params]))


@pytest.mark.parametrize("dtype", [flow.float16, flow.bfloat16])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0])
def test_norms_of_half_gradients_do_not_overflow(dtype, norm_type):
    weight = nn.Parameter(flow.zeros(4).to(dtype))
    weight.grad = flow.full((4,), 384.0, dtype=dtype)
    total = nn.utils.clip_grad_norm_([weight], 1.0, norm_type=norm_type)
    np.testing.assert_allclose(total.item(), 384 * 4 ** (1 / norm_type), rtol=1e-6)
    clipped = weight.grad.to(flow.float32).numpy()
    np.testing.assert_allclose(clipped, 4 ** (-1 / norm_type), rtol=2 ** -7)


@pytest.mark.parametrize("norm_type, want", [
    (np.inf, 3.0), (-np.inf, 0.5), (0.0, 2.0), (-1.0, 1 / (1 / 3 + 1 / 0.5 + 1 / 2))])
def test_norms_of_unusual_orders_are_torchs(norm_type, want):
    grads = [flow.tensor([-3.0, 0.5]), flow.tensor([2.0])]
    assert nn.utils.get_total_norm(grads, norm_type).item() == pytest.approx(want)
    assert nn.utils.get_total_norm(grads + [flow.zeros(2)], 0).item() == 2.0
    with pytest.raises(ValueError, match="norm_type is no number"):
        nn.utils.get_total_norm(grads, float("nan"))


def test_clip_grad_of_groups_is_oneflows():
    p, q = parameter([1.0]), parameter([1.0])
    opt = optim.SGD([{"params": [p], "clip_grad_max_norm": 1.0}, {"params": [q]}], lr=1.0)
    set_grad(p, [4.0]), set_grad(q, [4.0])
    opt.clip_grad()
    np.testing.assert_allclose([p.grad.item(), q.grad.item()], [1.0, 4.0], rtol=1e-5)
    spec = opt._graph_spec()
    assert [entry["clip"] for entry in spec] == [1.0, None]


def test_graph_spec_shares_the_state_of_step():
    p = parameter([1.0])
    opt = optim.AdamW([p], lr=0.1)
    (entry,) = opt._graph_spec()
    assert entry["op"] == "adamw_update" and entry["param"] is p and entry["group"] == 0
    assert [name for name, _ in entry["states"]] == ["exp_avg", "exp_avg_sq"]
    set_grad(p, [1.0])
    opt.step()
    assert entry["step"].item() == 1.0
    np.testing.assert_allclose(entry["states"][0][1].numpy(), [0.1], rtol=1e-5)


def rates(make, steps):
    opt = optim.SGD([parameter([1.0])], lr=2.0)
    schedule = make(opt)
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        schedule.step()
    return out


def test_schedules():
    lr = optim.lr_scheduler
    assert rates(lambda o: lr.StepLR(o, 2, 0.1), 5) == pytest.approx([2, 2, 0.2, 0.2, 0.02])
    assert rates(lambda o: lr.LambdaLR(o, lambda e: e + 1), 3) == [2, 4, 6]
    cosine = rates(lambda o: lr.CosineAnnealingLR(o, 4, eta_min=1.0), 5)
    assert cosine == pytest.approx([1 + (1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)])
    with pytest.raises(ValueError, match="step_size=0"):
        rates(lambda o: lr.StepLR(o, 0), 1)


def test_adamw_state_comes_back_from_a_file_and_reaches_a_compiled_graph(tmp_path):
    flow.manual_seed(0)
    model = flow.nn.Linear(4, 3)
    optimizer = flow.optim.AdamW(model.parameters(), lr=0.05)

    class Train(flow.nn.Graph):
        def __init__(self):
            super().__init__()
            self.model = model
            self.add_optimizer(optimizer)

        def build(self, x):
            loss = (self.model(x) ** 2).mean()
            loss.backward()
            return loss

    graph, x = Train(), flow.randn(8, 4)
    for _ in range(3):
        graph(x)
    path = tmp_path / "state.safetensors"
    flow.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    first = [graph(x).item() for _ in range(4)]
    saved = flow.load(path)
    assert tuple(saved["optimizer"]["state"][0]["step"].shape) == ()
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    assert [graph(x).item() for _ in range(4)] == first
    resumed = flow.optim.AdamW(model.parameters(), lr=0.05)
    resumed.load_state_dict(saved["optimizer"])
    clocks = {id(entry["step"]) for entry in resumed._graph_spec()}
    assert len(clocks) == 1  # one step argument in a plan, as before saving


def test_clipping_without_gradients_is_a_norm_of_zero():
    norm = flow.nn.utils.clip_grad_norm_(flow.nn.Linear(2, 2).parameters(), 1.0)
    assert norm.item() == 0.0


def test_scalars_keep_their_shape_in_files(tmp_path):
    flow.save({"a": flow.tensor(1.5)}, tmp_path / "a.safetensors")
    assert tuple(flow.load(tmp_path / "a.safetensors")["a"].shape) == ()


# --- clipping that is asked for happens ---------------------------------------------------------

def clipping(**more):
    p = parameter([1.0, 1.0])
    return p, optim.SGD([{"params": [p], "clip_grad_max_norm": 1.0, **more}], lr=1.0)


@pytest.mark.parametrize("late", [
    lambda p, o: None,
    lambda p, o: (o.clip_grad(), (p * 3).sum().backward()),
    lambda p, o: (o.clip_grad(), o.zero_grad(), set_grad(p, [5.0, 5.0])),
    lambda p, o: (o.clip_grad(), p.grad.mul_(2))])
def test_a_step_without_the_clipping_that_its_group_asks_for_is_refused(late):
    p, opt = clipping()
    (p * 4).sum().backward()
    late(p, opt)
    with pytest.raises(RuntimeError, match=r"clip_grad_max_norm=1.0.*expected optimizer.clip_grad"):
        opt.step()
    assert p.tolist() == [1.0, 1.0]
    opt.clip_grad()
    opt.step()
    np.testing.assert_allclose(p.tolist(), 1 - 0.5**0.5, rtol=1e-5)
    opt.step()  # the same gradients again: they are clipped


def test_a_type_of_norm_without_a_bound_is_refused():
    p = parameter([1.0])
    with pytest.raises(ValueError, match="clip_grad_norm_type has no effect alone"):
        optim.SGD([{"params": [p], "clip_grad_norm_type": 1.0}], lr=1.0)
    opt = optim.SGD([p], lr=1.0)
    opt.param_groups[0]["clip_grad_norm_type"] = 1.0
    set_grad(p, [1.0])
    with pytest.raises(ValueError, match="clip_grad_norm_type has no effect alone"):
        opt.step()
    p, opt = clipping(clip_grad_norm_type=1.0)
    opt.param_groups[0]["clip_grad_max_norm"] = None  # switched off: the type may stay
    set_grad(p, [1.0, 1.0])
    opt.step()
    assert p.tolist() == [0.0, 0.0]


def test_a_closure_runs_with_gradients():
    p = parameter([2.0])
    opt = optim.SGD([p], lr=0.5)

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with flow.no_grad():
        assert opt.step(closure).item() == 4.0
        assert not flow.is_grad_enabled()
    assert p.tolist() == [0.0]


def test_a_frozen_parameter_with_a_gradient_is_updated():
    p = parameter([1.0])
    opt = optim.AdamW([p], lr=0.1)
    set_grad(p, [1.0])
    p.requires_grad = False
    opt.step()  # as torch
    assert p.item() < 1.0


# --- schedules, as torch has them -----------------------------------------------------------------

def scheduled(lr=1.0, *makes):
    opt = optim.SGD([parameter([1.0])], lr=lr)
    return opt, [make(opt) for make in makes]


def step_lr(size=1, gamma=0.1):
    return lambda o: optim.lr_scheduler.StepLR(o, size, gamma)


def test_a_schedule_starts_from_the_rate_that_holds():
    opt, _ = scheduled()
    assert "initial_lr" not in opt.param_groups[0]
    opt.param_groups[0]["lr"] = 0.1
    schedule = step_lr(10)(opt)
    assert opt.param_groups[0]["lr"] == opt.param_groups[0]["initial_lr"] == 0.1
    assert schedule.base_lrs == [0.1]
    opt.param_groups[0]["lr"] = 0.5  # by hand, between steps
    schedule.step()
    assert opt.param_groups[0]["lr"] == 0.5 == schedule.get_last_lr()[0]


def test_schedules_chain():
    half = lambda o: optim.lr_scheduler.LambdaLR(o, lambda e: 0.5**e)  # noqa: E731
    opt, (first, second) = scheduled(1.0, half, step_lr())
    seen = []
    for _ in range(2):
        first.step(), second.step()
        seen.append(opt.param_groups[0]["lr"])
    assert seen == pytest.approx([0.05, 0.025])  # LambdaLR sets, StepLR multiplies what it finds
    opt, (first, second) = scheduled(1.0, step_lr(), step_lr(1, 0.5))
    first.step(), second.step(), first.step(), second.step()
    assert opt.param_groups[0]["lr"] == pytest.approx(0.0025)


def test_cosine_annealing_rises_again_and_may_start_in_the_middle():
    cosine = optim.lr_scheduler.CosineAnnealingLR
    want = [1 + (1 + math.cos(math.pi * i / 3)) / 2 for i in range(12)]
    assert rates(lambda o: cosine(o, 3, eta_min=1.0), 12) == pytest.approx(want)
    opt, (schedule,) = scheduled(2.0, lambda o: cosine(o, 3, eta_min=1.0))
    opt.param_groups[0]["lr"] = 9.0
    later = cosine(opt, 3, eta_min=1.0, last_epoch=1)
    assert opt.param_groups[0]["lr"] == pytest.approx(want[2])
    later.step(5)
    assert opt.param_groups[0]["lr"] == pytest.approx(want[5])
    opt, _ = scheduled()
    with pytest.raises(KeyError, match="'initial_lr' is not specified in param_groups.0."):
        cosine(opt, 3, last_epoch=1)


@pytest.mark.parametrize("make", [
    step_lr(2, 0.5), lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 5, 0.1),
    lambda o: optim.lr_scheduler.LambdaLR(o, lambda e: 1 / (1 + e))])
def test_a_schedule_resumes_from_files(tmp_path, make):
    opt, (schedule,) = scheduled(2.0, make)
    for _ in range(3):
        schedule.step()
    flow.save({"o": opt.state_dict(), "s": schedule.state_dict()}, tmp_path / "s.safetensors")
    state = flow.load(tmp_path / "s.safetensors")
    again, (resumed,) = scheduled(7.0, make)
    again.load_state_dict(state["o"])
    resumed.load_state_dict(state["s"])
    for _ in range(4):
        assert again.param_groups[0]["lr"] == opt.param_groups[0]["lr"]
        assert resumed.get_last_lr() == schedule.get_last_lr()
        schedule.step(), resumed.step()


def test_a_schedules_state_holds_its_numbers():
    _, (one, other) = scheduled(1.0, step_lr(7, 0.3), step_lr(2, 0.5))
    assert one.state_dict()["step_size"] == 7 and one.state_dict()["gamma"] == 0.3
    other.load_state_dict(one.state_dict())
    assert (other.step_size, other.gamma) == (7, 0.3)
    _, (cosine,) = scheduled(1.0, lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 4, 0.5))
    assert (cosine.state_dict()["T_max"], cosine.state_dict()["eta_min"]) == (4, 0.5)
    with pytest.raises(KeyError, match=r"\[StepLR\] load_state_dict: got .*T_max"):
        one.load_state_dict(cosine.state_dict())

    class Warm:
        def __init__(self, over):
            self.over = over

        def __call__(self, epoch):
            return epoch / self.over

    _, (a, b) = scheduled(1.0, *(lambda o, n=n: optim.lr_scheduler.LambdaLR(o, Warm(n))
                                 for n in (4, 5)))
    b.load_state_dict(a.state_dict())
    assert b.lr_lambdas[0].over == 4


def test_a_group_added_after_its_schedule():
    opt, (steps, half) = scheduled(
        1.0, step_lr(), lambda o: optim.lr_scheduler.LambdaLR(o, lambda e: 0.5**e))
    opt.add_param_group({"params": [parameter([1.0])], "lr": 8.0})
    steps.step()
    assert [g["lr"] for g in opt.param_groups] == pytest.approx([0.1, 0.8])
    half.step()  # has no initial rate of the second
    assert [g["lr"] for g in opt.param_groups] == pytest.approx([0.5, 0.8])
