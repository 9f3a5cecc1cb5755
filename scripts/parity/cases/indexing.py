"""Indexing functions, and x[...] read and written."""

FAMILY = "indexing"

_GET = [
    "0", "-1", "1:", ":-1", "::2", "1:1", "...", "None", "0, 1", "0, 1, 2", ":, 1", "..., 1",
    "1, ...",
    ":, None, 1", "None, ..., None", "[0, 1]", "[[0, 1]]", "[1, -1], [0, 2]", "[1, -1], :, 1",
    ":, [0, 2], 1:3", "[0, 1], :, [2, 3]", ":, [0, 2], [1, 3]", "0, [0, 2]", "0, :, [1, 3]",
    "torch.tensor([1, 0])", "torch.tensor(1)", "torch.tensor([[1, 0], [0, 1]])",
    ":, torch.tensor([2, 0])", "torch.tensor([True, False])", "b(2, 3)", "b(2, 3, 4)",
    ":, torch.tensor([True, False, True])", "True", "False", "None, True", "[True, False]",
    "np.array([0, 1])", "np.int64(1)", "slice(None), np.array([0, 2])",
    "torch.tensor([0, 1])[:, None], torch.tensor([0, 2])",
    "torch.tensor([0, 1], dtype=torch.uint8)",
    "torch.tensor([], dtype=torch.int64)", "[]", "()", "(1, slice(0, 2))", ":, :, ::3",
    "torch.tensor([1, 0], dtype=torch.int32)", "..., [0, 3], None", "range(2)",
]
_BAD = ["2", "0, 3", "0, 0, 0, 0", "[0, 5]", "::-1", "::0", "1.5", "'a'", "torch.tensor([5])",
        "torch.tensor([1.0])", "b(3, 3)", "..., ..., 0", "[0, 1], [0, 1, 2]",
        "torch.tensor([True])"]
_SETTERS = ["1.5", "f(1, grad=False)", "i()", "True"]
_INDEX_PUT = "(torch.tensor([0, 2]),)"

CASES = {
    "Tensor.__getitem__": "\n".join([f"= f(2, 3, 4)[{x}]" for x in _GET] +
                                    [f"!= f(2, 3, 4)[{x}]" for x in _BAD] +
                                    ["= f()[...]", "= f()[None]", "= f()[True]", "= f()[()]",
                                    "!= f()[0]",
                                     "= i(3)[i(3) > 0]", "= f(5)[torch.tensor(2)]",
                                     "= f(0, 3)[:, 1]",
                                     "= f(3, 3)[torch.eye(3).bool()]"]),
    "Tensor.__setitem__": "\n".join(
        [f"> r = f(2, 3, 4); r[{x}] = 1.5" for x in _GET] +
        [f"!> r = f(2, 3, 4); r[{x}] = 0" for x in _BAD] +
        [f"> r = f(3, 2); r[1] = {x}" for x in _SETTERS] + [
            "> r = f(3, 2); r[1:] = f(2, 2)", "> r = f(3, 2); r[:, 1] = f(3)",
            "> r = f(3, 2); r[[0, 2]] = f(2, 2)", "> r = f(3, 2); r[[0, 2], [1, 0]] = f(2)",
            "> r = f(3, 2); r[b(3, 2)] = 7",
            "> r = f(3, 2); r[torch.tensor([True, False, True])] = f(2)",
            "> r = f(3, 2); r[torch.tensor([True, False, True])] = f(2, 2)",
            "> r = f(3, 2); r[r > 0] = r[r > 0] * 2", "> r = i(4); r[1] = 2.7",
            "> r = f(); r[...] = 2",
            "> r = f(3, 2); r[0] += 1", "> r = f(3, 2); r[:, 0] *= f(3)",
            "> r = f(4); r[::2] = r[1::2]",
            "!> r = f(3, 2); r[0] = f(3)", "!> r = f(3, 2); r[1:] = f(3, 2)",
            "!> r = f(3); r[0] = 'a'",
            "!> r = f(3, 2); r[1] = np.array([1.0, 2.0])", "> r = f(3, 2); r[1] = f(1, 2)"]),
    "index_select": """
f(3, 4), 0, idx(3, 2)
f(), 0, idx(1, 1)
f(3, 4), 0, idx(3)
f(3, 4), 1, idx(4, 5)
f(3, 4), dim=-1, index=idx(4, 2)
f(5), 0, idx(5)
f(3, 4), 0, idx(3, 0)
f(3), 0, i(2, lo=0, hi=3, dtype='int32')
! f(3, 4), 0, v([5], 'int64')
! f(3, 4), 2, idx(3, 2)
! f(3, 4), 0, f(2)
! f(3, 4), 0, idx(3, 2, 2)
""",
    "gather": """
f(3, 4), 1, idx(4, 3, 2)
f(3, 4), 1, i(3, 2, lo=0, hi=4, dtype='int32')
f(3, 4), 0, idx(3, 2, 4)
f(5), 0, idx(5, 7)
f(3, 4), dim=-1, index=idx(4, 2, 2)
f(), 0, idx(1)
f(3, 4), 1, idx(4, 3, 2), sparse_grad=False
f(3), 0, idx(3, 0)
! f(3, 4), 1, v([[4]], 'int64')
! f(3, 4), 2, idx(3, 2, 2)
! f(3, 4), 0, idx(3, 2)
! f(3, 4), 0, f(2, 2)
""",
    "scatter": """
f(3, 4), 1, idx(4, 3, 1), f(3, 1)
f(3, 4), 0, idx(3, 1, 4), 2.5
f(3, 5), 1, torch.tensor([[0, 3]]), f(3, 5) # nograd
= torch.scatter(f(3, 4), 1, idx(4, 3, 2), f(3, 2), reduce='add') # nograd
= torch.scatter(f(3, 4), 1, idx(4, 3, 2), f(3, 2), reduce='multiply') # nograd
! f(3, 4), 1, v([[4]], 'int64'), 1.0
! f(3, 4), 2, idx(3, 1, 1), 1.0
! f(3, 4), 1, idx(4, 3, 1), f(2, 1)
""",
    "scatter_add": """
f(3, 4), 1, idx(4, 3, 6), f(3, 6)
f(3, 4), 0, idx(3, 5, 4), f(5, 4)
f(5), 0, idx(5, 7), f(7)
f(3, 4), dim=-1, index=idx(4, 2, 3), src=f(3, 4) # nograd
! f(3, 4), 1, v([[4]], 'int64'), f(1, 1)
! f(3, 4), 1, idx(4, 3, 2), f(2, 2)
""",
    "scatter_reduce": "\n".join(
        f"f(3, 4), 1, idx(4, 3, 6), f(3, 6), '{r}'\nf(5), 0, idx(5, 8), f(8), reduce='{r}', "
        "include_self=False" for r in ("sum", "prod", "mean", "amax", "amin")) +
        "\n! f(3), 0, idx(3, 2), f(2), 'median'",
    "index_add": """
f(3, 4), 0, idx(3, 5), f(5, 4)
f(3, 4), 1, idx(4, 2), f(3, 2), alpha=2
f(5), 0, idx(5, 3), f(3)
! f(3, 4), 0, v([3], 'int64'), f(1, 4)
! f(3, 4), 0, idx(3, 2), f(3, 4)
""",
    "index_copy": """
f(3, 4), 0, v([2, 0], 'int64'), f(2, 4)
f(3, 4), 1, v([3, 1], 'int64'), f(3, 2)
! f(3, 4), 0, v([3], 'int64'), f(1, 4)
""",
    "index_fill": """
f(3, 4), 0, v([2, 0], 'int64'), 1.5
f(3, 4), 1, idx(4, 2), v(2.0)
f(5), -1, idx(5, 2), 0
! f(3, 4), 0, v([3], 'int64'), 1.0
""",
    "index_put": f"f(3, 4), {_INDEX_PUT}, f(4)\nf(3, 4), {_INDEX_PUT}, v(2.0)" + """
f(3, 4), (idx(3, 5), idx(4, 5)), f(5), accumulate=True
f(3, 4), (b(3, 4),), v(1.5)
! f(3, 4), (v([3], 'int64'),), f(4)
""",
    "index_reduce": "\n".join(
        f"f(3, 4), 0, idx(3, 5), f(5, 4), '{r}'\n"
        f"f(3, 4), 0, idx(3, 5), f(5, 4), '{r}', include_self=False"
        for r in ("prod", "mean", "amax", "amin")),
    "take": """
f(3, 4), idx(12, 2, 2)
f(3), v([-1, 0], 'int64')
f(), v([0], 'int64')
! f(3), v([3], 'int64')
! f(3), f(2)
""",
    "take_along_dim": """
f(3, 4), idx(4, 3, 2), 1
f(3, 4), idx(12, 5)
f(3, 4), idx(4, 1, 2), dim=1
f(3, 4), idx(3, 2, 1), 0
""",
    "put": """
f(3, 4), v([1, 5], 'int64'), f(2)
f(3, 4), v([1, 1, 5], 'int64'), f(3), True
f(3), v([-1], 'int64'), f(1)
! f(3), v([3], 'int64'), f(1)
""",
    "masked_fill": """
f(2, 3), b(2, 3), 1.5
f(2, 3), b(3), v(2.0)
f(3), b(2, 3), 0
i(3), b(3), 2
! f(3), i(3), 1.0
! f(3), b(3), f(2)
""",
    "masked_select": """
f(2, 3), b(2, 3)
f(2, 3), b(3)
f(3), b(2, 3)
f(3), torch.zeros(3, dtype=torch.bool)
! f(3), i(3)
! f(3), b(4)
""",
    "masked_scatter": """
f(2, 3), b(2, 3), f(6)
f(2, 3), b(3), f(6)
! f(3), torch.ones(3, dtype=torch.bool), f(2)
! f(3), b(3), i(3)
""",
    "select": """
f(2, 3), 0, 1
f(2, 3), 1, -1
f(2, 3), dim=-1, index=0
! f(2, 3), 0, 2
! f(), 0, 0
""",
    "narrow": """
f(4, 3), 0, 1, 2
f(4, 3), 1, -2, 2
f(4, 3), dim=0, start=1, length=0
f(4), 0, torch.tensor(1), 2
! f(4, 3), 0, 3, 2
! f(4), 0, 0, -1
""",
    "narrow_copy": "f(4, 3), 0, 1, 2\nf(4, 3), 1, 1, 2",
    "select_scatter": "f(2, 3), f(3), 0, 1\nf(2, 3), f(2), dim=1, index=-1\n! f(2, 3), f(2), 0, 1",
    "slice_scatter": """
f(4, 3), f(2, 3), 0, 1, 3
f(4, 3), f(4, 2), dim=1, start=0, end=3, step=2
f(4), f(4)
! f(4, 3), f(3, 3), 0, 1, 3
""",
    "diagonal_scatter": """
f(3, 3), f(3)
f(3, 4), f(3), 1
f(2, 3, 3), f(2, 3), 0, 1, 2
! f(3, 3), f(2)
""",
    "as_strided_scatter": "f(3, 3), f(2, 2), (2, 2), (1, 2)\nf(9), f(2), (2,), (2,), 1",
    "unravel_index": "i(4, lo=0, hi=11), (3, 4)\nv([2, 5], 'int64'), 8",
    "Tensor.fill_diagonal_": "f(3, 3).clone(), 2\nf(2, 4).clone(), 1.5\nf(7, 3).clone(), 1, True",
    "Tensor.index_copy_": "f(3, 4).clone(), 0, v([2, 0], 'int64'), f(2, 4)",
    "Tensor.put_": "f(3, 4).clone(), v([1, 5], 'int64'), f(2)",
    "Tensor.index_put_": f"f(3, 4).clone(), {_INDEX_PUT}, f(4)",
    "index_put_": f"f(3, 4).clone(), {_INDEX_PUT}, f(4)",
    "Tensor.scatter_": """
f(3, 4).clone(), 1, idx(4, 3, 1), f(3, 1)
f(3, 4).clone(), 1, idx(4, 3, 1), 2
f(3, 4).clone(), 1, idx(4, 3, 2), f(3, 2), reduce='add' # nograd
""",
}
