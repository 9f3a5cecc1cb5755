"""Decompositions and products beyond the registry's samples: what is unique but for a factor, bad
matrices, grammars of einsum and tensordot."""

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like.autograd import gradcheck, gradgradcheck

linalg = flow.linalg
RNG = np.random.default_rng(7)
SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 3)]


def matrices(*shape, kind="float64"):
    x = RNG.uniform(-1, 1, shape)
    if kind.startswith("complex"):
        x = x + 1j * RNG.uniform(-1, 1, shape)
    return flow.tensor(x.astype(kind), requires_grad=True)


def hermitian(x):
    return x @ x.mH + 0.1 * x.mH @ x


def parts(function):
    """A complex function of real and imaginary parts, as differences want it."""
    def real(re, im):
        outputs = function(re + im * 1j)
        return tuple(z for y in outputs for z in (
            (y.real, y.imag) if y.dtype.name.startswith("complex") else (y,)))
    return real


# --- what does not depend on the factor that a vector has ---------------------------------------

def svd_parts(a):
    u, s, vh = linalg.svd(a, full_matrices=False)
    return s, (u * s.to(a.dtype).unsqueeze(-2).exp()) @ vh, u.abs(), vh.abs()


def eigh_parts(a):
    values, q = linalg.eigh(hermitian(a))
    return values, (q * values.to(a.dtype).unsqueeze(-2).exp()) @ q.mH, q.abs()


def eig_parts(a):
    values, v = linalg.eig(a)
    return (v * values.unsqueeze(-2).exp()) @ linalg.inv(v), v.abs()


def qr_parts(a):
    q, r = linalg.qr(a)
    return q @ (r * 2), q, r


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("function", [svd_parts, eigh_parts, eig_parts, qr_parts])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_what_is_unique(function, shape, kind):
    if function in (eigh_parts, eig_parts) and shape[-1] != shape[-2]:
        return
    a = matrices(*shape, kind=kind).detach()
    if kind == "float64":
        leaves, call = (a.clone().requires_grad_(),), function
        if function is eig_parts:
            def call(x):
                return tuple(z for y in eig_parts(x) for z in ((y.real, y.imag) if (
                    y.dtype is flow.complex128) else (y,)))
    else:
        leaves = (a.real.clone().requires_grad_(), a.imag.clone().requires_grad_())
        call = parts(function)
    assert gradcheck(call, leaves, atol=1e-4, rtol=1e-4)
    assert gradgradcheck(call, leaves, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("n", [1, 5, 40, 70])
def test_factors_make_the_matrix_again(kind, n):
    a = matrices(2, n, n, kind=kind).detach()
    near = {"rtol": 0, "atol": (2e-4 if "64" not in kind or kind == "complex64" else 1e-10) * n}
    want = a.numpy()

    def same(x):
        np.testing.assert_allclose(x.numpy(), want, **near)

    u, s, vh = linalg.svd(a)
    same((u * s.to(a.dtype).unsqueeze(-2)) @ vh)
    same(linalg.qr(a).Q @ linalg.qr(a).R)
    p, lower, upper = linalg.lu(a)
    same(p @ lower @ upper)
    h, tau = flow.geqrf(a)
    same(linalg.householder_product(h, tau) @ flow.triu(h))
    same(flow.ormqr(h, tau, flow.triu(h)))
    values, vectors = linalg.eig(a)
    np.testing.assert_allclose((a.to(values.dtype) @ vectors).numpy(),
                               (vectors * values.unsqueeze(-2)).numpy(), **near)
    symmetric = a + a.mH
    want = symmetric.numpy()
    values, q = linalg.eigh(symmetric)
    same((q * values.to(a.dtype).unsqueeze(-2)) @ q.mH)
    if n > 1:
        ld, pivots, info = linalg.ldl_factor_ex(symmetric, hermitian=True)
        assert info.tolist() == [0, 0]
        b = matrices(2, n, 3, kind=kind).detach()
        x = linalg.ldl_solve(ld, pivots, b, hermitian=True)
        scale = float(linalg.cond(symmetric).max())
        np.testing.assert_allclose((symmetric @ x).numpy(), b.numpy(), rtol=0,
                                   atol=near["atol"] * max(scale, 1))


# --- matrices that are none of the kind ---------------------------------------------------------

def test_singular_matrices_are_refused_by_name_and_batch():
    good, bad = np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32)
    batch = flow.tensor(np.stack([good, bad]))
    for call in (linalg.inv, flow.inverse, lambda a: linalg.solve(a, a), linalg.cholesky,
                 linalg.lu_factor, lambda a: linalg.inv_ex(a, check_errors=True)):
        with pytest.raises(linalg.LinAlgError, match=r"batch element 1"):
            call(batch)
    assert linalg.inv_ex(batch).info.tolist() == [0, 1]
    assert linalg.cholesky_ex(batch).info.tolist() == [0, 1]
    assert linalg.lu_factor_ex(batch).info.tolist() == [0, 1]
    assert linalg.solve_ex(batch, batch).info.tolist() == [0, 1]
    assert linalg.det(batch).tolist() == [1, 0]
    assert linalg.slogdet(batch).logabsdet.tolist() == [0, -np.inf]


def test_numbers_that_are_not_finite():
    nan = flow.full((2, 2), float("nan"))
    assert linalg.eigh(nan).eigenvalues.isnan().all() and linalg.inv(nan).isnan().all()
    assert linalg.det(nan).isnan() and linalg.matrix_exp(nan).isnan().all()
    for call in (linalg.svd, linalg.svdvals, linalg.pinv, linalg.eig, linalg.eigvals,
                 lambda a: linalg.lstsq(a, a)):
        with pytest.raises(linalg.LinAlgError, match="infinite elements or NaN"):
            call(nan)


def test_factors_of_matrices_with_nan():
    """As LAPACK defines them: NaN is no positive pivot, and what is divided by NaN is NaN."""
    nan = np.nan
    bad = np.array([[nan, 0], [0, 1]])
    batch = flow.tensor(np.stack([np.eye(2) * 2, bad]))
    for upper in (False, True):
        with pytest.raises(linalg.LinAlgError, match="batch element 1.*minor of order 1"):
            linalg.cholesky(batch, upper=upper)
        late = flow.tensor([[2.0, 1, 0], [1, nan, 0], [0, 0, 3]])
        assert linalg.cholesky_ex(late, upper=upper).info.tolist() == 2
    assert linalg.cholesky_ex(batch).info.tolist() == [0, 1]
    assert linalg.cholesky_ex(flow.full((40, 40), nan)).info.tolist() == 1
    assert linalg.cholesky_ex(batch.to(flow.complex128)).info.tolist() == [0, 1]
    ones = flow.ones(2, 2, 1, dtype=flow.float64)
    lu, pivots, info = linalg.lu_factor_ex(batch)
    np.testing.assert_array_equal(lu.numpy()[1], [[nan, 0], [nan, nan]])
    assert pivots.tolist() == [[1, 2], [1, 2]] and info.tolist() == [0, 0]
    np.testing.assert_array_equal(linalg.lu(flow.tensor(bad)).U.numpy(), [[nan, 0], [0, nan]])
    for solved in (linalg.solve(batch, ones), linalg.lu_solve(lu, pivots, ones),
                   linalg.solve(batch, ones.mT, left=False).mT):
        np.testing.assert_array_equal(solved.numpy(), [[[0.5], [0.5]], [[nan], [nan]]])
    with flow.no_grad():
        assert linalg.solve(batch[1], ones[1]).isnan().all()
    # The rows that were exchanged before the NaN stay so, and no later ones are.
    middle = np.array([[0, 3, 1, 2.0], [4, 1, 1, 0], [0, nan, 5, 1], [0, nan, 1, 9]])
    lu, pivots, info = linalg.lu_factor_ex(flow.tensor(middle))
    assert pivots.tolist() == [2, 2, 3, 4] and info.item() == 0
    np.testing.assert_array_equal(lu.numpy()[:2], [[4, 1, 1, 0], [0, 3, 1, 2]])
    assert np.isnan(lu.numpy()[2:, 2:]).all()
    assert linalg.slogdet(batch).sign.tolist() == [1, 0]
    infinite = flow.tensor([[1.0, np.inf], [np.inf, 1.0]])
    assert [x.item() for x in linalg.slogdet(infinite)] == [-1, np.inf]
    for p in (1, -1, np.inf, -np.inf, "fro"):
        assert linalg.cond(batch, p)[1].item() == np.inf
    assert linalg.cond(batch, 1)[0].item() == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_hermitian_matrices_that_are_not_finite(bad):
    """One triangle is read: what is in the other does not matter."""
    for call in (linalg.eigh, linalg.eigvalsh, lambda a: linalg.matrix_rank(a, hermitian=True)):
        with pytest.raises(linalg.LinAlgError, match="infinite elements or NaN"):
            call(flow.full((3, 3), bad))
        with pytest.raises(linalg.LinAlgError, match="batch element 1"):
            call(flow.stack([flow.eye(3), flow.full((3, 3), bad)]))
    matrix = np.array([[2.0, 1, 0], [1, 5, 0], [0, 0, 3]])
    spoilt = matrix.copy()
    spoilt[0, 1:] = bad
    want = np.linalg.eigvalsh(matrix)
    lower, upper = flow.tensor(spoilt), flow.tensor(spoilt.T.copy())
    np.testing.assert_allclose(linalg.eigvalsh(lower).numpy(), want)
    np.testing.assert_allclose(linalg.eigh(lower).eigenvalues.numpy(), want)
    np.testing.assert_allclose(linalg.eigvalsh(upper, UPLO="U").numpy(), want)
    with pytest.raises(linalg.LinAlgError):
        linalg.eigvalsh(upper)
    assert linalg.matrix_rank(lower, hermitian=True).item() == 3
    np.testing.assert_allclose(linalg.pinv(lower, hermitian=True).numpy(), np.linalg.inv(matrix),
                               atol=1e-12)
    one = linalg.eigh(flow.tensor([[bad]]))
    np.testing.assert_array_equal(one.eigenvalues.numpy(), np.float32([bad]))


def test_the_determinant_of_a_singular_matrix_has_its_gradient():
    a = flow.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    linalg.det(a).backward()
    np.testing.assert_allclose(a.grad.numpy(), [[4, -2], [-2, 1]], rtol=1e-5)


def test_factors_that_fit_nothing():
    lu, pivots = linalg.lu_factor(flow.tensor([[2.0, 1.0], [1.0, 3.0]]))
    for wrong in ([0, 1], [3, 1], [-1, 2]):
        with pytest.raises(IndexError, match="no row"):
            flow.lu_unpack(lu, flow.tensor(wrong, dtype=flow.int32))
    with pytest.raises(IndexError, match="no row"):
        linalg.ldl_solve(lu, flow.tensor([7, 1], dtype=flow.int32), lu)
    with pytest.raises(NotImplementedError, match="without pivoting"):
        linalg.lu_factor(lu, pivot=False)


def test_qr_refuses_gradients_that_it_has_not():
    a = matrices(4, 2)
    for mode in ("complete", "r"):
        with pytest.raises(NotImplementedError, match="mode='reduced'"):
            linalg.qr(a, mode).R.sum().backward()


# --- arguments that no signature says -----------------------------------------------------------

def test_einsum_takes_lists_of_axes():
    a, b = matrices(2, 3).detach(), matrices(3, 4).detach()
    want = (a @ b).numpy()
    for got in (flow.einsum(a, [0, 1], b, [1, 2], [0, 2]), flow.einsum(a, [0, 1], b, [1, 2]),
                flow.einsum(a, [51, 3], b, [3, 7], [51, 7]), flow.einsum("ij,jk", [a, b]),
                flow.einsum(a, [..., 0], b, [0, 1], [..., 1])):
        np.testing.assert_allclose(got.numpy(), want)
    with pytest.raises(ValueError, match="got 52; expected 0 to 51"):
        flow.einsum(a, [0, 52])
    with pytest.raises(TypeError, match="no list of axes: got Tensor"):
        flow.einsum(a, b)
    with pytest.raises(TypeError, match="'equation'.*must be str, not int"):
        flow.einsum(3, a)
    with pytest.raises(ValueError, match="no operand"):
        flow.einsum("ij")


def test_tensordot_takes_numbers_and_pairs():
    a, b = matrices(2, 3, 4).detach(), matrices(4, 3, 2).detach()
    want = np.tensordot(a.numpy(), b.numpy(), ([1, 2], [1, 0]))
    np.testing.assert_allclose(flow.tensordot(a, b, ([1, 2], [1, 0])).numpy(), want)
    np.testing.assert_allclose(flow.tensordot(a, b, flow.tensor([[1, 2], [1, 0]])).numpy(), want)
    assert flow.tensordot(a, b, 0).shape == (2, 3, 4, 4, 3, 2)
    assert flow.tensordot(a, b, (2, 0)).shape == (2, 3, 3, 2)
    out = flow.empty(2, 2, dtype=flow.float64)
    assert flow.tensordot(a, b, dims=([1, 2], [1, 0]), out=out) is out
    with pytest.raises(ValueError, match="dims=4 of 3 and 3"):
        flow.tensordot(a, b, 4)


def test_low_ranks_and_few_eigenvalues():
    a = matrices(9, 6).detach()
    s = np.linalg.svd(a.numpy(), compute_uv=False)
    u, values, v = flow.svd_lowrank(a, 6)
    np.testing.assert_allclose(values.numpy(), s)
    np.testing.assert_allclose(((u * values) @ v.mH).numpy(), a.numpy(), atol=1e-12)
    centred = a.numpy() - a.numpy().mean(0)
    np.testing.assert_allclose(flow.pca_lowrank(a, 6)[1].numpy(),
                               np.linalg.svd(centred, compute_uv=False), atol=1e-12)
    h = a @ a.mH
    b = h + 9 * flow.eye(9, dtype=flow.float64)
    values, x = flow.lobpcg(h, k=2)
    np.testing.assert_allclose(values.numpy(), s[:2] ** 2)
    values, x = flow.lobpcg(h, k=2, B=b, largest=False)
    np.testing.assert_allclose((h @ x).numpy(), ((b @ x) * values).numpy(), atol=1e-9)
    np.testing.assert_allclose((x.mH @ b @ x).numpy(), np.eye(2), atol=1e-9)
    with pytest.raises(ValueError, match="at least 12 rows"):
        flow.lobpcg(h, k=4)


def test_products_with_nothing_of_an_operand():
    """beta=0 and alpha=0 leave NaN out, as BLAS has it, and give gradients of 0."""
    nan = flow.full((2, 2), float("nan"), requires_grad=True)
    one = flow.ones(2, 2)
    got = flow.addmm(nan, one, one, beta=0)
    assert got.tolist() == [[2, 2], [2, 2]]
    got.sum().backward()
    assert nan.grad.tolist() == [[0, 0], [0, 0]]
    assert flow.addmm(one, nan, one, alpha=0).tolist() == [[1, 1], [1, 1]]


def test_lu_fills_as_many_targets_as_it_has_results():
    a = matrices(3, 3).detach()
    factors, pivots = flow.empty(3, 3, dtype=flow.float64), flow.empty(3, dtype=flow.int32)
    info = flow.empty((), dtype=flow.int32)
    want = flow.lu(a)
    flow.lu(a, out=(factors, pivots))
    assert factors.tolist() == want[0].tolist() and pivots.tolist() == want[1].tolist()
    flow.lu(a, get_infos=True, out=(factors, pivots, info))
    assert info.item() == 0 and len(a.lu(get_infos=True)) == 3


@pytest.mark.parametrize("name", ["geqrf", "qr", "svd", "linalg.eigh", "linalg.eig", "linalg.pinv",
                                  "linalg.matrix_exp"])
def test_any_number_of_matrices_without_elements_takes_no_time(name):
    function = flow
    for part in name.split("."):
        function = getattr(function, part)
    result = function(flow.zeros(2**40, 0, 0))
    first = result if isinstance(result, flow.Tensor) else result[0]
    assert first.numel() == 0
