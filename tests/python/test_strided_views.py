"""as_strided of views, writing through views that repeat elements, and what was overwritten."""

import pytest
from graph_case import Of
from jobs import run_text

import oneflow_like as flow

LEAVES = {
    "reshaped": lambda: flow.arange(6.0).reshape(2, 3),
    "a part": lambda: flow.arange(12.0).reshape(4, 3)[:2],
    "permuted": lambda: flow.arange(6.0).reshape(3, 2).t(),
    "stepped": lambda: flow.arange(12.0).reshape(2, 6)[:, ::2],
    "whole": lambda: flow.arange(6.0).reshape(2, 3).clone(),
}
VIEWS = [lambda x: x.t(), lambda x: x[1:], lambda x: x[:, 1], lambda x: x.diagonal(),
         lambda x: x[0].expand(2, 3), lambda x: x.unfold(1, 2, 1), lambda x: x]
PLACES = [((2,), (2,)), ((2,), (1,), 0), ((2, 2), (1, 1), 1), ((3,), (0,), 2), ((), (), 1)]


def places_of(shape, stride, offset):
    """The place in memory of each element, in row-major order."""
    places = [offset]
    for n, s in zip(shape, stride, strict=True):
        places = [p + i * s for p in places for i in range(n)]
    return places


@pytest.mark.parametrize("leaf", LEAVES)
def test_as_strided_gives_its_operand_the_gradient_of_the_same_places(leaf):
    for view in VIEWS:
        for given in PLACES:
            x = LEAVES[leaf]().requires_grad_()
            part = view(x)
            taken = part.as_strided(*given)
            assert taken.requires_grad
            weight = flow.arange(1.0, 1 + taken.numel()).reshape(taken.shape)
            (taken * weight).sum().backward()
            offset = given[2] if len(given) == 3 else part.storage_offset()
            in_memory = {}
            for place, w in zip(places_of(*given[:2], offset), weight.flatten().tolist(),
                                strict=True):
                in_memory[place] = in_memory.get(place, 0) + w
            shown = set(places_of(part.shape, part.stride(), part.storage_offset()))
            want = [in_memory.get(p, 0) if p in shown else 0
                    for p in places_of(x.shape, x.stride(), x.storage_offset())]
            assert x.grad.flatten().tolist() == want


def test_as_strided_differentiates_twice_and_follows_a_base_that_was_changed():
    x = flow.arange(6.0).reshape(2, 3).requires_grad_()
    first, = flow.autograd.grad((x.t().as_strided((2,), (2,)) ** 3).sum(), x, create_graph=True)
    first.sum().backward()
    assert first.tolist() == [[0, 0, 12], [0, 0, 0]]
    assert x.grad.tolist() == [[0, 0, 12], [0, 0, 0]]
    base, w = flow.zeros(2, 3), flow.ones(2, 3, requires_grad=True)
    beside = base[1:].as_strided((2,), (1,), 0)  # what the operand does not show
    base.add_(w)
    beside.sum().backward()
    assert w.grad.tolist() == [[1, 1, 0], [0, 0, 0]]
    x = flow.arange(6.0).requires_grad_()
    c = x.clone()
    c[3:].as_strided((2,), (1,), 1).mul_(3)
    c.sum().backward()
    assert x.grad.tolist() == [1, 3, 3, 1, 1, 1] and c.tolist() == [0, 3, 6, 3, 4, 5]


PARTS = [lambda x: x.t().as_strided((2, 2), (1, 3)), lambda x: x[1:].as_strided((2,), (1,)),
         lambda x: x[1:].as_strided((2,), (1,), 0), lambda x: x[:, ::2].as_strided((2,), (1,)),
         lambda x: flow.as_strided_scatter(x[1:], flow.zeros(2), (2,), (1,), 1),
         lambda x: x[1:].detach().as_strided((2,), (1,), 0),
         lambda x: flow.as_strided_copy(x[1:], (2,), (1,), 0)]


def test_a_graph_refuses_as_strided_of_a_part():
    x = flow.arange(6.0).reshape(2, 3)
    for build in PARTS:
        with pytest.raises(NotImplementedError, match="not defined for a value of a graph"):
            Of(build)(x)
    part = x[1:]
    with pytest.raises(NotImplementedError, match="not defined for a value of a graph"):
        Of(lambda y: part.as_strided((2,), (1,), 0) + y[0, 0])(x)
    for build in (lambda y: y.view(6).as_strided((2, 2), (1, 3)),
                  lambda y: y.t().clone().as_strided((2,), (2,), 1)):
        assert Of(build)(x).tolist() == build(x).tolist()


def test_as_strided_of_a_part_of_a_global_tensor_is_refused_in_every_layout(tmp_path):
    run_text(tmp_path, 2, """
import oneflow_like as flow
P = flow.placement.all("cpu")
PARTS = [lambda x: x.t().as_strided((2, 2), (1, 3)), lambda x: x[1:].as_strided((2,), (1,)),
         lambda x: x[1:].as_strided((2,), (1,), 0), lambda x: x[:, ::2].as_strided((2,), (1,)),
         lambda x: flow.as_strided_scatter(x[1:], flow.zeros(2), (2,), (1,), 1)]
for sbp in (flow.sbp.broadcast, flow.sbp.split(0), flow.sbp.split(1)):
    x = flow.arange(6.0, placement=P, sbp=flow.sbp.broadcast).reshape(2, 3).clone()
    x = x.to_global(sbp=sbp)
    for part in PARTS:
        try:
            part(x)
        except NotImplementedError as e:
            assert "not defined for a global tensor" in str(e)
        else:
            raise AssertionError("not refused")
    assert x.as_strided((2, 2), (1, 3)).numpy().tolist() == [[0, 3], [1, 4]]
""")


OVERWRITES = [lambda r, y: r.copy_(y), lambda r, y: r.__setitem__(slice(None), y),
              lambda r, y: r.__setitem__(None, y), lambda r, y: r.copy_(y.double()),
              lambda r, y: r.fill_(y[0]), lambda r, y: r.view(3).copy_(y)]


@pytest.mark.parametrize("overwrite", OVERWRITES)
def test_what_was_overwritten_gets_zeros(overwrite):
    x, y = (flow.ones(3, requires_grad=True) for _ in range(2))
    r = x.clone()
    overwrite(r, y)
    assert flow.autograd.grad(r.sum(), x, retain_graph=True)[0].tolist() == [0, 0, 0]
    r.sum().backward()
    assert x.grad.tolist() == [0, 0, 0] and y.grad.sum() == 3


def test_a_change_that_reads_its_target_records_nothing_more():
    x = flow.ones(3, requires_grad=True)
    r = x.clone()
    r.mul_(x)
    assert "overwrite" not in str(r.grad_fn)


WRITES = [
    (lambda c: c.expand(2, 3).__setitem__(0, 5.0), [5, 5, 5], [0, 0, 0]),
    (lambda c: c.expand(2, 3)[0].mul_(2), [2, 4, 6], [2, 2, 2]),
    (lambda c: c.broadcast_to(2, 3)[1].copy_(flow.ones(3)), [1, 1, 1], [0, 0, 0]),
    (lambda c: c.unfold(0, 2, 1)[1].mul_(2), [1, 4, 6], [1, 2, 2]),
    (lambda c: c.view(3, 1).expand(3, 2)[1:, 1].mul_(3), [1, 6, 9], [1, 3, 3]),
    (lambda c: c.as_strided((2, 2), (1, 1))[1].mul_(2), [1, 4, 6], [1, 2, 2]),
]


@pytest.mark.parametrize(("write", "value", "grad"), WRITES)
def test_a_part_of_a_view_that_repeats_elements_is_written_through(write, value, grad):
    x = flow.tensor([1.0, 2.0, 3.0], requires_grad=True)
    c = x.clone()
    write(c)
    c.sum().backward()
    assert c.tolist() == value and x.grad.tolist() == grad
    held = flow.nn.Module()
    held.p = flow.nn.Parameter(flow.tensor([1.0, 2.0, 3.0]))

    class Train(flow.nn.Graph):
        def __init__(self):
            super().__init__()
            self.held = held
            self.add_optimizer(flow.optim.SGD(held.parameters(), lr=1.0))

        def build(self):
            c = self.held.p.clone()
            write(c)
            c.sum().backward()
            return c

    assert Train()().tolist() == value
    assert (flow.tensor([1.0, 2.0, 3.0]) - held.p.detach()).tolist() == grad


FILLS = [  # what PyTorch makes of three rows that are one, and of three columns that are one
    (lambda t: t.masked_fill_(flow.tensor([[True, False, False], [False, False, True]]), 7),
     [7, 2, 7], [7, 7]),
    (lambda t: t.masked_fill_(flow.tensor([True, False, False]), flow.tensor(7.0)),
     [7, 2, 3], [7, 7]),
    (lambda t: t.masked_fill_(flow.tensor([[False], [True]]), 7), [7, 7, 7], [1, 7]),
    (lambda t: t.index_fill_(1, flow.tensor([0]), 7), [7, 2, 3], [7, 7]),
    (lambda t: t.index_fill_(0, flow.tensor([1]), flow.tensor(7.0)), [7, 7, 7], [1, 7]),
    (lambda t: t.index_fill_(0, flow.tensor([], dtype=flow.int64), 7), [1, 2, 3], [1, 2]),
    (lambda t: t.fill_diagonal_(7), [7, 7, 3], [7, 7]),
    (lambda t: t.tril_(), [1, 0, 0], [0, 0]), (lambda t: t.triu_(), [0, 2, 3], [1, 0]),
    (lambda t: t.tril_(2), [1, 2, 3], [1, 2]),
    (lambda t: t.__setitem__(flow.tensor([[True, False, False], [False] * 3]), 7.0),
     [7, 2, 3], [7, 2]),
]


@pytest.mark.parametrize(("fill", "rows", "columns"), FILLS)
def test_a_place_gets_the_number_if_one_of_its_elements_does(fill, rows, columns):
    row, column = flow.tensor([1.0, 2.0, 3.0]), flow.tensor([[1.0], [2.0]])
    fill(row.expand(2, 3))
    fill(column.expand(2, 3))
    assert row.tolist() == rows and column.flatten().tolist() == columns
    x = row.clone().requires_grad_()
    with pytest.raises(ValueError, match="several elements"):
        fill(x.clone().expand(2, 3))


def test_elements_that_interleave_are_written_where_no_two_meet():
    apart = [((3, 3), (2, 3)), ((2, 3), (3, 2)), ((2, 2, 2), (3, 6, 2))]
    for shape, stride in apart:
        places = places_of(shape, stride, 1)
        for change in (lambda t: t.add_(1), lambda t: t.copy_(flow.ones(*t.shape)),
                       lambda t: t.fill_(1), lambda t: t.__setitem__(slice(None), 1.0)):
            memory = flow.zeros(16)
            change(memory.as_strided(shape, stride, 1))
            assert memory.tolist() == [float(n in places) for n in range(16)]
        x = flow.ones(16, requires_grad=True)
        base = x.clone()
        base.as_strided(shape, stride, 1).mul_(3)
        base.sum().backward()
        assert x.grad.tolist() == [3.0 if n in places else 1.0 for n in range(16)]
    for shape, stride in [((3, 3), (1, 1)), ((3, 4), (3, 2)), ((2, 2, 2), (3, 2, 1))]:
        with pytest.raises(ValueError, match="several elements"):
            flow.zeros(16).as_strided(shape, stride).add_(1)


def test_one_number_may_fill_a_view_of_a_graph_that_repeats_elements():
    def build(x):
        c, d, e = x.clone(), x.clone(), x.view(3, 1).clone()
        c.expand(2, 3).fill_(4)
        d.unfold(0, 2, 1)[:1].zero_()
        e.expand(3, 2)[1:].fill_(2)
        return c, d, e

    x = flow.tensor([1.0, 2.0, 3.0])
    for made in (build(x), Of(build)(x)):
        assert [t.flatten().tolist() for t in made] == [[4, 4, 4], [0, 0, 3], [1, 2, 2]]
    for refused in (lambda x: x.clone().expand(2, 3).add_(1),
                    lambda x: x.clone().expand(2, 3).tril_()):
        with pytest.raises(ValueError, match="several elements"):
            Of(refused)(x)


def test_one_number_may_fill_a_view_of_a_global_tensor_that_repeats_elements(tmp_path):
    run_text(tmp_path, 2, """
import oneflow_like as flow
P = flow.placement.all("cpu")
for sbp in (flow.sbp.broadcast, flow.sbp.split(0), flow.sbp.split(1)):
    for fill, want in ((lambda t: t.fill_(4), 4), (lambda t: t.zero_(), 0)):
        for shape in ((1, 3), (2, 1), (3, 1), (1, 1)):
            x = flow.ones(*shape, placement=P, sbp=flow.sbp.broadcast).to_global(sbp=sbp)
            now = want
            try:
                fill(x.expand(max(shape[0], 2), max(shape[1], 2)))
            except ValueError as e:  # a view with memory of its own, which follows its base
                assert "several elements" in str(e) and sbp != flow.sbp.broadcast
                now = 1
            assert x.numpy().tolist() == [[now] * shape[1]] * shape[0], (sbp, shape)
""")


def test_one_number_may_fill_a_tensor_that_repeats_elements():
    for fill, want in ((lambda t: t.fill_(4), 4), (lambda t: t.zero_(), 0)):
        for view in (lambda c: c.expand(2, 3), lambda c: c.unfold(0, 2, 1)):
            c = flow.ones(3)
            fill(view(c))
            assert c.tolist() == [want] * 3
            c = flow.ones(3, requires_grad=True) * 1
            with pytest.raises(ValueError, match="several elements"):
                fill(view(c))
