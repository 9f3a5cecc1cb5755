"""Losses, normalisations and embeddings: what their oracles do not say."""

import numpy as np
import oneflow_like as flow
import pytest
from oneflow_like.nn import functional as F


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def running(channels):
    return flow.zeros(channels), flow.ones(channels)


def test_batch_norm_moves_its_running_statistics_in_place():
    x, (mean, var) = array(4, 3, 5), running(3)
    F.batch_norm(flow.tensor(x), mean, var, training=True, momentum=0.3)
    np.testing.assert_allclose(mean.numpy(), 0.3 * x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(var.numpy(), 0.7 + 0.3 * x.var((0, 2), ddof=1), rtol=1e-5)
    kept = mean.numpy().copy()
    F.batch_norm(flow.tensor(x), mean, var)
    np.testing.assert_array_equal(mean.numpy(), kept)


def test_running_statistics_follow_inputs_that_need_gradients():
    x, (mean, var) = flow.tensor(array(4, 3), requires_grad=True), running(3)
    F.batch_norm(x, mean, var, training=True).square().sum().backward()
    assert not mean.requires_grad and mean.numpy().any()
    assert np.isfinite(x.grad.numpy()).all()


def test_instance_norm_averages_running_statistics_over_the_batch():
    x, (mean, var) = array(2, 3, 5), running(3)
    F.instance_norm(flow.tensor(x), mean, var)
    np.testing.assert_allclose(mean.numpy(), 0.1 * x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(var.numpy(), 0.9 + 0.1 * x.var(2, ddof=1).mean(0), rtol=1e-5)


def test_statistics_of_one_value_are_refused():
    with pytest.raises(RuntimeError, match="more than 1 value per channel"):
        F.batch_norm(flow.ones(1, 3), None, None, training=True)


def test_a_bias_without_a_weight():
    x, bias = array(2, 3), array(3, seed=1)
    plain = F.layer_norm(flow.tensor(x), (3,)).numpy()
    got = F.layer_norm(flow.tensor(x), (3,), bias=flow.tensor(bias)).numpy()
    np.testing.assert_allclose(got, plain + bias, rtol=1e-6)


def table_and_grad(**options):
    table = flow.tensor(array(4, 2), requires_grad=True)
    F.embedding(flow.tensor([0, 1, 1, 3]), table, **options).sum().backward()
    return table.grad.numpy()


def test_a_padding_row_has_no_gradient():
    np.testing.assert_array_equal(table_and_grad(padding_idx=1)[:, 0], [1, 0, 0, 1])
    np.testing.assert_array_equal(table_and_grad(padding_idx=-1)[:, 0], [1, 2, 0, 0])
    np.testing.assert_array_equal(table_and_grad(scale_grad_by_freq=True)[:, 0], [1, 1, 0, 1])
    with pytest.raises(ValueError, match="padding_idx lies outside"):
        table_and_grad(padding_idx=4)


def test_max_norm_scales_the_rows_that_are_asked_for_in_place():
    table = flow.tensor([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]])
    rows = F.embedding(flow.tensor([0, 2]), table, max_norm=1.0)
    np.testing.assert_allclose(table.numpy(), [[0.6, 0.8], [6, 8], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_array_equal(rows.numpy(), table.numpy()[[0, 2]])


def test_sparse_gradients_are_refused():
    with pytest.raises(NotImplementedError, match="gradients are dense"):
        F.embedding(flow.tensor([0]), flow.ones(3, 2), sparse=True)


def test_bags_that_begin_at_offsets():
    table, index = array(5, 2), [4, 0, 1, 1, 3]
    offsets = flow.tensor([0, 2, 2])
    for mode in ("sum", "mean", "max"):
        got = F.embedding_bag(flow.tensor(index), flow.tensor(table), offsets, mode=mode).numpy()
        for row, bag in zip(got, (index[:2], [], index[2:]), strict=True):
            rows = table[bag] if bag else np.zeros((1, 2))
            np.testing.assert_allclose(row, getattr(np, mode)(rows, axis=0), rtol=1e-6)


def test_one_hot_counts_the_classes():
    assert F.one_hot(flow.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot(flow.tensor([0, 2]), 4).shape == (2, 4)
    with pytest.raises(RuntimeError, match="empty tensor"):
        F.one_hot(flow.zeros(0, dtype=flow.int64))


def test_a_distance_of_the_callers():
    a, p, n = (flow.tensor(array(3, 4, seed=i)) for i in range(3))
    own = F.triplet_margin_with_distance_loss(
        a, p, n, distance_function=lambda x, y: F.pairwise_distance(x, y), swap=True)
    np.testing.assert_allclose(own.item(), F.triplet_margin_loss(a, p, n, swap=True).item(),
                               rtol=1e-6)


def test_probabilities_at_their_ends_have_finite_gradients():
    x = flow.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    F.binary_cross_entropy(x, flow.tensor([0.0, 1.0, 1.0, 0.0]), reduction="sum").backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, -1e12, 1e12])
    with pytest.raises(ValueError, match="no probability"):
        F.binary_cross_entropy(flow.tensor([1.5]), flow.tensor([1.0]))


def test_a_negative_variance_is_refused():
    x = flow.ones(2)
    with pytest.raises(ValueError, match="negative element"):
        F.gaussian_nll_loss(x, x, flow.tensor([1.0, -1.0]))


def test_an_ignored_row_may_hold_infinities():
    x = flow.tensor([[-np.inf, 0.0], [-1.0, -2.0]], requires_grad=True)
    loss = F.nll_loss(x, flow.tensor([-100, 1]))
    loss.backward()
    assert loss.item() == 2
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0, -1]])


def test_losses_of_the_package_itself_reduce_nothing_unless_asked():
    """Unlike those of nn.functional: torch.kl_div and its kin take reduction 0 unless given one."""
    x, y, z = (flow.tensor(np.float32(np.random.RandomState(i).rand(3, 4) + 0.1)) for i in range(3))
    for loss, shape in ((flow.kl_div(x, y), (3, 4)), (flow.hinge_embedding_loss(x, y), (3, 4)),
                        (flow.binary_cross_entropy_with_logits(x, y), (3, 4)),
                        (flow.margin_ranking_loss(x, y, z.sign()), (3, 4)),
                        (flow.cosine_embedding_loss(x, y, flow.ones(3)), (3,)),
                        (flow.triplet_margin_loss(x, y, z), (3,))):
        assert tuple(loss.shape) == shape
    assert tuple(flow.kl_div(x, y, 1).shape) == ()
