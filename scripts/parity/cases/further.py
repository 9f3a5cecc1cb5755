"""What the other files leave: older names, copies of views, settings, functions of tensors."""

FAMILY = "further"
DTYPES = "float16 int64 bool"

CASES = {
    "range": "1, 5\n0, 2, 0.5\n5, 1, -2\n! 0, 5, -1",
    "chain_matmul": "f(2, 3), f(3, 4), f(4, 2)\nf(2, 3), f(3, 4)",
    "constant_pad_nd": """
f(2, 3), (1, 2)
f(2, 3), (1, 0, 0, 2), 1.5
f(4, 3), (-1, 1)
i(3), (1, 1), 4
""",
    "svd_lowrank pca_lowrank": "? f(6, 4), 2\n= FN(f(6, 4), 4)[1] # nograd",
    "lobpcg": "? spd(6), 1\n= torch.lobpcg(spd(9), k=1, niter=200)[0] # nograd",
    "is_same_size": "f(2, 3), f(2, 3)\nf(2, 3), f(3, 2)",
    "unsafe_chunk": "f(5, 2), 2\nf(2, 5), 2, 1",
    "unsafe_split": "f(5, 2), 2\nf(2, 5), 2, 1",
    "unsafe_split_with_sizes": "f(5, 2), [1, 4]\nf(2, 5), (2, 3), 1",
    "alias_copy detach_copy t_copy view_as_real_copy":
        "c(2, 3)\nc(3, 3)",
    "view_as_complex_copy": "f(3, 2) # float\n! f(3)",
    "as_strided_copy": "f(9), (2, 2), (1, 2)\nf(9), (2,), (3,), 1",
    "diagonal_copy": "f(3, 3)\nf(2, 3, 4), 0, 1, 2",
    "expand_copy": "f(3), (2, 3)\nf(2, 1), (-1, 4)\n! f(3), (4,)",
    "permute_copy": "f(2, 3, 4), (2, 0, 1)\n! f(2, 3), (0, 0)",
    "select_copy": "f(2, 3), 0, 1\n! f(2, 3), 0, 2",
    "slice_copy": "f(5, 3), 0, 1, 4\nf(5, 3), 0, 0, 5, 2\nf(5, 3), 1, -2",
    "split_copy": "f(5, 2), 2\nf(2, 5), 2, 1",
    "split_with_sizes_copy": "f(5, 2), [1, 4]\n! f(5), [1, 2]",
    "squeeze_copy": "f(1, 2, 1)\nf(1, 2, 1), 0\nf(1, 2, 1), (0, 2)",
    "transpose_copy": "f(2, 3), 0, 1\n! f(2, 3), 0, 2",
    "unbind_copy": "f(2, 3)\nf(2, 3), 1",
    "unsqueeze_copy": "f(2, 3), 1\n! f(2, 3), 3",
    "view_copy": "f(2, 3), (3, 2)\n! f(2, 3), (4,)",
    "Tensor.apply_": """
= torch.tensor([1.0, 2.0]).apply_(lambda q: q * 2)
= i(3).apply_(lambda q: q + 1)
""",
    "Tensor.map_": "= torch.tensor([1.0, 2.0]).map_(torch.tensor([3.0, 4.0]), lambda a, b: a * b)",
    "Tensor.map2_": "= i(3).map2_(torch.tensor(2), i(3), lambda a, b, c: a * b + c)",
    "zero_": "f(2, 3).clone()",
    "resize_as_": "f(2, 3).clone(), f(3, 2, grad=False) # nograd",
    "Tensor.cross": "f(2, 3), f(2, 3), 1\n= f(3, 2).cross(f(3, 2), dim=0)\n! f(2, 4), f(2, 4)",
    "Tensor.lu_solve": "= f(3, 2).lu_solve(*linalg.lu_factor(dd(3)))",
    "Tensor.nonzero_static": """
= i(2, 3).nonzero_static(size=4)
= i(2, 3).nonzero_static(size=9, fill_value=-5)
""",
    "Tensor.stft": """
= f(32).stft(8, return_complex=True)
= f(2, 32).stft(8, 4, window=torch.ones(8).to(f(1).dtype), center=False, return_complex=True)
""",
    "Tensor.istft": "= torch.stft(f(32), 8, 4, window=torch.ones(8).to(f(1).dtype), return_complex="
                    "True).istft(8, 4, window=torch.ones(8).to(f(1).dtype))",
    "F.upsample": """
f(1, 2, 4), 7
f(1, 2, 4, 5), scale_factor=2
f(1, 2, 4, 5), (6, 8), mode='bilinear'
""",
    "F.upsample_nearest": "f(1, 2, 4), 7\nf(1, 2, 4, 5), scale_factor=2",
    "F.upsample_bilinear": "f(1, 2, 4, 5), (6, 8)\nf(1, 2, 4, 5), scale_factor=2",
    "F.multi_head_attention_forward": """
= FN(f(3, 2, 4), f(5, 2, 4), f(5, 2, 4), 4, 2, f(12, 4), f(12), None, None, False, 0.0, f(4, 4), \
f(4))
= FN(f(3, 2, 4), f(3, 2, 4), f(3, 2, 4), 4, 2, f(12, 4), f(12), None, None, False, 0.0, f(4, 4), \
f(4), need_weights=False)
= FN(f(3, 2, 4), f(5, 2, 4), f(5, 2, 4), 4, 2, f(12, 4), f(12), None, None, False, 0.0, f(4, 4), \
f(4), attn_mask=f(3, 5, grad=False), average_attn_weights=False)
= FN(f(3, 2, 4), f(5, 2, 4), f(5, 2, 4), 4, 2, f(12, 4), f(12), f(1, 1, 4), f(1, 1, 4), True, 0.0, \
f(4, 4), f(4), key_padding_mask=torch.tensor([[True, False, False, False, False]] * 2))
""",
    "is_inference_mode_enabled": "= torch.is_inference_mode_enabled()",
    "get_num_threads": "= torch.get_num_threads() >= 1",
    "set_num_threads": """
> torch.set_num_threads(1); r = torch.get_num_threads()
!> torch.set_num_threads(0); r = 0
""",
    "get_default_device": "= torch.get_default_device().type",
    "set_default_device": "> torch.set_default_device('cpu'); r = torch.ones(2).device.type",
    "set_printoptions": """
> torch.set_printoptions(precision=2); r = repr(torch.tensor([1.23456])); \
torch.set_printoptions(profile='default')
""",
}
