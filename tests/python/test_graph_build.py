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
    "clone_memory": (lambda m, o, loss, s: o.captured.clone_memory(), "use clone"),
    "manual_seed": (lambda m, o, loss, s: flow.manual_seed(0), "before the call"),
    "get_rng_state": (lambda m, o, loss, s: flow.get_rng_state(), "before or after"),
    "set_rng_state": (lambda m, o, loss, s: flow.set_rng_state(o.state_of_rng), "before or after"),
    "compile_world": (lambda m, o, loss, s: flow.compile_world(2).__enter__(), "around the call"),
    "all_reduce": (lambda m, o, loss, s: flow.comm.all_reduce(o.captured), "global tensors"),
    "all_gather": (lambda m, o, loss, s: flow.comm.all_gather([o.captured], o.captured),
                   "global tensors"),
    "all_gather_into_tensor": (lambda m, o, loss, s: flow.comm.all_gather_into_tensor(
        o.captured, o.captured), "global tensors"),
    "reduce_scatter": (lambda m, o, loss, s: flow.comm.reduce_scatter(o.captured, [o.captured]),
                       "global tensors"),
    "reduce_scatter_tensor": (lambda m, o, loss, s: flow.comm.reduce_scatter_tensor(
        o.captured, o.captured), "global tensors"),
    "broadcast": (lambda m, o, loss, s: flow.comm.broadcast(o.captured), "global tensors"),
    "barrier": (lambda m, o, loss, s: flow.comm.barrier(), "global tensors"),
    "send": (lambda m, o, loss, s: flow.comm.send(o.captured, 0), "global tensors"),
    "recv": (lambda m, o, loss, s: flow.comm.recv(o.captured, 0), "global tensors"),
    "to another dtype": (lambda m, o, loss, s: m.double(), "before or after"),
    "save": (lambda m, o, loss, s: flow.save({"w": m[0].weight}, "/nowhere"), "has no data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_calls_without_effect_inside_build_are_refused(case):
    call, words = REFUSED[case]

    def with_captured(m, o, loss, s):
        o.captured, o.state_of_rng = captured, state_of_rng
        call(m, o, loss, s)

    captured, state_of_rng = flow.ones(()), flow.get_rng_state()
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


class Memory(nn.Module):
    """State in plain attributes, by `write`."""

    def __init__(self, write, **fields):
        super().__init__()
        self.write = write
        for name, value in fields.items():
            setattr(self, name, value)

    def forward(self, x):
        self.write(self, x)
        return x * 1.0


def set_item(module, x):
    module.__dict__["h"] = x * 2.0


STATE = {
    "a tensor": (lambda m, x: setattr(m, "h", m.h * 0.5 + x), {"h": flow.zeros(1)}),
    "a tensor never read": (lambda m, x: setattr(m, "h", x * 2.0), {"h": flow.zeros(1)}),
    "a tensor, once made": (lambda m, x: setattr(m, "h", x if m.h is None else m.h + x),
                            {"h": None}),
    "a tensor where nothing was": (
        lambda m, x: setattr(m, "h", m.h + x if hasattr(m, "h") else x), {}),
    "another tensor": (lambda m, x: setattr(m, "h", flow.tensor([m.h.ndim])),
                       {"h": flow.zeros(1)}),
    "a number": (lambda m, x: setattr(m, "h", m.h + 1), {"h": 0}),
    "a string": (lambda m, x: setattr(m, "h", m.h + "a"), {"h": ""}),
    "a new list": (lambda m, x: setattr(m, "h", [*m.h, 1]), {"h": []}),
    "a list of values": (lambda m, x: m.h.append(x * 2.0), {"h": []}),
    "a dict of values": (lambda m, x: m.h.update(a=x * 2.0), {"h": {}}),
    "by __dict__": (set_item, {}),
    "deleted": (lambda m, x: m.h and delattr(m, "h"), {"h": 1}),
}


@pytest.mark.parametrize("case", STATE)
@pytest.mark.parametrize("within", ["module", "graph"])
def test_state_that_only_tracing_would_change_is_refused(case, within):
    write, fields = STATE[case]
    fields = {name: type(value)(value) if isinstance(value, (list, dict)) else value
              for name, value in fields.items()}
    if within == "module":
        owner = Memory(write, **fields)
        graph = Of(lambda x: owner(x), owner)
    else:
        owner = graph = Of(lambda x: write(graph, x) or x * 1.0)
        for name, value in fields.items():
            setattr(graph, name, value)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=rf"{type(owner).__name__}\.h\b.*build\(\)"):
            graph(flow.ones(1))
        left = owner.__dict__.get("h")
        assert left == fields.get("h") if not isinstance(left, flow.Tensor) else (
            left is fields["h"])


def test_values_may_pass_through_attributes_and_nothing_stays():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = None
            self.sizes = {}

        def forward(self, x):
            self.size = x.shape[0]
            self.sizes[self.size] = True
            self.kept, self.more = x * 2.0, [x * 3.0]
            return self.kept + self.more[0]

    module = Keeps()

    def build(x):
        return module(x) + module.kept, flow.tensor([1.0]) * module.size

    graph = Of(build, module)
    for _ in range(2):
        assert graph(flow.ones(2))[0].tolist() == [7.0, 7.0]
        assert module.kept is None and not hasattr(module, "more") and module.size == 2
    assert graph(flow.ones(3))[1].tolist() == [3.0]

    def fails(x):
        module(x)
        raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        Of(fails, module)(flow.ones(2))
    assert module.kept is None and not hasattr(module, "more")


def test_backward_without_an_optimizer_is_refused():
    layer = nn.Linear(8, 8)
    with pytest.raises(RuntimeError, match="gives no gradients back; expected self.add_optimizer"):
        Of(lambda x: step(layer, x), layer)(flow.ones(2, 8))
