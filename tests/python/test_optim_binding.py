"""Optimizers stay bound to parameters that are converted, copied or pickled."""

import copy
import pathlib
import pickle

import graph_case
import numpy as np
import pytest
from graph_case import Train, assert_equal_models, data, eager_step, mlp, traced
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn, optim

CONVERSIONS = {
    "to(dtype)": lambda m: m.to(flow.float64), "double": lambda m: m.double(),
    "double and back": lambda m: m.double().float(),
    "global": lambda m: m.to_global(placement=graph_case.P, sbp=graph_case.B),
    "global, split": lambda m: m.to_global(placement=graph_case.P, sbp=flow.sbp.split(0)),
}
OPTIMIZERS = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.1),
    "momentum": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9),
    "AdamW": lambda ps: optim.AdamW(ps, lr=0.1),
}


def like(model, tensor):
    weight = next(model.parameters())
    tensor = tensor.to(weight.dtype)
    return tensor if not weight.is_global else tensor.to_global(
        placement=weight.placement, sbp=flow.sbp.broadcast)


@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_trains_on_after_a_conversion(kind, conversion):
    """The same numbers as without it: parameters, gradients and state change in place."""
    plain, model = mlp(), mlp()
    plain_opt, opt = (OPTIMIZERS[kind](m.parameters()) for m in (plain, model))
    before, (x, y) = list(model.parameters()), data()
    for turn in range(4):
        if turn == 2:  # with gradients that no step has used yet
            for m in (plain, model):
                (m(x) ** 2).mean().backward()
            CONVERSIONS[conversion](model)
            assert all(p is q for p, q in zip(before, model.parameters(), strict=True))
            for p in before:
                assert p.requires_grad and p.is_leaf and p.grad.dtype is p.dtype
                assert not p.is_global or p.grad.sbp == p.sbp
            plain_opt.step(), opt.step()
        eager_step(plain, plain_opt, x, y)
        eager_step(model, opt, like(model, x), like(model, y))
    for p, q in zip(plain.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-4, atol=2e-5)
    for state in opt.state.values():  # what is shared stays shared
        assert state.get("step") is None or state["step"] is opt.state[before[0]]["step"]


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_a_graph_and_its_optimizer_follow_a_conversion(conversion):
    (plain, model), (x, y) = (mlp(), mlp()), data()
    plain_opt, opt = (OPTIMIZERS["AdamW"](m.parameters()) for m in (plain, model))
    graph = Train(model, opt)
    for turn in range(4):
        if turn == 2:
            CONVERSIONS[conversion](model)
        eager_step(plain, plain_opt, x, y)
        graph(like(model, x), like(model, y))
    for p, q in zip(plain.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-4, atol=2e-5)
    assert traced(graph) == 2


def test_a_parameter_of_the_optimizer_that_no_guard_reads_traces_anew():
    weights = [nn.Parameter(flow.ones(3))]

    class Sum(nn.Graph):
        def __init__(self):
            super().__init__()
            self.add_optimizer(optim.SGD(weights, lr=1.0))

        def build(self):
            loss = sum(w.sum() for w in weights)
            loss.backward()
            return loss

    graph, holder = Sum(), nn.ParameterList(weights) if hasattr(nn, "ParameterList") else None
    assert graph().item() == 3.0
    if holder is None:
        holder = nn.Module()
        holder.w = weights[0]
    holder.double()
    assert graph().dtype is flow.float64 and weights[0].tolist() == [-1.0] * 3


def test_shared_parameters_stay_shared_and_buffers_follow():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    model.register_buffer("shift", flow.ones(3))
    model.half()
    assert model[0].weight is model[1].weight
    assert model[0].weight.dtype is model.shift.dtype is flow.float16


def test_conversions_that_cannot_be_made_are_refused():
    model = mlp()
    before = [p.dtype for p in model.parameters()]

    class Converts(nn.Graph):
        def build(self, x):
            return model.double()(x)

    with pytest.raises(RuntimeError, match=r"\[module.to\].*inside build"):
        Converts()(flow.ones(1, 8))
    with pytest.raises(ValueError, match="a local tensor needs both"):
        model.to_global(sbp=graph_case.B)
    assert [p.dtype for p in model.parameters()] == before
    model.to_global(placement=graph_case.P, sbp=graph_case.B)
    opt = optim.AdamW(model.parameters())
    x, y = (like(model, t) for t in data())
    eager_step(model, opt, x, y)
    model.to_local()
    with pytest.raises(RuntimeError, match="became local after its first step"):
        eager_step(model, opt, *data())


def test_conversions_on_two_processes(tmp_path):
    run_text(tmp_path, 2, f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
import numpy as np
import oneflow_like as flow
from oneflow_like import optim
from graph_case import B, P, Train, data, eager_step, mlp
S0 = flow.sbp.split(0)
def run(convert):
    model = mlp()
    opt, others = optim.AdamW(model.parameters(), lr=0.1), list(model.parameters())
    x, y = data()
    eager_step(model, opt, x, y)
    (model(x) - y).abs().mean().backward()  # a gradient that is converted
    if convert:
        model.to_global(placement=P, sbp=B)
        model.to_global(sbp=S0)
        x, y = (t.to_global(placement=P, sbp=B) for t in (x, y))
    (model(x) - y).abs().mean().backward()  # grows where it lies now
    opt.step()
    eager_step(model, opt, x, y)
    Train(model, opt)(x, y)
    assert all(p is q for p, q in zip(others, model.parameters()))
    return [p.detach().numpy() for p in model.parameters()]
for p, q in zip(run(False), run(True), strict=True):
    np.testing.assert_allclose(p, q, rtol=2e-4, atol=2e-5)
""")


# --- copies and pickles -----------------------------------------------------------------------

@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_copy_of_model_and_optimizer_trains_as_they_do(kind, copied):
    model, (x, y) = mlp(), data()
    opt = OPTIMIZERS[kind](model.parameters())
    for _ in range(3):
        eager_step(model, opt, x, y)
    before = [p.detach().clone() for p in model.parameters()]
    other, other_opt = copied((model, opt))
    assert all(type(p) is nn.Parameter and p.requires_grad for p in other.parameters())
    assert len(other_opt.state_dict()["state"]) == len(opt.state_dict()["state"])
    eager_step(other, other_opt, x, y)
    for p, was in zip(model.parameters(), before, strict=True):
        assert p.tolist() == was.tolist()
    eager_step(model, opt, x, y)
    assert_equal_models(model, other)


def test_state_is_found_by_its_parameter():
    p = nn.Parameter(flow.ones(2))
    opt = optim.AdamW([p])
    assert opt.state[p] == {}  # as torch
    p.grad = flow.ones(2)
    opt.step()
    assert opt.state[p]["step"].item() == 1.0 and list(opt.state) == [p]


def test_deep_copies_of_tensors_are_torchs():
    x = flow.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    assert copy.deepcopy(x).grad.tolist() == [2.0, 2.0]
    parameter = nn.Parameter(flow.ones(2))
    parameter.grad = flow.ones(2)
    parameter.note = ["a"]
    made = copy.deepcopy(parameter)
    assert made.grad is None and made.note == ["a"] and made.note is not parameter.note
    with pytest.raises(RuntimeError, match=r"\[deepcopy\] only leaves"):
        copy.deepcopy(x * 2)


def test_copies_and_pickles_of_parameters_are_parameters():
    parameter = nn.Parameter(flow.ones(2), requires_grad=False)
    parameter.note = "a"
    again = pickle.loads(pickle.dumps(parameter))
    assert type(again) is nn.Parameter and not again.requires_grad and again.note == "a"
    alias = copy.copy(parameter)
    assert type(alias) is nn.Parameter and alias is not parameter and alias.note == "a"
    alias.add_(1)
    assert parameter.tolist() == [2.0, 2.0]
    model = pickle.loads(pickle.dumps(nn.Linear(2, 2)))
    assert len(list(model.parameters())) == 2
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())


# --- loading state ----------------------------------------------------------------------------

def stepped():
    flow.manual_seed(3)
    model = nn.Linear(3, 2)
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    model(flow.ones(2, 3)).sum().backward()
    optimizer.step()
    return optimizer


def damaged(state, how):
    state["param_groups"][0]["lr"] = 5.0
    state["state"][0]["exp_avg"] = flow.zeros(2, 3) + 7
    how(state)
    return state


@pytest.mark.parametrize(("how", "words"), [
    (lambda s: s["state"][1].pop("exp_avg"), r"parameter 1 has no 'exp_avg': got \['exp_avg_sq'"),
    (lambda s: s["state"][1].pop("step"), "parameter 1 has no 'step'"),
    (lambda s: s["state"][1].update(exp_avg=flow.zeros(3)), r"'exp_avg' of parameter 1: .*\(3,\)"),
    (lambda s: s["state"][1].update(exp_avg=2.0), "'exp_avg' of parameter 1: got float"),
    (lambda s: s["param_groups"].append({}), "number of parameter groups: got 2; expected 1"),
    (lambda s: s["param_groups"][0]["params"].pop(), "got 1 parameters in group 0; expected 2"),
    (lambda s: s.pop("state"), r"got \['param_groups'\]; expected what state_dict")])
def test_a_state_that_does_not_fit_changes_nothing(how, words):
    optimizer = stepped()
    before = [value.numpy().copy() for state in optimizer.state.values()
              for value in state.values()]
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(damaged(stepped().state_dict(), how))
    assert optimizer.param_groups[0]["lr"] == 0.1
    after = [value.numpy() for state in optimizer.state.values() for value in state.values()]
    for was, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(was, now)
