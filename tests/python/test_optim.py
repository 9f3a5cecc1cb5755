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
