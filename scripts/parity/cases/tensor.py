"""Tensor: attributes, conversions, autograd by hand."""

FAMILY = "tensor"
DTYPES = "float16 int64 bool"

_ATTRIBUTES = ("shape", "dtype", "device", "ndim", "requires_grad", "is_leaf", "grad", "itemsize",
               "nbytes",
               "layout", "is_cuda", "is_sparse", "is_quantized", "output_nr", "name", "is_meta",
               "data", "real", "grad_fn", "is_mkldnn", "retains_grad", "is_cpu", "_version")
_CASTS = ("float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool",
          "cfloat",
          "cdouble")

CASES = {f"Tensor.{name}": f"= f(2, 3).{name}\n= i().{name}" for name in _ATTRIBUTES}
CASES |= {f"Tensor.{name}": "f(2, 3)\ni(3)\nb(2)\nf()\nv([0.0, -2.7, 2.7, 0.5])" for name in _CASTS}
CASES |= {
    "Tensor.to": """
f(2, 3), torch.float64
f(2, 3), torch.int64 # nograd
f(2, 3), 'cpu'
f(2, 3), device='cpu', dtype=torch.float16
f(2, 3), torch.device('cpu'), torch.float64
f(2, 3), f(1, dtype='float64', grad=False)
f(2, 3), dtype=torch.bool # nograd
= (lambda x: x.to(x.dtype) is x)(f(2))
= (lambda x: x.to(x.dtype, copy=True) is x)(f(2))
f(2), torch.float64, False, True
f(2, 3), memory_format=torch.contiguous_format
! f(2), 'nonsense'
""",
    "Tensor.type": "f(2), torch.float64\n= f(2).type()\n= i(2).type()\ni(2), 'torch.FloatTensor'",
    "Tensor.type_as": "f(2), i(2)\ni(2), f(1)",
    "Tensor.cpu": "f(2, 3)",
    "Tensor.size": "f(2, 3)\nf(2, 3), 1\nf(2, 3), -1\nf()\n! f(2, 3), 2",
    "Tensor.stride": "f(2, 3)\nf(2, 3), 0\nf(2, 3).t()\nf()\nf(2, 3), -1\n! f(2), 1",
    "Tensor.storage_offset": "f(2, 3)\nf(4)[2:]\nf(4, 4)[1:, 2:]",
    "Tensor.dim Tensor.ndimension Tensor.numel Tensor.nelement Tensor.element_size": """
f(2, 3)
f()
i(0)
""",
    "Tensor.is_contiguous": "f(2, 3)\nf(2, 3).t()\nf(0, 3).t()\nf(4)[::2]",
    "Tensor.dim_order": "f(2, 3)\nf(2, 3).t()",
    "Tensor.item": "f()\nf(1)\nf(1, 1)\ni(1)\nb(1)\n! f(2)\n! f(0)",
    "Tensor.tolist": "f(2, 3)\nf()\ni(2)\nb(2)\nf(0)",
    "Tensor.numpy": """
f(2, 3) # nograd
i(2)
b(2)
f(2, 3).t() # nograd
!= torch.ones(2, requires_grad=True).numpy()
= torch.ones(2, requires_grad=True).numpy(force=True)
""",
    "Tensor.data_ptr": """
= isinstance(f(2).data_ptr(), int)
= (lambda x: x.view(-1).data_ptr() == x.data_ptr())(f(2, 2))
""",
    "Tensor.get_device": "f(2)",
    "get_device": "f(2)",
    "Tensor.is_inference": "f(2)",
    "Tensor.requires_grad_": """
= torch.ones(2).requires_grad_()
= torch.ones(2).requires_grad_(False)
!= i(2).requires_grad_()
""",
    "Tensor.detach_": "= (torch.ones(2, requires_grad=True) * 2).detach_()",
    "detach_": "= torch.detach_(torch.ones(2, requires_grad=True) * 2)",
    "Tensor.retain_grad": """
> x = torch.ones(2, requires_grad=True); y = x * 3; y.retain_grad(); (y * y).sum().backward(); r \
= [x.grad, y.grad]
!> x = torch.ones(2); x.retain_grad(); r = x
""",
    "Tensor.backward": """
> x = torch.ones(3, requires_grad=True); (x * x).sum().backward(); r = x.grad
> x = torch.ones(3, requires_grad=True); (x * x).backward(torch.tensor([1., 2., 3.])); r = x.grad
> x = torch.ones(3, requires_grad=True); y = (x * x).sum(); y.backward(retain_graph=True); \
y.backward(); r = x.grad
> x = torch.ones(3, requires_grad=True); (x ** 3).sum().backward(create_graph=True); \
x.grad.sum().backward(); r = x.grad
> x = torch.ones(3, requires_grad=True); y = torch.ones(3, requires_grad=True); (x * \
y).sum().backward(inputs=[x]); r = [x.grad, y.grad]
> x = torch.ones(2, requires_grad=True); a = (x * 2).sum().backward(); g = x.grad; (x * \
3).sum().backward(); r = [g is x.grad, x.grad]
!> x = torch.ones(3, requires_grad=True); (x * x).backward(); r = 0
!> x = torch.ones(3); x.sum().backward(); r = 0
!> x = torch.ones(3, requires_grad=True); y = (x * x).sum(); y.backward(); y.backward(); r = 0
!> x = torch.ones(3, requires_grad=True); y = x * 1; z = y * y; y.add_(1); z.sum().backward(); r = 0
!> x = torch.ones(3, requires_grad=True); x.add_(1); r = 0
!> x = torch.ones(3, requires_grad=True); x[0] = 1; r = 0
!> x = torch.ones(3, requires_grad=True); x.view(3)[0:1].zero_(); r = 0
> x = torch.ones(4, requires_grad=True); y = x * 2; y[1:3] *= 5; y.sum().backward(); r = x.grad
> x = torch.ones(4, requires_grad=True); y = x * 2; v = y[1:3]; y.mul_(3); v.sum().backward(); r \
= x.grad
> x = torch.ones(2, 2, requires_grad=True); y = x * 2; y.t()[0].zero_(); (y * \
y).sum().backward(); r = x.grad
> x = torch.ones(3, requires_grad=True); y = torch.zeros(3); y.copy_(x * 2); y.sum().backward(); \
r = x.grad
> x = torch.ones(3, requires_grad=True); r = (x.detach() * 2).requires_grad
> x = torch.ones(3, requires_grad=True); x.data.mul_(3); r = x
""",
    "Tensor.register_hook": """
> x = torch.ones(2, requires_grad=True); h = x.register_hook(lambda g: g * 2); (x * \
3).sum().backward(); r = x.grad
> x = torch.ones(2, requires_grad=True); h = x.register_hook(lambda g: g * 2); h.remove(); (x * \
3).sum().backward(); r = x.grad
!> x = torch.ones(2); x.register_hook(lambda g: g); r = 0
""",
    "Tensor.register_post_accumulate_grad_hook": """
> seen = []; x = torch.ones(2, requires_grad=True); h = \
x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.sum().item())); (x * \
3).sum().backward(); r = seen
""",
    "no_grad inference_mode": "> x = torch.ones(2, requires_grad=True)\n".replace("\n", "") +
        """; e = FN(); e.__enter__(); r = (x * 2).requires_grad; e.__exit__(None, None, None)
> x = torch.ones(2, requires_grad=True); r = FN()(lambda q: (q * 2).requires_grad)(x)
> x = torch.ones(2, requires_grad=True); r = FN()(lambda q: q * 2)(x).requires_grad
""",
    "enable_grad": """
> x = torch.ones(2, requires_grad=True); e = torch.no_grad(); e.__enter__(); y = \
torch.enable_grad()(lambda q: q * 2)(x); e.__exit__(None, None, None); r = y.requires_grad
""",
    "set_grad_enabled": """
> x = torch.ones(2, requires_grad=True); e = torch.set_grad_enabled(False); y = x * 2; \
torch.set_grad_enabled(True); r = [y.requires_grad, (x * 2).requires_grad]
""",
    "is_grad_enabled": "= torch.is_grad_enabled()",
    "(autograd)": """
> x = torch.ones(2, requires_grad=True); r = torch.autograd.grad((x ** 3).sum(), x)
> x = torch.ones(2, requires_grad=True); g, = torch.autograd.grad((x ** 3).sum(), x, \
create_graph=True); r = torch.autograd.grad(g.sum(), x)
> x = torch.ones(2, requires_grad=True); y = torch.ones(2, requires_grad=True); r = \
torch.autograd.grad(x.sum(), [x, y], allow_unused=True)
!> x = torch.ones(2, requires_grad=True); y = torch.ones(2, requires_grad=True); r = \
torch.autograd.grad(x.sum(), [x, y])
> x = torch.ones(2, requires_grad=True); y = torch.ones(2, requires_grad=True); r = \
torch.autograd.grad(x.sum(), [x, y], materialize_grads=True)
> x = torch.ones(2, requires_grad=True); r = torch.autograd.grad(x * 2, x, torch.tensor([1., 3.]))
> x = torch.tensor([1., 2.]); r = torch.autograd.functional.jacobian(lambda q: q ** 2, x)
> x = torch.tensor([1., 2.]); r = torch.autograd.functional.hessian(lambda q: (q ** 3).sum(), x)
> x = torch.tensor([1., 2.]); r = torch.autograd.functional.vjp(lambda q: q ** 2, x, torch.ones(2))
> x = torch.tensor([1., 2.]); r = torch.autograd.functional.jvp(lambda q: q ** 2, x, torch.ones(2))
> r = torch.autograd.gradcheck(lambda q: q ** 2, torch.ones(2, dtype=torch.float64, \
requires_grad=True))
> r = torch.autograd.gradgradcheck(lambda q: q ** 3, torch.ones(2, dtype=torch.float64, \
requires_grad=True))
> x = torch.ones(2, requires_grad=True); torch.autograd.backward([(x * x).sum(), x.sum()]); r = \
x.grad
""",
    "Tensor.__array__": """
= np.asarray(torch.ones(2, 3))
= np.array(i(3), dtype=np.float32)
= np.float32(2) * f(3)
= f(3) * np.float32(2)
= np.int64(2) + f(3)
= f(2) + np.ones(2, np.float32)
""",
    "Tensor.__iter__": """
= [x for x in f(2, 3)]
= list(f(3))
!= list(f())
= [a + b for a, b in f(2, 2)]
""",
    "Tensor.__repr__": "= repr(torch.tensor([1.0, 2.5])).split('(')[0]",
    "Tensor.__format__": "= f'{torch.tensor(2.5):.2f}'\n= f'{torch.tensor(3)}'",
    "Tensor.__deepcopy__": """
> import copy; x = torch.ones(2); y = copy.deepcopy(x); y[0] = 5; r = [x, y]
> import copy; x = torch.ones(2, requires_grad=True); r = copy.deepcopy(x)
> import copy; x = torch.ones(2); y = copy.copy(x); y[0] = 3; r = [x, y]
""",
    "Tensor.__reduce_ex__": """
> import pickle; r = pickle.loads(pickle.dumps(torch.tensor([1., 2.])))
> import pickle; r = pickle.loads(pickle.dumps(torch.ones(2, requires_grad=True)))
""",
    "Tensor.__hash__": "> x = torch.ones(2); r = {x: 1}[x]",
    "save load": """
> import io; b_ = io.BytesIO(); torch.save({'a': torch.ones(2)}, b_); b_.seek(0); r = torch.load(b_)
""",
    "(comparisons)": """
= f(3) == None
= f(3) != None
= (f(3) == 'a')
= 1 < i(3)
= 2.5 >= f(3)
= not f(1)
= 3 if torch.tensor(True) else 4
!= bool(f(2))
= [1, 2, 3][torch.tensor(1)]
= range(torch.tensor(3))[-1]
= float(f())
= int(i())
= -b(2).int()
!= -b(2)
!= b(2) - b(2)
""",
}
