"""NumPy's side of products and decompositions."""

import numpy as np


def _adjoint(a):
    return np.conj(np.swapaxes(a, -1, -2))


def _each(function, a, *more):
    """A function of one matrix over the batch of `a`; its results stacked."""
    batch = a.shape[:-2]
    results = [function(a[i], *(x[i] for x in more)) for i in np.ndindex(batch)]
    if not results:  # the shapes of a batch of one
        one = function(np.zeros(a.shape[-2:], a.dtype) + np.eye(*a.shape[-2:], dtype=a.dtype),
                       *(np.ones(x.shape[len(batch):], x.dtype) for x in more))
        return tuple(np.zeros((*batch, *np.shape(y)), np.asarray(y).dtype) for y in one)
    return tuple(np.stack([np.asarray(r[k]) for r in results]).reshape(
        (*batch, *np.shape(results[0][k]))) for k in range(len(results[0])))


def summed(x, product, beta, alpha):
    """beta * x + alpha * product, as BLAS has it: of 0 times anything 0."""
    whole = product.dtype.kind in "iub"
    beta, alpha = (int(s) if whole else s for s in (beta, alpha))
    total = np.zeros_like(product)
    if beta != 0:
        total = total + np.broadcast_to(x, product.shape) * product.dtype.type(beta)
    return total + (product * product.dtype.type(alpha) if alpha != 0 else 0)


def tensordot(a, b, dims_a, dims_b):
    for i, j in zip(dims_a, dims_b, strict=True):
        if a.shape[i] != b.shape[j]:
            a = np.repeat(a, b.shape[j], i) if a.shape[i] == 1 else a
            b = np.repeat(b, a.shape[i], j) if b.shape[j] == 1 else b
    return np.asarray(np.tensordot(a, b, (dims_a, dims_b)))


def chained(tensors):
    total = tensors[0]
    for x in tensors[1:]:
        total = total @ x
    return np.asarray(total)


def matrix_power(a, n):
    if n < 0:
        a, n = np.linalg.inv(a), -n
    total = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    for _ in range(n):
        total = total @ a
    return total


def cross(a, b, dim):
    a, b = (np.moveaxis(x, dim, 0) for x in (a, b))
    c = np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
    return np.moveaxis(c, 0, dim)


def pdist(x, p):
    from .oracles import HELPERS
    i, j = np.triu_indices(len(x), 1)
    return HELPERS["norm"](x[i] - x[j], p, [-1], False)


# --- triangular factors -------------------------------------------------------------------------

def _triangle(a, lower):
    """The Hermitian matrix of which one triangle is read."""
    if not lower:
        return _triangle(_adjoint(a), True)
    low = np.tril(a, -1)
    n = a.shape[-1]
    diagonal = np.einsum("...ii->...i", a).real[..., None] * np.eye(n)
    return low + _adjoint(low) + diagonal


def cholesky_ex(a, upper):
    lower = np.linalg.cholesky(_triangle(a, not upper)) if a.size else a
    return (_adjoint(lower) if upper else lower), np.zeros(a.shape[:-2], np.int32)


def _lu_of(a):
    a = np.array(a)
    m, n = a.shape
    pivots = np.zeros(min(m, n), np.int32)
    for k in range(min(m, n)):
        size = np.abs(a[k:, k].real) + np.abs(a[k:, k].imag)
        p = k + int(np.argmax(size))
        pivots[k] = p + 1
        a[[k, p]] = a[[p, k]]
        a[k + 1:, k] /= a[k, k]
        a[k + 1:, k + 1:] -= np.outer(a[k + 1:, k], a[k, k + 1:])
    return a, pivots, np.int32(0)


def lu_factor(a):
    return _each(_lu_of, a)


def lu_permutation(pivots, rows, inverse):
    order = np.zeros((*pivots.shape[:-1], rows), np.int64)
    for i in np.ndindex(pivots.shape[:-1]):
        p = np.arange(rows)
        for k, with_ in enumerate(pivots[i]):
            p[[k, with_ - 1]] = p[[with_ - 1, k]]
        order[i] = np.argsort(p) if inverse else p
    return order


def lu_unpack(lu, pivots, data, permutation):
    m, n = lu.shape[-2:]
    k = min(m, n)
    none = np.zeros(0, lu.dtype)
    p = np.eye(m, dtype=lu.dtype)[lu_permutation(pivots, m, True)] if permutation else none
    if not data:
        return p, none, none
    return p, np.tril(lu[..., :, :k], -1) + np.eye(m, k), np.triu(lu[..., :k, :])


def lu_solve(lu, pivots, b, left, adjoint):
    p, lower, upper = lu_unpack(lu, pivots, True, True)
    a = p @ lower @ upper
    return solve(_adjoint(a) if adjoint else a, b, left)


def cofactors(a):
    return np.linalg.det(a)[..., None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)


def ldl_factor(a, hermitian):
    """Without exchanges, which a dominant diagonal needs none of."""
    if not a.size:
        return a, np.zeros(a.shape[:-1], np.int32), np.zeros(a.shape[:-2], np.int32)
    a = _triangle(a, True) if hermitian or a.dtype.kind == "f" else a
    lower = np.linalg.cholesky(a)
    diagonal = np.einsum("...ii->...i", lower)
    unit = lower / diagonal[..., None, :]
    n = a.shape[-1]
    ld = np.tril(unit, -1) + (diagonal ** 2)[..., None] * np.eye(n)
    return (ld, np.broadcast_to(np.arange(1, n + 1, dtype=np.int32), a.shape[:-1]),
            np.zeros(a.shape[:-2], np.int32))


def ldl_solve(ld, b, hermitian):
    """Of matrices of one element."""
    d = ld.real if hermitian else ld
    return b / d


# --- systems ------------------------------------------------------------------------------------

def solve(a, b, left=True):
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        return np.linalg.solve(a, b[..., None])[..., 0]
    if left:
        return np.linalg.solve(*_one_batch(a, b))
    a, b = _one_batch(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


def _one_batch(a, b):
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return [np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b)]


def solve_triangular(a, b, upper, left, unitriangular):
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        a = (np.triu(a, 1) if upper else np.tril(a, -1)) + np.eye(a.shape[-1])
    return solve(a, b, left) if b.ndim >= 2 else b


def cholesky_solve(b, factor, upper):
    a = np.triu(factor) if upper else np.tril(factor)
    return solve(_adjoint(a) @ a if upper else a @ _adjoint(a), b)


def pinv(a, atol, rtol, bound):
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    most = s.max(-1, keepdims=True) if s.size else np.zeros((*s.shape[:-1], 1))
    cutoff = np.maximum(atol, rtol * most) if bound is None else np.asarray(bound)[..., None]
    counts = s > cutoff
    inverse = np.where(counts, 1 / np.where(counts, s, 1), 0)
    return (_adjoint(vh) * inverse[..., None, :]) @ _adjoint(u)


def _tolerance(arity, a, first, second):
    """(absolute, relative) of tensors, either of which may be left out."""
    atol, rtol = (first if arity[1] else None), (second if arity[2] else None)
    if not arity[1]:
        rtol = first if rtol is None else rtol
    usual = 1e-6
    if rtol is None:
        rtol = np.where(np.asarray(atol) > 0, 0, usual)
    return np.asarray(0.0 if atol is None else atol), np.asarray(rtol)


def pinv_within(arity, a, first, second):
    atol, rtol = _tolerance(arity, a, first, second)
    s = np.linalg.svd(a, compute_uv=False)
    return pinv(a, 0, 0, np.broadcast_to(np.maximum(atol, rtol * s.max(-1)), a.shape[:-2]))


def matrix_rank(a, atol, rtol):
    s = np.linalg.svd(a, compute_uv=False)
    most = s.max(-1, keepdims=True) if s.shape[-1] else np.zeros((*s.shape[:-1], 1))
    return np.sum(s > np.maximum(atol, rtol * most), -1)


def rank_within(arity, a, first, second):
    atol, rtol = _tolerance(arity, a, first, second)
    return matrix_rank(a, atol[..., None], rtol[..., None])


def lstsq(a, b, rcond, driver):
    vectors = b.ndim == a.ndim - 1
    b = b[..., None] if vectors else b
    m, n = a.shape[-2:]
    x = pinv(a, 0, rcond, None) @ b
    rank = matrix_rank(a, 0, rcond)
    values = np.linalg.svd(a, compute_uv=False)
    none = np.zeros(0)
    residuals = np.sum(np.abs(a @ x - b) ** 2, -2) if driver != "gelsy" and m > n else none
    return (x[..., 0] if vectors else x, residuals,
            np.zeros(0, np.int64) if driver == "gels" else np.asarray(rank),
            values if driver in ("gelsd", "gelss") else none)


# --- spectra ------------------------------------------------------------------------------------

def eigh(a, uplo):
    return tuple(np.linalg.eigh(a, uplo.upper()))


def eig(a):
    if not a.size:
        return np.zeros(a.shape[:-1], np.complex128), np.zeros(a.shape, np.complex128)
    values, vectors = np.linalg.eig(a)
    return values.astype(np.complex128), vectors.astype(np.complex128)


def svd(a, full):
    return tuple(np.linalg.svd(a, full_matrices=full))


def torch_svd(a, some, vectors):
    u, s, vh = np.linalg.svd(a, full_matrices=not (some and vectors))
    v = _adjoint(vh)
    return (u, s, v) if vectors else (np.zeros_like(u), s, np.zeros_like(v))


def matrix_exp(a):
    """By Taylor's series of a 2^-k, squared k times."""
    if not a.size:
        return a
    k = max(0, int(np.ceil(np.log2(np.abs(a).sum(-1).max() + 1e-300))) + 4)
    step, total, term = a / 2 ** k, np.eye(a.shape[-1]) + a * 0, np.eye(a.shape[-1]) + a * 0
    for i in range(1, 20):
        term = term @ step / i
        total = total + term
    for _ in range(k):
        total = total @ total
    return total


# --- orthogonal factors -------------------------------------------------------------------------

def qr(a, mode):
    q, r = _each(lambda x: np.linalg.qr(x, "complete" if mode == "complete" else "reduced"), a)
    return (np.zeros(0, a.dtype) if mode == "r" else q), r


def geqrf(a):
    def one(x):
        h, tau = np.linalg.qr(x, "raw")
        return h.T, tau
    return _each(one, a)


def _reflections(a, tau):
    m, k = a.shape[-2], tau.shape[-1]
    total = np.broadcast_to(np.eye(m, dtype=a.dtype), (*a.shape[:-2], m, m))
    for i in range(k):
        v = np.where(np.arange(m) > i, a[..., :, i], 0) + (np.arange(m) == i)
        v = v[..., None]
        total = total @ (np.eye(m) - tau[..., i, None, None] * v @ _adjoint(v))
    return total


def householder_product(a, tau):
    return _reflections(a, tau)[..., :, :a.shape[-1]]


def ormqr(a, tau, other, left, transpose):
    q = _reflections(a, tau)
    q = _adjoint(q) if transpose else q
    return q @ other if left else other @ q


# --- norms --------------------------------------------------------------------------------------

def matrix_norm(a, order, dim, keepdim):
    a = np.moveaxis(a, dim, (-2, -1))
    rank = a.ndim
    if order == "fro":
        total = np.sqrt(np.sum(np.abs(a) ** 2, (-2, -1)))
    elif order == "nuc" or abs(order) == 2:
        s = np.linalg.svd(a, compute_uv=False)
        total = (s.sum(-1) if order == "nuc" else np.zeros(s.shape[:-1]) if not s.shape[-1]
                 else s.max(-1) if order > 0 else s.min(-1))
    else:
        sums = np.sum(np.abs(a), -2 if abs(order) == 1 else -1)
        total = (np.zeros(sums.shape[:-1]) if not sums.shape[-1]
                 else sums.max(-1) if order > 0 else sums.min(-1))
    if keepdim:
        total = np.expand_dims(total, tuple(d % rank for d in dim))
    return np.asarray(total)


def linalg_norm(a, order, dim, keepdim):
    from .oracles import HELPERS
    if order is None:
        return HELPERS["norm"](a, 2, dim or [], keepdim)
    dim = list(range(a.ndim)) if dim is None else dim
    if len(dim) == 1:
        return HELPERS["norm"](a, order, dim, keepdim)
    return matrix_norm(a, order, dim, keepdim)


HELPERS = {name: value for name, value in dict(globals()).items()
           if callable(value) and not name.startswith("_")}
