"""Making tensors, dtypes, promotion, and random numbers."""

FAMILY = "creation"
DTYPES = "float16 int64 bool complex64"

_DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
           "float64", "complex64", "complex128")
_LIKE = """
f(2, 3)
i(2)
f()
f(0, 2)
f(2), dtype=torch.int32
b(2), dtype=torch.float64
f(2, 3), requires_grad=True # nograd
f(2, 3).t()
f(2), device='cpu'
! 3
"""
_SIZED = """
2, 3
(2, 3)
[2]
()
0
2, dtype=torch.int64
(2,), dtype=torch.bool
size=(2, 2)
2, requires_grad=True
2, device='cpu'
! -1
! 2.5
! 'a'
"""
_RANDOM_SIZED = "\n".join("? " + x for x in _SIZED.splitlines() if x and not (
    x[0] == "!" or "int64" in x or "bool" in x)) + "\n! -1\n! 2.5"


def _promotions():
    names = [d for d in _DTYPES if d not in ("int16", "complex128")]
    for a in names:
        for b in names:
            yield f"= torch.ones(2, dtype=torch.{a}) + torch.ones(2, dtype=torch.{b})"
        for b in ("bool", "int64", "int32", "float32", "float64", "complex64"):
            yield f"= torch.ones(2, dtype=torch.{a}) * torch.tensor(1, dtype=torch.{b})"
        for number in ("True", "2", "2.5", "2j"):
            yield f"= torch.ones(2, dtype=torch.{a}) * {number}"
            yield f"= torch.ones((), dtype=torch.{a}) + {number}"
        yield f"= torch.ones(2, dtype=torch.{a}) / 2"
        yield f"= torch.ones(2, dtype=torch.{a}).sum()"
        yield f"= torch.ones(2, dtype=torch.{a}).prod()"
        yield f"= torch.ones(2, dtype=torch.{a}).cumsum(0)"
        yield f"= torch.sqrt(torch.ones(2, dtype=torch.{a}))"
        yield f"= torch.ones(2, dtype=torch.{a}) ** 2"
        yield f"= 2.0 ** torch.ones(2, dtype=torch.{a})"
        yield f"= torch.where(torch.tensor([True, False]), torch.ones(2, dtype=torch.{a}), 2.5)"


CASES = {
    "zeros ones": _SIZED,
    "empty": _RANDOM_SIZED,
    "zeros_like ones_like": _LIKE,
    "empty_like": "\n".join(("? " if x and x[0] != "!" else "") + x for x in _LIKE.splitlines()),
    "rand_like randn_like": "? f(2, 3) # float\n? f(2), dtype=torch.float64 # float\n! i(2)",
    "full": """
(2, 3), 1.5
(2,), 2
(2,), True
(), 3
(2,), 2, dtype=torch.float64
(2,), 2j
size=(2,), fill_value=1
! (2,)
! (-1,), 2
""",
    "full_like": "f(2, 3), 2\ni(2), 3\nf(2), 2, dtype=torch.int64\nb(2), True",
    "eye": "3\n2, 4\n3, dtype=torch.int64\n0\nn=2, m=3\n! -1",
    "arange": """
5
1, 5
1, 9, 2
0, 1, 0.25
5.0
5, 0, -2
2, dtype=torch.float64
start=1, end=4
0
1.5, 4
3, dtype=torch.int32
! 0, 5, -1
! 0, 5, 0
""",
    "linspace": """
0, 1, 5
-1, 1, steps=4
0, 10, 1
0, 1, 0
0, 9, 4, dtype=torch.int64
3, 3, 3
start=1, end=0, steps=3
0, 1, 3, dtype=torch.float64
! 0, 1
! 0, 1, -1
""",
    "logspace": """
0, 1, 5
-1, 1, steps=4
0, 3, 4, 2
0, 2, 3, base=3.0, dtype=torch.float64
! 0, 1, -1
""",
    "tensor": """
[1, 2]
[1.0, 2]
3
2.5
True
[[1, 2], [3, 4]]
[]
[True, 2]
[1, 2j]
[1, 2], dtype=torch.float64
np.arange(3)
np.ones((2, 2), np.float32)
np.float64(2)
[1.5], requires_grad=True
[1.5], device='cpu'
[torch.tensor(1), torch.tensor(2)]
np.zeros((0, 2))
(1, 2)
range(3)
f(2)
[[], []]
! [1, [2]]
! 'a'
! [1, 'a']
! None
! [300], dtype=torch.uint8
""",
    "as_tensor asarray": """
[1, 2]
np.arange(3)
f(2)
2.5
[1], dtype=torch.float64
f(2), dtype=torch.float64 # nograd
""",
    "(as_tensor shares)": """
> a = np.ones(3); x = torch.as_tensor(a); x[0] = 5; r = a
> x = torch.ones(3); r = torch.as_tensor(x) is x
> a = np.ones(3); x = torch.from_numpy(a); a[1] = 7; r = x
> x = torch.ones(3); x.numpy()[0] = 4; r = x
> a = np.ones(3); x = torch.tensor(a); x[0] = 5; r = a
> x = torch.ones(3); y = torch.from_dlpack(x); y[0] = 2; r = x
> x = torch.ones(3); y = np.from_dlpack(x); r = y.sum()
> a = np.ones(3); x = torch.from_dlpack(a); a[0] = 3; r = x
> x = torch.ones(3); y = torch.asarray(x, copy=True); y[0] = 3; r = x
""",
    "from_numpy": """
npf(2, 3)
npf(2, dtype='int64')
npf(2, dtype='bool')
npf(2, dtype='float16')
npf(2, dtype='complex64')
np.float32([[1, 2], [3, 4]]).T
np.arange(6)[::2]
! [1, 2]
! np.array(['a'])
""",
    "from_dlpack": "f(2, 3) # nograd\nnpf(3)",
    "frombuffer": """
bytearray(8), dtype=torch.int32
bytearray(8), dtype=torch.float32, count=1, offset=4
""",
    "scalar_tensor": "2\n2.5\n2, dtype=torch.int64",
    "empty_strided": "? (2, 3), (1, 2)\n? (2,), (1,), dtype=torch.int64",
    "empty_permuted": "? (2, 3), (1, 0)",
    "complex": "torch.ones(2), torch.ones(2)",
    "Tensor.new_zeros Tensor.new_ones": """
f(2), 3
f(2), (2, 3)
i(2), (2,), dtype=torch.float32
f(2), ()
""",
    "Tensor.new_empty": "? f(2), 3\n? f(2), (2, 3)\n? i(2), (2,), dtype=torch.float32",
    "Tensor.new_empty_strided": "? f(2), (2, 3), (1, 2)",
    "Tensor.new_full": "f(2), (2, 3), 1.5\ni(2), (2,), 2\nf(2), (), 3, dtype=torch.int64",
    "Tensor.new_tensor": "f(2), [1, 2]\ni(2), [1.5]\nf(2), 3",
    "(promotion)": "\n".join(_promotions()),
    "result_type": "f(2), i(2)\ni(2), 2.5\ni(2), v(2.0)\nf(2), 2j\nb(2), 1\n2, 3.5",
    "promote_types": "\n".join(f"torch.{a}, torch.{b}" for a in _DTYPES for b in _DTYPES[::3]),
    "can_cast": """
torch.float32, torch.int64
torch.int64, torch.float32
torch.int32, torch.bool
torch.float64, torch.float16
""",
    "finfo": "\n".join(f"= (lambda q: (q.bits, q.eps, q.max, q.min, q.tiny, q.resolution, "
                       f"q.smallest_normal))(torch.finfo(torch.{d}))" for d in (
                           "float16", "bfloat16", "float32", "float64")) + """
!= torch.finfo(torch.int32)
""",
    "iinfo": "\n".join(f"= (lambda q: (q.bits, q.max, q.min))(torch.iinfo(torch.{d}))"
                       for d in _DTYPES[1:6]) + "\n!= torch.iinfo(torch.float32)",
    "get_default_dtype": "= torch.get_default_dtype()",
    "set_default_dtype": """
> torch.set_default_dtype(torch.float64); r = [torch.ones(2), torch.tensor([1.5]), \
torch.arange(3) / 2, torch.get_default_dtype()]; torch.set_default_dtype(torch.float32)
!> torch.set_default_dtype(torch.int64); r = 1
""",
    "device": """
= str(torch.device('cpu'))
= torch.device('cpu').type
= torch.device('cpu', 0).index
= torch.ones(2).device == torch.device('cpu')
= torch.ones(2).device.type
!= torch.device('nonsense')
""",
    # --- random -----------------------------------------------------------------------------------
    "rand randn": _RANDOM_SIZED + "\n~ 5000\n? 2, generator=torch.Generator()",
    "randint": """
? 5, (2, 3)
? 2, 5, (3,)
? low=0, high=3, size=(2,)
? 5, (2,), dtype=torch.float32
~ 10, (5000,)
~ -5, 6, (5000,)
! 0, (2,)
! 5, 2, (2,)
""",
    "randint_like": "? f(2, 3), 5\n? i(2), 1, 5\n~ torch.zeros(5000), 10",
    "randperm": "? 5\n? 0\n? 4, dtype=torch.int32\n= torch.randperm(9).sort()[0]\n! -1",
    "normal": """
? 0.0, 1.0, (2, 3)
~ 2.0, 3.0, (5000,)
~ torch.zeros(5000), 2.0
~ 1.0, torch.ones(5000)
~ torch.zeros(5000), torch.ones(5000)
~ torch.full((5000,), 3.0)
! torch.zeros(2), -1.0
""",
    "bernoulli": """
~ torch.full((5000,), 0.3)
~ torch.full((5000,), 0.7).to(f(1).dtype)
~ torch.zeros(5000), 0.4
! torch.full((3,), 1.5)
""",
    "multinomial": """
? torch.tensor([0.2, 0.3, 0.5]), 2
~ torch.tensor([0.2, 0.3, 0.5]), 5000, True
? torch.ones(2, 4), 3
= torch.multinomial(torch.ones(7), 7).sort()[0]
! torch.ones(3), 4
! torch.tensor([-1.0, 1.0]), 1
! torch.zeros(3), 1
""",
    "poisson": "~ torch.full((5000,), 4.0)\n? f(3, lo=0) # float\n! torch.tensor([-1.0])",
    "binomial": "~ torch.full((5000,), 10.0), torch.full((5000,), 0.3)",
    "Tensor.uniform_": """
~ torch.zeros(5000)
~ torch.zeros(5000), -1, 3
? torch.zeros(2)
! torch.zeros(3), 2, 1
! torch.zeros(3, dtype=torch.int64)
""",
    "Tensor.normal_": """
~ torch.zeros(5000)
~ torch.zeros(5000), 2, 3
~ torch.zeros(5000), mean=1, std=0.1
! torch.zeros(3), 0, -1
""",
    "Tensor.random_": """
~ torch.zeros(5000), 10
~ torch.zeros(5000), -5, 5
~ torch.zeros(5000, dtype=torch.int64), 2, 9
~ torch.zeros(5000, dtype=torch.uint8)
""",
    "Tensor.bernoulli_": """
~ torch.zeros(5000), 0.3
~ torch.zeros(5000)
~ torch.zeros(5000), torch.full((5000,), 0.2)
! torch.zeros(3), 1.5
""",
    "Tensor.exponential_": "~ torch.zeros(5000)\n~ torch.zeros(5000), 2.5\n! torch.zeros(3), -1.0",
    "Tensor.geometric_": "~ torch.zeros(5000), 0.3\n! torch.zeros(3), 0.0",
    "Tensor.cauchy_": "? torch.zeros(50)\n? torch.zeros(3), 1.0, 2.0\n! torch.zeros(3), 0.0, -1.0",
    "Tensor.log_normal_": """
~ torch.zeros(5000), 0.0, 0.25
? torch.zeros(3)
! torch.zeros(3), 0.0, -1.0
""",
    "(generators)": """
> torch.manual_seed(3); a = torch.rand(4); torch.manual_seed(3); r = (torch.rand(4) == a).all()
> g = torch.Generator().manual_seed(5); a = torch.rand(4, generator=g); g.manual_seed(5); r = \
(torch.rand(4, generator=g) == a).all()
> s = torch.get_rng_state(); a = torch.rand(4); torch.set_rng_state(s); r = (torch.rand(4) == \
a).all()
> g = torch.Generator(); g.manual_seed(1); s = g.get_state(); a = torch.randn(3, generator=g); \
g.set_state(s); r = (torch.randn(3, generator=g) == a).all()
> g = torch.Generator().manual_seed(7); r = g.initial_seed()
> torch.manual_seed(11); r = torch.initial_seed()
> r = isinstance(torch.seed(), int)
> r = isinstance(torch.Generator().seed(), int)
> g = torch.Generator().manual_seed(5); a = torch.randperm(9, generator=g); g.manual_seed(5); r = \
(torch.randperm(9, generator=g) == a).all()
> g = torch.Generator().manual_seed(5); a = torch.zeros(4).normal_(generator=g); \
g.manual_seed(5); r = (torch.zeros(4).normal_(generator=g) == a).all()
""",
    "seed initial_seed": "> r = isinstance(FN(), int)",
    "manual_seed": "> r = isinstance(torch.manual_seed(3), torch.Generator)",
    "get_rng_state": "> r = torch.get_rng_state().dtype",
    "set_rng_state": "> torch.set_rng_state(torch.get_rng_state()); r = 1",
    "Generator": """
> r = torch.Generator(device='cpu').device.type
> r = torch.Generator().manual_seed(3).initial_seed()
""",
    "Size": """
= torch.Size([2, 3]).numel()
= torch.Size([2, 3]) + torch.Size([1])
= torch.Size((2, 3))[1:]
= f(2, 3).shape == (2, 3)
= isinstance(f(2, 3).shape[:1], torch.Size)
""",
}
