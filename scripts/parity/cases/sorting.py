"""Sorting and searching."""

FAMILY = "sorting"

CASES = {
    "sort": """
u(5)
u(3, 4)
u(3, 4), 0
u(3, 4), 1, True
u(3, 4), dim=-1, descending=True
f()
f(0)
u(4, 2, 3), 1
v([1.0, nan, 0.5, -inf, inf])
v([1.0, nan, 0.5]), descending=True
i(8), stable=True
i(8, lo=0, hi=2), stable=True, descending=True
b(5), stable=True
! f(2, 3), 2
""",
    "argsort": """
u(5)
u(3, 4)
u(3, 4), 0
u(3, 4), 1, True
u(3, 4), dim=-1, descending=True
f()
i(8), stable=True
i(8), stable=True, dim=0, descending=True
! f(2, 3), 2
""",
    "msort": "u(5)\nu(3, 4)\nf(0)",
    "topk": """
u(5), 2
u(3, 4), 2
u(3, 4), 2, 0
u(3, 4), 3, 1, False
u(3, 4), k=2, dim=1, largest=True, sorted=True
f(), 1
u(5), 0
v([1.0, nan, 2.0]), 2 # nograd
u(4, 3, 5), 2, 1
! f(3), 4
! f(2, 3), 1, 2
! f(2, 3), -1
""",
    "kthvalue": """
u(5), 2
u(3, 4), 2
u(3, 4), 1, 0
u(3, 4), 3, 1, True
f(), 1
! f(3), 4
! f(3), 0
""",
    "searchsorted": """
v([1., 2., 4., 8.], grad=False), v([0., 2., 3., 9.], grad=False)
v([1., 2., 4., 8.], grad=False), v([0., 2., 3., 9.], grad=False), right=True
v([1., 2., 4., 8.], grad=False), 3.0
v([[1., 2., 4.], [0., 5., 6.]], grad=False), v([[2., 3.], [5., 7.]], grad=False)
v([1., 2., 4.], grad=False), v([2.], grad=False), out_int32=True
v([1., 2., 4.], grad=False), v([2.], grad=False), side='right'
v([4., 1., 2.], grad=False), v([1.5, 3.], grad=False), sorter=i(3, lo=0, hi=1) * 0 + \
torch.tensor([1, 2, 0])
! v([1., 2., 4.]), v([2.]), side='up'
""",
    "bucketize": """
v([0., 2., 3., 9.], grad=False), v([1., 2., 4., 8.], grad=False)
v([0., 2.], grad=False), v([1., 2., 4.], grad=False), right=True
2.0, v([1., 2., 4.], grad=False)
v([2.], grad=False), v([1., 2.], grad=False), out_int32=True
""",
    "nonzero": """
i(2, 3)
f(2, 3)
b(3, 2)
i()
i(0)
= torch.nonzero(i(2, 3), as_tuple=True)
= i(2, 3).nonzero(as_tuple=True)
= torch.nonzero(i(), as_tuple=True)
""",
    "nonzero_static": """
= torch.nonzero_static(i(2, 3), size=4)
= torch.nonzero_static(i(2, 3), size=9, fill_value=-5)
= i(2, 3).nonzero_static(size=2)
""",
    "argwhere": "i(2, 3)\nf(3)\nb(2, 2, 2)\ni()\ni(0, 3)",
}
