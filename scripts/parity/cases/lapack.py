"""Linear algebra: decompositions, solvers, norms."""

FAMILY = "lapack"
DTYPES = "float16 int64 complex64"

CASES = {
    "linalg.det det": """
f(3, 3)
f(2, 3, 3)
f(0, 0)
v([[1., 2.], [2., 4.]]) # nograd
! f(2, 3)
! f(3)
""",
    "linalg.slogdet slogdet": """
dd(3)
f(2, 3, 3)
f(0, 0)
v([[1., 2.], [2., 4.]]) # nograd
! f(2, 3)
""",
    "logdet": "spd(3)\nspd(2, 3)\n! f(2, 3)",
    "linalg.inv inverse linalg.pinv pinverse": "dd(3)\ndd(2, 3)\nf(0, 0)\n! f(3)",
    "(inv)": """
!= linalg.inv(torch.zeros(2, 2))
!= linalg.inv(f(2, 3))
= linalg.pinv(f(3, 2))
= linalg.pinv(f(2, 4, 2))
= linalg.pinv(spd(3), hermitian=True)
= linalg.pinv(f(3, 2), rtol=1e-2)
= torch.pinverse(f(3, 2))
= linalg.pinv(f(3, 2), atol=0.1, rtol=0.0)
""",
    "linalg.inv_ex": "dd(3)\ndd(2, 3)\nv([[0., 0.], [0., 1.]]) # nograd\n= linalg.inv_ex(dd(2))[1]",
    "linalg.solve": """
dd(3), f(3)
dd(3), f(3, 2)
dd(2, 3), f(2, 3, 2)
dd(2, 3), f(2, 3)
= linalg.solve(dd(3), f(2, 3), left=False)
dd(2, 3), f(3, 1)
! f(2, 3), f(2)
!= linalg.solve(torch.zeros(2, 2), torch.ones(2))
""",
    "linalg.solve_ex": "dd(3), f(3, 2)\n= linalg.solve_ex(dd(3), f(2, 3), left=False)",
    "linalg.solve_triangular": """
= linalg.solve_triangular(dd(3).triu(), f(3, 2), upper=True)
= linalg.solve_triangular(dd(3).tril(), f(3, 2), upper=False)
= linalg.solve_triangular(dd(3).triu(), f(2, 3), upper=True, left=False)
= linalg.solve_triangular(f(2, 3, 3).tril(), f(3, 2), upper=False, unitriangular=True)
""",
    "triangular_solve": "f(3, 2), dd(3)\nf(3, 2), dd(3), False\nf(3, 2), dd(3), True, True",
    "linalg.cholesky cholesky": """
spd(3)
spd(2, 3)
f(0, 0)
!= FN(torch.tensor([[1., 2.], [2., 1.]]))
!= FN(f(2, 3))
= FN(spd(3), upper=True)
""",
    "linalg.cholesky_ex": """
spd(3)
= linalg.cholesky_ex(spd(3), upper=True)
v([[1., 2.], [2., 1.]]) # nograd
""",
    "cholesky_solve": """
f(3, 2), spd(3).tril()
f(3, 2), spd(3).triu(), True
f(2, 3, 1), spd(2, 3).tril()
f(3, 2), spd(3) # nograd
! f(2, 2), spd(3)
""",
    "cholesky_inverse": """
spd(3).tril()
spd(3).triu(), True
spd(2, 3).tril()
spd(3) # nograd
""",
    "linalg.qr": "?f(3, 3)\n?f(4, 2)\n?f(2, 4)\n?f(2, 3, 2), 'complete'\n?f(3, 2), mode='r'",
    "qr": "?f(4, 2)\n?f(4, 2), False",
    "(qr)": "\n".join(f"= (lambda q, r: (q @ r, {g}))(*linalg.qr({x}))" for x, g in (
        ("f(3, 3)", "r.abs()"), ("f(4, 2)", "r.abs()"), ("f(2, 4)", "q.abs()"),
        ("f(2, 3, 2)", "r.abs()"), ("f(4, 2), 'complete'", "r.abs()"))) + """
= linalg.qr(f(3, 2), 'r')[1].abs() # nograd
""",
    "linalg.svd svd": "?f(3, 2)\n?f(2, 3, 4)\n?f(0, 3)\n?f(3, 2), False",
    "(svd)": """
= (lambda u, s, v: (u @ torch.diag_embed(s) @ v, s, u.abs()))(*linalg.svd(f(3, 2), False))
= (lambda u, s, v: (u * s) @ v)(*linalg.svd(f(2, 4), full_matrices=False))
= torch.svd(f(3, 2))[1]
= (lambda u, s, v: (u * s) @ v.mT)(*torch.svd(f(3, 2)))
= torch.svd(f(3, 2), compute_uv=False)[1] # nograd
= linalg.svd(f(2, 3, 3)).S
""",
    "linalg.svdvals": "f(3, 2)\nf(2, 3, 3)\nf(0, 3)\n! f(3)",
    "linalg.eigh": "?spd(3)\n?spd(2, 3)\n?spd(3), 'U'",
    "(eigh)": """
= (lambda w, q: (w, (q * w) @ q.mH, q.abs()))(*linalg.eigh(spd(3)))
= linalg.eigh(spd(2, 3)).eigenvalues
= linalg.eigh(f(3, 3), UPLO='U')[0]
!= linalg.eigh(f(3, 3), 'X')
""",
    "linalg.eigvalsh": "spd(3)\nspd(2, 3)\nf(3, 3), 'U' # nograd\n! f(2, 3)",
    "linalg.eig": "?dd(3)\n?f(2, 3, 3)\n! f(2, 3)",
    "linalg.eigvals": """
? dd(3)
= linalg.eigvals(spd(3)).real.sort()[0] # nograd
= linalg.eigvals(torch.tensor([[0., 1.], [-1., 0.]])).imag.abs() # nograd
""",
    "(eig)": "= (lambda w, v: (v * w) @ linalg.inv(v))(*linalg.eig(dd(3)))",
    "linalg.lu lu": "",
    "(lu)": """
= linalg.lu(f(3, 3))
= linalg.lu(f(4, 2))
= linalg.lu(f(2, 2, 4))
= linalg.lu(f(3, 3), pivot=True).U
= torch.lu(f(3, 3))
= torch.lu_unpack(*torch.linalg.lu_factor(f(3, 3)))
= torch.lu_unpack(*torch.linalg.lu_factor(f(2, 3, 3)))
= torch.lu_unpack(*torch.linalg.lu_factor(f(3, 3)), unpack_pivots=False)[1:]
""",
    "linalg.lu_factor linalg.lu_factor_ex": "f(3, 3)\nf(4, 2)\nf(2, 3, 3)\n! f(3)",
    "lu": "f(3, 3)\nf(2, 3, 3)",
    "lu_unpack": "= torch.lu_unpack(*torch.linalg.lu_factor(f(3, 3)))",
    "lu_solve": "= torch.lu_solve(f(3, 2), *linalg.lu_factor(dd(3)))",
    "linalg.lu_solve": """
= linalg.lu_solve(*linalg.lu_factor(dd(3)), f(3, 2))
= linalg.lu_solve(*linalg.lu_factor(dd(3)), f(2, 3), left=False)
= linalg.lu_solve(*linalg.lu_factor(dd(3)), f(3, 2), adjoint=True)
""",
    "linalg.ldl_factor linalg.ldl_factor_ex": "spd(3) # nograd\nspd(2, 3) # nograd",
    "linalg.ldl_solve": "= linalg.ldl_solve(*linalg.ldl_factor(spd(3)), f(3, 2)) # nograd",
    "linalg.lstsq": """
? f(4, 2), f(4, 3)
= linalg.lstsq(f(4, 2), f(4, 3)).solution
= linalg.lstsq(f(4, 2), f(4, 3), driver='gelsd').rank
= linalg.lstsq(f(4, 2), f(4, 3)).residuals # nograd
= linalg.lstsq(f(2, 4), f(2, 1)).solution
= linalg.lstsq(f(3, 4, 2), f(3, 4, 1))[0]
""",
    "linalg.householder_product orgqr": "f(4, 3), f(3)\nf(2, 4, 2), f(2, 2)\n! f(2, 3), f(2)",
    "ormqr": """
f(3, 3), f(3), f(3, 2) # nograd
f(3, 3), f(3), f(2, 3), False # nograd
f(3, 3), f(3), f(3, 2), True, True # nograd
""",
    "geqrf": "f(3, 3) # nograd\nf(4, 2) # nograd",
    "linalg.matrix_norm": """
f(2, 3)
f(2, 3), 'nuc'
f(2, 3), inf
f(2, 3), -inf
f(2, 3), 1
f(2, 3), -1
f(3, 3), 2
f(3, 3), -2
f(2, 3, 4), 'fro', (0, 2)
f(2, 3), 'fro', (-2, -1), True
f(2, 3), dtype=torch.float64
! f(3)
! f(2, 3), 3
""",
    "linalg.vector_norm": """
f(2, 3)
f(2, 3), 1
f(2, 3), 3, 1
f(2, 3), inf, 0
f(2, 3), -inf
f(2, 3), 0
f(2, 3), 0.5
f(2, 3), 2, (0, 1), True
f(2, 3), ord=2, dim=-1, dtype=torch.float64
f(0)
! f(0), inf
""",
    "linalg.norm": """
f(2, 3)
f(3), 1
f(2, 3), 'fro'
f(2, 3), 'nuc'
f(2, 3), 2
f(2, 3), 1, 1
f(2, 3), ord=inf, dim=(0, 1)
f(2, 3), 2, dim=0, keepdim=True
f(2, 3, 2)
! f(2, 3), 'x'
""",
    "linalg.cond": """
dd(3)
dd(3), 2
dd(3), 'fro'
dd(3), 1
dd(3), inf
f(4, 2)
dd(2, 3), -2
! f(2, 3), 1
""",
    "linalg.matrix_rank": """
f(3, 2)
spd(3), hermitian=True
v([[1., 2.], [2., 4.]])
f(2, 3, 3)
= linalg.matrix_rank(f(3, 3), tol=1.0)
= linalg.matrix_rank(f(3, 3), rtol=0.3)
""",
    "linalg.matrix_exp matrix_exp": "f(3, 3)\nf(2, 2, 2)\nf(0, 0)\n! f(2, 3)",
    "linalg.tensorinv": "f(4, 2, 2), 1\nf(2, 3, 6)\n! f(2, 3, 4)",
    "linalg.tensorsolve": """
f(2, 3, 6), f(2, 3)
f(6, 2, 3), f(6)
= linalg.tensorsolve(f(2, 6, 3), f(2, 3), dims=(1,)) # nograd
""",
    "linalg.vander": "f(3)\n= linalg.vander(f(2, 3), N=4)\ni(3)\n! f()",
}
del CASES["linalg.lu lu"]
CASES["linalg.lu"] = "f(3, 3)\nf(4, 2)\n! f(3)"
