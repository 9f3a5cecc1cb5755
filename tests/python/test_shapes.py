"""Tensors joined, taken apart and made: what the registry's samples do not say."""

import numpy as np
import pytest

import oneflow_like as flow


def same(tensor, values, dtype):
    assert tensor.dtype is dtype
    np.testing.assert_array_equal(tensor.numpy(), np.array(values, tensor.numpy().dtype))


# --- joining ----------------------------------------------------------------------------------

def test_joins_promote_as_torch_s_do():
    small, float_ = flow.ones(2, dtype=flow.int8), flow.ones(2)
    same(flow.cat([small, flow.ones(1, dtype=flow.uint8)]), [1, 1, 1], flow.int16)
    same(flow.stack([small, float_]), [[1, 1], [1, 1]], flow.float32)
    same(flow.hstack([small, flow.tensor([2.5])]), [1, 1, 2.5], flow.float32)
    x = flow.ones(2, requires_grad=True)
    (flow.cat([small, x * 2]) * flow.tensor([5.0, 6, 7, 8])).sum().backward()
    same(x.grad, [14, 16], flow.float32)


def test_empty_vectors_join_anything():
    x, nothing = flow.ones(2, 3, requires_grad=True), flow.ones(0, requires_grad=True)
    joined = flow.cat([nothing, x, x], dim=1)
    assert tuple(joined.shape) == (2, 6)
    joined.sum().backward()
    same(x.grad, np.full((2, 3), 2), flow.float32)
    assert tuple(nothing.grad.shape) == (0,)
    assert tuple(flow.cat([nothing, nothing], dim=1).shape) == (0,)
    with pytest.raises(ValueError, match="every axis but dim"):
        flow.cat([flow.ones(0, 2), x])


def test_an_empty_axis_has_as_many_chunks_as_were_asked_for():
    assert [tuple(t.shape) for t in flow.ones(0, 3).chunk(3)] == [(0, 3)] * 3


# --- in place -----------------------------------------------------------------------------------

def test_triangles_and_diagonals_in_place():
    x = flow.ones(3, 3)
    assert x.tril_() is x
    same(x, np.tril(np.ones((3, 3))), flow.float32)
    assert x.triu_(1) is x
    same(x, np.zeros((3, 3)), flow.float32)
    assert x.fill_diagonal_(2) is x
    same(x, 2 * np.eye(3), flow.float32)
    same(flow.fill_(x, flow.tensor(1.5)), np.full((3, 3), 1.5), flow.float32)
    same(flow.zero_(x), np.zeros((3, 3)), flow.float32)


def test_fills_cut_off_fractions_but_keep_to_the_dtype():
    same(flow.full((2,), 1.7, dtype=flow.int64), [1, 1], flow.int64)
    same(flow.ones(2, dtype=flow.uint8).fill_(-1), [255, 255], flow.uint8)
    same(flow.zeros(2, dtype=flow.bool).fill_(0.5), [True, True], flow.bool)
    for value, dtype in ((300, flow.uint8), (-129, flow.int8), (float("nan"), flow.int32),
                         (1j, flow.float32), (2.0 ** 63, flow.int64)):
        with pytest.raises(ValueError, match="cannot hold the value"):
            flow.full((2,), value, dtype=dtype)
        with pytest.raises(ValueError, match="cannot hold the value"):
            flow.zeros(2, dtype=dtype).fill_(value)


# --- sources ------------------------------------------------------------------------------------

SOURCES = {"zeros": (3,), "ones": (3,), "arange": (3,), "full": ((3,), 2), "linspace": (0, 1, 3)}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_write_into_targets_in_their_dtype(name):
    make, args = getattr(flow, name), SOURCES[name]
    for dtype in (flow.float64, flow.int64):
        target = flow.full((3,), 7, dtype=dtype)
        assert make(*args, out=target) is target
        np.testing.assert_array_equal(target.numpy(), make(*args, dtype=dtype).numpy())
    with pytest.raises(TypeError, match="dtype is not the target's: got float32 and out=... of"):
        make(*args, dtype=flow.float32, out=flow.zeros(3, dtype=flow.int64))


@pytest.mark.parametrize("name", SOURCES)
def test_sources_take_the_device_that_there_is(name):
    make, args = getattr(flow, name), SOURCES[name]
    plain = {"device": "cpu", "layout": None, "pin_memory": False}
    np.testing.assert_array_equal(make(*args, **plain).numpy(), make(*args).numpy())
    with pytest.raises((ValueError, TypeError), match="device 'cuda'; expected 'cpu'; there are"):
        make(*args, device="cuda")
    with pytest.raises(TypeError, match="'pin_memory' must be False"):
        make(*args, pin_memory=True)
    with pytest.raises(TypeError, match="'layout' must be flow.strided or None"):
        make(*args, layout="sparse")


def test_linspace_ends_where_it_is_told_to():
    for dtype in (flow.float32, flow.float64, flow.float16):
        values = flow.linspace(-7.3, 13.9, 37, dtype=dtype)
        ends = flow.tensor([-7.3, 13.9], dtype=dtype)
        same(values[::36], ends.numpy(), dtype)
    # Cut off after one rounding, as torch's.
    assert flow.linspace(-7, 13, 37, dtype=flow.int64)[9].item() == -1


def test_shapes_broadcast_without_tensors():
    assert flow.broadcast_shapes((2, 1), 3, [1]) == (2, 3) and flow.broadcast_shapes() == ()
    assert isinstance(flow.broadcast_shapes((2,)), flow.Size)
    with pytest.raises(ValueError, match="do not broadcast"):
        flow.broadcast_shapes((2,), (0,))
    with pytest.raises(ValueError, match="is negative"):
        flow.broadcast_shapes((-1,))


def test_scalar_tensors_are_of_the_default_dtype():
    same(flow.scalar_tensor(3), 3, flow.float32)
    same(flow.scalar_tensor(3, dtype=flow.int64, device="cpu"), 3, flow.int64)
    with pytest.raises(ValueError, match="float32 cannot hold"):
        flow.scalar_tensor(1j)


# --- views --------------------------------------------------------------------------------------

VIEWS = [lambda x: x.select(1, -1), lambda x: x.narrow(0, 1, 2), lambda x: x.diagonal(1),
         lambda x: x.unbind()[2], lambda x: x.tensor_split(3, 1)[1], lambda x: x.hsplit(2)[1],
         lambda x: x.split([1, 3])[1], lambda x: x.chunk(2, 1)[0], lambda x: x.unfold(0, 2, 2)[1],
         lambda x: x.movedim(0, 1)[3], lambda x: x.swapaxes(0, 1)[1], lambda x: x.mT[2],
         lambda x: x.unflatten(1, (2, 2))[:, 1], lambda x: x.ravel()[5:7], lambda x: x.adjoint()[0],
         lambda x: x.as_strided((2, 2), (5, 1), 1), lambda x: x[1].as_strided((2,), (2,)),
         lambda x: flow.atleast_3d(x)[1], lambda x: flow.broadcast_tensors(x, x)[0][3]]


@pytest.mark.parametrize("take", VIEWS)
def test_a_write_through_a_view_changes_its_base(take):
    numbers = np.arange(16, dtype=np.float32).reshape(4, 4)
    x = flow.from_numpy(numbers.copy())
    part = take(x)
    want = numbers.copy()
    want[np.isin(numbers, part.numpy())] = -1
    part.fill_(-1)
    same(x, want, flow.float32)


def test_windows_that_overlap_are_not_written_to():
    with pytest.raises(ValueError, match="several elements of the target lie in one place"):
        flow.zeros(4).unfold(0, 2, 1).add_(1)


def test_as_strided_of_a_part_counts_from_where_the_memory_begins():
    x = flow.arange(6)
    same(x[2:].as_strided((2,), (2,)), [2, 4], flow.int64)
    same(x[2:].as_strided((2,), (1,), 0), [0, 1], flow.int64)
    same(x.reshape(2, 3).t().as_strided((2,), (1,)), [0, 1], flow.int64)
    with pytest.raises(ValueError, match="reaches element 6 of 6"):
        x[2:].as_strided((2,), (1,), 5)
