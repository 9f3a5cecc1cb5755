"""A few singular values of a matrix, by a random part of its range (Halko, Martinsson and Tropp,
2009), a few eigenvalues; and factors whose number an argument says."""

import operator
import sys

from . import _C
from ._C import InvalidArgumentError, Tensor, TypeMismatchError

__all__ = ["lobpcg", "lu", "pca_lowrank", "svd_lowrank"]

MOST_PRODUCTS = 10000


def _checked(name, A, q, niter, most):
    if not isinstance(A, Tensor):
        raise TypeMismatchError(f"{name}(): argument 'A' must be Tensor, not {type(A).__name__}")
    if A.ndim < 2 or not (A.dtype.is_floating_point or A.dtype.name.startswith("complex")):
        raise InvalidArgumentError(f"[{name}] no matrices of floating numbers: got {A.dtype.name}"
                                   f"{tuple(A.shape)}; expected at least two axes")
    q, niter = operator.index(q), operator.index(niter)
    if not 0 <= q <= most or not 0 <= niter <= MOST_PRODUCTS:
        raise InvalidArgumentError(f"[{name}] no such size: got q={q}, niter={niter} for "
                                   f"{tuple(A.shape)}; expected 0 <= q <= {most}, "
                                   f"0 <= niter <= {MOST_PRODUCTS}")
    return q, niter


def _basis(A, q, niter):
    """Orthonormal columns whose span holds nearly all of A."""
    where = {"placement": A.placement, "sbp": [_C.sbp.broadcast] * len(A.placement.hierarchy)} \
        if A.is_global else {}
    start = _C.randn(A.shape[-1], q, dtype=A.dtype, **where)
    basis = _C.linalg_qr(A @ start).Q
    for _ in range(niter):
        basis = _C.linalg_qr(A.mH @ basis).Q
        basis = _C.linalg_qr(A @ basis).Q
    return basis


def _factors(A, q, niter):
    wide = A.shape[-2] < A.shape[-1]
    tall = A.mH if wide else A
    basis = _basis(tall, q, niter)
    u, s, vh = _C.linalg_svd(basis.mH @ tall, full_matrices=False)
    u, v = basis @ u, vh.mH
    return (v, s, u) if wide else (u, s, v)


def svd_lowrank(A, q=6, niter=2, M=None):
    """U, S and V of A - M, nearly U diag(S) V^H, with q singular values: those of the range that
    niter products with A and its adjoint find from a random start."""
    q, niter = _checked("svd_lowrank", A, 6 if q is None else q, niter, sys.maxsize)
    return _factors(A if M is None else A - M, q, niter)


def pca_lowrank(A, q=None, center=True, niter=2):
    """U, S and V of the rows of A, of which `center` takes their mean; q: at most 6 by default."""
    most = min(A.shape[-2:]) if isinstance(A, Tensor) and A.ndim >= 2 else 6
    q, niter = _checked("pca_lowrank", A, min(6, most) if q is None else q, niter, most)
    return _factors(A - A.mean(dim=-2, keepdim=True) if center else A, q, niter)


def lobpcg(A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None,
           method=None, tracker=None, ortho_iparams=None, ortho_fparams=None, ortho_bparams=None):
    """The k largest (or smallest) eigenvalues of symmetric matrices, and their vectors; with B of
    A x = e B x. X says k where that is not given.

    All eigenvalues of a matrix are found at once, exactly: a start (X, n), a preconditioner (iK), a
    method and a bound of error or of steps have nothing to steer.
    """
    for name, value in (("A", A), ("B", B), ("X", X), ("iK", iK)):
        if not isinstance(value, Tensor) and (value is not None or name == "A"):
            raise TypeMismatchError(f"lobpcg(): argument '{name}' must be Tensor, not "
                                    f"{type(value).__name__}")
    steering = {"tracker": tracker, "ortho_iparams": ortho_iparams, "ortho_fparams": ortho_fparams,
                "ortho_bparams": ortho_bparams}
    for name, value in steering.items():
        if value is not None:
            raise NotImplementedError(f"[lobpcg] nothing is iterated: got {name}={value!r}; "
                                      "expected None")
    if method not in (None, "basic", "ortho"):
        raise InvalidArgumentError(
            f"[lobpcg] no such method: got {method!r}; expected 'basic' or 'ortho'")
    k = (1 if X is None else X.shape[-1]) if k is None else operator.index(k)
    rows = A.shape[-1] if A.ndim >= 2 else 0
    if A.ndim < 2 or A.shape[-2] != rows or k < 1 or rows < 3 * k:
        raise InvalidArgumentError(
            f"[lobpcg] no such number of pairs: got k={k} of {A.dtype.name}"
            f"{tuple(A.shape)}; expected square matrices of at least {3 * k} rows")
    if B is None:
        values, vectors = _C.linalg_eigh(A)
    else:
        factor = _C.linalg_cholesky(B)
        half = _C.linalg_solve_triangular(factor, A, upper=False)
        inner = _C.linalg_solve_triangular(factor.mH, half, upper=True, left=False)
        values, vectors = _C.linalg_eigh(inner)
        vectors = _C.linalg_solve_triangular(factor.mH, vectors, upper=True)
    if largest is None or largest:
        values, vectors = values.flip(-1), vectors.flip(-1)
    return values[..., :k], vectors[..., :k]


def lu(A, pivot=True, get_infos=False, out=None):
    """LU and pivots as linalg.lu_factor gives them, and with get_infos which diagonal element of U
    is zero, else 0: singular matrices are refused without it."""
    for name, value in (("pivot", pivot), ("get_infos", get_infos)):
        if not isinstance(value, bool):
            raise TypeMismatchError(
                f"lu(): argument '{name}' must be bool, not {type(value).__name__}")
    if get_infos:
        return _C.linalg_lu_factor_ex(A, pivot=pivot, out=out)
    return _C.linalg_lu_factor(A, pivot=pivot, out=out)
