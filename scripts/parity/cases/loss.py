"""Losses."""

FAMILY = "loss"
DTYPES = "float16 bfloat16 int64"

_REDUCED = ("'none'", "'mean'", "'sum'")


def _with_reductions(call):
    return "\n".join(f"{call}, reduction={r}" for r in _REDUCED)


CASES = {
    "F.mse_loss F.l1_loss": "f(2, 3), f(2, 3)\nf(), f()\nf(2, 3), f(3)\n" +
        _with_reductions("f(2, 3), f(2, 3)") + """
f(0, 3), f(0, 3) # nograd
f(2, 3), f(2, 3), weight=f(2, 3)
! f(2, 3), f(2, 4)
! f(3), f(3), reduction='all'
""",
    "F.smooth_l1_loss": "f(2, 3), f(2, 3)\nf(2, 3), f(2, 3), beta=0.5\nf(4), f(4), beta=0.0\n" +
        _with_reductions("f(2, 3), f(2, 3)") + """
! f(3), f(3), beta=-1.0
v([1., 2.]), v([0., 2.])
""",
    "F.huber_loss": "f(2, 3), f(2, 3)\nf(2, 3), f(2, 3), delta=0.5\n" +
        _with_reductions("f(2, 3), f(2, 3)") + """
f(2, 3), f(2, 3), weight=f(2, 3)
! f(3), f(3), delta=0.0
""",
    "F.cross_entropy": """
f(4, 3), idx(3, 4)
f(4, 3), f(4, 3, lo=0, hi=1)
f(3), idx(3)
f(2, 3, 4), idx(3, 2, 4)
f(2, 3, 4, 2), idx(3, 2, 4, 2)
f(4, 3), idx(3, 4), f(3, lo=0.1, grad=False)
f(4, 3), idx(3, 4), ignore_index=1
f(4, 3), idx(3, 4), label_smoothing=0.2
f(4, 3), idx(3, 4), f(3, lo=0.1, grad=False), label_smoothing=0.2, ignore_index=0
f(4, 3), f(4, 3, lo=0, hi=1), f(3, lo=0.1, grad=False), label_smoothing=0.3
f(2, 3, 4), f(2, 3, 4, lo=0, hi=1)
""" + _with_reductions("f(4, 3), idx(3, 4)") + "\n" +
        _with_reductions("f(4, 3), idx(3, 4), f(3, lo=0.1, grad=False)") + "\n" +
        _with_reductions("f(2, 3, 4), idx(3, 2, 4), label_smoothing=0.1") +
        """
f(2, 3), torch.tensor([-100, 1])
f(2, 3), torch.tensor([-100, -100]) # nograd
! f(4, 3), v([3, 0, 0, 0], 'int64')
! f(4, 3), idx(3, 5)
! f(4, 3), f(4, 3), ignore_index=1
! f(4, 3), idx(3, 4), label_smoothing=1.5
! f(4, 3), idx(3, 4), f(2)
f(0, 3), idx(3, 0) # nograd
""",
    "F.nll_loss": """
f(4, 3), idx(3, 4)
f(3), idx(3)
f(2, 3, 4), idx(3, 2, 4)
f(4, 3), idx(3, 4), f(3, lo=0.1, grad=False)
f(4, 3), idx(3, 4), ignore_index=1
""" + _with_reductions("f(4, 3), idx(3, 4)") +
        "\n" + _with_reductions("f(2, 3, 4, 2), idx(3, 2, 4, 2), f(3, lo=0.1, grad=False)") +
        "\n! f(4, 3), v([3, 0, 0, 0], 'int64')\n! f(4, 3), idx(3, 5)",
    "F.binary_cross_entropy": "f(2, 3, lo=0, hi=1), f(2, 3, lo=0, hi=1)\n" + _with_reductions(
        "f(2, 3, lo=0, hi=1), f(2, 3, lo=0, hi=1, grad=False)") + """
f(2, 3, lo=0, hi=1), f(2, 3, lo=0, hi=1, grad=False), f(3, lo=0, grad=False)
v([0., 1., 0., 1.]), v([0., 1., 1., 0.], grad=False)
! f(3, lo=2), f(3, lo=0, hi=1)
! f(3, lo=0, hi=1), f(4, lo=0, hi=1)
""",
    "F.binary_cross_entropy_with_logits": "f(2, 3), f(2, 3, lo=0, hi=1)\n" + _with_reductions(
        "f(2, 3), f(2, 3, lo=0, hi=1, grad=False)") + """
f(2, 3), f(2, 3, lo=0, hi=1), f(3, lo=0, grad=False)
f(2, 3), f(2, 3, lo=0, hi=1), pos_weight=f(3, lo=0, grad=False)
f(3, lo=-60, hi=60), f(3, lo=0, hi=1)
! f(3), f(4)
""",
    "binary_cross_entropy_with_logits": """
f(2, 3), f(2, 3, lo=0, hi=1)
f(2, 3), f(2, 3, lo=0, hi=1), None, None, 2
""",
    "F.kl_div": """
f(2, 3), f(2, 3, lo=0.1, hi=1)
""" + _with_reductions("f(2, 3), f(2, 3, lo=0.1, hi=1)") +
        """
f(2, 3), f(2, 3, lo=0.1), reduction='batchmean'
f(2, 3), f(2, 3), log_target=True
v([-1., -2.]), v([0., 1.])
""",
    "kl_div": "f(2, 3), f(2, 3, lo=0.1, hi=1)\nf(2, 3), f(2, 3), 2, log_target=True",
    "F.poisson_nll_loss": """
f(2, 3), f(2, 3, lo=0.5)
""" + _with_reductions("f(2, 3), f(2, 3, lo=0.5)") +
        "\nf(2, 3, lo=0.1), f(2, 3, lo=0.5), log_input=False\nf(2, 3), f(2, 3, lo=0.5), full=True",
    "poisson_nll_loss": "f(2, 3), f(2, 3, lo=0.5), True, False, 1e-8, 1",
    "F.gaussian_nll_loss": """
f(2, 3), f(2, 3), f(2, 3, lo=0.1)
f(2, 3), f(2, 3), f(2, 1, lo=0.1)
f(2, 3), f(2, 3), f(2, lo=0.1), full=True
""" + _with_reductions("f(2, 3), f(2, 3), f(2, 3, lo=0.1)") +
        "\nf(3), f(3), 2.0\n! f(3), f(3), f(3, lo=-3, hi=-1)",
    "F.hinge_embedding_loss": "f(2, 3), torch.tensor([1, -1, 1])\n" + _with_reductions(
        "f(3), torch.tensor([1, -1, -1])") + "\nf(3), torch.tensor([1, -1, 1]), 0.3",
    "hinge_embedding_loss": "f(3), torch.tensor([1, -1, 1])",
    "F.soft_margin_loss": "f(2, 3), torch.tensor([1, -1, 1]).expand(2, 3).to(f(1).dtype)\n" +
        _with_reductions("f(3), torch.tensor([1., -1., 1.])"),
    "F.margin_ranking_loss": "f(3), f(3), torch.tensor([1, -1, 1])\n" + _with_reductions(
        "f(3), f(3), torch.tensor([1, -1, 1]), 0.5") + """
! f(3), f(2, 3), torch.tensor([1, -1, 1])
""",
    "margin_ranking_loss": "f(3), f(3), torch.tensor([1, -1, 1])",
    "F.cosine_embedding_loss": """
f(3, 4), f(3, 4), torch.tensor([1, -1, 1])
f(4), f(4), torch.tensor(1)
""" +
        _with_reductions("f(3, 4), f(3, 4), torch.tensor([1, -1, 1]), 0.3"),
    "cosine_embedding_loss": "f(3, 4), f(3, 4), torch.tensor([1, -1, 1])",
    "F.triplet_margin_loss": """
f(3, 4), f(3, 4), f(3, 4)
f(3, 4), f(3, 4), f(3, 4), 0.5, 1
f(3, 4), f(3, 4), f(3, 4), swap=True
""" + _with_reductions("f(3, 4), f(3, 4), f(3, 4)"),
    "triplet_margin_loss": "f(3, 4), f(3, 4), f(3, 4)",
    "F.triplet_margin_with_distance_loss": """
f(3, 4), f(3, 4), f(3, 4)
= FN(f(3, 4), f(3, 4), f(3, 4), distance_function=lambda a, b: (a - b).abs().sum(-1), margin=0.5, \
swap=True)
""",
    "F.multi_margin_loss": """
f(3, 4), idx(4, 3)
f(4), idx(4)
f(3, 4), idx(4, 3), 2, 0.5
f(3, 4), idx(4, 3), weight=f(4, lo=0, grad=False)
""" + _with_reductions("f(3, 4), idx(4, 3)") + """
! f(3, 4), idx(4, 2)
""",
    "F.multilabel_margin_loss": """
f(4), v([2, 0, -1, 1], 'int64')
f(2, 3), v([[1, -1, 0], [2, 0, 1]], 'int64')
""" + _with_reductions("f(2, 3), v([[1, -1, 0], [2, 0, 1]], 'int64')") + """
! f(4), v([4, 0, -1, 1], 'int64')
""",
    "F.multilabel_soft_margin_loss": "f(2, 3), b(2, 3).to(f(1).dtype)\n" + _with_reductions(
        "f(2, 3), b(2, 3).to(f(1).dtype)") + """
f(2, 3), b(2, 3).to(f(1).dtype), f(3, lo=0, grad=False)
""",
    "F.ctc_loss ctc_loss": """
F.log_softmax(f(6, 2, 4), 2), v([[1, 2, 1], [3, 1, 2]], 'int64'), (6, 5), (3, 2)
F.log_softmax(f(6, 2, 4), 2), v([[1, 1, 2], [3, 3, 3]], 'int64'), v([6, 6], 'int64'), v([3, 3], \
'int64')
F.log_softmax(f(6, 2, 4), 2), v([1, 2, 1, 3, 2], 'int64'), v([6, 6], 'int64'), v([3, 2], 'int64')
F.log_softmax(f(6, 4), 1), v([1, 2], 'int64'), v(6, 'int64'), v(2, 'int64')
F.log_softmax(f(6, 2, 4), 2), v([[0, 2, 1], [0, 1, 2]], 'int64'), (6, 5), (3, 2), blank=3
""" + "\n".join(f"= F.ctc_loss(F.log_softmax(f(6, 2, 4), 2), v([[1, 2, 1], [3, 1, 2]], 'int64'), "
         f"(6, 5), (3, 2), reduction={r})" for r in _REDUCED) + """
= F.ctc_loss(F.log_softmax(f(2, 2, 4), 2), v([[1, 2, 1], [3, 1, 2]], 'int64'), (2, 2), (3, 2), \
reduction='none') # nograd
= F.ctc_loss(F.log_softmax(f(2, 2, 4), 2), v([[1, 2, 1], [3, 1, 2]], 'int64'), (2, 2), (3, 2), \
zero_infinity=True)
""",
}
