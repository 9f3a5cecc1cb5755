"""Gradients that are differentiated again: grad(), create_graph, and every operator's rule."""

import textwrap

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like.autograd import grad, gradcheck, gradgradcheck


def leaf(*values):
    return flow.tensor(list(values), dtype=flow.float64, requires_grad=True)


def test_derivatives_of_every_order():
    x = leaf(0.5, -1.0, 2.0)
    y, order = x ** 4, 0
    for factor, power in ((4, 3), (12, 2), (24, 1), (24, 0)):
        y, = grad(y.sum(), x, create_graph=True)
        order += 1
        np.testing.assert_allclose(y.detach().numpy(), factor * x.detach().numpy() ** power,
                                   err_msg=f"order {order}")
    assert x.grad is None


def test_a_gradient_penalty_trains_through_backward():
    w, x = leaf(1.5, -0.5), leaf(2.0, 3.0)
    slope, = grad((x.tanh() * w).sum(), x, create_graph=True)
    (slope * slope).sum().backward()
    sech2 = 1 - np.tanh(x.detach().numpy()) ** 2
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.detach().numpy() * sech2 ** 2)


def test_backward_with_create_graph_keeps_the_history_of_grad():
    x = leaf(3.0)
    (x ** 3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * 3.0)


def test_grad_of_inner_values_and_of_several_roots():
    x = leaf(1.0, 2.0)
    y = x * 3
    z = y.exp()
    dy, dx = grad([z.sum(), (y * y).sum()], [y, x])
    np.testing.assert_allclose(dy.numpy(), np.exp([3.0, 6.0]) + 2 * np.array([3.0, 6.0]))
    np.testing.assert_allclose(dx.numpy(), 3 * dy.numpy())
    assert x.grad is None


def test_grad_runs_only_what_leads_to_its_inputs():
    x, other = leaf(1.0, 2.0), leaf(3.0, 4.0)
    w = flow.tensor([5.0, 6.0], dtype=flow.float64)
    y = x * 2
    total = (y * (other * w)).sum()
    w.zero_()  # whoever asks for a gradient along `other * w` is refused
    assert grad(total, y, retain_graph=True)[0].tolist() == [15.0, 24.0]
    with pytest.raises(RuntimeError, match=r"\[mul\].*changed in place"):
        total.backward()


def test_grad_says_what_is_wrong():
    x, unused = leaf(1.0), leaf(1.0)
    y = (x * 2).sum()
    with pytest.raises(RuntimeError, match=r"not have been used in the graph: got inputs\[1\]"):
        grad(y, [x, unused], retain_graph=True)
    assert grad(y, [x, unused], retain_graph=True, allow_unused=True)[1] is None
    assert grad(y, [x, unused], retain_graph=True, materialize_grads=True)[1].tolist() == [0.0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad(y, flow.ones(1))
    with pytest.raises(ValueError, match="scalar outputs.*pass grad_outputs"):
        grad(leaf(1.0, 2.0) * 2, x)
    with pytest.raises(ValueError, match="differ in number"):
        grad(y, x, grad_outputs=[None, None])
    with pytest.raises(TypeError, match="outputs must hold Tensors, not int"):
        grad(3, x)
    assert grad(y, x)[0].tolist() == [2.0]
    with pytest.raises(RuntimeError, match="already freed"):
        grad(y, x)


def test_the_checks_can_fail():
    x = leaf(0.3, 0.7)
    assert gradcheck(lambda x: x.sin() if hasattr(x, "sin") else x.tanh(), x)
    # A result that hides a part of its dependence from the tape.
    with pytest.raises(RuntimeError, match=r"\[gradcheck\]"):
        gradcheck(lambda x: x * x.detach(), x)
    assert not gradcheck(lambda x: x * x.detach(), x, raise_exception=False)
    assert not gradgradcheck(lambda x: x * x * x.detach(), x, raise_exception=False)


def test_the_checks_see_imaginary_parts():
    x = leaf(0.3, 0.7)
    assert gradcheck(lambda x: (x * 1j).exp(), x)
    assert not gradcheck(lambda x: x + x * x.detach() * 1j, x, raise_exception=False)
    with pytest.raises(TypeError, match="a complex input cannot be varied"):
        gradcheck(lambda z: z * z, flow.ones(2, dtype=flow.complex128, requires_grad=True))


def test_gradients_pass_casts_between_real_and_complex():
    x = leaf(1.0, 2.0)
    (x.to(flow.complex128) * (1 + 2j)).real.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    x.grad = None
    (x * 1j).imag.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0] and x.grad.dtype is flow.float64
    z = flow.tensor([3 + 4j], dtype=flow.complex128, requires_grad=True)
    z.abs().sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), [0.6 + 0.8j])
    z.grad = None
    z.to(flow.float64).sum().backward()  # the real part
    assert z.grad.tolist() == [1 + 0j]
    with pytest.raises(ValueError, match="only for real scalar outputs"):
        (z * z).sum().backward()
    (z * z).sum().backward(flow.tensor(1 + 0j, dtype=flow.complex128))
    x = leaf(0.0, 2.0)
    (x.to(flow.complex128) ** 0).real.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_complex_gradients_of_global_tensors(tmp_path):
    run_text(tmp_path, 2, textwrap.dedent("""
        import numpy as np
        import oneflow_like as flow

        P = flow.placement.all("cpu")
        S0, B, partial = flow.sbp.split(0), flow.sbp.broadcast, flow.sbp.partial_sum
        numbers = np.arange(1, 9).reshape(4, 2) * (1 - 0.5j)
        slopes = np.arange(2.0, 4.0)

        def whole(data, sbp, **given):
            return flow.tensor(data, dtype=flow.complex128, placement=P, sbp=sbp, **given)

        def slope(w, z):
            y = (z * w * 1j).sum(0)
            (y.to_global(sbp=B) * y.to_global(sbp=B).conj()).real.sum().backward()
            return w.grad.numpy()

        total = numbers.sum(0)
        for sbp in (S0, B):
            w = flow.tensor(slopes, placement=P, sbp=B, requires_grad=True)
            z = whole(numbers, sbp, requires_grad=True)
            np.testing.assert_allclose(slope(w, z), 2 * slopes * abs(total) ** 2)
            assert w.grad.dtype is flow.float64
            np.testing.assert_allclose(z.grad.numpy(),
                                       np.tile(2 * total * slopes ** 2, (4, 1)))
    """))


def test_a_graph_trains_through_complex_numbers():
    class Train(flow.nn.Graph):
        def __init__(self):
            super().__init__()
            self.model = flow.nn.Module()
            self.model.weight = flow.nn.Parameter(flow.tensor([1.0, -2.0]))
            self.add_optimizer(flow.optim.SGD(self.model.parameters(), lr=0.5))

        def build(self, x):
            z = self.model.weight * 1j + x
            loss = (z * z.conj()).real.sum()
            loss.backward()
            return loss

    graph = Train()
    graph(flow.tensor([3.0, 1.0]))
    assert graph.model.weight.tolist() == [0.0, 0.0]  # w - 0.5 * 2 w

    class Complex(Train):
        def build(self, x):
            loss = (self.model.weight * 1j + x).sum()
            loss.backward()
            return loss

    with pytest.raises(ValueError, match="needs a real loss"):
        Complex()(flow.ones(2))


def test_global_tensors_and_their_conversions(tmp_path):
    run_text(tmp_path, 2, textwrap.dedent("""
        import numpy as np
        import oneflow_like as flow
        from oneflow_like.autograd import grad

        P = flow.placement.all("cpu")
        S0, S1, B = flow.sbp.split(0), flow.sbp.split(1), flow.sbp.broadcast
        x0 = np.linspace(-1, 1, 12).reshape(4, 3)
        w0 = np.linspace(0.5, 2, 6).reshape(3, 2)

        def second(x, w, convert):
            y = convert(x @ w).tanh()
            slope, = grad((y * y).sum(), x, create_graph=True)
            (slope * slope).sum().backward()
            return x.grad, w.grad

        def made(layouts):
            options = [{} if s is None else {"placement": P, "sbp": s} for s in layouts]
            return [flow.tensor(a, dtype=flow.float64, requires_grad=True, **o)
                    for a, o in zip((x0, w0), options)]

        want = [g.numpy() for g in second(*made((None, None)), lambda t: t)]
        for layouts, middle in (((S0, B), B), ((B, S1), S0), ((S1, S0), B), ((B, B), S1)):
            got = second(*made(layouts), lambda t: t.to_global(sbp=middle))
            for g, w in zip(got, want):
                np.testing.assert_allclose(g.numpy(), w, rtol=1e-9, atol=1e-12)

        # By way of the local parts and back.
        def through_local(t):
            whole = t.to_global(sbp=S0)
            return whole.to_local().to_global(placement=P, sbp=S0)

        got = second(*made((S0, B)), through_local)
        for g, w in zip(got, want):
            np.testing.assert_allclose(g.numpy(), w, rtol=1e-9, atol=1e-12)
    """))


ON_TWO_RANKS = """
import oneflow_like as flow
from oneflow_like.autograd import gradcheck, gradgradcheck

everyone = flow.placement.all("cpu")
values = flow.arange(10.0, dtype=flow.float64).reshape(5, 2).sin()
for sbp in (flow.sbp.split(0), flow.sbp.split(1), flow.sbp.broadcast, flow.sbp.partial_sum):
    x = flow.tensor(values.numpy(), placement=everyone, sbp=sbp, requires_grad=True)
    for call in (lambda x: x.sin() * x, lambda x: (x * x).sum(0)):
        assert gradcheck(call, x) and gradgradcheck(call, x)
    assert not gradcheck(lambda x: x * x.detach(), x, raise_exception=False)
    assert not gradgradcheck(lambda x: x * x * x.detach(), x, raise_exception=False)
print("checked")
"""


def test_global_tensors_are_varied_whole(tmp_path):
    assert run_text(tmp_path, 2, ON_TWO_RANKS).stdout.count("checked") == 2
