"""Names of PyTorch's public surface beside operators of their own: copies of views, sizes changed
in place, functions of Python over elements, older ways to make tensors."""

import math
import threading

import numpy as np
import pytest

import oneflow_like as flow


def values(x):
    return x.tolist()


COPIES = [("alias_copy", lambda x: x, ()), ("detach_copy", lambda x: x, ()),
          ("as_strided_copy", lambda x: x.as_strided((2, 2), (1, 3)), ((2, 2), (1, 3))),
          ("diagonal_copy", lambda x: x.diagonal(1), (1,)),
          ("expand_copy", lambda x: x.expand(2, 2, 3), ((2, 2, 3),)),
          ("permute_copy", lambda x: x.permute(1, 0), ((1, 0),)),
          ("select_copy", lambda x: x[1], (0, 1)), ("slice_copy", lambda x: x[:, 1:], (1, 1)),
          ("squeeze_copy", lambda x: x.squeeze(), ()), ("t_copy", lambda x: x.t(), ()),
          ("transpose_copy", lambda x: x.transpose(0, 1), (0, 1)),
          ("unfold_copy", lambda x: x.unfold(1, 2, 1), (1, 2, 1)),
          ("unsqueeze_copy", lambda x: x.unsqueeze(0), (0,)),
          ("view_copy", lambda x: x.view(6), ((6,),)),
          ("view_copy", lambda x: x.view(flow.int32), (flow.int32,)),
          ("split_copy", lambda x: x.split(1), (1,)),
          ("split_with_sizes_copy", lambda x: x.split([2, 1], 1), ([2, 1], 1)),
          ("unbind_copy", lambda x: x.unbind(), ())]


@pytest.mark.parametrize(("name", "view", "arguments"), COPIES)
def test_a_copy_is_its_view_in_memory_of_its_own(name, view, arguments):
    x = flow.arange(6.0).reshape(2, 3)
    many = lambda y: y if isinstance(y, tuple) else (y,)  # noqa: E731
    made, seen = many(getattr(flow, name)(x, *arguments)), many(view(x))
    assert len(made) == len(seen)
    for copy, shown in zip(made, seen, strict=True):
        assert copy.dtype is shown.dtype and values(copy) == values(shown)
        assert copy.is_contiguous() and not copy._is_view
        before = values(copy)
        x.add_(1)
        assert values(copy) == before
        x.sub_(1)


def test_copies_of_views_have_gradients():
    x = flow.arange(4.0, requires_grad=True)
    (flow.view_copy(x, (2, 2)) * flow.tensor([[1.0, 2], [3, 4]])).sum().backward()
    assert values(x.grad) == [1, 2, 3, 4]
    z = flow.tensor([1 + 2j, 3j])
    assert values(flow.view_as_real_copy(z)) == [[1, 2], [0, 3]]
    assert values(flow.view_as_complex_copy(flow.tensor([[1.0, 2]]))) == [1 + 2j]


# --- other dtypes in one memory -------------------------------------------------------------

def test_view_takes_a_dtype():
    x = flow.tensor([1.0, -2.0, 0.0, 1.5])
    bits = x.view(flow.int32)
    assert values(bits) == np.array([1, -2, 0, 1.5], np.float32).view(np.int32).tolist()
    bits[0] = 0
    assert values(x) == [0, -2, 0, 1.5]
    assert x.view(flow.uint8).shape == (16,) and x.view(flow.float64).shape == (2,)
    assert x.view(dtype=flow.float64).data_ptr() == x.data_ptr()
    wide = flow.arange(24.0).reshape(4, 6)
    assert wide[::2].view(flow.float64).stride() == (6, 1)
    assert wide[:, :4].view(flow.int64).stride() == (3, 1)
    assert flow.ones((), dtype=flow.float64).view(flow.int64).shape == ()
    assert not flow.ones(2, requires_grad=True).view(flow.int32).requires_grad


@pytest.mark.parametrize(("make", "text"), [
    (lambda: flow.ones(3).view(flow.float64), "a multiple of 2"),
    (lambda: flow.ones(()).view(flow.uint8), "a dtype of one size"),
    (lambda: flow.ones(4, 6).t().view(flow.float64), "expected 1; use contiguous"),
    (lambda: flow.ones(4, 5)[:, :4].view(flow.float64), "multiples of 2"),
    (lambda: flow.ones(5)[1:].view(flow.float64), "begins at byte 4"),
    (lambda: flow.view_as_complex(flow.ones(5)[1:].reshape(2, 2)), "begins at byte 4"),
    (lambda: flow.ones(2, 3).t().view_as(flow.ones(6)), "use reshape, which copies"),
])
def test_views_that_no_memory_shows_are_refused(make, text):
    with pytest.raises(RuntimeError, match=text):
        make()


def test_real_and_imaginary_parts_are_views():
    z = flow.tensor([1 + 2j, 3 - 1j])
    z.real.zero_()
    flow.imag(z)[0] = 7
    assert values(z) == [7j, -1j]
    z.real = flow.tensor([1.0, 2.0])
    z.imag = 0
    assert values(z) == [1, 2]
    w = flow.tensor([1 + 2j], requires_grad=True)
    (w.imag * 3 + w.real).sum().backward()
    assert values(w.grad) == [1 + 3j]
    with pytest.raises(TypeError, match="have no imaginary parts"):
        flow.imag(flow.ones(2))


# --- changes in place -----------------------------------------------------------------------

def test_resize_keeps_memory_that_is_large_enough():
    x = flow.arange(6)
    other = x[1:]
    assert x.resize_(2, 2) is x and values(x) == [[0, 1], [2, 3]]
    x[0, 1] = 9
    assert values(other) == [9, 2, 3, 4, 5]
    assert values(x.resize_((3,))) == [0, 9, 2]
    assert values(x.resize_(2, 4)) == [[0, 9, 2, 3], [4, 5, 0, 0]]
    x[0, 0] = 1
    assert values(other) == [9, 2, 3, 4, 5]
    assert flow.arange(4)[2:].resize_(1).item() == 2
    assert flow.resize_as_(flow.arange(4), flow.ones(2, 1)).shape == (2, 1)
    with pytest.raises(RuntimeError, match="that require grad"):
        flow.ones(2, requires_grad=True).resize_(1)
    for wrong in ((-1,), ("a",), ()):
        with pytest.raises((RuntimeError, TypeError)):
            x.resize_(*wrong)


def test_functions_of_python_over_elements():
    x = flow.arange(4)
    assert x.apply_(lambda a: a * 1.5) is x and values(x) == [0, 1, 3, 4]
    assert values(x.map_(flow.tensor(2), lambda a, b: a + b)) == [2, 3, 5, 6]
    assert values(x.map2_(x, flow.ones(4, dtype=flow.int64), lambda a, b, c: a - b + c)) == [1] * 4
    assert values(flow.ones(2, 2).t().apply_(lambda a: a + 1)) == [[2, 2], [2, 2]]
    assert flow.ones(2, dtype=flow.bool).apply_(lambda a: not a).any().item() is False
    with pytest.raises(RuntimeError, match="use x.detach"):
        flow.ones(2, requires_grad=True).apply_(abs)
    with pytest.raises(TypeError, match="expected one dtype"):
        x.map_(flow.ones(4), max)
    with pytest.raises(TypeError, match="gave no number: got str"):
        flow.ones(2).apply_(str)
    with pytest.raises(TypeError, match="cannot be called"):
        x.apply_(3)


def test_copy_takes_numbers():
    x = flow.zeros(2)
    assert values(x.copy_(2)) == [2, 2] and values(x.copy_(np.float32(1.5), True)) == [1.5, 1.5]
    assert values(x.copy_(other=flow.ones(2))) == [1, 1]
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        x.copy_([1])


def test_float_power_in_place_stays_in_double():
    x = flow.tensor([2.0, 3.0], dtype=flow.float64)
    assert values(x.float_power_(2)) == [4, 9]
    assert values(x.float_power_(flow.tensor(0.5))) == [2, 3]
    for exponent in (2, flow.tensor(2.0)):
        with pytest.raises(TypeError, match="float_power_"):
            flow.ones(2).float_power_(exponent)


# --- arguments ------------------------------------------------------------------------------

def test_where_of_a_tensor_chooses_it():
    x, mask = flow.tensor([1.0, 2.0]), flow.tensor([True, False])
    assert values(x.where(mask, 0)) == [1, 0] and values(x.where(mask, -x)) == [1, -2]
    truth = flow.tensor([True, True])
    assert values(truth.where(mask, flow.tensor([False, False]))) == [True, False]


def test_what_a_signature_does_not_give_a_default_must_be_given():
    x = flow.ones(2, 3)
    for call in (lambda: flow.softmax(x), lambda: x.log_softmax(), lambda: flow.logsumexp(x),
                 lambda: flow.clamp_min(x), lambda: flow.special.softmax(x),
                 lambda: flow.nn.functional.batch_norm(x)):
        with pytest.raises(TypeError, match="missing argument|no form takes"):
            call()
    assert flow.nn.functional.softmax(x).shape == (2, 3)


def test_a_number_may_come_in_a_tensor_of_no_axes():
    x = flow.tensor([-1.0, 2.0])
    assert values(flow.full((2,), flow.tensor(3))) == [3, 3]
    assert flow.full((1,), flow.tensor(3)).dtype is flow.int64
    assert values(flow.arange(flow.tensor(1), flow.tensor(3))) == [1, 2]
    assert values(flow.add(x, x, alpha=flow.tensor(2))) == [-3, 6]
    assert values(flow.nn.functional.leaky_relu(x, flow.tensor(0.5))) == [-0.5, 2]
    for wrong in (flow.tensor([3.0]), flow.tensor(3.0, requires_grad=True)):
        with pytest.raises(TypeError, match="must be number, not"):
            flow.full((2,), wrong)


def test_parts_and_times_may_come_in_tensors():
    x = flow.arange(12).reshape(3, 4)
    assert [values(p) for p in x.tensor_split(flow.tensor([1, 2]), 1)] == [
        values(p) for p in x.tensor_split([1, 2], 1)]
    assert len(flow.tensor_split(x, flow.tensor(3))) == 3
    for wrong in (flow.tensor([1.0]), flow.tensor([[1]])):
        with pytest.raises(TypeError):
            x.tensor_split(wrong)
    times = flow.tensor([1, 0, 2])
    assert values(x.repeat_interleave(times, 0)) == [values(x[i]) for i in (0, 2, 2)]
    assert values(flow.repeat_interleave(times)) == [0, 2, 2]
    assert values(flow.repeat_interleave(repeats=times.int(), output_size=3)) == [0, 2, 2]
    assert values(flow.tensor([5, 6]).repeat_interleave(flow.tensor(2))) == [5, 5, 6, 6]
    y = flow.ones(3, requires_grad=True)
    y.repeat_interleave(times).sum().backward()
    assert values(y.grad) == [1, 0, 2]
    for wrong in (lambda: x.repeat_interleave(flow.tensor([1, 2]), 0),
                  lambda: x.repeat_interleave(flow.tensor([1, -1, 1]), 0),
                  lambda: flow.repeat_interleave(times, output_size=4),
                  lambda: x.repeat_interleave(flow.tensor([1.0, 1, 1]), 0),
                  lambda: x.repeat_interleave([1, 2, 3], 0), lambda: flow.repeat_interleave(x)):
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            wrong()


def test_squeeze_takes_axes_one_by_one():
    x = flow.ones(1, 2, 1)
    assert x.squeeze(0, 2).shape == x.squeeze((0, -1)).shape == flow.squeeze(x).shape == (2,)
    assert x.squeeze_(0).shape == (2, 1) and x.split(split_size=1)[0].shape == (1, 1)


def test_masks_of_one_value_are_bool():
    x = flow.zeros(2)
    with pytest.raises(IndexError, match="use mask.bool"):
        x[flow.tensor([1, 0], dtype=flow.uint8)] = 1.0
    with pytest.raises(ValueError, match="cannot hold the value"):
        x.masked_fill(flow.tensor([True, False]), 1j)
    with pytest.raises(TypeError, match="bool is not a number"):
        +flow.tensor([True])


def test_an_empty_gather_has_a_history():
    x = flow.ones(3, requires_grad=True)
    assert flow.gather(x, 0, flow.zeros(0, dtype=flow.int64)).requires_grad
    assert values(flow.square(flow.tensor([True, False]))) == [1, 0]


def test_what_numpy_makes_of_a_tensor_is_one():
    x = flow.tensor([0.0, 1.0])
    assert isinstance(np.sqrt(x), flow.Tensor) and values(np.sqrt(x)) == [0, 1]
    assert isinstance(np.add(np.ones(2, np.float32), x), flow.Tensor)
    assert np.isnan(x).dtype is flow.bool and isinstance(np.asarray(x), np.ndarray)
    with pytest.raises(RuntimeError, match="requires grad"):
        np.sqrt(x.requires_grad_())


# --- making tensors -------------------------------------------------------------------------

def test_range_holds_its_end():
    assert values(flow.range(1, 3)) == [1, 2, 3] and flow.range(1, 3).dtype is flow.float32
    assert values(flow.range(0, 1, 0.5)) == [0, 0.5, 1] and values(flow.range(3, 1, -2)) == [3, 1]
    assert flow.range(0, 2.5, dtype=flow.int32).tolist() == [0, 1, 2]
    for wrong in ((5, 1), (0, 1, 0), (0, math.inf)):
        with pytest.raises(RuntimeError):
            flow.range(*wrong)


def test_the_indices_of_what_is_not_zero_in_a_fixed_shape():
    x = flow.tensor([[0, 1], [2, 3]])
    assert values(flow.nonzero_static(x, size=2)) == [[0, 1], [1, 0]]
    assert values(x.nonzero_static(size=4, fill_value=9)) == [[0, 1], [1, 0], [1, 1], [9, 9]]


def test_classes_make_tensors_as_of_old():
    assert flow.Tensor(2, 3).shape == flow.Tensor(flow.Size([2, 3])).shape == (2, 3)
    assert values(flow.Tensor([1, 2])) == [1, 2] and flow.Tensor([1, 2]).dtype is flow.float32
    assert flow.Tensor().shape == (0,) and flow.Tensor(np.arange(2)).dtype is flow.float32
    x = flow.LongTensor([1, 2])
    assert x.dtype is flow.int64 and isinstance(x, flow.LongTensor)
    assert isinstance(x, flow.Tensor) and not isinstance(x, flow.FloatTensor)
    assert flow.BoolTensor(3).shape == (3,) and flow.LongTensor([1.5]).item() == 1
    assert flow.Tensor(x).data_ptr() == x.data_ptr()
    for wrong in (3.5, True, "a", None, {1: 2}):
        with pytest.raises(TypeError, match="data must be a sequence"):
            flow.Tensor(wrong)


def test_constants_and_settings():
    assert flow.inf == math.inf and math.isnan(flow.nan) and flow.pi == math.pi
    assert flow.e == math.e and flow.ones(2)[flow.newaxis].shape == (1, 2)
    flow.set_num_threads(flow.get_num_threads())
    for wrong in (0, flow.get_num_threads() + 1):
        with pytest.raises(RuntimeError, match="set_num_threads"):
            flow.set_num_threads(wrong)


def test_inference_mode_is_a_thread_s_own():
    seen = []
    with flow.inference_mode():
        thread = threading.Thread(target=lambda: seen.append(flow.is_inference_mode_enabled()))
        thread.start()
        thread.join()
        seen.append(flow.is_inference_mode_enabled())
        with flow.inference_mode(False):
            seen.append(flow.is_inference_mode_enabled())
            assert flow.is_grad_enabled()
    assert seen == [False, True, False] and not flow.is_inference_mode_enabled()
    with flow.no_grad():
        assert not flow.is_inference_mode_enabled()


def test_what_a_tensor_is():
    x = flow.ones(2, 3)
    assert x.is_same_size(flow.zeros(2, 3)) and not flow.is_same_size(x, x.t())
    assert x.output_nr == 0 and flow.max(x.requires_grad_(), 1)[0].output_nr == 0
    assert not (flow.detach(x * 1).requires_grad or flow.detach_(x * 1).requires_grad)
    assert not (x.is_xla or x.is_sparse_csr)
