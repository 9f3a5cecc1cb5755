"""The tape, against derivatives that are known."""

import math
import time

import numpy as np
import pytest

import oneflow_like as flow


def leaf(*values):
    return flow.tensor(list(values), requires_grad=True)


def test_sum_of_paths():
    x = leaf(1.0, 2.0, 3.0)
    (x * x + 2 * x - x / 2 + (1 - x)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy() + 0.5)


def test_gradients_add_up_and_can_be_cleared():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    x.grad = None
    assert x.grad is None


def test_broadcast_axes_are_summed():
    x, b = flow.ones(4, 3, requires_grad=True), leaf(1.0, 2.0, 3.0)
    (x * b).sum().backward()
    assert b.grad.tolist() == [4.0, 4.0, 4.0] and tuple(x.grad.shape) == (4, 3)


def test_indexing_and_shapes():
    x = flow.zeros(3, 4, requires_grad=True)
    (x[1:, ::2].t().reshape(4) * flow.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    want = np.zeros((3, 4), np.float32)
    want[1:, ::2] = [[1, 3], [2, 4]]
    np.testing.assert_array_equal(x.grad.numpy(), want)


def test_gradient_argument():
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(ValueError, match="scalar outputs"):
        y.backward()
    with pytest.raises(ValueError, match="gradient does not fit"):
        y.backward(flow.ones(3))
    y.backward(flow.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


def test_second_backward():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]
    with pytest.raises(RuntimeError, match="already freed"):
        y.backward()


def test_no_grad_and_detach():
    x = leaf(1.0)
    with flow.no_grad():
        assert not (x * 2).requires_grad
    assert not x.detach().requires_grad and (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        x.detach().sum().backward()
    with pytest.raises(RuntimeError, match="use tensor.detach"):
        (x * 2).numpy()
    with pytest.raises(ValueError, match="only floating tensors"):
        flow.tensor([1]).requires_grad_()


def test_in_place_changes():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="leaf Tensor that requires grad"):
        x.add_(1)
    y = x * 2
    y.mul_(x)
    y.sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]
    w = flow.tensor([3.0, 4.0])
    z = (x * w).sum()
    w.zero_()
    with pytest.raises(RuntimeError, match=r"\[mul\].*changed in place"):
        z.backward()


def test_a_constant_piece_has_the_gradient_zero():
    x = leaf(1.0, -2.0)
    flow.sign(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_conversion_of_dtype():
    x = leaf(1.0, 2.0)
    (x.double() * flow.tensor([1.0, 3.0]).double()).sum().backward()
    assert x.grad.dtype is flow.float32 and x.grad.tolist() == [1.0, 3.0]


def test_parameters_change_under_no_grad():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    with flow.no_grad():
        x -= 0.5 * x.grad
    assert x.is_leaf and x.requires_grad and x.tolist() == [0.0, 0.0]


def test_filling_a_result_stops_its_gradient():
    """As in torch: it still requires grad, and what it was made of gets zeros from it."""
    x = leaf(1.0, 2.0)
    for fill in (lambda y: y.zero_(), lambda y: y.fill_(3), lambda y: y.copy_(flow.ones(2)),
                 lambda y: y.normal_(), lambda y: y.uniform_()):
        y = x * 2
        alias = y.detach()
        fill(y)
        assert y.requires_grad and y.tolist() == alias.tolist()
        (x * 3 + y).sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]
        x.grad = None


def test_a_recorded_copy_has_memory_of_its_own():
    x, y = leaf(1.0, 2.0), leaf(5.0, 6.0) * 1
    y.copy_(x)
    with flow.no_grad():
        x.zero_()
    assert y.tolist() == [1.0, 2.0]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_powers_at_zero_have_finite_slopes():
    """As in torch: x^0 is constant at 0 too, 0^e in e >= 0; no 0 * inf or log 0 appears."""
    x = leaf(0.0, 1.0)
    (x ** 0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    x, e = leaf(0.0, 0.0, 2.0), leaf(0.0, 2.0, 0.0)
    (x ** e).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(e.grad.numpy(), np.float32([0.0, 0.0, np.log(2.0)]))
    e = leaf(0.0, 2.0)
    (0.0 ** e).sum().backward()
    assert e.grad.tolist() == [0.0, 0.0]
    x, e = leaf(0.0), leaf(-1.0)
    (x ** e).sum().backward()  # infinite in truth
    assert x.grad.tolist() == [-np.inf] and e.grad.tolist() == [-np.inf]
    x = leaf(np.nan, np.inf)
    (x ** flow.zeros(2, dtype=flow.float64)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, "tensor"])
def test_higher_derivatives_of_powers_at_zero(exponent):
    whole = [0, 1, 2, 3] if exponent == "tensor" else [exponent]
    power = flow.tensor(whole, dtype=flow.float64) if exponent == "tensor" else exponent
    x = leaf(*[0.0] * len(whole))
    y, want = x ** power, [float(p == 0) for p in whole]
    for order in range(1, 5):
        if not y.requires_grad:
            break
        y, = flow.autograd.grad(y.sum(), x, create_graph=True, materialize_grads=True)
        want = [float(math.factorial(p)) if p == order else 0.0 for p in whole]
        assert y.tolist() == want, order


def test_mixed_derivatives_of_powers_away_from_zero():
    x, e = leaf(2.0), leaf(0.0)
    slope, = flow.autograd.grad((x ** e).sum(), x, create_graph=True)
    assert flow.autograd.grad(slope.sum(), e)[0].tolist() == [0.5]  # of e x^(e-1)


def test_quotients_near_zero_do_not_overflow_on_the_way():
    a, b = (flow.tensor([value], requires_grad=True) for value in (0.0, 1e-30))
    (a / b * 1e10).sum().backward()
    assert b.grad.tolist() == [0.0]


def test_modes_hold_inside_generators_and_refuse_coroutines():
    @flow.no_grad()
    def modes(count):
        for _ in range(count):
            got = yield flow.is_grad_enabled()
            assert not flow.is_grad_enabled() and got in (None, 7)
        try:
            yield "last"
        except KeyError:
            yield flow.is_grad_enabled()
        return "end"

    running = modes(2)
    assert next(running) is False and flow.is_grad_enabled()
    assert running.send(7) is False and flow.is_grad_enabled()
    assert next(running) == "last"
    assert running.throw(KeyError()) is False and flow.is_grad_enabled()
    with pytest.raises(StopIteration) as ended:
        next(running)
    assert ended.value.value == "end" and modes.__name__ == "modes"
    closed = []

    @flow.enable_grad()
    def watched():
        try:
            yield flow.is_grad_enabled()
        finally:
            closed.append(flow.is_grad_enabled())

    with flow.no_grad():
        running = watched()
        assert next(running) is True
        running.close()
        assert closed == [True] and not flow.is_grad_enabled()

    async def wait():
        return flow.is_grad_enabled()

    with pytest.raises(TypeError, match="a coroutine cannot be decorated"):
        flow.no_grad()(wait)


@pytest.mark.parametrize("placement", [None, flow.placement("cpu", ranks=[0])])
def test_gradients_accumulate_in_place(placement):
    where = {} if placement is None else {"placement": placement, "sbp": flow.sbp.broadcast}
    x = flow.ones(3, requires_grad=True, **where)
    (x * 2).sum().backward()
    held, memory = x.grad, x.grad.data_ptr()
    (x * 3).sum().backward()
    assert held.tolist() == x.grad.tolist() == [5.0] * 3 and x.grad.data_ptr() == memory
    x.grad = given = flow.ones(3, **where)  # what was given is what grows, as in torch
    (x * 3).sum().backward()
    assert given.tolist() == [4.0] * 3
    (x * x).sum().backward(create_graph=True)  # recorded: the sum has a history
    assert given.tolist() == [4.0] * 3 and x.grad.tolist() == [6.0] * 3 and x.grad.requires_grad
    x.grad = flow.ones(1, **where).expand(3)  # elements in one place cannot grow one by one
    (x * 3).sum().backward()
    assert x.grad.tolist() == [4.0] * 3
    x.grad = flow.ones(3, **where)
    (x * 2).backward(x.grad)  # the gradient that flows is the one that grows
    assert x.grad.tolist() == [3.0] * 3


@pytest.mark.parametrize("placement", [None, flow.placement("cpu", ranks=[0])])
def test_a_tensor_is_not_its_own_gradient(placement):
    """Backward would change it; what shares its memory is taken, as in torch."""
    where = {} if placement is None else {"placement": placement, "sbp": flow.sbp.broadcast}
    for x in (flow.ones(3, requires_grad=True, **where), flow.ones(3, **where)):
        with pytest.raises(RuntimeError, match="can't assign a tensor as its own grad"):
            x.grad = x
        assert x.grad is None
        x.grad = x.detach()
        assert x.grad.tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="own grad"):
        nn = flow.nn.Linear(2, 2)
        nn.weight.grad = nn.weight


def test_a_gradient_that_grew_in_place_is_refused_where_its_old_value_is_needed():
    x = flow.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    w = flow.ones(2, requires_grad=True)
    y = (w * x.grad).sum()
    (x * 2).sum().backward()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def _sliced(x):
    """Parts of one tensor, some of them twice, one of a part, beside the whole."""
    first, second = x.chunk(2)
    return ((first * 2).sum() + (second[1:] * first[:1]).sum() + (x[1] ** 2).sum()
            + x.t()[2].sum() + x.diagonal().sum() * 3 + x.unfold(0, 2, 2).sum() + (x * 5).sum()
            + x[::2, 1:].sum())


def test_gradients_of_parts_add_up_where_the_whole_has_its_own():
    x = flow.tensor(np.arange(12, dtype=np.float64).reshape(4, 3), requires_grad=True)
    weights = np.full((4, 3), 6.0)  # of the whole, and of its windows
    weights[:2] += 2
    weights[3] += x.detach().numpy()[0]
    weights[0] += x.detach().numpy()[3]
    weights[1] += 2 * x.detach().numpy()[1]
    weights[:, 2] += 1
    weights[range(3), range(3)] += 3
    weights[::2, 1:] += 1
    inner = x * 1
    for source in (x, inner):
        for _ in range(2):  # the second walk finds what the first one left
            (found,) = flow.autograd.grad(_sliced(source), source, retain_graph=True)
            np.testing.assert_array_equal(found.numpy(), weights)
    _sliced(x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), weights)
    _sliced(x * 1).backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * weights)


def test_a_gradient_of_parts_is_nobody_elses():
    x = flow.ones(4, requires_grad=True)
    y = x * 1
    seen = []
    y.register_hook(lambda grad: seen.append(grad))
    both = y[:2].sum() + y[2:].sum()
    (first,) = flow.autograd.grad(both, y, retain_graph=True)
    (again,) = flow.autograd.grad(both + y[0] * 3, y, retain_graph=True)
    assert first.tolist() == [1, 1, 1, 1] and again.tolist() == [4, 1, 1, 1]
    both.backward()
    assert x.grad.tolist() == [1, 1, 1, 1] and seen[0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("parts_first", [False, True])
def test_what_flows_into_two_places_grows_in_one_alone(parts_first):
    a, b = flow.zeros(3, requires_grad=True), flow.zeros(3, requires_grad=True)
    c, d = a * 1, b * 1
    calls = [lambda: (c + d).sum(), lambda: c[1:].sum() + c[:1].sum() * 2]
    terms = [call() for call in (calls[::-1] if parts_first else calls)]
    (terms[0] + terms[1]).backward()
    assert a.grad.tolist() == [3, 2, 2] and b.grad.tolist() == [1, 1, 1]


def test_recording_a_call_of_many_tensors_takes_time_in_proportion():
    def seconds(n):
        leaves = [flow.ones(1, requires_grad=True)] * n
        start = time.process_time()
        flow.cat(leaves)
        return time.process_time() - start
    # Another number each time: what a call keeps is found out once for its shapes.
    small = min(seconds(20_000 + i) for i in range(3))
    assert min(seconds(160_000 + i) for i in range(3)) < 24 * small
