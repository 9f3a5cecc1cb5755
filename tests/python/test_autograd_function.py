"""autograd.Function, hooks, retain_grad, checkpoint, functional: as PyTorch documents them."""

import gc
import weakref

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like.autograd import Function, functional, gradcheck, gradgradcheck
from oneflow_like.autograd.function import once_differentiable
from oneflow_like.utils.checkpoint import checkpoint, checkpoint_sequential


def leaf(*values, dtype=flow.float64):
    return flow.tensor(list(values), dtype=dtype, requires_grad=True)


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y


class Weighted(Function):
    """With setup_context, a number among the arguments, two results."""

    @staticmethod
    def forward(x, w, factor):
        return x * w * factor, x.argmax()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w, factor = inputs
        ctx.save_for_backward(x, w)
        ctx.factor = factor
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, grad, _):
        x, w = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, w.requires_grad, False)
        return grad * w * ctx.factor, grad * x * ctx.factor, None


def test_a_function_has_its_own_backward():
    x = leaf(0.5, -1.0)
    y = Exp.apply(x)
    assert y.grad_fn == "<ExpBackward>" and not y.is_leaf
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([0.5, -1.0]))
    assert gradcheck(Exp.apply, (x,)) and gradgradcheck(Exp.apply, (x,))


def test_results_and_arguments_of_all_kinds():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y, at = Weighted.apply(x, w, 2.0)
    assert at.item() == 1 and not at.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [6, 8] and w.grad.tolist() == [2, 4]
    with flow.no_grad():
        assert not Weighted.apply(x, w, 2.0)[0].requires_grad
    assert gradgradcheck(lambda a, b: Weighted.apply(a, b, 2.0)[0], (x, w))


def test_a_function_changes_an_input_in_place():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2.0)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 2.0

    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = Double.apply(y)
    assert z is y and y.tolist() == [2, 4]
    (y * y).sum().backward()
    assert x.grad.tolist() == [8, 16]


def test_an_input_that_is_given_back_is_another_tensor():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 10.0

    x = leaf(1.0)
    y = Same.apply(x)
    assert y is not x and y.data_ptr() == x.data_ptr()
    y.backward(flow.ones(1, dtype=flow.float64))
    assert x.grad.tolist() == [10]


def test_errors_of_functions():
    class Bad(Function):
        result = None

        @staticmethod
        def forward(ctx, x, n):
            return x * n

        @staticmethod
        def backward(ctx, grad):
            return Bad.result(grad)

    x = leaf(1.0, 2.0)
    for result, error, words in (
            (lambda g: g, RuntimeError, "incorrect number of gradients"),
            (lambda g: (g, g), RuntimeError, "different from None at position 2"),
            (lambda g: (g[:1], None), ValueError, "does not fit"),
            (lambda g: (1.0, None), TypeError, "no Tensor"),
            (lambda g: 1 / 0, ZeroDivisionError, "division")):
        Bad.result = result
        with pytest.raises(error, match=words):
            Bad.apply(x, 3.0).sum().backward()
    with pytest.raises(RuntimeError, match="should not be instantiated"):
        Exp()
    y = x * 1.0
    z = Exp.apply(y)
    z.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_function_is_let_go():
    memory = np.ones(2)
    gone = weakref.ref(memory)
    x = flow.from_numpy(memory).requires_grad_()
    y = Exp.apply(Exp.apply(x))
    del x, y, memory
    gc.collect()
    assert gone() is None


# --- hooks ----------------------------------------------------------------------------------------

def test_hooks_see_and_replace_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    y = x * 3.0
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g + 1.0)
    (y * y).sum().backward()
    assert seen == [[6, 12]] and x.grad.tolist() == [181, 361]
    x.grad = None
    handle.remove()
    y = x * 3.0
    y.sum().backward()
    assert x.grad.tolist() == [4, 4]


def test_hooks_refuse():
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        flow.ones(2).register_hook(print)
    x = leaf(1.0)
    x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match=r"\[hook\]"):
        (x * 2.0).sum().backward()

    def fail(_):
        raise KeyError("mine")

    y = leaf(1.0)
    y.register_hook(fail)
    with pytest.raises(KeyError, match="mine"):
        (y * 2.0).sum().backward()


def test_retained_gradients_of_results():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.retain_grad()
    assert y.retains_grad and not x.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [6, 12]
    z = x * 2.0
    z.sum().backward()
    assert z.grad is None
    x.retain_grad()  # a leaf keeps its gradient anyway
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        flow.ones(1).retain_grad()


# --- modes, checkpoint, functional ----------------------------------------------------------------

def test_inference_mode():
    x = leaf(1.0)
    with flow.inference_mode():
        assert not flow.is_grad_enabled() and not (x * 2.0).requires_grad

    @flow.inference_mode
    def run():
        return x * 2.0

    assert not run().requires_grad and flow.is_grad_enabled()


def test_checkpoint_draws_again_what_it_drew():
    layer = flow.nn.Linear(4, 4)
    made = []

    def block(x, factor):
        return flow.nn.functional.dropout(layer(x).relu(), 0.5) * factor

    for keep in (True, False):
        flow.manual_seed(3)
        x = flow.ones(8, 4, requires_grad=True)
        y = block(x, 2.0) if keep else checkpoint(block, x, 2.0, use_reentrant=False)
        after = flow.rand(2).tolist()
        layer.zero_grad()
        y.sum().backward()
        made.append((y.tolist(), after, x.grad.tolist(), layer.weight.grad.tolist()))
    assert made[0] == made[1]
    with pytest.raises(RuntimeError, match="no argument requires grad"):
        checkpoint(block, flow.ones(8, 4), 1.0)
    x = flow.ones(2, 4, requires_grad=True)
    parts = [layer, flow.nn.ReLU(), layer]
    want = layer(layer(x).relu())
    assert checkpoint_sequential(parts, 2, x).tolist() == want.tolist()


class Once(Function):
    """Its backward could not be recorded: it computes in NumPy."""

    @staticmethod
    def forward(x, y, count):
        return x * y * count

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(inputs[0])
        ctx.count = inputs[2]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """The gradients."""
        assert not flow.is_grad_enabled()
        x, y = ctx.saved_tensors
        return flow.tensor(grad.detach().numpy() * y.numpy() * ctx.count), None, None


def test_a_function_that_can_be_differentiated_once():
    assert Once.backward.__doc__ == "The gradients." and flow.autograd.function.Function is Function
    x, y = leaf(1.0, 2.0), flow.tensor([3.0, 4.0], dtype=flow.float64)
    given, = flow.autograd.grad(Once.apply(x, y, 2).sum(), x)
    assert given.tolist() == [6.0, 8.0] and not given.requires_grad
    given, = flow.autograd.grad(Once.apply(x, y, 2).sum(), x, create_graph=True)
    assert given.tolist() == [6.0, 8.0] and not given.requires_grad  # of what is constant
    given, = flow.autograd.grad((Once.apply(x, y, 2) ** 2).sum(), x, create_graph=True)
    assert given.tolist() == [72.0, 256.0] and given.requires_grad
    with pytest.raises(RuntimeError, match="trying to differentiate twice .*once_differentiable"):
        given.sum().backward()
    assert flow.autograd.grad(given.sum(), x, allow_unused=True) == (None,)
    assert flow.is_grad_enabled()


def test_functional_derivatives():
    x, y = flow.tensor([1.0, 2.0, 3.0]), flow.tensor([0.5, -1.0, 2.0])

    def f(a, b):
        return a * a * b, (a * b).sum()

    (da, db), (sa, sb) = functional.jacobian(f, (x, y))
    np.testing.assert_allclose(da.numpy(), np.diag([1.0, -4.0, 12.0]))
    np.testing.assert_allclose(db.numpy(), np.diag([1.0, 4.0, 9.0]))
    assert sa.tolist() == y.tolist() and sb.tolist() == x.tolist()
    h = functional.hessian(lambda a: (a ** 3).sum(), x)
    np.testing.assert_allclose(h.numpy(), np.diag([6.0, 12.0, 18.0]))
    v = flow.tensor([1.0, 0.0, 2.0])
    value, product = functional.vjp(lambda a: a * a, x, v)
    assert value.tolist() == [1, 4, 9] and product.tolist() == [2, 0, 12]
    value, product = functional.jvp(lambda a: a * a, x, v)
    assert value.tolist() == [1, 4, 9] and product.tolist() == [2, 0, 12]
    assert not value.requires_grad and not product.requires_grad
    assert functional.hvp(lambda a: a ** 3, flow.tensor([2.0]))[1].tolist() == [12.0]
    _, product = functional.hvp(lambda a: (a ** 3).sum(), x, v)
    assert product.tolist() == [6, 0, 36]
    rows = functional.jacobian(f, (x, y), vectorize=True)
    for row, want in zip(rows, functional.jacobian(f, (x, y)), strict=True):
        for part, of_part in zip(row, want, strict=True):
            np.testing.assert_array_equal(part.numpy(), of_part.numpy())
