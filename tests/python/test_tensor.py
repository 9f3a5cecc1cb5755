"""Local tensors: construction, indexing, arithmetic, promotion, text, and errors."""

import copy
import gc
import operator
import pickle
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oneflow_like as flow


def array(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "int32", "int64", "bool"])
def test_numpy_round_trip(dtype):
    value = (array(3, 4) * 5).astype(dtype)
    x = flow.from_numpy(value)
    assert x.dtype is getattr(flow, dtype) and tuple(x.shape) == (3, 4)
    np.testing.assert_array_equal(x.numpy(), value)


def test_numpy_shares_memory_and_strides():
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = flow._C.from_numpy(base.T)
    np.testing.assert_array_equal((x + 0).numpy(), base.T)
    base[0, 1] = 50
    assert x[1, 0].item() == 50
    y = flow._C.from_numpy(base[::-1, ::2])
    np.testing.assert_array_equal((y * 1).numpy(), base[::-1, ::2])


def test_shape_is_a_tuple_of_its_own():
    x = flow.zeros(2, 3)
    assert x.shape == (2, 3) and isinstance(x.shape, flow.Size) and x.shape.numel() == 6
    assert repr(x.shape) == "oneflow_like.Size([2, 3])"
    assert x.size(1) == 3 and x.dim() == 2 and len(x) == 2 and x.numel() == 6


INDICES = [0, -1, slice(None), slice(1, None), slice(0, 3, 2), slice(5, 2), None, Ellipsis,
           (0, 1), (slice(1, 3), 0), (None, slice(None), None), (Ellipsis, 1), (1, Ellipsis),
           (slice(None, None, 2), slice(1, 3), slice(None)), (..., None, 0)]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_basic_indexing(index):
    value = array(4, 3, 5)
    np.testing.assert_array_equal(flow.tensor(value)[index].numpy(), value[index])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_slices_as_numpy(data):
    n = data.draw(st.integers(0, 6))
    edge = st.none() | st.integers(-8, 8)
    index = slice(data.draw(edge), data.draw(edge), data.draw(st.none() | st.integers(1, 3)))
    value = np.arange(n * 2, dtype=np.int64).reshape(n, 2)
    np.testing.assert_array_equal(flow.tensor(value)[index].numpy(), value[index])


@pytest.mark.parametrize("index, error, text", [
    (4, IndexError, "index 4 is out of bounds for dimension 0 with size 4"),
    ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
    ((..., ..., 0), IndexError, "past the axes"),
    (slice(None, None, -1), ValueError, "step must be greater than zero"),
    ("a", TypeError, "must be an integer, a slice"),
])
def test_bad_indices(index, error, text):
    with pytest.raises(error, match=text):
        flow.zeros(4, 3, 5)[index]


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv])
@pytest.mark.parametrize("number", [3, 2.5, -1])
def test_numbers_on_either_side(op, number):
    value = array(5) + 4
    x = flow.tensor(value)
    np.testing.assert_allclose(op(x, number).numpy(), op(value, np.float32(number)), rtol=1e-6)
    np.testing.assert_allclose(op(number, x).numpy(), op(np.float32(number), value), rtol=1e-6)
    assert op(x, number).dtype is flow.float32


def test_promotion_as_torch():
    ints, floats, flags = flow.tensor([1, 2]), flow.tensor([0.5, 1.5]), flow.tensor([True, False])
    assert (ints + floats).dtype is flow.float32
    assert (ints + 1).dtype is flow.int64 and (ints + 1.5).dtype is flow.float32
    assert (flags + 1).dtype is flow.int64 and (flags * 2.0).dtype is flow.float32
    assert (ints / ints).dtype is flow.float32 and (ints / 2).tolist() == [0.5, 1.0]
    assert (floats.double() + floats).dtype is flow.float64
    two = flow._C.from_numpy(np.array(2.0))
    assert (floats * two).dtype is flow.float32  # 0-d: same category
    assert (ints > 1).tolist() == [False, True] and (ints == 2).dtype is flow.bool


def test_numpy_scalars_are_weak_too():
    ints, floats = flow.tensor([1, 2]), flow.tensor([0.5, 1.5])
    assert (ints + np.int64(2)).dtype is flow.int64
    assert (floats * np.float64(2)).dtype is flow.float32
    assert (floats * np.float32(2)).tolist() == [1.0, 3.0]


def test_shapes():
    value = array(2, 3, 4)
    x = flow.tensor(value)
    np.testing.assert_array_equal(x.permute(2, 0, 1).numpy(), value.transpose(2, 0, 1))
    np.testing.assert_array_equal(x.reshape(6, -1).numpy(), value.reshape(6, -1))
    np.testing.assert_array_equal(x.view((4, 6)).numpy(), value.reshape(4, 6))
    np.testing.assert_array_equal(x.transpose(0, 2).numpy(), value.swapaxes(0, 2))
    assert x.flatten(1).shape == (2, 12) and x.unsqueeze(-1).shape == (2, 3, 4, 1)
    assert x.unsqueeze(0).squeeze().shape == (2, 3, 4) and x.T.shape == (4, 3, 2)
    assert flow.ones(1, 3).expand(2, -1).shape == (2, 3)
    assert [tuple(p.shape) for p in x.split(2, dim=2)] == [(2, 3, 2), (2, 3, 2)]
    assert [tuple(p.shape) for p in flow.zeros(5).chunk(2)] == [(3,), (2,)]


def test_one_element():
    assert flow.tensor([2.5]).item() == 2.5 and float(flow.tensor(3)) == 3.0
    assert bool(flow.tensor(1)) and not bool(flow.tensor([0.0]))
    assert [1, 2, 3][flow.tensor(1)] == 2
    with pytest.raises(RuntimeError, match="more than one value"):
        bool(flow.zeros(2))
    with pytest.raises(ValueError, match=r"\[item\].*2 elements"):
        flow.zeros(2).item()


def test_text():
    assert repr(flow.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(flow.tensor([1, 2])) == "tensor([1, 2])"
    assert "requires_grad=True" in repr(flow.zeros(2, requires_grad=True))
    assert "dtype=oneflow_like.float64" in repr(flow.zeros(2).double())
    assert "..." in repr(flow.zeros(2000)) and f"{flow.tensor(1.25):.1f}" in ("1.2", "1.3")


def test_in_place():
    x = flow.tensor([1.0, 2.0])
    alias = x.detach()
    version = x._version
    x.add_(1).mul_(2)
    x -= 1
    assert x.tolist() == [3.0, 5.0] and alias.tolist() == [3.0, 5.0] and x._version == version + 3
    x.copy_(flow.tensor([7, 8]))
    assert x.tolist() == [7.0, 8.0] and x.zero_().tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="result does not fit"):
        x.add_(flow.zeros(3, 2))


def test_copies():
    x = flow.tensor([1.0, 2.0], requires_grad=True)
    y = copy.deepcopy(x)
    with flow.no_grad():
        y.zero_()
    assert x.tolist() == [1.0, 2.0] and y.requires_grad and y.is_leaf
    z = pickle.loads(pickle.dumps(x))
    assert z.tolist() == [1.0, 2.0] and z.requires_grad


@pytest.mark.parametrize("call, error, text", [
    (lambda: flow.zeros(2, 3) @ flow.zeros(4, 5), ValueError,
     r"\[matmul\].*float32\[2,3\].*float32\[4,5\]; expected"),
    (lambda: flow.zeros(2, 3) @ flow.zeros(4, 5), RuntimeError, r"\[matmul\]"),
    (lambda: flow.zeros(2, 3) + flow.zeros(4, 5), ValueError, r"\[add\].*float32\[2,3\]"),
    (lambda: flow.zeros(6).reshape(7), ValueError, r"\[reshape\].*float32\[6\]"),
    (lambda: flow.zeros(2, 3).sum(dim=5), IndexError, r"\[sum\]"),
    (lambda: flow._C.matmul(flow.zeros(2, 2), "x"), TypeError,
     r"argument 'other' \(position 2\) must be Tensor, not str"),
    (lambda: flow._C.matmul(flow.zeros(2, 2)), TypeError, r"missing argument 'other'"),
    (lambda: flow._C.softmax(flow.zeros(2), dimension=0), TypeError, r"unexpected keyword"),
    (lambda: flow._C.softmax(flow.zeros(2), dim="x"), TypeError, r"'dim' must be int, not str"),
    (lambda: flow.zeros(2) + "x", TypeError, r"unsupported operand"),
    (lambda: flow.zeros(2).placement, RuntimeError, r"a local tensor has no placement"),
    (lambda: flow.zeros(2).to_local(), ValueError, r"Expected global tensor for to_local"),
    (lambda: flow.zeros(2).to_global(sbp=flow.sbp.broadcast), ValueError, r"needs both"),
])
def test_errors_say_what_and_how(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_errors_name_the_users_line():
    with pytest.raises(ValueError, match=r"at .*test_tensor\.py:\d+"):
        flow.zeros(2, 3) @ flow.zeros(4, 5)


def test_random_streams():
    flow.manual_seed(7)
    a, b = flow.randn(100), flow.randn(100)
    flow.manual_seed(7)
    np.testing.assert_array_equal(flow.randn(100).numpy(), a.numpy())
    assert not np.array_equal(a.numpy(), b.numpy())


def test_hash_is_by_identity():
    x, y = flow.zeros(1), flow.zeros(1)
    assert len({x: 1, y: 2}) == 2 and x in {x: 1}


def test_integers_beyond_the_doubles_stay_exact():
    big = 2**53 + 1
    x = flow.tensor([big, -big], dtype=flow.int64)
    assert (x + big).tolist() == [2 * big, 0]
    assert (big - x).tolist() == [0, 2 * big]
    assert (x * 3).tolist() == [3 * big, -3 * big]
    assert flow.full((2,), big).tolist() == [big, big]
    assert flow.arange(big, big + 2).tolist() == [big, big + 1]
    assert (x == big).tolist() == [True, False]
    assert (x > big - 1).tolist() == [True, False]
    assert x.clamp(max=big - 1).tolist() == [big - 1, -big]


@pytest.mark.parametrize(("dtype", "number", "result"), [
    ("int32", 2.5, "float32"), ("int32", 2, "int32"), ("float32", 2, "float32"),
    ("bool", 2, "int64"), ("int64", True, "int64"),
    ("float64", 2.5, "float64"), ("int32", np.float64(2.5), "float32")])
def test_a_number_beside_a_tensor_is_weak(dtype, number, result):
    x = flow.ones(2, dtype=getattr(flow, dtype))
    assert flow.maximum(x, number).dtype is getattr(flow, result)


def test_true_division_of_whole_numbers_is_the_default_float():
    for dtype in (flow.int64, flow.int32, flow.bool):
        x = flow.ones(3, dtype=dtype)
        assert (x / x).dtype is flow.float32
        assert (x / 2).tolist() == [0.5] * 3


def test_strides_tell_what_is_contiguous():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    dense, turned = flow._C.from_numpy(array), flow._C.from_numpy(array.T)
    assert dense.is_contiguous() and dense.contiguous() is dense
    assert dense.stride() == (4, 1) and dense.stride(0) == dense.stride(-2) == 4
    assert dense.data_ptr() == turned.data_ptr() == array.ctypes.data
    assert dense.storage_offset() == 0
    assert not turned.is_contiguous() and turned.stride() == (1, 4)
    copy = turned.contiguous()
    assert copy.is_contiguous() and copy.stride() == (3, 1) and copy.tolist() == array.T.tolist()
    assert copy.data_ptr() not in (0, turned.data_ptr())
    with pytest.raises(IndexError, match="Dimension out of range"):
        dense.stride(2)
    assert flow.ones(()).stride() == () and flow.zeros(0, 3).data_ptr() == 0
    assert not flow._C.from_numpy(array[:, ::2]).is_contiguous()
    assert flow._C.from_numpy(array[:1].T).stride() == (1, 4)  # an axis of size 1 may have any


def test_a_result_whose_size_depends_on_values():
    x = flow.tensor([[0.0, 1.0], [2.0, 0.0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]]
    assert flow._C.nonzero(flow.zeros(3)).shape == (0, 1)
    assert tuple(flow._C.nonzero(flow.tensor(3.0)).shape) == (1, 0)
    index = x.nonzero()
    assert (index + 1).tolist() == [[1, 2], [2, 1]]  # what follows sees the size it has

    class Search(flow.nn.Graph):
        def build(self, x):
            return x.nonzero()

    with pytest.raises(NotImplementedError, match="depends on values"):
        Search()(x)


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv,
                                operator.pow, operator.lt, operator.ge, operator.eq, operator.ne])
@pytest.mark.parametrize("number", [np.float64(2), np.float32(3), np.int64(2), np.array(2.0)],
                         ids=["float64", "float32", "int64", "array"])
def test_numpy_scalars_on_the_left_are_numbers(op, number):
    values = np.float32([1, 2, 4])
    x = flow.tensor(values, requires_grad=True)
    got, want = op(number, x), op(number.item(), x)
    assert isinstance(got, flow.Tensor) and got.dtype is want.dtype
    assert got.requires_grad == want.requires_grad
    np.testing.assert_array_equal(got.detach().numpy(), want.detach().numpy())


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.pow, operator.matmul,
                                operator.lt, operator.eq, operator.and_, operator.floordiv,
                                operator.mod, operator.xor, operator.lshift])
def test_numpy_arrays_on_either_side_are_tensors(op):
    values = np.int32([1, 5, 2])
    dtype = flow.int64 if op is operator.matmul else flow.int32  # which promotes nothing
    values = values.astype(dtype.name)
    x = flow.tensor([3, 1, 2], dtype=flow.int64)
    for a, b in ((x, values), (values, x)):
        got = op(a, b)
        want = op(*(flow.tensor(y).to(dtype) if y is values else y for y in (a, b)))
        assert isinstance(got, flow.Tensor) and got.dtype is want.dtype
        assert got.tolist() == want.tolist()
    y = flow.ones(3, requires_grad=True)
    assert (np.ones(3, np.float32) * y).requires_grad and (y * np.ones(3)).dtype is flow.float64
    with pytest.raises(TypeError, match="ndarray"):
        divmod(x, values)
    with pytest.raises(TypeError, match="no dtype"):
        op(x, np.array(["a", "b", "c"]))


def test_what_is_no_operand_is_asked_itself():
    """As Python's own classes do it: == is False, < an error."""
    class Beside:
        def __radd__(self, other):
            return "added"

        def __eq__(self, other):
            return "equal"
        __hash__ = None

    x = flow.ones(3)
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert (x == "a") is False and (x == [1]) is False and (None != x) is True  # noqa: E711
    assert x + Beside() == "added" and (x == Beside()) == "equal"
    for op in (operator.lt, operator.ge, operator.add, operator.pow, operator.and_):
        with pytest.raises(TypeError):
            op(x, "a")
    assert x in [None, "a", x]


def test_a_bool_as_index_makes_an_axis():
    value = array(4, 3)
    x = flow.tensor(value)
    for index in (True, False, np.True_, np.False_):
        for key in (index, flow.tensor(bool(index)), (index,)):
            got = x[key]
            want = value[key.numpy() if isinstance(key, flow.Tensor) else key]
            assert got.shape == want.shape
            np.testing.assert_array_equal(got.numpy(), want)
    y = flow.zeros(3)
    y[flow.tensor(False)] = 9
    y[False] = flow.ones(3)
    assert y.tolist() == [0.0, 0.0, 0.0]
    y[True] = flow.tensor([[1.0, 2.0, 3.0]])
    assert y.tolist() == [1.0, 2.0, 3.0]
    y[flow.tensor(True)] = 5
    assert y.tolist() == [5.0, 5.0, 5.0]


@pytest.mark.parametrize("index", [flow.tensor(1.0), 1.0, [flow.tensor([1.0])]])
def test_indices_that_are_no_integers_are_refused(index):
    x = flow.zeros(1, 3)
    with pytest.raises(IndexError, match="integer"):
        x[index]
    with pytest.raises(IndexError, match="integer"):
        x[index] = 1.0
    assert x.sum().item() == 0.0


def test_every_in_place_operator_changes_its_tensor():
    x = flow.tensor([2.0, 3.0])
    same = x
    x **= 2
    assert same is x and same.tolist() == [4.0, 9.0]
    flags = flow.tensor([True, False])
    same = flags
    flags &= flow.tensor([True, True])
    assert same.tolist() == [True, False]
    flags |= flow.tensor([False, True])
    assert same is flags and same.tolist() == [True, True]


def test_types_of_python_as_dtypes():
    made = {float: flow.float64, int: flow.int64, bool: flow.bool, complex: flow.complex128}
    for kind, dtype in made.items():
        assert flow.zeros(2, dtype=kind).dtype is dtype
        assert flow.ones(2).to(kind).dtype is dtype
        assert flow.tensor([1], dtype=kind).dtype is dtype
        assert flow.ones(2).new_zeros(2, dtype=kind).dtype is dtype
    assert flow.nn.Linear(2, 2).to(float).weight.dtype is flow.float64
    for wrong in (str, "float32", np.float32):
        with pytest.raises(TypeError, match="'dtype' must be oneflow_like.dtype"):
            flow.tensor([1], dtype=wrong)


@pytest.mark.parametrize("data, dtype, error, text", [
    (2 ** 40, "int32", ValueError, "does not fit into dtype int32: got 1099511627776"),
    ([1, 300], "uint8", ValueError, "expected 0 to 255"),
    (-256, "uint8", ValueError, "does not fit"),
    (2 ** 70, "int64", ValueError, "does not fit"),
    (float("nan"), "int32", ValueError, "got nan"),
    ([1.0, float("-inf")], "int64", ValueError, "got -inf"),
    (2.0 ** 63, "int64", ValueError, "does not fit"),
    (1 + 2j, "float32", TypeError, "complex numbers do not fit"),
    (np.array([1j]), "int64", TypeError, "complex numbers do not fit"),
])
def test_data_that_the_dtype_cannot_hold_is_refused(data, dtype, error, text):
    with pytest.raises(error, match=rf"\[tensor\].*{text}"):
        flow.tensor(data, dtype=getattr(flow, dtype))


def test_data_that_fits_is_converted():
    assert flow.tensor([1.5, -2.5], dtype=flow.int32).tolist() == [1, -2]
    assert flow.tensor([255.9, -0.5], dtype=flow.uint8).tolist() == [255, 0]
    assert flow.tensor([-1, -255], dtype=flow.uint8).tolist() == [255, 1]
    assert flow.tensor(np.array([300]), dtype=flow.uint8).tolist() == [44]  # as array.astype
    assert flow.tensor([2, 0], dtype=flow.bool).tolist() == [True, False]
    assert flow.tensor([], dtype=flow.int8).shape == (0,)
    assert flow.tensor(np.uint64(2 ** 63 - 1), dtype=flow.int64).item() == 2 ** 63 - 1


def test_data_may_be_of_another_dtype_and_shape():
    x = flow.ones(2, requires_grad=True)
    x.data = flow.tensor([3.0, 4.0])
    assert x.tolist() == [3.0, 4.0] and x.requires_grad and x.is_leaf
    part = x.detach()[:1]
    for other in (flow.ones(2).half(), flow.zeros(3, 2), flow.ones(()).double(),
                  flow.zeros(2, dtype=flow.complex64)):
        x.data = other
        assert x.dtype is other.dtype and x.tolist() == other.tolist()
        assert x.requires_grad and x.is_leaf and x.grad is None
        x.abs().sum().backward()
        assert x.grad.shape == other.shape and x.grad.dtype is other.dtype
    assert part.tolist() == [3.0]  # of the memory that x had
    for wrong in (flow.ones(2).long(), 2.0):
        with pytest.raises(TypeError, match=r"\[data\]"):
            x.data = wrong
    with pytest.raises(RuntimeError, match="expected a leaf"):
        (x * 2).data = flow.zeros(3)
    y = flow.ones(2)
    y.data = flow.tensor([1, 2, 3])
    assert y.tolist() == [1, 2, 3] and y.dtype is flow.int64


@pytest.mark.parametrize("other", [flow.ones(3), flow.ones(2).double()], ids=["shape", "dtype"])
def test_a_gradient_for_data_that_is_gone_is_an_error_and_hooks_stay(other):
    x = flow.ones(2, requires_grad=True)
    seen = []
    x.register_hook(lambda grad: seen.append(grad.shape))
    x.register_post_accumulate_grad_hook(lambda x: seen.append("post"))
    before = (x * 2).sum()
    x.data = other
    with pytest.raises(RuntimeError, match="has become another one since"):
        before.backward()
    assert x.grad is None and not seen
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0] * len(other) and x.grad.dtype is other.dtype
    assert seen == [other.shape, "post"]


def test_a_parameter_of_a_graph_may_get_data_of_another_shape():
    layer = flow.nn.Linear(2, 1, bias=False)

    class Graph(flow.nn.Graph):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def build(self, x):
            return self.layer(x)

    graph = Graph()
    layer.weight.data = flow.ones(1, 2)
    assert graph(flow.ones(3, 2)).tolist() == [[2]] * 3
    layer.weight.data = flow.ones(2, 2)
    assert graph(flow.ones(3, 2)).tolist() == [[2, 2]] * 3


@pytest.mark.parametrize("name, value", [("int16", -3), ("complex64", 1 + 2j), ("uint8", 200),
                                         ("complex128", 0.1 + 2j), ("float8_e5m2", 1.5),
                                         ("float8_e4m3fn", -1.5), ("bfloat16", 2.5)])
def test_one_element_of_every_dtype(name, value):
    assert flow.tensor([value], dtype=getattr(flow, name)).item() == value


NARROW = [flow.bfloat16, flow.float8_e4m3fn, flow.float8_e5m2]


@pytest.mark.parametrize("dtype", NARROW, ids=[d.name for d in NARROW])
def test_dtypes_that_numpy_lacks_are_shown_listed_and_pickled(dtype):
    size = 2 ** (8 * dtype.itemsize)
    patterns = np.arange(size, dtype=f"<u{dtype.itemsize}")
    x = flow._C.from_raw_bytes(patterns.tobytes(), dtype, [2, size // 2])
    np.testing.assert_array_equal(np.array(x.tolist()), x.to(flow.float32).numpy())
    again = pickle.loads(pickle.dumps(x))
    assert again.dtype is dtype and again.shape == x.shape
    np.testing.assert_array_equal(flow._C.raw_bytes(again), flow._C.raw_bytes(x))
    y = flow.tensor([[1.5, -2.0], [0.0, 3.0]], dtype=dtype)
    assert "1.5000, -2.0000" in repr(y) and f"dtype=oneflow_like.{dtype.name}" in repr(y)
    assert y.T.tolist() == [[1.5, 0.0], [-2.0, 3.0]] and y[0, 0].tolist() == 1.5
    whole = flow.tensor([1.5, 2.0], dtype=dtype, placement=flow.placement.all("cpu"),
                        sbp=flow.sbp.broadcast)
    assert "1.5000, 2.0000" in repr(whole) and whole.tolist() == [1.5, 2.0]
    assert flow.zeros(0, dtype=dtype).tolist() == []


def test_narrow_parameters_are_pickled_as_leaves():
    x = flow.ones(2, dtype=flow.bfloat16, requires_grad=True)
    again = pickle.loads(pickle.dumps(x))
    assert again.requires_grad and again.tolist() == [1.0, 1.0]


def test_a_tensor_without_axes_is_a_number_where_one_is_asked_for():
    three, half = flow.tensor(3), flow.tensor(0.5)
    assert flow.arange(three).tolist() == [0, 1, 2]
    assert flow.full((2,), three).tolist() == [3, 3]
    assert flow.full((2,), three).dtype is flow.int64
    assert flow.linspace(half, 1, 3).tolist() == [0.5, 0.75, 1.0]
    assert flow.logspace(flow.tensor(0), flow.tensor(2), three).tolist() == [1, 10, 100]
    assert flow.nn.functional.leaky_relu(flow.tensor([-2.0]), half).tolist() == [-1.0]
    with pytest.raises(TypeError, match="'fill_value' must be number, not Tensor"):
        flow.full((2,), flow.tensor([3]))
    with pytest.raises(TypeError, match="must be number, not Tensor"):
        flow.full((2,), flow.tensor(3.0, requires_grad=True))


def test_a_tensor_without_axes_beside_a_tensor_stays_an_operand():
    factor = flow.tensor(2.0, requires_grad=True)
    (flow.ones(3) * factor.exp()).sum().backward()
    assert factor.grad is not None
    power = flow.tensor(2.0, requires_grad=True)
    flow.pow(flow.tensor([3.0]), power).sum().backward()
    assert power.grad is not None


def test_attributes_of_ones_own():
    x = flow.ones(2)
    x.tag, x.parts = "first", [x]
    assert vars(x) == {"tag": "first", "parts": [x]} and not vars(x * 2) and not vars(x.detach())
    del x.parts
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.tag == "first" and other is not x
    layer = flow.nn.Linear(2, 2)
    layer.weight.is_split = True
    assert copy.deepcopy(layer).weight.is_split and layer.to(flow.float64).weight.is_split
    with pytest.raises(AttributeError):
        _ = x.parts
    with pytest.raises(AttributeError):
        x.shape = (3,)
    x.itself = x
    gone = weakref.ref(x)
    del x, other
    gc.collect()
    assert gone() is None


def test_a_second_ellipsis_stands_for_nothing_that_is_left():
    x = flow.arange(24).reshape(2, 3, 4)
    for index, shape in (((..., ...), (2, 3, 4)), ((..., 0, ...), (2, 3)), ((0, ..., ...), (3, 4)),
                         ((0, 0, ..., ..., 1), ()), (([0, 1], ..., ...), (2, 3, 4)),
                         ((..., [0, 1], ...), (2, 3, 2)), ((..., None, ...), (2, 3, 4, 1))):
        assert tuple(x[index].shape) == shape, index
