"""Results that go into memory that exists: in-place forms and out=."""

import textwrap

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import _C


def shared(array):
    """A tensor of an array's own memory."""
    return _C.from_numpy(array)


def test_in_place_forms_write_into_the_tensors_memory():
    array = np.array([1.0, 4.0, 9.0], np.float32)
    x = shared(array)
    version = x._version
    assert x.sqrt_() is x and x._version > version
    np.testing.assert_array_equal(array, [1, 2, 3])
    x.neg_().abs_()
    np.testing.assert_array_equal(array, [1, 2, 3])
    x.pow_(2)
    np.testing.assert_array_equal(array, [1, 4, 9])


def test_a_strided_target_is_written_through_its_strides():
    array = np.zeros((4, 6), np.float32)
    shared(array[::2, ::3]).add_(1)
    flow.exp(shared(np.zeros((3, 2), np.float32).T), out=shared(array[1::2, 1:4]))
    want = np.zeros((4, 6), np.float32)
    want[::2, ::3] = 1
    want[1::2, 1:4] = 1
    np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize(("dtype", "other"), [("float32", "float64"), ("float64", "float32"),
                                              ("int64", "int32"), ("float32", "int64")])
def test_a_target_keeps_its_dtype(dtype, other):
    x = flow.ones(3, dtype=getattr(flow, dtype))
    y = flow.full((3,), 2, dtype=getattr(flow, other))
    x.add_(y)
    assert x.dtype is getattr(flow, dtype) and x.tolist() == [3, 3, 3]
    out = flow.zeros(3, dtype=getattr(flow, dtype))
    assert flow.mul(y, y, out=out) is out
    assert out.dtype is getattr(flow, dtype) and out.tolist() == [4, 4, 4]


def test_a_lower_category_takes_no_higher_one():
    x = flow.ones(2, dtype=flow.int32)
    with pytest.raises(TypeError, match="can't be cast to the desired output type int32"):
        x.add_(0.5)
    with pytest.raises(TypeError, match="can't be cast"):
        flow.exp(flow.ones(2), out=x)
    assert x.tolist() == [1, 1]


def test_partial_overlap_goes_by_way_of_a_copy():
    array = np.arange(8, dtype=np.float32)
    flow.neg(shared(array[:-1]), out=shared(array[1:]))
    np.testing.assert_array_equal(array, [0, 0, -1, -2, -3, -4, -5, -6])
    array = np.arange(9, dtype=np.float32).reshape(3, 3)
    flow.add(shared(array), shared(array.T), out=shared(array))
    whole = np.arange(9, dtype=np.float32).reshape(3, 3)
    np.testing.assert_array_equal(array, whole + whole.T)


def test_a_target_that_overlaps_itself_is_refused():
    array = np.zeros(3, np.float32)
    twice = np.lib.stride_tricks.as_strided(array, (2, 2), (4, 4))
    with pytest.raises(ValueError, match="several elements of the target lie in one place"):
        shared(twice).add_(1)
    with pytest.raises(ValueError, match="several elements"):
        flow.exp(flow.ones(2, 2), out=shared(twice))
    np.testing.assert_array_equal(array, 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="the same shape"):
        flow.exp(flow.ones(2), out=flow.ones(3))
    with pytest.raises(TypeError, match="'out' must be Tensor, not int"):
        flow.exp(flow.ones(2), out=3)
    with pytest.raises(RuntimeError, match="not recorded"):
        flow.exp(flow.ones(2, requires_grad=True), out=flow.ones(2))
    with pytest.raises(TypeError, match="'out' must be a tuple of 3 Tensors, not Tensor"):
        flow._C.native_layer_norm(flow.ones(2, 2), normalized_shape=(2,), out=flow.ones(2, 2))


def test_the_tape_sees_in_place_forms():
    x = flow.ones(3, requires_grad=True)
    y = x * 2
    y.exp_()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2) * np.ones(3), rtol=1e-6)


def test_a_global_target_keeps_its_layout(tmp_path):
    run_text(tmp_path, 2, textwrap.dedent("""
        import numpy as np
        import oneflow_like as flow

        P = flow.placement.all("cpu")
        S0, B = flow.sbp.split(0), flow.sbp.broadcast
        a = flow.tensor(np.arange(6, dtype=np.float32).reshape(3, 2), placement=P, sbp=S0)
        out = flow.zeros(3, 2, placement=P, sbp=B)
        flow.exp(a, out=out)
        assert out.sbp == (B,)
        np.testing.assert_allclose(out.numpy(), np.exp(a.numpy()), rtol=1e-6)
        b = flow.ones(3, 2, placement=P, sbp=B)
        b.add_(a)
        assert b.sbp == (B,)
        np.testing.assert_array_equal(b.numpy(), 1 + a.numpy())
        try:
            flow.exp(a, out=flow.zeros(3, 2))
        except ValueError as error:
            assert "both local or both global" in str(error)
        else:
            raise AssertionError("a local target of a global result")
    """))
