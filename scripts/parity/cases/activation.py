"""Activations."""

FAMILY = "activation"
DTYPES = "float16 bfloat16 int64 bool"

_ONE = """
f(2, 3)
f()
f(0, 3)
f(7, lo=-8, hi=8)
v([nan, inf, -inf, 0.0, 3.0, -3.0, 6.0, 30.0, -30.0]) # nograd
! [1.0, 2.0]
"""

CASES = {
    "F.relu6 F.hardswish F.hardsigmoid F.silu F.mish":
        _ONE + "> x = f(5).clone(); r = FN(x, inplace=True)\n",
    "F.logsigmoid F.softsign F.tanhshrink": _ONE,
    "F.gelu": _ONE + "f(2, 3), approximate='tanh'\nf(2, 3), approximate='none'\n! f(3), 'sine'",
    "F.elu": _ONE + "f(2, 3), 0.5\nf(2, 3), alpha=2.0\n> x = f(5).clone(); r = FN(x, 1.0, True)\n",
    "celu": _ONE + "f(2, 3), 0.5\nf(2, 3), alpha=2.0\n",
    "F.celu": _ONE + "f(2, 3), 0.5\n> x = f(5).clone(); r = FN(x, 1.0, True)\n",
    "selu": _ONE,
    "F.selu": _ONE + "> x = f(5).clone(); r = FN(x, inplace=True)\n",
    "F.leaky_relu": _ONE + """f(2, 3), 0.2
f(5), negative_slope=-0.3
> x = f(5).clone(); r = FN(x, 0.1, True)
""",
    "F.hardtanh": _ONE + "f(5), -0.5, 1.5\nf(5), min_val=0., max_val=2.\nv([-1.0, 1.0])\n",
    "threshold F.threshold": "f(2, 3), 0.5, 2.0\nf(5), -1, 0\nv([0.5, 1.0]), 0.5, 3.0\ni(5), 1, 20",
    "F.softplus": _ONE + "f(5), 2.0\nf(5, lo=-30, hi=30), 1, 5\nf(5), beta=0.5, threshold=1\n",
    "F.softshrink": _ONE + "f(5), 1.0\nv([0.5, -0.5, 2.0])\n! f(3), -1.0",
    "hardshrink F.hardshrink": _ONE + "f(5), 1.0\nv([0.5, -0.5, 2.0])\n",
    "prelu F.prelu": """
f(2, 3), f(1)
f(2, 3), f(3)
f(2, 3, 4), f(3)
f(2, 3), f()
! f(2, 3), f(2)
""",
    "rrelu F.rrelu": "f(5)\nf(5), 0.2, 0.3\nf(2, 3), 0.1, 0.5, False\n! f(3), 0.5, 0.1",
    "(rrelu in training)": "~ = F.rrelu(torch.ones(3000) * -1, 0.1, 0.5, True)",
    "F.glu": "f(2, 4)\nf(4, 3), 0\nf(2, 6, 3), dim=1\n! f(3)\n! f()",
    "softmax": """
f(2, 3), 1
f(2, 3), 0
f(4), -1
f(2, 3, 4), dim=1
f(), 0
f(2, 0), 1
f(2, 3), 1, dtype=torch.float64
i(3), 0, torch.float32
! f(2, 3), 2
! f(2, 3)
""",
    "log_softmax": """
f(2, 3), 1
f(2, 3), 0
f(4), -1
f(2, 3, 4), dim=1
f(), 0
f(2, 0), 1
f(2, 3), 1, dtype=torch.float64
i(3), 0, torch.float32
! f(2, 3), 2
""",
    "special.softmax special.log_softmax": "f(2, 3), 1\nf(4), 0\nf(2, 3), 1, dtype=torch.float64",
    "F.softmax F.log_softmax F.softmin": """
f(2, 3), 1
f(2, 3), dim=0
f(2, 3, 4), -1
f(), 0
f(2, 3), 1, dtype=torch.float64
f(2, 3), 1, 3, torch.float64
f(3)
f(2, 3)
v([[inf, 0.], [-inf, 0.], [-inf, -inf]]), 1 # nograd
! f(2, 3), 2
""",
    "F.normalize": """
f(2, 3)
f(2, 3), 1.0, 0
f(2, 3, 4), p=3, dim=1, eps=1e-3
f(3), dim=0
v([[0., 0.], [1., 0.]]) # nograd
""",
    "F.gumbel_softmax": "? f(2, 3)\n? f(2, 3), 0.5, True\n? f(2, 3), tau=2, hard=False, dim=0",
    "(gumbel)": """
~ = F.gumbel_softmax(torch.zeros(1000, 4))
~ = F.gumbel_softmax(torch.zeros(1000, 4), hard=True)
""",
    "F.scaled_dot_product_attention": """
f(2, 3, 4), f(2, 3, 4), f(2, 3, 4)
f(2, 2, 3, 4), f(2, 2, 5, 4), f(2, 2, 5, 6)
f(1, 2, 3, 4), f(1, 2, 3, 4), f(1, 2, 3, 4), is_causal=True
f(2, 3, 4), f(2, 5, 4), f(2, 5, 4), b(3, 5)
f(2, 3, 4), f(2, 5, 4), f(2, 5, 4), attn_mask=f(3, 5)
f(2, 3, 4), f(2, 3, 4), f(2, 3, 4), scale=0.3
f(1, 4, 3, 2), f(1, 2, 3, 2), f(1, 2, 3, 2), enable_gqa=True
! f(2, 3, 4), f(2, 3, 5), f(2, 3, 4)
! f(2, 3, 4), f(2, 3, 4), f(2, 3, 4), attn_mask=f(3, 3), is_causal=True
""",
    "dropout F.dropout": """
f(2, 3), 0.5, False
f(2, 3), 0.0, True
f(2, 3), 1.0, True
! f(3), 1.5, True
""",
    "alpha_dropout F.alpha_dropout feature_alpha_dropout F.feature_alpha_dropout":
        "f(2, 3), 0.5, False\nf(2, 3), 0.0, True\n! f(3, 4), 1.5, True",
    "F.dropout1d": "? f(2, 3, 4), 0.5, False\n? f(2, 3, 4), 0.5",
    "F.dropout2d F.dropout3d": "? f(2, 3, 4, 4), 0.5, False\n? f(2, 3, 4, 4), 0.5",
    "(dropout)": """
~ = F.dropout(torch.ones(4000), 0.3)
~ = F.dropout(torch.ones(4000))
~ = F.alpha_dropout(torch.ones(4000), 0.3, True)
= F.dropout2d(torch.ones(50, 40, 3, 3), 0.4).sum((2, 3)).unique().numel()
~ = F.dropout2d(torch.ones(50, 40, 2, 2), 0.4)
~ = F.dropout1d(torch.ones(50, 40, 4), 0.4)
~ = F.dropout3d(torch.ones(50, 40, 2, 2, 1), 0.4)
""",
}
