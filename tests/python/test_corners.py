"""Corners where a value, a gradient or a refusal follows from PyTorch's convention alone."""

import numpy as np
import pytest

import oneflow_like as flow
import oneflow_like.nn.functional as F
from oneflow_like import nn

INF, NAN = float("inf"), float("nan")


def _slopes(f, *operands, allow_unused=False):
    leaves = [flow.tensor(x, dtype=flow.float64, requires_grad=True) for x in operands]
    grads = flow.autograd.grad(f(*leaves).sum(), leaves, allow_unused=allow_unused)
    return [None if g is None else g.tolist() for g in grads]


@pytest.mark.parametrize("dim", [-1, 0])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_of_a_tensor_without_axes_writes_its_one_result(dim, largest):
    for _ in range(20):
        junk = flow.full((1,), NAN)
        del junk
        values, indices = flow.tensor(1.5).topk(0, dim, largest)
        assert values.item() == 1.5 and indices.item() == 0


def test_each_extreme_of_a_distance_has_the_whole_gradient():
    def far(x, y):
        return flow.cdist(x, y, p=INF)

    assert _slopes(far, [[0, 0, 0]], [[1, -1, 1]]) == [[[-1, 1, -1]], [[1, -1, 1]]]
    assert _slopes(far, [[1, 1]], [[1, 1]]) == [[[0, 0]], [[0, 0]]]
    rows = [[0, 0, 0], [1, 1, 1], [1, 2, 1]]
    assert _slopes(lambda x: F.pdist(x, p=INF), rows) == [[[-1, -2, -1], [1, 0, 1], [0, 2, 0]]]
    assert _slopes(lambda x: F.pdist(x, p=0), rows) == [np.zeros((3, 3)).tolist()]
    assert _slopes(lambda x, y: flow.cdist(x, y, p=0), [[0, 0]], [[1, 1]]) == [[[0, 0]]] * 2


def test_a_mean_of_nothing_has_no_number_as_gradient():
    np.testing.assert_array_equal(
        _slopes(lambda x: flow.nanmean(x, 1), [[NAN, NAN], [1, NAN]])[0], [[NAN, NAN], [1, 0]])
    assert _slopes(flow.nansum, [NAN, 1]) == [[0, 1]]


@pytest.mark.parametrize("norm", [
    lambda x: flow.linalg.vector_norm(x, 0), lambda x: flow.norm(x, 0),
    lambda x: flow.norm(x, 0, dim=0), lambda x: flow.dist(x, flow.zeros(2).double(), 0)])
def test_a_count_has_no_gradient(norm):
    assert _slopes(norm, [1, 2], allow_unused=True) == [None]


def test_slopes_take_the_dtype_of_coordinates():
    x = flow.arange(6).float()
    at = flow.tensor([0, 1, 3, 4, 6, 7])
    for dtype, places, expected in [
            (flow.float32, flow.float64, flow.float64), (flow.float16, flow.float32, flow.float32),
            (flow.float64, flow.float32, flow.float64), (flow.float32, flow.int64, flow.float32),
            (flow.int64, flow.int64, flow.float32), (flow.int64, flow.float64, flow.float64)]:
        for order in (1, 2):
            slope, = flow.gradient(x.to(dtype), spacing=(at.to(places),), edge_order=order)
            assert slope.dtype is expected


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "bool"])
def test_einsum_widens_what_it_sums_before_a_product(dtype):
    own = getattr(flow, dtype)
    a = flow.full((3, 3), 100).to(own)
    v, one = a[0], a[0, :1]
    for text, operands in [("ii,ij->i", (a, a)), ("i,j->i", (v, v)), ("i,j->", (v, v)),
                           ("ij,k->ik", (a, v)), ("ij,kl->ik", (a, a)), ("ij,i->i", (a, v)),
                           ("ij,ik->i", (a, a)), ("i,i->", (one, v)), ("ij,jk->i", (a, a))]:
        got = flow.einsum(text, *operands)
        assert got.dtype is flow.int64
        arrays = [x.numpy().astype(np.int64) for x in operands]
        if operands[0] is one:
            arrays[0] = np.repeat(arrays[0], 3)
        np.testing.assert_array_equal(got.numpy(), np.einsum(text, *arrays))
    for text, operands in [("i,j->ij", (v, v)), ("ij,ij->ij", (a, a)), ("i,k->k", (one, v))]:
        assert flow.einsum(text, *operands).dtype is own
    if dtype != "bool":
        assert flow.einsum("ij,jk->ik", a, a).dtype is own
        assert flow.tensordot(a[:1], a, ([0], [0])).dtype is own


def _table():
    return flow.arange(12).float().reshape(4, 3).detach().requires_grad_()


@pytest.mark.parametrize("bags", [False, True])
def test_max_norm_shortens_a_weight_that_requires_grad(bags):
    weight = _table()
    places = flow.tensor([[0, 2, 2]])
    rows = (F.embedding_bag if bags else F.embedding)(places, weight, max_norm=1.)
    expected = np.arange(12, dtype=np.float32).reshape(4, 3)
    for row in (0, 2):
        expected[row] /= np.linalg.norm(expected[row])
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-5)
    (rows * rows).sum().backward()
    grad = np.zeros((4, 3), np.float32)
    if bags:
        mean = (expected[0] + 2 * expected[2]) / 3
        np.testing.assert_allclose(rows.detach().numpy(), mean[None], rtol=1e-5)
        grad[0], grad[2] = 2 * mean / 3, 4 * mean / 3
    else:
        grad[0], grad[2] = 2 * expected[0], 4 * expected[2]
    np.testing.assert_allclose(weight.grad.numpy(), grad, rtol=1e-5)
    assert weight.requires_grad and weight.is_leaf


def test_max_norm_counts_as_a_change():
    weight = _table()
    square = weight * weight
    F.embedding(flow.tensor([2]), weight, max_norm=1.)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


def test_a_gradient_of_what_was_repeated_is_summed():
    class Given(flow.autograd.Function):
        @staticmethod
        def forward(ctx, x, shape):
            ctx.shape = shape
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return flow.ones(ctx.shape), None

    for size, shape, expected in [((3,), (2, 3), 2), ((1, 3), (2, 3), 2), ((), (2, 3), 6),
                                  ((1,), (3,), 3), ((2, 1), (2, 3), 3), ((2, 3), (2, 3), 1)]:
        x = flow.zeros(size, requires_grad=True)
        Given.apply(x, shape).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full(size, expected))
    for size, shape in [((2, 3), (3,)), ((3,), (4,)), ((3,), (1,)), ((3,), ())]:
        x = flow.zeros(size, requires_grad=True)
        with pytest.raises(RuntimeError, match="does not fit"):
            Given.apply(x, shape).sum().backward()


def test_dropping_everything_takes_every_dtype():
    for dtype in (flow.int64, flow.uint8, flow.bool, flow.complex64):
        x = flow.ones(2, 3, 2).to(dtype)
        for drop in (F.dropout, F.dropout2d):
            got = drop(x, 1.)
            assert got.dtype is dtype and not got.to(flow.bool).any()
    with pytest.raises(RuntimeError, match="floating"):
        F.dropout(flow.arange(3), .5)


def test_a_bool_may_be_added_some_times():
    a, b = flow.tensor([True, False]), flow.tensor([False, True])
    assert flow.add(a, b, alpha=2).tolist() == [True, True]
    assert flow.add(a, b, alpha=0).tolist() == [True, False]
    assert a.clone().add_(b, alpha=True).tolist() == [True, True]
    with pytest.raises(RuntimeError):
        flow.add(a, b, alpha=1.5)


@pytest.mark.parametrize("call", [
    lambda: flow.broadcast_tensors(flow.ones(2, 3), flow.ones(4)),
    lambda: F.cosine_similarity(flow.ones(2, 3), flow.ones(4)),
    lambda: flow.cdist(flow.ones(2, 2, 3), flow.ones(3, 4, 3), p=1),
    lambda: flow.linalg.solve(flow.ones(2, 2, 2), flow.ones(3, 2, 1)),
    lambda: flow.linalg.cross(flow.ones(2, 3), flow.ones(4, 3)),
    lambda: flow.take_along_dim(flow.ones(2, 3), flow.zeros(4, 1).long(), 1),
    lambda: F.mse_loss(flow.ones(2, 3), flow.ones(4)),
    lambda: flow.ones(2, 3) + flow.ones(4),
    lambda: flow.where(flow.ones(2, 3) > 0, flow.ones(4), flow.ones(4))])
def test_shapes_that_do_not_broadcast_say_what_is_expected_once(call):
    with pytest.raises(RuntimeError) as error:
        call()
    assert str(error.value).count("expected equal sizes or 1") == 1


@pytest.mark.parametrize("make, text", [
    (lambda: nn.Linear(2, "a"), r"\[Linear\] out_features is no size: got 'a', str; expected"),
    (lambda: nn.Linear(2., 3), r"\[Linear\] in_features"),
    (lambda: nn.Embedding(2, "a"), r"\[Embedding\] embedding_dim"),
    (lambda: nn.LayerNorm("a"), r"\[LayerNorm\] normalized_shape")])
def test_layers_name_the_size_that_is_none(make, text):
    with pytest.raises(TypeError, match=text):
        make()


def test_a_product_of_no_reflections_belongs_to_its_operands():
    a, none = flow.full((3, 2), NAN, requires_grad=True), flow.zeros(0, requires_grad=True)
    for given, tau in [(a, none.detach()), (a.detach(), none), (a, none)]:
        made = flow.linalg.householder_product(given, tau)
        assert made.requires_grad and made.tolist() == [[1, 0], [0, 1], [0, 0]]
    made.sum().backward()
    assert a.grad.tolist() == [[0, 0]] * 3 and none.grad.shape == (0,)
    empty, other = flow.ones(3, 0, requires_grad=True), flow.ones(3, 2)
    made = flow.ormqr(empty, none.detach(), other)
    assert made is not other and made.requires_grad and made.tolist() == other.tolist()


def test_axes_of_a_tensor_without_axes_are_refused_by_tensordot():
    for a, b in ((flow.tensor(1.0), flow.ones(2)), (flow.ones(2), flow.tensor(1.0))):
        with pytest.raises(IndexError, match="no dimensions"):
            flow.tensordot(a, b, ([0], [0]))


def test_silu_of_complex_numbers():
    x = np.array([1 + 2j, 0j, -3 + 0.5j])
    z = flow.tensor(x.tolist(), dtype=flow.complex128)
    np.testing.assert_allclose(F.silu(z).numpy(), x / (1 + np.exp(-x)))
    parts = [flow.tensor(p.tolist(), dtype=flow.float64, requires_grad=True)
             for p in (x.real, x.imag)]
    assert flow.autograd.gradcheck(lambda a, b: F.silu(a + b * 1j), parts)


def test_what_alpha_dropout_drops_whole_may_be_of_any_dtype():
    for dropped in (F.alpha_dropout, F.feature_alpha_dropout):
        for dtype in (flow.int64, flow.bool, flow.complex64):
            got = dropped(flow.ones(2, 3, dtype=dtype), 1.0, True)
            assert got.dtype is dtype and got.tolist() == [[0] * 3] * 2


def test_fractional_bounds_of_integers_are_counted_as_torch_counts_them():
    for dtype in (flow.int32, flow.uint8):
        for given, want in [((1.0, 2.0, 0.25), [1, 1, 1, 1]), ((0.0, 3, 1.5), [0, 1]),
                            ((2.7,), [0, 1, 2]), ((5.5, 1.2, -1.5), [5, 4, 3]),
                            ((0.9, 3.9), [0, 1, 2])]:
            assert flow.arange(*given, dtype=dtype).tolist() == want
    assert flow.arange(0.5, 3, 1.5, dtype=flow.int64).tolist() == [0, 1, 2]
    assert flow.arange(5.5, 1.2, -1.5, dtype=flow.int64).tolist() == [5, 4, 3, 2]


def test_a_block_without_axes_does_not_widen_the_others():
    for one, row, want in [(flow.float64, flow.float32, flow.float32),
                           (flow.float64, flow.int64, flow.float64),
                           (flow.int32, flow.int16, flow.int16)]:
        got = flow.block_diag(flow.ones((), dtype=one), flow.ones(2, dtype=row))
        assert got.dtype is want and got.tolist() == [[1, 0, 0], [0, 1, 1]]


def test_an_operand_of_kron_without_axes_counts_like_any_other():
    for one, row, want in [(flow.float64, flow.float32, flow.float64),
                           (flow.int8, flow.uint8, flow.int16),
                           (flow.float32, flow.bfloat16, flow.float32)]:
        for a, b in ((flow.ones((), dtype=one), flow.ones(2, dtype=row)),
                     (flow.ones(2, dtype=row), flow.ones((), dtype=one))):
            got = flow.kron(a, b)
            assert got.dtype is want and got.tolist() == [1, 1]


def test_a_quantile_beside_an_infinite_neighbour_is_infinite():
    for q in (0.0, 0.1, 0.25, 0.4):
        for quantile in (flow.quantile, flow.nanquantile):
            assert quantile(flow.tensor([3.0, -INF, 4.0]), q).item() == -INF
            assert quantile(flow.tensor([3.0, -4.0, INF]), 1 - q).item() == INF
            assert quantile(flow.tensor([-INF, -INF, 1.0]), q).item() == -INF
    assert np.isnan(flow.quantile(flow.tensor([-INF, INF]), 0.5).item())
    assert np.isnan(flow.quantile(flow.tensor([-INF, 1.0, NAN]), 0.1).item())
    assert flow.nanquantile(flow.tensor([-INF, 1.0, NAN]), 1.0).item() == 1.0


def test_powers_and_logarithms_of_complex_numbers_scale_part_by_part():
    z = flow.tensor([0j, complex(INF, 0), complex(-1, 0)])
    got = flow.log2(z).tolist()
    assert got[0] == complex(-INF, 0) and got[1] == complex(INF, 0)
    assert got[2].real == 0 and abs(got[2].imag - np.pi / np.log(2)) < 1e-5
    assert flow.exp2(z[:2]).tolist() == [1, complex(INF, 0)]
