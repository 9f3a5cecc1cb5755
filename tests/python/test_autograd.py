"""The tape, against derivatives that are known."""

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


def test_filling_a_result_drops_its_history():
    x = leaf(1.0, 2.0)
    for fill in (lambda y: y.zero_(), lambda y: y.fill_(3), lambda y: y.copy_(flow.ones(2)),
                 lambda y: y.normal_(), lambda y: y.uniform_()):
        y = x * 2
        alias = y.detach()
        fill(y)
        assert not y.requires_grad and y.tolist() == alias.tolist()
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
