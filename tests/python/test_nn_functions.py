"""Creation functions, torch-named functions, and gradient modes."""

import numpy as np
import pytest

import oneflow_like as flow


def test_every_exported_name_exists():
    assert [name for name in flow.__all__ if not hasattr(flow, name)] == []


def test_creation():
    np.testing.assert_array_equal(flow.full((2, 3), 7).numpy(), np.full((2, 3), 7))
    assert flow.full((2,), 7).dtype == flow.int64 and flow.full((2,), 7.0).dtype == flow.float32
    assert flow.zeros(2, 3).numpy().shape == flow.ones((2, 3)).numpy().shape == (2, 3)
    np.testing.assert_array_equal(flow.arange(1, 7, 2).numpy(), [1, 3, 5])
    np.testing.assert_allclose(flow.arange(0, 1, 0.25).numpy(), [0, 0.25, 0.5, 0.75])
    x = flow.tensor([[1, 2], [3, 4]], dtype=flow.float64, requires_grad=True)
    assert x.dtype == flow.float64 and x.requires_grad
    assert flow.tensor([1.5]).dtype == flow.float32 and flow.tensor([True]).dtype == flow.bool
    np.testing.assert_array_equal(flow.zeros_like(x).numpy(), np.zeros((2, 2)))
    values = flow.randint(3, 6, (500,)).numpy()
    assert set(values) == {3, 4, 5}
    uniform = flow.rand(1000).numpy()
    assert 0 <= uniform.min() and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.05


def test_same_seed_same_values_in_any_layout():
    placement = flow.placement("cpu", ranks=[0])
    flow.manual_seed(11)
    local = flow.randn(5, 3).numpy()
    flow.manual_seed(11)
    split = flow.randn(5, 3, placement=placement, sbp=flow.sbp.split(1)).numpy()
    np.testing.assert_array_equal(local, split)
    again = flow.randn(5, 3, placement=placement, sbp=flow.sbp.split(1)).numpy()
    assert not np.array_equal(local, again)


def test_composed_functions():
    x = np.array([[1.0, 5.0], [4.0, 2.0]], np.float32)
    t = flow.tensor(x)
    largest = flow.max(t, 1)
    np.testing.assert_array_equal(largest.values.numpy(), [5, 4])
    np.testing.assert_array_equal(largest.indices.numpy(), [1, 0])
    assert flow.max(t).item() == 5 and flow.min(t).item() == 1
    np.testing.assert_array_equal(flow.min(t, 0, keepdim=True).values.numpy(), [[1, 2]])
    np.testing.assert_array_equal(flow.clamp(t, 2, 4).numpy(), x.clip(2, 4))
    np.testing.assert_array_equal(flow.stack([t, t + 1], 1).numpy(), np.stack([x, x + 1], 1))
    np.testing.assert_array_equal(flow.cat([t, t], dim=1).numpy(), np.concatenate([x, x], 1))
    with pytest.raises(ValueError, match=r"tensors\[1\] has shape \(3,\)"):
        flow.stack([flow.ones(2), flow.ones(3)])


@pytest.mark.parametrize("make, error, text", [
    (lambda: flow.zeros(2, -1), ValueError, "no negative dimension"),
    (lambda: flow.zeros("a"), TypeError, "must be int or tuple of ints, not tuple that holds str"),
    (lambda: flow.zeros(2, sbp=flow.sbp.broadcast), ValueError, "expected both"),
    (lambda: flow.tensor([[1], [1, 2]]), ValueError, "not rectangular"),
    (lambda: flow.tensor(["a"]), TypeError, "NumPy dtype"),
    (lambda: flow.arange(0, 5, 0), ValueError, "step != 0"),
    (lambda: flow.arange(5, 0), ValueError, "towards the end"),
    (lambda: flow.randint(3, 3, (2,)), ValueError, "low < high"),
])
def test_bad_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_gradient_modes():
    x = flow.ones(2, requires_grad=True)
    with flow.no_grad():
        assert not flow.is_grad_enabled() and not (x * 2).requires_grad
        with flow.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @flow.no_grad()
    def called():
        return flow.is_grad_enabled()

    @flow.no_grad
    def bare():
        return flow.is_grad_enabled()

    assert (called(), bare(), flow.is_grad_enabled()) == (False, False, True)
    with flow.set_grad_enabled(False):
        assert not flow.is_grad_enabled()
    assert flow.is_grad_enabled()


def test_gather_and_index_select_take_torch_s_order():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    index = np.array([[0, 2], [1, 0]])
    np.testing.assert_array_equal(flow.gather(flow.tensor(x), 1, flow.tensor(index)).numpy(),
                                  np.take_along_axis(x, index, 1))
    columns = flow.index_select(flow.tensor(x), 1, flow.tensor(np.array([2, 0])))
    np.testing.assert_array_equal(columns.numpy(), x[:, [2, 0]])


@pytest.mark.parametrize("mode, options, expected", [
    ("bilinear", {"align_corners": False}, [[72, 120, 19], [118, 98, 106], [40, 44, 202]]),
    ("bilinear", {"align_corners": True}, [[3, 134, 9], [132, 98, 97], [44, 24, 255]]),
    ("bilinear", {"antialias": True}, [[115, 54], [98, 113], [48, 129]]),
    ("bicubic", {"align_corners": False}, [[71, 137, 14], [131, 98, 105], [38, 25, 209]]),
    ("bicubic", {"align_corners": True}, [[3, 157, 9], [152, 98, 90], [44, 0, 255]]),
    ("bicubic", {"antialias": True}, [[124, 42], [97, 116], [36, 138]])])
def test_bytes_are_rounded_along_each_axis_as_in_torch(mode, options, expected):
    image = flow.tensor([[3, 250, 17, 9], [255, 0, 100, 61], [8, 90, 201, 133], [44, 45, 2, 255]],
                        dtype=flow.uint8)
    size = (3, len(expected[0]))
    got = flow.nn.functional.interpolate(image[None, None], size, mode=mode, **options)
    assert got.dtype is flow.uint8
    assert got[0, 0].tolist() == expected
