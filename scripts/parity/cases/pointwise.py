"""Elementwise functions of one or several operands."""

FAMILY = "pointwise"

_ONE = """
f(2, 3)
f()
f(0, 3)
f(1, 4, lo=-1, hi=1)
v([nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 1e10, -1e-10]) # nograd
! [1.0, 2.0]
"""
_TWO = """
f(2, 3), f(3)
f(2, 3), f()
f(3, 1), f(1, 2)
f(2, 0), f(1)
i(4), f(4)
f(4), b(4)
! f(2, 3), f(4)
"""
_NUMBER = """
f(2, 3), 2
f(3), -1.5
i(3), 2
i(3), 2.5
b(3), True
"""
_COMPARE = _TWO + _NUMBER
_BITS = """
i(2, 3), i(3)
b(2, 3), b(3)
i(4, dtype="uint8"), i(4, dtype="int32")
i(3), 5
b(3), True
f(3), f(3)
! f(3), 1.5
"""

CASES = {
    "abs absolute neg negative positive sign sgn square relu F.relu": _ONE,
    "ceil floor trunc fix frac round special.round": _ONE,
    "exp exp2 special.exp2 expm1 special.expm1 sigmoid special.expit F.sigmoid": _ONE,
    "log log10 log2 log1p special.log1p sqrt rsqrt reciprocal": _ONE,
    "sin cos tan asin arcsin acos arccos atan arctan": _ONE,
    "sinh cosh tanh F.tanh asinh arcsinh acosh arccosh atanh arctanh sinc special.sinc": _ONE,
    "erf special.erf erfc special.erfc": _ONE,
    "erfinv special.erfinv logit special.logit": _ONE + """f(5, lo=-0.9, hi=0.9)
f(5, lo=0.1, hi=0.9)
""",
    "deg2rad rad2deg angle real conj conj_physical resolve_conj resolve_neg": _ONE,
    "isnan isinf isfinite isreal isposinf isneginf signbit logical_not": _ONE,
    "nan_to_num": _ONE + "f(3), 1.0, 2.0, 3.0\nv([nan, inf, -inf]), nan=1.5, posinf=7\n",
    "imag view_as_real": "c(2, 3)\nc()\n! f(3)",
    "view_as_complex": "f(3, 2) # float\nf(2, 4, 2) # float\n! f(3)\n! f(3, 3)",
    "complex": "f(2, 3), f(2, 3) # float\nf(3), f() # float\n! i(3), i(3)",
    "polar": "f(2, 3), f(2, 3) # float\nf(3, lo=0), f(3) # float",
    "clone": _ONE + "f(2, 3), memory_format=None # nograd\n",
    "(round decimals)": """
= torch.round(f(5), decimals=1)
= torch.round(f(5, lo=-300, hi=300), decimals=-2)
= f(4).round(decimals=2)
> x = f(4); r = x.round_(decimals=1)
""",
    "bitwise_not": "i(2, 3)\nb(3)\ni(3, dtype='uint8')\n! f(3, dtype='float32')\nf(3)",
    "add sub subtract": _TWO + _NUMBER + """
f(3), f(3), alpha=2.5
f(3), 2, alpha=0.5
i(3), i(3), alpha=3
f(3), other=f(3)
input=f(3), other=2
! i(3), i(3), alpha=1.5
! f(3), 'a'
""",
    "rsub": _TWO + _NUMBER + "f(3), f(3), alpha=2",
    "mul multiply": _TWO + _NUMBER + "input=f(3), other=f(3)\nc(3), f(3)\nb(3), b(3)",
    "div divide true_divide": _TWO + _NUMBER + "c(3), f(3)\nv([1., -1., 0.]), 0 # nograd",
    "(div rounding)": """
= torch.div(f(6), f(6), rounding_mode='floor')
= torch.div(f(6), f(6), rounding_mode='trunc')
= torch.div(f(6), f(6), rounding_mode=None)
= torch.div(i(6), i(6, lo=1, hi=4), rounding_mode='floor')
= torch.div(i(6, lo=-9, hi=9), 4, rounding_mode='trunc')
= torch.div(i(6, lo=-9, hi=9), -4, rounding_mode='floor')
= f(6).div(2, rounding_mode='floor')
> x = f(6); r = x.div_(2, rounding_mode='trunc')
> x = i(6); r = x.div_(2, rounding_mode='trunc')
!= torch.div(f(6), f(6), rounding_mode='up')
!> x = i(3); x.div_(2); r = x
""",
    "floor_divide": """
f(2, 3), f(3)
f(4), 1.5
i(6, lo=-9, hi=9), 4
i(6, lo=-9, hi=9), i(6, lo=1, hi=5)
f(3), 0
! f(2, 3), f(4)
""",
    "remainder fmod": """
f(2, 3), f(3)
f(4), 1.5
f(4), -1.5
i(6, lo=-9, hi=9), 4
i(6, lo=-9, hi=9), -4
i(5, lo=-9, hi=9), i(5, lo=1, hi=5)
f(3), 0
i(3), 2.5
! f(2, 3), f(4)
""",
    "Tensor.__add__ Tensor.__radd__ Tensor.__sub__ Tensor.__rsub__ Tensor.__mul__ Tensor.__rmul__ "
    "Tensor.__truediv__ Tensor.__rtruediv__ Tensor.__eq__ Tensor.__ne__ Tensor.__lt__ "
    "Tensor.__le__ Tensor.__gt__ Tensor.__ge__ Tensor.__iadd__ Tensor.__isub__ Tensor.__imul__ "
    "Tensor.__itruediv__ Tensor.__floordiv__ Tensor.__rfloordiv__ Tensor.__mod__ "
    "Tensor.__rmod__": "f(2, 3).clone(), f(3)\nf(3).clone(), 2.5\ni(3), 2\nb(3), True",
    "Tensor.__pow__ Tensor.__rpow__": """
f(2, 3, lo=0.1, hi=2), 2
f(3, lo=0.1, hi=2), 2.5
i(3, lo=0), 2
""",
    "Tensor.__neg__ Tensor.__abs__ Tensor.__pos__": "f(2, 3)\ni(3)\nc(3)",
    "Tensor.__invert__": "i(3)\nb(3)\n! f(3)",
    "Tensor.__and__ Tensor.__or__ Tensor.__xor__ Tensor.__iand__ Tensor.__ior__ Tensor.__ixor__ "
    "Tensor.__rand__ Tensor.__ror__ Tensor.__rxor__":
        "i(4), i(4)\nb(4), b(4)\ni(4), 3\nb(4), True\n! f(3), f(3)",
    "Tensor.__lshift__ Tensor.__rshift__ Tensor.__rlshift__ Tensor.__rrshift__ "
    "Tensor.__ilshift__ Tensor.__irshift__": "i(4, lo=0), i(4, lo=0, hi=3)\ni(4), 2",
    "Tensor.__bool__ Tensor.__int__ Tensor.__float__ Tensor.__index__ Tensor.__complex__":
        "i(lo=1)\ni(1, lo=1)\nf(dtype='float32')\nb()\n! f(2)",
    "Tensor.__len__": "f(2, 3)\nf(0)\n! f()",
    "Tensor.__contains__": "i(5), 2\nf(3), 9.5",
    "pow float_power": """
f(2, 3, lo=0.1, hi=3), f(3)
f(2, 3), 2
f(3), 3
f(3, lo=0.2), 0.5
f(3, lo=0.2), -1.5
f(3), -2
f(4), 0
i(4, lo=0), 3
i(4, lo=0), 2.0
2, f(3)
2.5, i(3)
i(4, lo=1, hi=4), i(4, lo=0, hi=4)
v([0., 0., 2.]), v([0., 2., 0.])
v([0.0, -1.0, 2.0]), 0.0
! f(2, 3), f(4)
""",
    "eq ne not_equal lt less le less_equal gt greater ge greater_equal": _COMPARE,
    "logical_and logical_or logical_xor": _TWO,
    "maximum minimum fmax fmin": _TWO + "v([nan, 1., 2., -0.0]), v([1., nan, 2., 0.0])\n! f(3), 2",
    "atan2 arctan2 hypot copysign nextafter logaddexp logaddexp2":
        _TWO + "v([0., -0., inf, -1.]), v([0., 1., inf, -0.]) # nograd",
    "xlogy special.xlogy special.xlog1py": _TWO + """
v([0., 0., 1., 0.]), v([nan, 0., 0., -1.]) # nograd
f(3), 2.5
2, f(3, lo=0.1)
""",
    "heaviside": """
f(2, 3), f(3)
v([-1., 0., 2., nan]), v([.5, .5, .5, .5])
i(3), i(3)
! f(3), i(3)
""",
    "ldexp": "f(2, 3), i(3)\nf(3), f(3)\ni(3), i(3)\nf(), i(4)",
    "frexp": "f(2, 3) # nograd\nv([0.0, 1.0, -8.0, 0.3]) # nograd\n! i(3)",
    "gcd lcm": "i(2, 3, lo=-20, hi=20), i(3, lo=-20, hi=20)\nf(3), f(3)\ni(4, lo=0), i(4, lo=0)",
    "bitwise_and bitwise_or bitwise_xor": _BITS,
    "bitwise_left_shift bitwise_right_shift":
        "i(2, 3), i(3, lo=0, hi=4)\ni(3), 2\ni(4, dtype='uint8'), 1\n! f(3), f(3)",
    "clamp clip": """
f(2, 3), -1, 1
f(3), min=-0.5
f(3), max=0.5
f(2, 3), f(3), f(3)
f(3), f(3)
f(3), max=f(3)
f(3), 2, -2
i(6), -1, 1
i(6), 0.5
v([nan, -1.0, 1.0, 2.0]), -1.0, 1.0
f(0), 0, 1
! f(3)
! f(3), 'a'
""",
    "clamp_min": "f(2, 3), 0.5\nf(3), f(3)\ni(4), 1\nv([1.0, 2.0]), 1.0",
    "clamp_max": "f(2, 3), 0.5\nf(3), f(3)\ni(4), 1\nv([1.0, 2.0]), 1.0",
    "lerp": """
f(2, 3), f(2, 3), 0.3
f(2, 3), f(3), f(2, 3)
f(3), f(3), 0.7
f(3), f(3), weight=f()
! f(3), i(3), 0.5
""",
    "addcmul": """
f(2, 3), f(3), f(2, 3)
f(3), f(3), f(3), value=2
f(3), f(3), f(), value=-0.5
i(3), i(3), i(3)
! f(3), f(4), f(3)
""",
    "addcdiv": """
f(2, 3), f(3), f(2, 3)
f(3), f(3), f(3), value=2
f(3), f(3), f(), value=-0.5
! i(3), i(3), i(3, lo=1)
""",
    "where": """
b(2, 3), f(2, 3), f(3)
b(3), f(3), 1.5
b(3), 2, f(3)
b(3), 1, 2
b(3), 1.0, 2
b(3), f(3), i(3)
b(2, 1), f(3), f()
b(2, 3)
! b(3), f(4), f(3)
""",
    "Tensor.where": "f(2, 3), b(2, 3), f(3)\nf(3), b(3), 0",
    "isclose": """
f(2, 3), f(3)
v([1., nan, inf]), v([1. + 1e-7, nan, inf])
v([1., nan]), v([1.1, nan]), 0.2, 0.0, True
i(3), i(3)
""",
    "allclose": "v([1., 2.]), v([1., 2.])\nv([1., nan]), v([1., nan]), equal_nan=True\nf(3), f(3)",
    "equal": "v([1., 2.]), v([1., 2.])\nf(3), f(3)\nf(3), f(2)",
    "isin": """
i(2, 3), i(4)
i(3), 2
2, i(4)
f(3), f(3)
i(5), i(3), invert=True
i(5), i(3), assume_unique=True
""",
    "is_complex is_floating_point is_signed": "f(3)\ni(3)\nb(2)\nc(2)\ni(2, dtype='uint8')",
    "is_nonzero": "f(1)\nb()\n! f(2)",
    "is_tensor": "f(2)\n3\n[1]",
    "fill": "f(2, 3), 2.5\nf(3), v(2.0)\ni(3), 2\n! f(2), f(2)",
    "Tensor.zero_": "f(2, 3).clone()\ni(3)",
    "Tensor.fill_": "f(2, 3).clone(), 2\nf(3).clone(), v(1.5)\ni(3), 2\nb(3), True\nb(2), 2",
    "Tensor.copy_": """
f(2, 3).clone(), f(3)
f(3).clone(), i(3)
i(3), f(3)
f(3).clone(), 2
! f(3).clone(), f(4)
""",
}
