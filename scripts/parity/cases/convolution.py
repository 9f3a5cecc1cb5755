"""Convolutions, pooling and resampling."""

FAMILY = "convolution"
DTYPES = "float16 bfloat16 int64"

_POOL = {1: "f(2, 3, 8)", 2: "f(2, 3, 6, 7)", 3: "f(1, 2, 4, 5, 4)"}
_ONE = {1: "f(3, 8)", 2: "f(3, 6, 7)", 3: "f(2, 4, 5, 4)"}


def _convolution(n):
    space = "5, 6, 4"[:3 * n - 2]
    x, w = f"f(2, 4, {space})", f"f(6, 4, {', '.join('3' * n)})"
    grouped = f"f(6, 2, {', '.join('2' * n)})"
    pair = "(" + ", ".join("121"[:n]) + ("," if n == 1 else "") + ")"
    return "\n".join([
        f"{x}, {w}, f(6)", f"{x}, {w}", f"{x}, {w}, None, 2, 1",
        f"{x}, {w}, stride={pair}, padding={pair}",
        f"{x}, {w}, f(6), 1, 2, 2", f"{x}, {grouped}, None, groups=2", f"{x}, {w}, padding='same'",
        f"{x}, {w}, padding='valid'", f"f(4, {space}), {w}, f(6)", f"f(0, 4, {space}), {w}",
        f"{x}, f(4, 1, {', '.join('3' * n)}), padding=1, groups=4",
        f"{x}, {grouped}, padding='same', groups=2, dilation=2",
        f"! {x}, f(6, 3, {', '.join('3' * n)})", f"! {x}, {w}, f(5)", f"! {x}, {w}, stride=0",
        f"! {x}, {w}, padding='full'", f"! {x}, {w}, padding=-1",
        f"! {x}, {w}, padding='same', stride=2",
        f"! {x}, f(6, 4, {', '.join('9' * n)})"])


def _transposed(n):
    space = "5, 6, 4"[:3 * n - 2]
    x, w = f"f(2, 4, {space})", f"f(4, 6, {', '.join('3' * n)})"
    return "\n".join([
        f"{x}, {w}, f(6)", f"{x}, {w}", f"{x}, {w}, None, 2, 1", f"{x}, {w}, None, 2, 1, 1",
        f"{x}, {w}, stride=2, padding=1, output_padding=1, dilation=2",
        f"{x}, f(4, 2, {', '.join('2' * n)}), groups=2", f"f(4, {space}), {w}",
        f"! {x}, f(3, 6, {', '.join('3' * n)})", f"! {x}, {w}, output_padding=1",
        f"! {x}, {w}, f(5)"])


def _max_pool(n):
    x = _POOL[n]
    return "\n".join([
        f"{x}, 2", f"{x}, 3, 2", f"{x}, 2, 1, 1", f"{x}, kernel_size=2, stride=1, dilation=2",
        f"{_ONE[n]}, 2", f"{x}, 3, 2, 1, 1, True", f"{x}, 2, ceil_mode=True", f"! {x}, 0",
        f"= FN({x}, 2, return_indices=True)", f"= FN({x}, 3, 2, padding=1, return_indices=True)",
        f"! {x}, 2, padding=2", f"! {x}, 20", "! f(3), 2"])


def _average_pool(n):
    x = _POOL[n]
    lines = [f"{x}, 2", f"{x}, 3, 2", f"{x}, 3, 2, 1", f"{x}, 3, 2, 1, True", f"{_ONE[n]}, 2",
             f"{x}, kernel_size=3, stride=2, padding=1, count_include_pad=False",
             f"{x}, 2, ceil_mode=True", f"! {x}, 2, padding=2", f"! {x}, 0"]
    return "\n".join(lines + [f"= FN({x}, 2, divisor_override=3)"] * (n > 1))


def _adaptive(n):
    x, shape = _POOL[n], "(" + ", ".join("234"[:n]) + ("," if n == 1 else "") + ")"
    some = ["(None, 3)", "(2, None, 1)"][n - 2:n - 1] if n > 1 else []
    return "\n".join([f"{x}, 1", f"{x}, 3", f"{x}, {shape}", f"{_ONE[n]}, 2", f"! {x}, -1"] +
                     [f"{x}, {s}" for s in some])


CASES = {f"F.conv{n}d conv{n}d": _convolution(n) for n in (1, 2, 3)}
CASES |= {f"F.conv_transpose{n}d conv_transpose{n}d": _transposed(n) for n in (1, 2, 3)}
CASES |= {f"F.max_pool{n}d": _max_pool(n) for n in (1, 2, 3)}
CASES |= {f"max_pool{n}d": f"{_POOL[n]}, 2\n{_POOL[n]}, 3, 2, 1" for n in (1, 2, 3)}
CASES |= {f"F.avg_pool{n}d" + " avg_pool1d" * (n == 1): _average_pool(n) for n in (1, 2, 3)}
CASES |= {f"F.adaptive_avg_pool{n}d" + " adaptive_avg_pool1d" * (n == 1): _adaptive(n)
          for n in (1, 2, 3)}
CASES |= {f"F.adaptive_max_pool{n}d": _adaptive(n) + f"\n= FN({_POOL[n]}, 2, return_indices=True)"
          for n in (1, 2, 3)}
CASES |= {f"F.lp_pool{n}d": f"{_POOL[n]}, 2, 2\n{_POOL[n]}, 1, 3, 2\n{_POOL[n]}, norm_type=3.0, "
                            f"kernel_size=2, stride=1" for n in (1, 2, 3)}
CASES |= {
    "adaptive_max_pool1d": "f(2, 3, 8), 3",
    "F.max_unpool1d": """
= FN(*F.max_pool1d(f(1, 2, 8), 2, return_indices=True), 2)
= FN(*F.max_pool1d(f(1, 2, 9), 2, return_indices=True), 2, output_size=(9,))
""",
    "F.max_unpool2d": """
= FN(*F.max_pool2d(f(1, 2, 4, 6), 2, return_indices=True), 2)
= FN(*F.max_pool2d(f(1, 2, 5, 6), 2, return_indices=True), 2, 2, 0, (5, 6))
""",
    "F.max_unpool3d": "= FN(*F.max_pool3d(f(1, 2, 4, 4, 2), 2, return_indices=True), 2)",
    "F.fractional_max_pool2d": """
? f(1, 2, 8, 8), 2, output_size=(4, 3)
? f(1, 2, 8, 8), 2, output_ratio=(0.5, 0.7)
= FN(f(1, 2, 8, 8), 2, output_size=(4, 3), _random_samples=v([[[.3, .6], [.2, .9]]], grad=False)) \
# nograd
!= FN(f(1, 2, 8, 8), 2)
""",
    "F.fractional_max_pool3d": """
? f(1, 2, 6, 6, 6), 2, output_size=3
? f(1, 2, 6, 6, 6), 2, output_ratio=(0.5, 0.5, 0.5)
""",
    "F.interpolate": """
f(1, 2, 4), 7
f(1, 2, 4), scale_factor=2
f(1, 2, 4), 7, mode='linear'
f(1, 2, 4), 7, mode='linear', align_corners=True
f(1, 2, 4, 5), (6, 3)
f(1, 2, 4, 5), (6, 8), mode='bilinear'
f(1, 2, 4, 5), (6, 8), None, 'bilinear', True
f(1, 2, 4, 5), (6, 8), mode='bicubic'
f(1, 2, 4, 5), (6, 8), mode='bicubic', align_corners=True
f(1, 2, 4, 5), (3, 2), mode='area'
f(1, 2, 4, 5), scale_factor=(1.5, 2), mode='bilinear'
f(1, 2, 4, 5), scale_factor=1.5, mode='bilinear', recompute_scale_factor=True
f(1, 2, 4, 5), (7, 3), mode='nearest-exact'
f(1, 2, 8, 8), (3, 3), mode='bilinear', antialias=True
f(1, 2, 8, 8), (3, 3), mode='bicubic', antialias=True
f(1, 2, 3, 4, 2), (5, 2, 3)
f(1, 2, 3, 4, 2), (5, 2, 3), mode='trilinear'
f(1, 2, 3, 4, 2), (5, 2, 3), mode='trilinear', align_corners=True
f(1, 2, 6), 3, mode='area'
f(1, 2, 5), 3, mode='nearest-exact'
! f(1, 2, 4)
! f(1, 2, 4), 7, 2
! f(1, 2, 4), 7, mode='bilinear'
! f(1, 2, 4, 4), 7, mode='nearest', align_corners=True
""",
    "F.grid_sample": "\n".join(
        f"f(2, 3, 4, 5), f(2, 3, 2, 2, lo=-1.2, hi=1.2), '{mode}', '{pad}', {corners}"
        for mode in ("bilinear", "nearest", "bicubic") for pad in ("zeros", "border", "reflection")
        for corners in (True, False)) + """
f(1, 2, 3, 4, 5), f(1, 2, 2, 3, 3, lo=-1, hi=1), align_corners=False
f(1, 2, 3, 4, 5), f(1, 2, 2, 3, 3, lo=-1, hi=1), 'nearest', align_corners=True
! f(2, 3, 4, 5), f(1, 3, 2, 2)
! f(2, 3, 4, 5), f(2, 3, 2, 3)
""",
    "F.affine_grid": """
f(2, 2, 3), (2, 3, 4, 5)
f(2, 2, 3), [2, 1, 3, 3], True
f(1, 3, 4), (1, 1, 2, 3, 4), align_corners=False
! f(2, 2, 3), (1, 3, 4, 5)
""",
}
CASES |= {f"F.max_pool{n}d_with_indices": f"= FN({_POOL[n]}, 3, 2, 1)" for n in (1, 2, 3)}
CASES |= {f"F.adaptive_max_pool{n}d_with_indices": f"= FN({_POOL[n]}, 2)" for n in (1, 2, 3)}
CASES |= {
    "max_pool1d_with_indices": "= FN(f(2, 3, 8), 2)",
    "F.fractional_max_pool2d_with_indices": "= FN(f(1, 2, 8, 8), 2, output_size=(4, 3), "
                                            "_random_samples=v([[[.3, .6], [.2, .9]]], grad=False))"
                                            " # nograd",
    "F.fractional_max_pool3d_with_indices": "? f(1, 2, 6, 6, 6), 2, output_size=3",
    "grid_sampler grid_sampler_2d": """
f(2, 3, 4, 5), f(2, 3, 2, 2, lo=-1.2, hi=1.2), 0, 0, False # float
f(2, 3, 4, 5), f(2, 3, 2, 2, lo=-1.2, hi=1.2), 1, 1, True # float
f(2, 3, 4, 5), f(2, 3, 2, 2, lo=-1.2, hi=1.2), 2, 2, True # float
""",
    "grid_sampler_3d": "f(1, 2, 3, 4, 5), f(1, 2, 2, 3, 3, lo=-1, hi=1), 0, 0, False",
    "affine_grid_generator": "f(2, 2, 3), (2, 3, 4, 5), False # float",
    "conv_tbc": "= FN(f(5, 2, 3), f(2, 3, 4), f(4), 1)",
    "convolution": """
f(2, 3, 5), f(4, 3, 3), f(4), [1], [1], [1], False, [0], 1
f(2, 4, 5, 6), f(4, 3, 2, 2), None, (2, 2), (0, 0), (1, 1), True, (1, 1), 2
""",
    "(large convolutions)": """
= torch.conv2d(f(5, 19, 30, 33), f(21, 19, 3, 3), f(21), 1, 1)
= torch.conv2d(f(5, 6, 30, 33), f(12, 1, 3, 3), f(12), 2, 1, groups=6)
= torch.conv2d(f(9, 40, 3, 3), f(50, 40, 1, 1))
= torch.conv_transpose2d(f(3, 19, 15, 14), f(19, 21, 4, 3), f(21), 2, 1)
= torch.conv1d(f(3, 17, 300), f(18, 17, 5), None, 2, 4, 2)
= F.conv2d(f(1, 2, 3, 3), f(2, 2, 1, 1), None, 3, (1, 0))
""",
    "(ties and NaN of windows)": """
= F.max_pool2d(v([[[[1, 1, 0, 2], [1, 1, 2, 2], [nan, 0, 3, 3], [0, nan, 3, 3]]]]), 2, \
return_indices=True)
= F.max_pool1d(v([[[-inf, -inf, 1, -inf]]]), 2, 1, 1, return_indices=True)
= F.adaptive_max_pool1d(v([[[1, 1, 0, 2, 2]]]), 3, return_indices=True)
""",
}
