"""Reductions, cumulative functions and statistics."""

FAMILY = "reduction"

_ALL = """
f(2, 3)
f()
f(4, 0)
f(2, 3, 4)
i(2, 3)
i(4, dtype="int32")
i(4, lo=0, hi=200, dtype="uint8")
b(2, 3)
v([1.0, nan, 3.0]) # nograd
"""
_DIM = """
f(2, 3), 1
f(2, 3), -1
f(2, 3), 0, True
f(2, 3, 4), dim=1, keepdim=True
f(), 0
f(3, 0), 0
! f(2, 3), 2
! f(2, 3), -3
"""
_DIMS = _DIM + """
f(2, 3, 4), (0, 2)
f(2, 3, 4), [1, -1], True
f(2, 3), dim=()
f(0, 3), (0,)
! f(2, 3), (0, 0)
"""
_TIES = "v([[1., 3., 3.], [2., 2., 1.]])\n"

CASES = {
    "sum": _ALL + _DIMS + """
f(2, 3), dtype=torch.float64
f(2, 3), 1, dtype=torch.float64
i(3), dtype=torch.float32
f(2, 3), axis=1
f(2, 3), 1, keepdims=True
input=f(3)
f(2, 3), None
f(2, 3), 'x' # nograd
""".replace("f(2, 3), 'x' # nograd\n", ""),
    "nansum": _ALL + _DIM + "v([[1., nan], [nan, nan]]), 1",
    "mean": "f(2, 3)\nf()\nf(2, 0) # nograd\n! i(2, 3)\n" + _DIMS +
            "i(2, 3), dtype=torch.float32\nf(2, 3), 1, True, dtype=torch.float64",
    "nanmean": "f(2, 3)\nv([[1., nan], [nan, nan]]), 1 # nograd\nf(2, 3), (0, 1)\nf(2, 3), 1, True",
    "prod": _ALL + _DIM + """f(2, 3), dtype=torch.float64
f(2, 3), 1, True, dtype=torch.float64
v([0., 2., 3.])
v([0., 0., 3.])
v([[0., 2.], [1., 3.]]), 1
""",
    "all any": """
b(2, 3)
b()
b(0)
f(2, 3)
i(2, 3, dtype='uint8')
b(2, 3), 1
b(2, 3), 0, True
b(2, 3, 4), (0, 2)
b(2, 3), dim=-1, keepdim=True
b(2, 0), 1
! b(2, 3), 2
""",
    "amax amin": "f(2, 3)\nf(2, 3), 1\nf(2, 3), (0, 1), True\nf()\nf(2, 3, 4), [0, -1]\n" + _TIES +
                 """v([[1., 3., 3.], [2., 2., 1.]]), 1
v([1.0, nan]) # nograd
f(0, 3), 1
! f(0, 3), 0
! f(2, 3), 2
! f(0)
""",
    "max min": """
f(2, 3)
f()
f(2, 3), 1
f(2, 3), 0, True
f(2, 3), dim=-1, keepdim=True
f(2, 3), f(3)
i(2, 3), f(3)
f(), 0
v([1.0, nan, 2.0]) # nograd
v([[1.0, nan], [nan, nan]]), 1 # nograd
""" + _TIES +
               "v([[1., 3., 3.], [2., 2., 1.]]), 1\nf(0, 3), 1\n! f(0)\n! f(2, 3), 2\n! f(0, 3), 0",
    "aminmax": """
f(2, 3)
= torch.aminmax(f(2, 3), dim=1)
= torch.aminmax(f(2, 3), dim=0, keepdim=True)
= f(4).aminmax()
!= torch.aminmax(f(0))
v([1.0, nan]) # nograd
""",
    "argmax argmin": """
f(2, 3)
f()
f(2, 3), 1
f(2, 3), 0, True
f(2, 3), dim=-1, keepdim=True
v([1.0, nan, 2.0])
v([1., 3., 3.])
v([[1., 3., 3.], [2., 2., 1.]]), 1
i(6)
! f(0)
! f(2, 3), 2
f(2, 3), None
f(0, 3), 1
""",
    "logsumexp special.logsumexp": """
f(2, 3), 1
f(2, 3), (0, 1), True
f(2, 3), dim=0, keepdim=True
f(), 0
v([[-inf, -inf], [inf, 1.], [1000., 1000.]]), 1 # nograd
f(0, 3), 0
i(2, 3), 1
! f(2, 3), 2
""",
    "count_nonzero": """
f(2, 3)
i(2, 3), 1
i(2, 3), (0, 1)
b(4)
i(), 0
i(2, 3), dim=0
! f(2), 1
""",
    "std var": """
f(2, 3)
f(4), False
f(2, 3), 1
f(2, 3), (0, 1)
f(2, 3), 1, False
f(2, 3), 1, True, True
f(2, 3), dim=0, correction=0
f(2, 3), dim=1, correction=2, keepdim=True
f(2, 3), unbiased=False
f(2, 3, 4), [0, 2], keepdim=True
f(1) # nograd
f(0) # nograd
f(2, 3), dim=None
v([2.0, 2.0, 2.0])
! i(3)
! f(2, 3), 2
""",
    "std_mean var_mean": """
f(2, 3)
f(2, 3), 1
f(2, 3), 1, False, True
f(2, 3), dim=(0, 1), correction=0
f(4), False
! i(3)
""",
    "median nanmedian": """
u(5)
u(6)
u(3, 4), 1
u(3, 4), 0, True
u(3, 5), dim=-1, keepdim=True
f()
v([1.0, nan, 2.0]) # nograd
v([[1.0, nan, 2.0], [3., 1., 2.]]), 1 # nograd
i(7)
f(0) # nograd
! f(2, 3), 2
""",
    "mode": """
v([1., 2., 2., 3., 3., 3.])
v([[1., 1., 2.], [3., 2., 2.]]), 1
v([[1., 1., 2.], [1., 2., 2.]]), 0, True
i(9, lo=0, hi=2)
f()
! f(2, 3), 2
""",
    "quantile nanquantile": """
f(5), 0.5 # float
f(2, 3), v([0.0, 0.25, 1.0], grad=False) # float
f(2, 5), 0.3, 1 # float
f(2, 5), 0.3, 1, True # float
f(2, 5), v([0.1, 0.9], grad=False), dim=0, keepdim=True # float
f(6), 0.37, interpolation='lower' # float
f(6), 0.37, interpolation='higher' # float
f(6), 0.37, interpolation='nearest' # float
f(6), 0.37, interpolation='midpoint' # float
v([1.0, nan, 2.0]), 0.5 # float nograd
! f(4), 1.5
! i(4), 0.5
! f(4), 0.5, interpolation='cubic'
""",
    "norm": """
f(2, 3)
f(2, 3), 1
f(2, 3), 2, 1
f(2, 3), p=inf, dim=0
f(2, 3), p=-inf, dim=0
f(2, 3), 0, 1
f(2, 3), 3, 1, True
f(2, 3), 'fro'
f(3, 3), 'nuc'
f(2, 3, 4), p=2, dim=(0, 2)
f(2, 3), 2, 1, dtype=torch.float64
v([0.0, 0.0])
! i(3)
""",
    "dist": "f(2, 3), f(2, 3)\nf(2, 3), f(3), 1\nf(3), f(3), inf\nf(3), f(3), 3\nf(3), f(3), 0",
    "cumsum": """
f(2, 3), 1
f(2, 3), 0
f(4), -1
f(), 0
f(0, 3), 0
i(4, dtype='int32'), 0
b(4), 0
f(4), 0, dtype=torch.float64
f(4), dim=0
! f(2, 3), 2
! f(2)
""",
    "cumprod": """
f(2, 3), 1
f(2, 3), 0
f(4), -1
f(), 0
f(0, 3), 0
i(4, dtype='int32'), 0
v([2., 0., 3., 0., 1.]), 0
f(4), 0, dtype=torch.float64
! f(2, 3), 2
! f(2)
""",
    "logcumsumexp": """
f(2, 3), 1
f(2, 3), 0
f(4), -1
f(), 0
v([-inf, -inf, 1., inf]), 0 # nograd
! f(2, 3), 2
""",
    "cummax cummin": """
f(2, 3), 1
f(2, 3), 0
f(4), -1
f(), 0
v([1., 3., 3., 2.]), 0
v([1., nan, 2.]), 0 # nograd
i(5), 0
f(0, 3), 0
! f(2, 3), 2
""",
    "diff": """
f(5)
f(2, 4)
f(2, 4), 2
f(4, 2), 1, 0
f(2, 4), n=1, dim=-1, prepend=f(2, 1)
f(3), append=f(2)
b(4)
i(4)
! f()
! f(3), -1
""",
    "trapezoid trapz": """
f(4)
f(2, 4), dx=0.5
f(2, 4), f(4)
f(4, 2), dim=0
f(4), f(4)
f(2, 4), f(2, 4), dim=1
! f(4), f(3)
""",
    "cumulative_trapezoid": "f(4)\nf(2, 4), dx=0.5\nf(2, 4), f(4)\nf(4, 2), dim=0",
    "gradient": """
f(5)
= torch.gradient(f(5), spacing=2.0)
= torch.gradient(f(4, 4))
= torch.gradient(f(4, 5), dim=1)
= torch.gradient(f(5), spacing=(torch.tensor([0., 1., 3., 4., 7.]),))
= torch.gradient(f(5), edge_order=2)
""",
    "cov": """
f(3, 5)
f(4)
= torch.cov(f(2, 5), correction=0)
= torch.cov(f(2, 4), fweights=torch.tensor([1, 2, 1, 3]))
= torch.cov(f(2, 4), aweights=torch.tensor([.1, .2, .3, .4]).to(f(1).dtype))
! f(2, 2, 2)
""",
    "corrcoef": "f(3, 5)\nf(4)\n! f(2, 2, 2)",
    "histc": """
f(20), 4 # nograd
f(20), 5, -1, 1 # nograd
f(20), bins=3, min=0, max=2 # nograd
v([1., 1., 1.]), 3 # nograd
! f(4), 0
! f(4), 3, 2, 1
""",
    "histogram": """
f(20), 4 # nograd float
f(20), v([-2., 0., 1., 3.]) # nograd float
= torch.histogram(f(20), bins=3, range=(-1., 2.), density=True) # nograd float
= torch.histogram(f(5), bins=2, weight=f(5)) # nograd float
""",
    "histogramdd": "f(20, 2), [2, 3] # nograd float",
    "bincount": """
i(9, lo=0, hi=5)
i(9, lo=0, hi=5), minlength=8
i(4, lo=0), f(4, grad=False)
i(0)
! i(4, lo=-3, hi=-1)
! f(3)
! i(2, 2, lo=0)
""",
    "trace": "f(3, 3)\nf(2, 4)\ni(3, 3)\nf(0, 3)\n! f(3)\n! f(2, 2, 2)",
    "renorm": """
f(3, 4), 2, 0, 1.0
f(3, 4), 1, 1, 2.0
f(2, 3, 4), 3.0, 1, 0.5
! f(3, 4), 2, 5, 1.0
""",
    "numel": "f(2, 3)\nf()\nf(0)",
    "Tensor.sum_to_size": "f(2, 3), 1, 3\nf(2, 3), (2, 1)\nf(4, 2, 3), 3\n! f(2, 3), 2",
    "unique": """
i(9)
f(3, 3)
= torch.unique(i(9), return_inverse=True, return_counts=True)
= torch.unique(i(4, 2, lo=0, hi=2), dim=0)
= torch.unique(i(2, 5, lo=0, hi=2), return_counts=True, dim=1)
= i(6).unique(sorted=True)
b(4)
i(0)
""",
    "unique_consecutive": """
i(9, lo=0, hi=2)
= torch.unique_consecutive(i(9, lo=0, hi=2), return_inverse=True, return_counts=True)
= torch.unique_consecutive(i(6, 2, lo=0, hi=1), dim=0)
i(0)
""",
}
