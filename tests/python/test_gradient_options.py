"""Options of autograd that change what comes out: hooks under grad(), batches, checkpoints."""

import contextlib

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.autograd import functional, grad
from oneflow_like.utils.checkpoint import checkpoint


def _leaf(*values):
    return flow.tensor(values, dtype=flow.float64, requires_grad=True)


def test_hooks_of_a_leaf_under_grad():
    x, seen = _leaf(1.0, 2.0), []
    x.register_hook(lambda g: g * 3)
    x.register_hook(lambda g: seen.append(g))
    first, second = grad((x * x).sum(), [x, x])
    assert first.tolist() == second.tolist() == [6.0, 12.0] and len(seen) == 1
    assert x.grad is None


def test_hooks_of_a_result_under_grad():
    x = _leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda g: g * 3)
    assert grad((y * y).sum(), y, retain_graph=True)[0].tolist() == [12.0, 24.0]
    # As in torch: of a result through which the walk goes on, without its hooks.
    of_x, of_y = grad((y * y).sum(), [x, y])
    assert of_x.tolist() == [24.0, 48.0] and of_y.tolist() == [4.0, 8.0]


def test_a_retained_gradient_is_what_all_hooks_leave():
    x = _leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 3)
    (y * y).sum().backward()
    assert y.grad.tolist() == [12.0, 24.0] and x.grad.tolist() == [24.0, 48.0]


def test_a_hook_after_accumulation_gives_nothing_back():
    x = _leaf(1.0)
    handle = x.register_post_accumulate_grad_hook(lambda t: 3)
    with pytest.raises(TypeError, match="expected None"):
        (x * x).sum().backward()
    handle.remove()
    (x * x).sum().backward()


def test_batches_of_gradients():
    x = _leaf(1.0, 2.0, 3.0)
    y = x * x
    rows, = grad(y, x, flow.eye(3, dtype=flow.float64), is_grads_batched=True, retain_graph=True)
    np.testing.assert_array_equal(rows.numpy(), np.diag([2.0, 4.0, 6.0]))
    w = _leaf(1.0)
    assert grad(y, [x, w], flow.ones(2, 3, dtype=flow.float64), is_grads_batched=True,
                allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="first axis"):
        grad(x * x, x, flow.ones(3, dtype=flow.float64), is_grads_batched=True)


@pytest.mark.parametrize("options", [{"vectorize": True},
                                     {"vectorize": True, "strategy": "forward-mode"}])
def test_jacobians_do_not_depend_on_how_they_are_found(options):
    x = flow.tensor([1.0, 2.0], dtype=flow.float64)
    want = functional.jacobian(lambda x: x ** 3, x)
    assert functional.jacobian(lambda x: x ** 3, x, **options).tolist() == want.tolist()
    with pytest.raises(RuntimeError, match="not supported together"):
        functional.jacobian(lambda x: x ** 3, x, strict=True, **options)


def test_strategies_are_checked():
    x = flow.tensor([1.0, 2.0], dtype=flow.float64)
    for options, error in (({"strategy": "forward-mode"}, NotImplementedError),
                           ({"strategy": "sideways"}, ValueError),
                           ({"strategy": "forward-mode", "vectorize": True, "create_graph": True},
                            NotImplementedError)):
        with pytest.raises(error):
            functional.jacobian(lambda x: x ** 3, x, **options)


def test_checkpoint_without_an_argument_that_requires_grad():
    layer = nn.Linear(3, 2)
    x = flow.ones(4, 3)
    layer(x).sum().backward()
    want = layer.weight.grad.tolist()
    layer.weight.grad = None
    checkpoint(layer, x, use_reentrant=False).sum().backward()
    assert layer.weight.grad.tolist() == want
    with pytest.raises(RuntimeError, match="use_reentrant=False does without"):
        checkpoint(layer, x, use_reentrant=True)


def test_checkpoint_runs_in_the_contexts_it_is_given():
    seen = []

    @contextlib.contextmanager
    def noting(what):
        seen.append(what)
        yield

    x = _leaf(1.0, 2.0)
    y = checkpoint(lambda x: x * x, x, use_reentrant=False,
                   context_fn=lambda: (noting("forward"), noting("again")))
    assert seen == ["forward"]
    y.sum().backward()
    assert seen == ["forward", "again"] and x.grad.tolist() == [2.0, 4.0]
    with pytest.raises(ValueError, match="context_fn"):
        checkpoint(lambda x: x, x, context_fn=lambda: ())
    with pytest.raises(NotImplementedError, match="debug"):
        checkpoint(lambda x: x, x, debug=True)


def test_checkpoint_compares_its_two_runs():
    lengths = iter([3, 2, 3, 2])
    x = _leaf(1.0, 2.0, 3.0)

    def part(x):
        return x[:next(lengths)] * 2

    y = checkpoint(part, x, use_reentrant=False)
    with pytest.raises(RuntimeError, match="other tensors than the first"):
        y.sum().backward()
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(part, x, determinism_check="strict")


def test_copy_takes_non_blocking():
    x = flow.zeros(2)
    assert x.copy_(flow.ones(2), True) is x and x.tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="non_blocking"):
        x.copy_(flow.ones(2), 1)
