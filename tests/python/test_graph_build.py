"""Inside build(): what is refused because it could not repeat, and where gradients stop."""

import numpy as np
import pytest
from graph_case import Train, assert_equal_models, data, mlp
from test_graph_cases import Of, random, step

import oneflow_like as flow
from oneflow_like import nn, optim


def in_build(call):
    """Traces a graph whose build() runs call(model, optimizer, loss)."""
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    model[0].weight.grad = flow.ones(16, 8)

    class Calls(Train):
        def build(self, x, y):
            loss = super().build(x, y)
            call(model, optimizer, loss, schedule)
            return loss

    Calls(model, optimizer)(*data())


REFUSED = {
    "optimizer.step": (lambda m, o, loss, s: o.step(), "add_optimizer"),
    "zero_grad": (lambda m, o, loss, s: o.zero_grad(), "start at zero"),
    "module.zero_grad": (lambda m, o, loss, s: m.zero_grad(), "start at zero"),
    "optimizer.clip_grad": (lambda m, o, loss, s: o.clip_grad(), "clip_grad_max_norm"),
    "add_param_group": (lambda m, o, loss, s: o.add_param_group({"params": []}), "before or after"),
    "scheduler": (lambda m, o, loss, s: s.step(), "lr_sch"),
    "clip_grad_norm_": (lambda m, o, loss, s: nn.utils.clip_grad_norm_(m.parameters(), 1.0),
                        "clip_grad_max_norm"),
    "grad": (lambda m, o, loss, s: m[0].weight.grad, "gradients belong to the plan"),
    "grad of a value": (lambda m, o, loss, s: loss.grad, "gradients belong to the plan"),
    "grad = ": (lambda m, o, loss, s: setattr(m[0].weight, "grad", None), "leave it out"),
    "gradient=": (lambda m, o, loss, s: loss.backward(flow.ones(())), r"y \* gradient"),
    "retain_graph": (lambda m, o, loss, s: loss.backward(retain_graph=True), "add the losses"),
    "backward twice": (lambda m, o, loss, s: loss.backward(), "add the losses"),
    "requires_grad_": (lambda m, o, loss, s: m.requires_grad_(False), "traces anew"),
    "requires_grad of a value": (lambda m, o, loss, s: loss.requires_grad_(), "traces anew"),
    "item of a value": (lambda m, o, loss, s: loss.item(), "has no data"),
    "item": (lambda m, o, loss, s: o.captured.item(), "before or after"),
    "numpy": (lambda m, o, loss, s: m[0].weight.numpy(), "before or after"),
    "tolist": (lambda m, o, loss, s: m[0].weight.tolist(), "has no data"),
    "bool": (lambda m, o, loss, s: bool(o.captured), "before or after"),
    "load_state_dict": (lambda m, o, loss, s: m.load_state_dict(m.state_dict()), "before or after"),
    "optimizer.load_state_dict": (lambda m, o, loss, s: o.load_state_dict({}), "before or after"),
    "copy_": (lambda m, o, loss, s: m[0].weight.copy_(m[0].weight), "copy_"),
    "fill_": (lambda m, o, loss, s: o.captured.fill_(1.0), "copy_"),
    "data =": (lambda m, o, loss, s: setattr(o.captured, "data", flow.ones(())), "copy_"),
    "a buffer": (lambda m, o, loss, s: m.register_buffer("kept", loss), "copy_"),
    "save": (lambda m, o, loss, s: flow.save({"w": m[0].weight}, "/nowhere"), "has no data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_calls_without_effect_inside_build_are_refused(case):
    call, words = REFUSED[case]

    def with_captured(m, o, loss, s):
        o.captured = captured
        call(m, o, loss, s)

    captured = flow.ones(())
    with pytest.raises(Exception, match=words) as caught:
        in_build(with_captured)
    assert "build" in str(caught.value), str(caught.value)


def test_printing_tensors_inside_build_is_allowed(capsys):
    in_build(lambda m, o, loss, s: print(m[0].bias, loss))
    assert "Parameter containing" in capsys.readouterr().out


@pytest.mark.parametrize("cut", [
    lambda y: y.detach(), lambda y: flow.no_grad()(lambda: y * 1.0)(), lambda y: y.data,
    lambda y: y.clone().detach()])
def test_gradients_stop_inside_build_where_they_stop_in_eager(cut):
    def make():
        flow.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        return model, optim.SGD(model.parameters(), lr=0.1)

    def loss_of(model, x):
        y = model[0](x)
        loss = (model[1](y) * cut(y) + y).mean()
        loss.backward()
        return loss

    (eager, eager_opt), (graphed, graph_opt) = make(), make()
    graph = Of(lambda x: loss_of(graphed, x), graphed, optimizers=[graph_opt])
    x = flow.tensor(random(4, 8))
    for _ in range(2):
        eager_opt.zero_grad()
        want = loss_of(eager, x)
        eager_opt.step()
        assert graph(x).item() == want.item()
    assert_equal_models(eager, graphed)


def test_a_detached_parameter_inside_build_follows_its_updates():
    layer = nn.Linear(8, 8)
    graph = Of(lambda x: (step(layer, x), layer.weight.detach() * 1.0), layer,
               optimizers=[optim.SGD(layer.parameters(), lr=0.1)])
    for _ in range(3):
        before = layer.weight.detach().numpy().copy()
        np.testing.assert_array_equal(graph(flow.tensor(random(4, 8)))[1].numpy(), before)


def test_requires_grad_of_values_inside_build_is_eager_s():
    seen = []
    layer = nn.Linear(8, 8)

    def build(x):
        y = layer(x)
        seen.append((x.requires_grad, y.requires_grad, y.is_leaf, y.detach().requires_grad,
                     (y > 0).requires_grad, layer.weight.requires_grad))
        return y

    build(flow.ones(2, 8))
    Of(build, layer)(flow.ones(2, 8))
    with flow.no_grad():
        build(flow.ones(2, 8))
        Of(build, layer)(flow.ones(2, 8))
    assert seen[0] == seen[1] == (False, True, False, False, False, True)
    assert seen[2] == seen[3] == (False, False, True, False, False, True)


def test_a_buffer_assigned_in_forward_is_refused():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", flow.zeros(()))

        def forward(self, x):
            self.seen = self.seen + 1.0
            return x * self.seen

    module = Counts()
    with pytest.raises(RuntimeError, match="seen was replaced inside build"):
        Of(lambda x: module(x), module)(flow.ones(2))
    assert module.seen.item() == 0.0


def test_backward_without_an_optimizer_is_refused():
    layer = nn.Linear(8, 8)
    with pytest.raises(RuntimeError, match="gives no gradients back; expected self.add_optimizer"):
        Of(lambda x: step(layer, x), layer)(flow.ones(2, 8))
