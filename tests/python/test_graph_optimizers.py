"""Optimizers of compiled graphs: numbers count at once, structure traces anew."""

import numpy as np
import pytest
from graph_case import Train, assert_equal_models, data, eager_step, mlp, traced

import oneflow_like as flow
from oneflow_like import nn, optim


WRITES = {
    "item": lambda o, c: o.param_groups[0].__setitem__(*next(iter(c.items()))),
    "update": lambda o, c: o.param_groups[0].update(c),
    "or": lambda o, c: o.param_groups[0].__ior__(c),
    "group": lambda o, c: o.param_groups.__setitem__(0, {**o.param_groups[0], **c}),
    "groups": lambda o, c: setattr(o, "param_groups", [{**g, **c} for g in o.param_groups]),
    "state": lambda o, c: o.load_state_dict({**o.state_dict(), "param_groups": [
        {**g, **c} for g in o.state_dict()["param_groups"]]}),
}
NUMBERS = [
    (optim.AdamW, {"lr": 0.05}), (optim.AdamW, {"weight_decay": 0.0}),
    (optim.AdamW, {"betas": (0.5, 0.6)}), (optim.AdamW, {"betas": [0.5, 0.6]}),
    (optim.AdamW, {"eps": 0.1}), (optim.Adam, {"weight_decay": 0.3}),
    (optim.SGD, {"lr": 1.0}), (optim.SGD, {"momentum": 0.3}), (optim.SGD, {"dampening": 0.4}),
    (optim.SGD, {"weight_decay": 0.2}), (optim.AdamW, {"clip_grad_max_norm": 0.01}),
    (optim.SGD, {"clip_grad_max_norm": 0.01}),
]


def pair_of(kind, **options):
    """(model, optimizer) twice, equal."""
    def make():
        model = mlp()
        extra = {"momentum": 0.9} if kind is optim.SGD else {}
        group = {"params": model.parameters(), "clip_grad_max_norm": 0.5}
        return model, kind([group], **{**extra, **options})
    return make(), make()


@pytest.mark.parametrize(("kind", "change"), NUMBERS)
def test_numbers_of_an_optimizer_count_in_the_next_call_without_tracing(kind, change):
    (eager, eager_opt), (graphed, graph_opt) = pair_of(kind)
    graph, (x, y) = Train(graphed, graph_opt), data()
    digest = graph.compile(x, y).hash
    for turn in range(4):
        if turn == 2:
            eager_opt.param_groups[0].update(change)
            graph_opt.param_groups[0].update(change)
        np.testing.assert_allclose(graph(x, y).item(),
                                   eager_step(eager, eager_opt, x, y).item(), rtol=1e-6)
    assert_equal_models(eager, graphed, rtol=1e-5, atol=1e-7)
    assert traced(graph) == 1 and graph.plan().hash == digest
    # The change was worth a test: without it the parameters would be others.
    (eager, eager_opt), _ = pair_of(kind)
    for _ in range(4):
        eager_step(eager, eager_opt, x, y)
    assert any(np.abs(p.detach().numpy() - q.detach().numpy()).max() > 1e-6
               for p, q in zip(eager.parameters(), graphed.parameters(), strict=True))


@pytest.mark.parametrize("write", WRITES)
def test_however_a_number_is_written_it_counts(write):
    (eager, eager_opt), (graphed, graph_opt) = pair_of(optim.AdamW, weight_decay=0.5)
    graph, (x, y) = Train(graphed, graph_opt), data()
    for turn in range(4):
        if turn == 2:
            for optimizer in (eager_opt, graph_opt):
                WRITES[write](optimizer, {"weight_decay": 0.0})
        graph(x, y), eager_step(eager, eager_opt, x, y)
    assert_equal_models(eager, graphed, rtol=1e-5, atol=1e-7)


STRUCTURES = {
    "momentum on": (optim.SGD, {"momentum": 0.0}, lambda o, m: set_all(o, momentum=0.9)),
    "momentum off": (optim.SGD, {"momentum": 0.9}, lambda o, m: set_all(o, momentum=0.0)),
    "nesterov": (optim.SGD, {"momentum": 0.9}, lambda o, m: set_all(o, nesterov=True)),
    "maximize": (optim.AdamW, {}, lambda o, m: set_all(o, maximize=True)),
    "no clipping": (optim.AdamW, {}, lambda o, m: set_all(o, clip_grad_max_norm=None)),
    "fewer parameters": (optim.AdamW, {}, lambda o, m: o.param_groups[0]["params"].pop()),
    "another group": (optim.AdamW, {}, lambda o, m: (
        o.param_groups[0]["params"].pop(),
        o.add_param_group({"params": [m[2].bias], "lr": 0.5}))),
    "no state": (optim.AdamW, {}, lambda o, m: o.state.clear()),
    "a state of its own": (optim.AdamW, {}, lambda o, m: o.state[m[0].weight].update(
        exp_avg=flow.ones(16, 8))),
}


def set_all(optimizer, **options):
    for group in optimizer.param_groups:
        group.update(options)


@pytest.mark.parametrize("case", STRUCTURES)
def test_another_structure_of_an_optimizer_traces_anew(case):
    kind, options, change = STRUCTURES[case]
    (eager, eager_opt), (graphed, graph_opt) = pair_of(kind, **options)
    graph, (x, y) = Train(graphed, graph_opt), data()
    for turn in range(5):
        if turn == 2:
            change(eager_opt, eager), change(graph_opt, graphed)
        np.testing.assert_allclose(graph(x, y).item(),
                                   eager_step(eager, eager_opt, x, y).item(), rtol=1e-6)
    assert_equal_models(eager, graphed, rtol=1e-5, atol=1e-7)
    assert traced(graph) == 2


def test_eager_steps_of_some_parameters_give_them_counters_of_their_own():
    (eager, eager_opt), (graphed, graph_opt) = pair_of(optim.AdamW)
    graph, (x, y) = Train(graphed, graph_opt), data()
    for turn in range(4):
        for model, optimizer in ((eager, eager_opt), (graphed, graph_opt)):
            if turn == 1:  # one parameter alone moves on
                optimizer.zero_grad()
                model[0].bias.grad = flow.ones(16)
                optimizer.clip_grad()
                optimizer.step()
        graph(x, y), eager_step(eager, eager_opt, x, y)
    assert_equal_models(eager, graphed, rtol=1e-5, atol=1e-7)


def test_a_parameter_without_a_gradient_in_the_graph_counts_no_steps():
    def make():
        flow.manual_seed(0)
        one, two = nn.Linear(8, 4), nn.Linear(8, 4)
        return one, two, optim.AdamW([*one.parameters(), *two.parameters()], lr=0.1)

    class Of(nn.Graph):
        def __init__(self, model, optimizer):
            super().__init__()
            self.model = model
            self.add_optimizer(optimizer)

        def build(self, x):
            loss = (self.model(x) ** 2).mean()
            loss.backward()
            return loss

    (e1, e2, eager), (g1, g2, graphed) = make(), make()
    graphs, x = (Of(g1, graphed), Of(g2, graphed)), data()[0]
    for turn in (0, 0, 1, 0, 1, 1):
        eager.zero_grad()
        loss = ((e1, e2)[turn](x) ** 2).mean()
        loss.backward()
        eager.step()
        assert graphs[turn](x).item() == loss.item()
    assert_equal_models(e1, g1)
    assert_equal_models(e2, g2)
    assert [traced(g) for g in graphs] == [1, 1]


@pytest.mark.parametrize("write", [
    lambda o: o.param_groups[0].__setitem__("weigth_decay", 0.0),
    lambda o: o.param_groups[0].update(weigth_decay=0.0),
    lambda o: o.param_groups[0].setdefault("weigth_decay", 0.0),
    lambda o: o.add_param_group({"params": [flow.ones(2)], "weigth_decay": 0.0}),
    lambda o: optim.AdamW([{"params": [flow.ones(2)], "weigth_decay": 0.0}]),
])
def test_options_that_no_optimizer_reads_are_refused(write):
    (_, optimizer), _ = pair_of(optim.AdamW)
    with pytest.raises(KeyError, match="has no option 'weigth_decay'; expected one of: .*betas"):
        write(optimizer)


@pytest.mark.parametrize("group", [
    lambda g: {**g, "weigth_decay": 0.0}, lambda g: {k: v for k, v in g.items() if k != "eps"},
    lambda g: {**g, "lr": -1.0}, lambda g: {**g, "lr": flow.tensor(0.1)},
    lambda g: {**g, "betas": (0.9, 1.0)}])
def test_a_replaced_group_is_checked_by_eager_and_graph(group):
    (model, optimizer), _ = pair_of(optim.AdamW)
    graph, (x, y) = Train(model, optimizer), data()
    graph(x, y)
    good, optimizer.param_groups[0] = optimizer.param_groups[0], group(optimizer.param_groups[0])
    with pytest.raises((KeyError, ValueError), match=r"weigth_decay|eps|Invalid"):
        graph(x, y)
    model[0].weight.grad = flow.ones(16, 8)
    with pytest.raises((KeyError, ValueError), match=r"weigth_decay|eps|Invalid"):
        optimizer.step()
    optimizer.param_groups[0] = good
    graph(x, y)
    assert traced(graph) == 1


def test_a_scheduler_of_another_optimizer_is_refused():
    (_, one), (_, other) = pair_of(optim.AdamW)
    schedule = optim.lr_scheduler.StepLR(other, 1)
    with pytest.raises(ValueError, match="a scheduler of the same optimizer"):
        nn.Graph().add_optimizer(one, lr_sch=schedule)
