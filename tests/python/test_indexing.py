"""x[index] read and written with tensors, lists, arrays and masks, against NumPy and torch."""

import numpy as np
import pytest

import oneflow_like as flow

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
MASK = X % 3 == 1

# Each as NumPy reads it, where it says the same as torch: no integer stands beside an array.
SAME = {
    "list": np.s_[[1, 0, 1]], "negative": np.s_[[-1]], "two": np.s_[[1, -1], [0, 2]],
    "last": np.s_[..., [0, 3]], "middle": np.s_[:, [0, 2], 1:3], "apart": np.s_[[0, 1], :, [2, 3]],
    "inner": np.s_[:, [0, 2], [1, 3]], "new axis": np.s_[[0, 1], None, [0, 1]],
    "broadcast": np.s_[np.array([[0], [1]]), np.array([0, 2])], "mask": MASK,
    "mask of rows": np.array([True, False]), "mask of columns": np.s_[:, [True, False, True]],
    "mask and list": np.s_[:, [True, False, True], [1, 2]], "array": np.array([[1, 0], [0, 1]]),
    "stepped": np.s_[[0, 1], ::2], "none": np.zeros(0, np.int64), "bool first": np.s_[True, [0, 1]],
    "bool between": np.s_[:, True], "narrow": np.array([1, 0], np.int16), "range": range(2),
}
# What torch gives and NumPy does not: an integer takes its axis away before.
OTHER = {
    "0, :, [1, 3]": (np.s_[0, :, [1, 3]], X[0][:, [1, 3]]),
    "tensor(0), :, [1, 3]": ((flow.tensor(0), slice(None), [1, 3]), X[0][:, [1, 3]]),
    "a list of lists": ([[0, 1], [1, 0]], X[[0, 1], [1, 0]]),
    "a list with a slice": ([slice(0, 1), 1], X[0:1, 1]),
    "an empty list": ([], X[:0]),
    "bytes": (flow.tensor([0, 1], dtype=flow.uint8), X[1:]),
    "int32": (flow.tensor([1, 0], dtype=flow.int32), X[[1, 0]]),
    "0-d mask": (flow.tensor(True), X[None]),
    "True, True": ((True, True), X[None]),
}


def _tensors(index):
    """Its arrays as tensors."""
    if isinstance(index, tuple):
        return tuple(map(_tensors, index))
    known = isinstance(index, np.ndarray) and index.dtype != np.int16
    return flow.tensor(index) if known else index


@pytest.mark.parametrize("name", SAME)
def test_an_index_picks_what_numpy_picks(name):
    index = SAME[name]
    expected = X[list(index)] if isinstance(index, range) else X[index]
    for given in (index, _tensors(index)):
        got = flow.tensor(X)[given]
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("name", OTHER)
def test_an_index_picks_what_torch_picks(name):
    index, expected = OTHER[name]
    got = flow.tensor(X)[index]
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("name", SAME)
def test_assignment_writes_what_numpy_writes(name):
    index = SAME[name]
    place = list(index) if isinstance(index, range) else index
    shape = X[place].shape
    for value in (np.float32(7), np.arange(np.prod(shape), dtype=np.float32).reshape(shape)):
        expected, got = X.copy(), flow.tensor(X)
        expected[place] = value
        got[_tensors(index)] = float(value) if value.ndim == 0 else flow.tensor(value)
        np.testing.assert_array_equal(got.numpy(), expected)


def test_assignment_through_views_and_with_equal_indices():
    x = flow.zeros(3, 2)
    x.T[[0, 1], [2, 0]] = flow.tensor([5.0, 6.0])
    assert x.tolist() == [[0, 6], [0, 0], [5, 0]]
    y = flow.zeros(3)
    y[[0, 0]] += 1
    y[[2, 2]] = flow.tensor([1.0, 2.0])
    assert y.tolist() == [1, 0, 2]
    z = flow.tensor([1.0, -2.0, 3.0])
    z[z > 0] = z[z > 0] * 2
    z[z < 0] = 0.5
    assert z.tolist() == [2, 0.5, 6]


def test_gradients_flow_through_reading_and_writing():
    x = flow.tensor(X, requires_grad=True)
    x[[1, 1, 0], :, [2, 2, 3]].sum().backward()
    expected = np.zeros_like(X)
    np.add.at(expected, np.s_[[1, 1, 0], :, [2, 2, 3]], 1)
    np.testing.assert_array_equal(x.grad.numpy(), expected)

    x, v = flow.tensor(X, requires_grad=True), flow.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y[[0, 1], [1, 2], [3, 0]] = v
    (y * flow.tensor(X)).sum().backward()
    expected = 2 * X
    expected[[0, 1], [1, 2], [3, 0]] = 0
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    np.testing.assert_array_equal(v.grad.numpy(), X[[0, 1], [1, 2], [3, 0]])

    x = flow.tensor(X, requires_grad=True)
    x[flow.tensor(MASK)].square().sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.where(MASK, 2 * X, 0))


@pytest.mark.parametrize("index, error, text", [
    ([5], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
    (np.s_[:, [-4]], IndexError, "index -4 is out of bounds for dimension 1"),
    (([0, 1], [0, 1, 2]), IndexError, r"shapes \(2,\), \(3,\)"),
    (flow.tensor([1.0]), IndexError, "integers or bool"),
    (flow.tensor(np.ones((3, 3), bool)), IndexError, "shape of the mask"),
    (np.s_[0, 0, 0, [0]], IndexError, "too many indices"), (1.5, IndexError, "float"),
    ({}, TypeError, "dict"),
], ids=repr)
def test_what_picks_nothing_is_refused(index, error, text):
    with pytest.raises(error, match=text):
        flow.tensor(X)[index]
    with pytest.raises(error, match=text):
        flow.tensor(X)[index] = 1.0


def test_values_that_do_not_fit_are_refused():
    x = flow.zeros(2, 3)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        x[[0, 1]] = flow.ones(2)
    with pytest.raises(RuntimeError, match="one dtype"):
        x[[0]] = flow.tensor([1, 2, 3])
    with pytest.raises(RuntimeError, match="out of bounds"):
        x.masked_scatter_(flow.tensor([True, True, False]), flow.ones(2))


class Reads(flow.nn.Graph):
    def build(self, x, i):
        y = x * 1
        y[i] = 0.0
        y[y > 20] = -1.0
        return x[[1, 0]], x[:, i, i], x[i], y


def test_a_graph_reads_and_writes_by_an_index():
    x, i = flow.tensor(X), flow.tensor([1, 0])
    rows, pairs, picked, written = Reads()(x, i)
    np.testing.assert_array_equal(rows.numpy(), X[[1, 0]])
    np.testing.assert_array_equal(pairs.numpy(), X[:, [1, 0], [1, 0]])
    np.testing.assert_array_equal(picked.numpy(), X[[1, 0]])
    assert (written.numpy() == 0).all()


class Masks(flow.nn.Graph):
    def build(self, x):
        return x[x > 0]


def test_a_graph_refuses_a_mask_and_names_where():
    with pytest.raises(RuntimeError, match=r"flow.where\(mask, x, 0\)"):
        Masks()(flow.tensor(X))


def test_the_places_of_what_is_not_zero():
    x = flow.tensor(X)
    axes = flow.nonzero(x > 20, as_tuple=True)
    assert [t.tolist() for t in axes] == [[1] * 3, [2] * 3, [1, 2, 3]]
    assert flow.argwhere(x > 21).tolist() == flow.nonzero(x > 21).tolist() == [[1, 2, 2], [1, 2, 3]]
    assert [t.tolist() for t in flow.where(flow.tensor(3.0))] == [[0]]
    assert flow.where(x > 100, 1, 2.5).dtype == flow.float32


def test_of_values_for_one_place_the_last_stays_and_sums_keep_their_order():
    i = flow.tensor([1, 1, 1])
    assert flow.zeros(2).scatter(0, i, flow.tensor([1.0, 2.0, 3.0])).tolist() == [0, 3]
    assert flow.zeros(2).index_copy(0, i, flow.tensor([1.0, 2.0, 3.0])).tolist() == [0, 3]
    big = flow.tensor([1e8, 1.0, -1e8])
    assert flow.zeros(2).scatter_add(0, i, big).tolist() == [0, 0]
    assert flow.zeros(2).index_add(0, i, big).tolist() == [0, 0]


def test_masked_select_picks_what_the_mask_says():
    x, mask = flow.tensor(X, requires_grad=True), MASK[1]
    got = x.masked_select(flow.tensor(mask))
    np.testing.assert_array_equal(got.detach().numpy(), X[:, mask].reshape(-1))
    got.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(mask, X.shape))
    assert flow.tensor(2.0).masked_select(flow.tensor(True)).tolist() == [2.0]
