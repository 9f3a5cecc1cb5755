"""Shapes: views, joining, splitting, repeating, turning."""

FAMILY = "shape"

CASES = {
    "reshape": """
f(2, 3), (3, 2)
f(2, 3), (-1,)
f(2, 3), [1, 6]
f(), (1, 1)
f(2, 0), (0, 5)
f(1), ()
f(2, 3).t(), (6,)
! f(2, 3), (4, 2)
! f(2, 3), (-1, -1)
! f(0), (0, -1)
""",
    "Tensor.view": """
f(2, 3), 3, 2
f(2, 3), (3, 2)
f(2, 3), -1
f(2, 3), 1, -1
f(4), torch.int32 # float nograd
f(1), ()
! f(2, 3).t(), 6
! f(2, 3), 4
""",
    "Tensor.reshape": "f(2, 3), 3, 2\nf(2, 3), -1\nf(2, 3).t(), 6\nf(4), 2, -1",
    "Tensor.view_as Tensor.reshape_as": "f(2, 3), f(3, 2, grad=False)\n! f(2, 3), f(4)",
    "flatten": """
f(2, 3, 4)
f(2, 3, 4), 1
f(2, 3, 4), 0, 1
f(2, 3, 4), start_dim=-2, end_dim=-1
f()
f(3)
f(0, 2)
! f(2, 3), 2
! f(2, 3), 1, 0
""",
    "unflatten": """
f(2, 6), 1, (2, 3)
f(6), 0, (-1, 2)
f(2, 6), dim=-1, sizes=(3, 2)
! f(2, 6), 1, (4, 2)
""",
    "squeeze": """
f(1, 2, 1)
f(1, 2, 1), 0
f(1, 2, 1), 1
f(1, 2, 1), (0, 2)
f(1, 2, 1), dim=-1
f()
f(), 0
! f(1, 2), 2
""",
    "unsqueeze": """
f(2, 3), 0
f(2, 3), -1
f(2, 3), 1
f(), 0
f(2, 3), dim=2
! f(2, 3), 3
! f(2, 3)
""",
    "transpose swapaxes swapdims": """
f(2, 3), 0, 1
f(2, 3, 4), -1, 0
f(2, 3, 4), 1, 1
f(), 0, 0
! f(2, 3), 0, 2
""",
    "permute": """
f(2, 3, 4), (2, 0, 1)
f(2, 3), (-1, 0)
f(), ()
! f(2, 3), (0, 0)
! f(2, 3), (0,)
""",
    "Tensor.permute": "f(2, 3, 4), 2, 0, 1\nf(2, 3), (1, 0)",
    "t": "f(2, 3)\nf(3)\nf()\n! f(2, 3, 4)",
    "Tensor.T Tensor.mT Tensor.H Tensor.mH": "= f(2, 3).{p}\n= c(2, 3).{p}",
    "adjoint": "f(2, 3)\nf(2, 3, 4)\nc(2, 3)\n! f(3)",
    "movedim moveaxis": """
f(2, 3, 4), 0, 2
f(2, 3, 4), (0, 1), (2, 0)
f(2, 3, 4), -1, 0
! f(2, 3), 0, 2
! f(2, 3), (0, 0), (0, 1)
""",
    "broadcast_to": "f(3), (2, 3)\nf(2, 1), (4, 2, 3)\nf(), (2,)\n! f(3), (2, 4)\n! f(2, 3), (3,)",
    "Tensor.expand": """
f(3), 2, 3
f(2, 1), -1, 4
f(1, 3), (5, 3)
f(3), 2, -1
f(), 2, 2
f(1), 0
! f(3), 4
! f(3), -1, 3
""",
    "Tensor.expand_as": "f(3), f(2, 3, grad=False)\n! f(3), f(2, grad=False)",
    "broadcast_tensors": "f(3), f(2, 1)\nf(), f(2)\n! f(3), f(2)",
    "broadcast_shapes": "(3,), (2, 1)\n(1,), (5, 1, 4), (1,)\n! (3,), (2,)",
    "atleast_1d atleast_2d atleast_3d": "f()\nf(3)\nf(2, 3)\nf(2, 3, 4)\nf(), f(2)\n(f(), f(3))",
    "cat concat concatenate": """
(f(2, 3), f(1, 3))
(f(2, 3), f(2, 1)), 1
[f(2, 3), f(2, 3)], dim=-1
(f(3), i(2)), 0
(f(0), f(2, 3))
(f(2, 3),)
(b(2), i(3))
! (f(2, 3), f(2, 2))
! (f(2), f(2)), 1
! ()
! (f(), f())
""",
    "stack": """
(f(2, 3), f(2, 3))
(f(3), f(3)), 1
[f(), f()], dim=0
(f(2), i(2))
! (f(2), f(3))
! ()
! (f(2), f(2)), 2
""",
    "hstack vstack dstack column_stack row_stack": """
(f(3), f(3))
(f(2, 3), f(2, 3))
(f(), f())
[f(3), i(3)]
! ()
""",
    "chunk": "f(5, 2), 2\nf(5, 2), 3\nf(2, 5), 2, 1\nf(3), chunks=5, dim=0\n! f(3), 0\n! f(), 2",
    "split": """
f(5, 2), 2
f(5, 2), [1, 4]
f(2, 5), 2, 1
f(2, 5), (2, 3), dim=1
f(0), 2
! f(5), [1, 2]
! f(), 1
! f(5), -1
""",
    "tensor_split": """
f(7), 3
f(7), (1, 5)
f(2, 5), 2, 1
f(2, 5), (2,), dim=1
f(7), torch.tensor(2)
f(7), torch.tensor([1, 3])
f(3), (2, 1, 7)
! f(3), 0
! f(), 2
""",
    "hsplit": "f(4, 4), 2\nf(4), (1, 3)\nf(2, 5), [1, 3]\n! f(), 1\n! f(5), 2",
    "vsplit": "f(4, 4), 2\nf(4, 2), (1, 3)\n! f(4), 2",
    "dsplit": "f(2, 2, 4), 2\nf(2, 2, 4), [1, 3]\n! f(4, 4), 2",
    "split_with_sizes": "f(5, 2), [1, 4]\nf(2, 5), (2, 3), 1\n! f(5), [1, 2]",
    "unbind": "f(2, 3)\nf(2, 3), 1\nf(2, 3), dim=-1\nf(0, 2)\n! f()\n! f(2), 1",
    "flip": """
f(2, 3), (0,)
f(2, 3), [0, 1]
f(2, 3), (-1,)
f(), ()
! f(2, 3), (2,)
! f(2), (0, 0)
""",
    "Tensor.flip": "f(2, 3), 0\nf(2, 3), 0, 1\nf(2, 3), (1,)",
    "fliplr": "f(2, 3)\n! f(3)",
    "flipud": "f(2, 3)\nf(3)\n! f()",
    "roll": """
f(5), 2
f(2, 3), 1
f(2, 3), 1, 0
f(2, 3), (1, -2), (0, 1)
f(2, 3), shifts=-1, dims=1
f(0), 1
! f(2, 3), (1, 2), 0
! f(2, 3), 1, 2
""",
    "rot90": """
f(2, 3)
f(2, 3), 2
f(2, 3, 4), 1, (1, 2)
f(2, 3), k=-1, dims=[0, 1]
! f(3)
! f(2, 3), 1, (0, 0)
""",
    "tile": "f(2, 3), (2,)\nf(2, 3), (2, 1, 2)\nf(3), (2, 2)\nf(), (3,)\nf(2), (0,)",
    "Tensor.tile": "f(2, 3), 2, 2\nf(3), 2",
    "Tensor.repeat": """
f(3), 2
f(2, 3), 2, 1
f(3), 2, 2
f(2), (3, 2)
f(), 2
f(2), 0
! f(2, 3), 2
""",
    "repeat_interleave": """
f(3), 2
f(2, 3), 2, 1
f(3), torch.tensor([1, 0, 2])
f(2, 3), torch.tensor([1, 2]), dim=0
f(2, 2), 2
torch.tensor([1, 2, 0])
f(3), 2, output_size=6
! f(3), torch.tensor([1, 2])
! f(3), -1
""",
    "diag": """
f(3)
f(3), 1
f(3), -1
f(2, 3)
f(3, 3), 1
f(3, 3), diagonal=-2
f(0)
! f(2, 2, 2)
! f()
""",
    "diagflat": "f(3)\nf(2, 2)\nf(2), 1\nf(2), offset=-1\nf()",
    "diag_embed": """
f(3)
f(2, 3)
f(2, 3), 1
f(2, 3), offset=-1, dim1=0, dim2=2
! f(2, 3), 0, 1, 1
""",
    "diagonal": """
f(3, 3)
f(2, 3), 1
f(2, 3, 4), 0, 1, 2
f(2, 3, 4), offset=-1, dim1=0, dim2=2
f(2, 2), 5
! f(3)
! f(3, 3), 0, 1, 1
""",
    "linalg.diagonal": """
f(3, 3)
= linalg.diagonal(f(2, 3, 4), offset=1)
= linalg.diagonal(f(2, 3, 4), dim1=0, dim2=1)
""",
    "tril triu": """
f(3, 3)
f(3, 4), 1
f(3, 4), -1
f(2, 3, 3)
f(3, 3), diagonal=2
f(0, 3)
b(3, 3)
! f(3)
""",
    "tril_indices triu_indices": """
3, 3
3, 4, 1
4, 3, -1
row=2, col=2, offset=0
0, 3
2, 2, dtype=torch.int32
! -1, 3
""",
    "meshgrid": """
= torch.meshgrid(f(2), f(3), indexing='ij')
= torch.meshgrid(f(2), f(3), indexing='xy')
= torch.meshgrid(f(2), f(3))
= torch.meshgrid([f(2), f(3), f()], indexing='ij')
!= torch.meshgrid(f(2), f(3), indexing='yx')
""",
    "cartesian_prod": "f(2), f(3)\ni(2), i(3), i(1)\nf(3)\n! f(2, 2), f(2)",
    "combinations": "f(4)\nf(4), 3\nf(3), 2, True\ni(3), r=1\n! f(2, 2)",
    "block_diag": "f(2, 2), f(1, 3)\nf(2), f(), f(2, 1)\nf(2, 2), i(1, 1)\n! f(2, 2, 2)",
    "vander": "f(3)\nf(3), 2\nf(3), N=4, increasing=True\ni(3)\n! f(2, 2)",
    "unfold_copy": "f(7), 0, 3, 2",
    "Tensor.unfold": """
f(7), 0, 3, 2
f(3, 5), 1, 2, 1
f(7), dimension=0, size=7, step=1
! f(3), 0, 4, 1
! f(3), 0, 2, 0
""",
    "as_strided": """
f(9), (2, 2), (1, 2)
f(9), (3, 3), (1, 3)
f(9), (2,), (3,), 1
f(4), (2, 3), (1, 1)
f(3), (2, 2), (0, 1)
! f(3), (4,), (1,)
! f(3), (2,), (-1,)
""",
    "ravel": "f(2, 3)\nf()\nf(2, 3).t()",
    "F.pad": """
f(2, 3), (1, 2)
f(2, 3), (1, 0, 0, 2), 'constant', 1.5
f(1, 2, 4), (1, 2), 'reflect'
f(1, 2, 4), (1, 2), 'replicate'
f(1, 2, 4), (1, 2), 'circular'
f(1, 2, 4, 3), (1, 2, 2, 0), mode='reflect'
f(1, 2, 4, 3), (1, 2, 2, 0), mode='replicate'
f(1, 2, 4, 3), (1, 2, 2, 0), mode='circular'
f(1, 1, 3, 3, 3), (1, 1, 1, 0, 2, 1), mode='reflect'
f(1, 1, 3, 3, 3), (1, 1, 1, 0, 2, 1), mode='replicate'
f(1, 1, 3, 3, 3), (1, 1, 1, 0, 2, 1), mode='circular'
f(4, 3), (-1, 1)
f(4, 3), [0, 0, -1, -1], value=2
i(3), (1, 1), value=4
f(2, 3), ()
! f(2, 3), (1,)
! f(1, 2, 3), (3, 3), 'reflect'
! f(2), (1, 1, 1, 1)
! f(1, 2, 3), (1, 1), 'mirror'
""",
    "pixel_shuffle F.pixel_shuffle": """
f(1, 4, 2, 3), 2
f(8, 2, 2), 2
f(2, 1, 9, 1, 2), 3
! f(1, 3, 2, 2), 2
""",
    "pixel_unshuffle F.pixel_unshuffle": "f(1, 1, 4, 6), 2\nf(2, 3, 3), 3\n! f(1, 1, 3, 4), 2",
    "channel_shuffle F.channel_shuffle": "f(1, 4, 2, 2), 2\nf(2, 6, 3), 3\n! f(1, 3, 2, 2), 2",
    "F.unfold": """
f(1, 2, 4, 5), 2
f(2, 1, 4, 4), (2, 3), dilation=1, padding=1, stride=(2, 1)
f(1, 4, 4), kernel_size=2, stride=2
! f(4, 4), 2
""",
    "F.fold": """
f(1, 8, 12), (4, 5), 2
f(1, 4, 4), (4, 4), 2, stride=2
f(2, 4, 9), output_size=(2, 2), kernel_size=2, padding=1
! f(1, 8, 11), (4, 5), 2
""",
    "F.one_hot": """
i(4, lo=0, hi=3)
i(2, 3, lo=0, hi=3), 5
i(0, lo=0), num_classes=3
! i(3, lo=-2, hi=-1)
! i(3, lo=4, hi=6), 3
! f(3)
""",
    "Tensor.contiguous": "f(2, 3)\nf(2, 3).t()\ni(3)",
    "detach": "f(2, 3)\ni(3)",
    "Tensor.squeeze_ Tensor.t_": "f(1, 3).clone() # nograd",
    "Tensor.unsqueeze_": "f(1, 3).clone(), 0 # nograd",
    "Tensor.transpose_ Tensor.swapaxes_ Tensor.swapdims_": "f(2, 3).clone(), 0, 1 # nograd",
    "Tensor.as_strided_": "f(9).clone(), (2, 2), (1, 2) # nograd",
    "Tensor.resize_": "f(2, 3).clone(), 3, 2 # nograd\nf(2, 3).clone(), (2, 2) # nograd",
    "Tensor.resize_as_": "f(2, 3).clone(), f(3, 2, grad=False) # nograd",
    "(views alias)": "\n".join(f"> x = f(4, 4); y = x{view}; y.zero_(); r = x" for view in (
        "[1]", "[:, 1:3]", "[::2]", ".t()", ".T", ".view(2, 8)", ".view(-1)[::3]", ".reshape(16)",
        ".permute(1, 0)[1]", ".transpose(0, 1)", ".narrow(0, 1, 2)", ".select(1, 2)",
        ".unbind(0)[1]",
        ".split(2)[1]", ".chunk(2, 1)[0]", ".squeeze()", ".unsqueeze(0)", ".diagonal()",
        ".unfold(0, "
        "2, 2)[1]", ".as_strided((2,), (5,))", ".detach()[0]", ".data[0]", ".flatten()[3:5]",
        "[1].expand(4)[:1]", ".view_as(x)", ".mT", ".movedim(0, 1)[0]", ".swapaxes(0, 1)[0]",
        ".unflatten(1, (2, 2))[:, 0]", ".tensor_split(2)[0]", ".hsplit(2)[0]", ".vsplit(2)[1]",
        ".ravel()[1:2]", ".expand_as(x)[2]", ".data", ".T[0]")) + "\n" + "\n".join(
            f"> x = f(4, 4); x{view}.add_(1).mul_(2); r = x" for view in (
                "[0]", "[:, 1]", ".T[0]", ".view(-1)[2:4]", ".diagonal()")) + """
> x = f(4); y = x.flip(0); y.zero_(); r = x
> x = f(4); y = x[[0, 1]]; y.zero_(); r = x
> x = f(2, 3); y = x.t().contiguous(); y.zero_(); r = x
> x = f(4); x[1:3].copy_(f(2)); r = x
> x = f(4, 4); x.diagonal().fill_(1); r = x
> x = f(3); y = x.view(3); r = (y._version == x._version)
> x = f(3); y = x.detach(); x.add_(1); r = y
""",
}
CASES["Tensor.T"] = "= f(2, 3).T\n= c(2, 3).T\n= f(3, 3).T"
for _p in ("mT", "H", "mH"):
    CASES[f"Tensor.{_p}"] = f"= f(2, 3).{_p}\n= c(2, 3).{_p}"
del CASES["Tensor.T Tensor.mT Tensor.H Tensor.mH"]
