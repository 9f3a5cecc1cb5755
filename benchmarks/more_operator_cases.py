"""The cases of benchmarks/operators.py beyond the first hundred: more of each family."""

from operator_cases import (
    BATCHED, FLAT, HEADS, IMAGE, PRODUCT, SEQUENCE, SQUARE, Case, binary, channels, function,
    heads, kernel, labels, mask, places, positive, reduction, rows, unary, unit,
)

_VOLUME = ((1, 2, 4, 6, 6), (2, 8, 8, 14, 14), (4, 16, 16, 28, 28))
_SIGNAL = ((1, 4, 32), (4, 16, 256), (8, 64, 4096))
_MATRICES = ((3, 3), (64, 64), (16, 128, 128))
_MATRIX = ((4, 4), (32, 32), (256, 256))


def _depthwise(t, shape, normal):
    return [normal(*shape), normal(shape[1], 1, 3, 3), normal(shape[1])]


def _matrix(t, shape, normal):
    """Matrices that are well conditioned."""
    return [normal(*shape) + 4 * shape[-1] ** 0.5 * t.eye(shape[-1])]


def _definite(t, shape, normal):
    x = normal(*shape)
    return [x @ x.transpose(-1, -2) + shape[-1] * t.eye(shape[-1])]


def _system(t, shape, normal):
    return _matrix(t, shape, normal) + [normal(*shape[:-1], 4)]


def _triangle(t, shape, normal):
    return [x.tril() for x in _matrix(t, shape, normal)] + [normal(*shape[:-1], 4)]


def _points(t, shape, normal):
    """Images and places in them."""
    return [normal(*shape), normal(shape[0], *shape[2:], 2) * 0.5]


def _bag(t, shape, normal):
    """Rows of bags of four, and a table."""
    rows, width = shape
    return [(normal(rows, 4).abs() * 1000).to(t.int64) % rows, normal(rows, width)]


def _pairs(t, shape, normal):
    """A vector of row numbers, a table, and rows to put there."""
    rows = shape[0]
    return [(normal(rows).abs() * 1000).to(t.int64) % rows, normal(*shape), normal(*shape)]


def _targets(t, shape, normal):
    return [normal(*shape), (normal(*shape) > 0).to(t.float32)]


def _recurrent(gates, states):
    def draw(t, shape, normal):
        _, batch, size = shape
        weights = [normal(gates * size, size), normal(gates * size, size),
                   normal(gates * size), normal(gates * size)]
        return ([normal(*shape)] + [normal(1, batch, size) for _ in range(states)]
                + [w * size ** -0.5 for w in weights])
    return draw


def _integers(t, shape, normal):
    return [(normal(*shape).abs() * 1000).to(t.int64) % 100]


MORE_ELEMENTWISE = [
    unary("log1p", draw=positive), unary("expm1"), unary("tan"), unary("atan"),
    unary("cosh"), unary("asinh"), unary("acos", draw=unit), unary("reciprocal"),
    unary("square"), unary("frac"), unary("digamma", draw=positive),
    unary("erfinv", draw=unit), unary("sinc"), unary("logit", draw=unit),
    unary("nan_to_num"), unary("floor", backward=False),
    binary("hypot"), binary("copysign"), binary("logaddexp"), binary("fmod"),
    binary("remainder"), binary("sub"), binary("fmax"),
    Case("floor_divide", FLAT, lambda t, x, y: t.floor_divide(x, y), operands=2, backward=False),
    Case("xlogy", FLAT, lambda t, x, y: t.xlogy(x, y), operands=2,
         draw=lambda t, shape, normal: [normal(*shape), normal(*shape).abs() + 0.1]),
    Case("addcdiv", FLAT, lambda t, x, y, z: t.addcdiv(x, y, z), operands=3),
    Case("where a number", FLAT, lambda t, x: t.where(x > 0, x, 0.0)),
    Case("add bfloat16", FLAT, lambda t, x, y: x + y, operands=2, draw=lambda t, shape, normal: [
        normal(*shape).to(t.bfloat16) for _ in range(2)]),
    Case("gelu bfloat16", FLAT, lambda t, x: t.nn.functional.gelu(x),
         draw=lambda t, shape, normal: [normal(*shape).to(t.bfloat16)]),
    Case("add int64", FLAT, lambda t, x, y: x + y, backward=False,
         draw=lambda t, shape, normal: [(normal(*shape) * 100).to(t.int64) for _ in range(2)]),
    Case("int64 + float32", FLAT, lambda t, x, y: x + y, backward=False,
         draw=lambda t, shape, normal: [(normal(*shape) * 100).to(t.int64), normal(*shape)]),
    Case("to int64", FLAT, lambda t, x: x.to(t.int64), backward=False),
    Case("logical_and", FLAT, lambda t, x, y: t.logical_and(x, y), operands=2, backward=False),
    Case("isclose", FLAT, lambda t, x, y: t.isclose(x, y), operands=2, backward=False),
    Case("add columns", SQUARE, lambda t, x, y: x * y, operands=2,
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[0], 1)]),
    Case("complex mul", FLAT, lambda t, x, y: t.complex(x, y) * t.complex(y, x), operands=2,
         backward=False),
]

MORE_ACTIVATIONS = [
    function("relu6"), function("selu"), function("celu"), function("mish"),
    function("hardtanh"), function("hardsigmoid"), function("softsign"),
    function("tanhshrink"), function("softshrink"), function("hardshrink"), function("glu"),
    Case("gelu tanh", FLAT, lambda t, x: t.nn.functional.gelu(x, approximate="tanh")),
    Case("prelu", IMAGE, lambda t, x, w: t.nn.functional.prelu(x, w),
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[1])]),
    Case("softmax(dim=0)", SQUARE, lambda t, x: t.softmax(x, 0)),
    Case("log_softmax(dim=0)", SQUARE, lambda t, x: t.log_softmax(x, 0)),
    Case("softmax(dim=1) of images", IMAGE, lambda t, x: t.softmax(x, 1)),
    Case("normalize", SQUARE, lambda t, x: t.nn.functional.normalize(x)),
]

MORE_REDUCTIONS = [
    reduction("std"), reduction("var", dim=0), reduction("std", dim=0),
    reduction("norm", dim=0), reduction("norm", dim=1), reduction("norm", p=1),
    reduction("amax", dim=0), reduction("max", dim=1), reduction("max"), reduction("min", dim=1),
    reduction("mean", dim=0), reduction("mean", dim=1), reduction("prod"),
    reduction("prod", dim=0),
    reduction("logsumexp", dim=0), reduction("nansum", dim=1), reduction("aminmax", dim=1),
    Case("mean of pixels", IMAGE, lambda t, x: x.mean((2, 3))),
    Case("sum of channels", IMAGE, lambda t, x: x.sum((0, 2, 3))),
    reduction("cumsum", dim=0), reduction("cumprod", dim=1), reduction("logcumsumexp", dim=1),
    reduction("cummax", dim=0), reduction("cummin", dim=1), reduction("diff", dim=1),
    reduction("sort", dim=0), Case("topk along dim 0", SQUARE, lambda t, x: t.topk(x, 5, 0)[0]),
    Case("kthvalue", SQUARE, lambda t, x: t.kthvalue(x, 3, 1)[0]),
    Case("quantile", SQUARE, lambda t, x: t.quantile(x, 0.3, 1)),
    Case("sort a row", ((64,), (10_000,), (200_000,)), lambda t, x: t.sort(x)[0]),
    Case("argmax(dim=0)", SQUARE, lambda t, x: x.argmax(0), backward=False),
    Case("argsort", SQUARE, lambda t, x: x.argsort(1), backward=False),
    Case("mode", _MATRICES, lambda t, x: t.mode(x, -1)[0], backward=False),
    Case("unique", FLAT, lambda t, x: t.unique(x), draw=_integers, backward=False),
    Case("bincount", FLAT, lambda t, x: t.bincount(x), draw=_integers, backward=False),
    Case("histc", FLAT, lambda t, x: t.histc(x, 20, -2, 2), backward=False),
    Case("searchsorted", FLAT, lambda t, x, y: t.searchsorted(x, y), backward=False,
         draw=lambda t, shape, normal: [t.sort(normal(*shape))[0], normal(*shape)]),
    Case("count_nonzero", SQUARE, lambda t, x: t.count_nonzero(x, 1), backward=False),
    Case("any(dim=1)", SQUARE, lambda t, x: (x > 2).any(1), backward=False),
    Case("equal", FLAT, lambda t, x: t.equal(x, x * 1), backward=False),
]

MORE_MOVES = [
    Case("index_add", SQUARE, lambda t, i, x, y: t.index_add(x, 0, i, y), draw=_pairs),
    Case("index_copy", SQUARE, lambda t, i, x, y: t.index_copy(x, 0, i, y), draw=_pairs),
    Case("index_fill", SQUARE, lambda t, i, x, y: t.index_fill(x, 0, i, 1.0), draw=_pairs),
    Case("x[index]", SQUARE, lambda t, i, x: x[i], draw=rows),
    Case("x[:, index]", SQUARE, lambda t, i, x: x[:, i % x.shape[1]], draw=rows),
    Case("x[i, j]", SQUARE, lambda t, i, x: x[i, i % x.shape[1]], draw=rows),
    Case("x[index] = y", SQUARE, lambda t, i, x, y: x.__setitem__(i, y), draw=_pairs,
         backward=False),
    Case("x[mask] = 0", SQUARE, lambda t, x, m: x.__setitem__(m, 0.0), draw=mask,
         backward=False),
    Case("x[1, 2] = 0", SQUARE, lambda t, x: x.__setitem__((1, 2), 0.0), backward=False),
    Case("x[None, ..., 0]", SQUARE, lambda t, x: x[None, ..., 0]),
    Case("scatter", SQUARE, lambda t, x, i, y: t.scatter(x, 0, i, y), draw=places),
    Case("gather(dim=1)", SQUARE, lambda t, x, i, y: t.gather(x, 1, i % x.shape[1]), draw=places),
    Case("take", FLAT, lambda t, x, i, y: t.take(x, i), draw=places),
    Case("masked_select", SQUARE, lambda t, x, m: t.masked_select(x, m), draw=mask),
    Case("masked_scatter", SQUARE, lambda t, x, m: t.masked_scatter(x, m, x), draw=mask),
    Case("nonzero", SQUARE, lambda t, x, m: t.nonzero(m), draw=mask, backward=False),
    Case("unbind", SEQUENCE, lambda t, x: t.unbind(x)[0]),
    Case("unfold a tensor", SEQUENCE, lambda t, x: x.unfold(1, 4, 2)),
    Case("F.unfold", IMAGE, lambda t, x: t.nn.functional.unfold(x, 3, padding=1)),
    Case("F.fold", IMAGE, lambda t, x: t.nn.functional.fold(
        t.nn.functional.unfold(x, 2, stride=2), x.shape[2:], 2, stride=2)),
    Case("repeat_interleave", SQUARE, lambda t, x: t.repeat_interleave(x, 3, 1)),
    Case("tile", SQUARE, lambda t, x: t.tile(x, (2, 2))),
    Case("rot90", SQUARE, lambda t, x: t.rot90(x)),
    Case("meshgrid", ((8,), (100,), (1000,)), lambda t, x, y: t.meshgrid(
        x, y, indexing="ij")[1].contiguous(), operands=2),
    Case("expand and copy", SQUARE, lambda t, x: x[:, None].expand(-1, 3, -1).contiguous()),
    Case("diag", _MATRIX, lambda t, x: t.diag(x)),
    Case("diag_embed", ((8,), (100,), (1000,)), lambda t, x: t.diag_embed(x)),
    Case("cat of ten", SQUARE, lambda t, x: t.cat([x] * 10)),
    Case("cat of channels", IMAGE, lambda t, x, y: t.cat((x, y), 1), operands=2),
    Case("hstack", SQUARE, lambda t, x, y: t.hstack((x, y)), operands=2),
    Case("split and sum", SQUARE, lambda t, x: sum(t.split(x, x.shape[0] // 4))),
    Case("pixel_unshuffle", IMAGE, lambda t, x: t.nn.functional.pixel_unshuffle(x, 2)),
    Case("channel_shuffle", IMAGE, lambda t, x: t.nn.functional.channel_shuffle(x, 2)),
    Case("pad circular", IMAGE, lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1), "circular")),
    Case("pad replicate", IMAGE, lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1), "replicate")),
    Case("one_hot", ((64,), (1000,), (10_000,)), lambda t, x: t.nn.functional.one_hot(x, 100),
         draw=_integers, backward=False),
    Case("arange", FLAT, lambda t, x: t.arange(x.shape[0]), backward=False),
    Case("linspace", FLAT, lambda t, x: t.linspace(0, 1, x.shape[0]), backward=False),
    Case("full_like", FLAT, lambda t, x: t.full_like(x, 2.0), backward=False),
    Case("eye", ((8,), (100,), (1000,)), lambda t, x: t.eye(x.shape[0]), backward=False),
    Case("rand", FLAT, lambda t, x: t.rand(x.shape[0]), backward=False),
    Case("randint", FLAT, lambda t, x: t.randint(0, 10, (x.shape[0],)), backward=False),
    Case("randperm", FLAT, lambda t, x: t.randperm(x.shape[0]), backward=False),
    Case("bernoulli", FLAT, lambda t, x: t.bernoulli(x), draw=unit, backward=False),
    Case("multinomial", _MATRIX, lambda t, x: t.multinomial(x, 3), draw=unit, backward=False),
    Case("uniform_", FLAT, lambda t, x: x.uniform_(), backward=False),
    Case("zero_", FLAT, lambda t, x: x.zero_(), backward=False),
    Case("clone", FLAT, lambda t, x: x.clone()),
    Case("item", FLAT, lambda t, x: x[3].item(), backward=False),
    Case("tensor of a list", FLAT, lambda t, x: t.tensor([1.0, 2.0, 3.0]), backward=False),
]

PRODUCTS = [
    Case("mv", _MATRIX, lambda t, x, y: t.mv(x, y),
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[1])]),
    Case("dot", FLAT, lambda t, x, y: t.dot(x, y), operands=2),
    Case("outer", ((8,), (256,), (1000,)), lambda t, x, y: t.outer(x, y), operands=2),
    Case("addmm", PRODUCT, lambda t, x, y, z: t.addmm(x, y, z), operands=3),
    Case("baddbmm", BATCHED, lambda t, x, y, z: t.baddbmm(x, y, z), operands=3),
    Case("einsum bij,bjk", BATCHED, lambda t, x, y: t.einsum("bij,bjk->bik", x, y), operands=2),
    Case("einsum bij,bkj", BATCHED, lambda t, x, y: t.einsum("bij,bkj->bik", x, y), operands=2),
    Case("einsum i,j", ((8,), (256,), (1000,)), lambda t, x, y: t.einsum("i,j->ij", x, y),
         operands=2),
    Case("tensordot", _MATRIX, lambda t, x, y: t.tensordot(x, y, 1), operands=2),
    Case("kron", ((3, 3), (10, 10), (30, 30)), lambda t, x, y: t.kron(x, y), operands=2),
    Case("cdist", _MATRIX, lambda t, x, y: t.cdist(x, y), operands=2),
    Case("cdist(p=1)", _MATRIX, lambda t, x, y: t.cdist(x, y, 1.0), operands=2),
    Case("bilinear", ((2, 4), (16, 16), (64, 32)), lambda t, x, y, w: t.nn.functional.bilinear(
        x, y, w), draw=lambda t, shape, normal: [normal(*shape), normal(*shape), normal(
            shape[1], shape[1], shape[1])]),
    Case("cosine_similarity", SQUARE, lambda t, x, y: t.nn.functional.cosine_similarity(x, y),
         operands=2),
    Case("cross", ((8, 3), (1000, 3), (100_000, 3)), lambda t, x, y: t.linalg.cross(x, y),
         operands=2),
    Case("chain_matmul", _MATRIX, lambda t, x, y, z: t.linalg.multi_dot((x, y, z)), operands=3),
]

LINALG = [
    Case("inv", _MATRICES, lambda t, x: t.linalg.inv(x), draw=_matrix),
    Case("solve", _MATRICES, lambda t, x, y: t.linalg.solve(x, y), draw=_system),
    Case("solve_triangular", _MATRICES, lambda t, x, y: t.linalg.solve_triangular(
        x, y, upper=False), draw=_triangle),
    Case("cholesky", _MATRICES, lambda t, x: t.linalg.cholesky(x), draw=_definite),
    Case("qr", _MATRICES, lambda t, x: t.linalg.qr(x)[1], draw=_matrix),
    Case("svdvals", _MATRICES, lambda t, x: t.linalg.svdvals(x), draw=_matrix),
    Case("svd", _MATRICES, lambda t, x: t.linalg.svd(x)[0], draw=_matrix, backward=False),
    Case("eigh", _MATRICES, lambda t, x: t.linalg.eigh(x)[0], draw=_definite),
    Case("eigvals", ((3, 3), (32, 32), (4, 64, 64)), lambda t, x: t.linalg.eigvals(x),
         draw=_matrix, backward=False),
    Case("det", _MATRICES, lambda t, x: t.linalg.det(x / x.shape[-1]), draw=_matrix),
    Case("slogdet", _MATRICES, lambda t, x: t.linalg.slogdet(x)[1], draw=_matrix),
    Case("lstsq", _MATRICES, lambda t, x, y: t.linalg.lstsq(x, y)[0], draw=_system,
         backward=False),
    Case("pinv", _MATRICES, lambda t, x: t.linalg.pinv(x), draw=_matrix),
    Case("matrix_exp", _MATRIX, lambda t, x: t.linalg.matrix_exp(x * 0.1)),
    Case("matrix_power", _MATRIX, lambda t, x: t.linalg.matrix_power(x * 0.1, 3)),
    Case("vector_norm", SQUARE, lambda t, x: t.linalg.vector_norm(x, dim=1)),
    Case("inv of many", ((4, 3, 3), (100, 3, 3), (10_000, 3, 3)), lambda t, x: t.linalg.inv(x),
         draw=_matrix),
    Case("trace", _MATRIX, lambda t, x: t.trace(x)),
]

SPECTRA = [
    Case("fft", SQUARE, lambda t, x: t.fft.fft(x), backward=False),
    Case("fft of a prime", ((8, 7), (100, 101), (100, 1009)), lambda t, x: t.fft.fft(x),
         backward=False),
    Case("fft of 2 * a prime", ((8, 22), (100, 202), (100, 2018)), lambda t, x: t.fft.fft(x),
         backward=False),
    Case("rfft of a power", ((8, 8), (100, 128), (1000, 1024)), lambda t, x: t.fft.rfft(x),
         backward=False),
    Case("irfft(rfft)", SQUARE, lambda t, x: t.fft.irfft(t.fft.rfft(x))),
    Case("fft2", SQUARE, lambda t, x: t.fft.fft2(x), backward=False),
    Case("fftshift", SQUARE, lambda t, x: t.fft.fftshift(x)),
    Case("stft", ((256,), (4000,), (100_000,)), lambda t, x: t.stft(
        x, 64, return_complex=True, window=t.ones(64)), backward=False),
]

MORE_LAYERS = [
    Case("conv1d", _SIGNAL, lambda t, x, w: t.nn.functional.conv1d(x, w, padding=1),
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[1], shape[1], 3)]),
    Case("conv3d", _VOLUME, lambda t, x, w: t.nn.functional.conv3d(x, w, padding=1),
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[1], shape[1], 3, 3, 3)]),
    Case("conv2d 1 x 1", IMAGE, lambda t, x, w: t.nn.functional.conv2d(x, w),
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[1], shape[1], 1, 1)]),
    Case("conv2d stride 2", IMAGE, lambda t, x, w, b: t.nn.functional.conv2d(
        x, w, b, stride=2, padding=1), draw=kernel),
    Case("conv2d of 3 colours", ((1, 3, 16, 16), (2, 3, 64, 64), (8, 3, 112, 112)),
         lambda t, x, w: t.nn.functional.conv2d(x, w, stride=2, padding=3),
         draw=lambda t, shape, normal: [normal(*shape), normal(16, 3, 7, 7)]),
    Case("conv2d dilated", IMAGE, lambda t, x, w, b: t.nn.functional.conv2d(
        x, w, b, padding=2, dilation=2), draw=kernel),
    Case("conv2d depthwise", IMAGE, lambda t, x, w, b: t.nn.functional.conv2d(
        x, w, b, padding=1, groups=x.shape[1]), draw=_depthwise),
    Case("conv2d in 4 groups", IMAGE, lambda t, x, w: t.nn.functional.conv2d(
        x, w, padding=1, groups=4), draw=lambda t, shape, normal: [
            normal(*shape), normal(shape[1], shape[1] // 4, 3, 3)]),
    Case("conv_transpose2d", IMAGE, lambda t, x, w, b: t.nn.functional.conv_transpose2d(
        x, w, b, stride=2), draw=kernel),
    Case("grid_sample", IMAGE, lambda t, x, g: t.nn.functional.grid_sample(
        x, g, align_corners=False), draw=_points),
    Case("grid_sample nearest", IMAGE, lambda t, x, g: t.nn.functional.grid_sample(
        x, g, mode="nearest", align_corners=False), draw=_points),
    Case("affine_grid", IMAGE, lambda t, x: t.nn.functional.affine_grid(
        x.reshape(-1)[:6 * x.shape[0]].reshape(-1, 2, 3), x.shape, align_corners=False)),
    Case("interpolate nearest", IMAGE, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=2)),
    Case("interpolate bicubic", IMAGE, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=2, mode="bicubic")),
    Case("interpolate down", IMAGE, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=0.5, mode="bilinear")),
    Case("interpolate area", IMAGE, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=0.5, mode="area")),
    Case("interpolate trilinear", _VOLUME, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=2, mode="trilinear")),
    Case("max_pool1d", _SIGNAL, lambda t, x: t.nn.functional.max_pool1d(x, 2)),
    Case("max_pool2d overlapping", IMAGE, lambda t, x: t.nn.functional.max_pool2d(x, 3, 2, 1)),
    Case("max_pool3d", _VOLUME, lambda t, x: t.nn.functional.max_pool3d(x, 2)),
    Case("avg_pool2d overlapping", IMAGE, lambda t, x: t.nn.functional.avg_pool2d(x, 3, 1, 1)),
    Case("adaptive_avg_pool2d", IMAGE, lambda t, x: t.nn.functional.adaptive_avg_pool2d(x, 1)),
    Case("adaptive_avg_pool2d 5", IMAGE, lambda t, x: t.nn.functional.adaptive_avg_pool2d(x, 5)),
    Case("adaptive_max_pool2d 5", IMAGE, lambda t, x: t.nn.functional.adaptive_max_pool2d(x, 5)),
    Case("lp_pool2d", IMAGE, lambda t, x: t.nn.functional.lp_pool2d(x, 2, 2)),
    Case("group_norm", IMAGE, lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b),
         draw=channels),
    Case("instance_norm", IMAGE, lambda t, x: t.nn.functional.instance_norm(x)),
    Case("rms_norm", SEQUENCE, lambda t, x, w: t.nn.functional.rms_norm(x, (x.shape[-1],), w),
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[-1])]),
    Case("local_response_norm", IMAGE, lambda t, x: t.nn.functional.local_response_norm(x, 3)),
    Case("batch_norm evaluation", IMAGE, lambda t, x, w, b: t.nn.functional.batch_norm(
        x, (w * 0).detach(), (b * 0 + 1).detach(), w, b), draw=channels),
    Case("dropout2d", IMAGE, lambda t, x: t.nn.functional.dropout2d(x, 0.1)),
    Case("embedding_bag", SQUARE, lambda t, i, x: t.nn.functional.embedding_bag(i, x), draw=_bag),
    Case("attention causal", HEADS, lambda t, q, k, v:
         t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), draw=heads),
    Case("attention masked", HEADS, lambda t, q, k, v, m:
         t.nn.functional.scaled_dot_product_attention(q, k, v, m),
         draw=lambda t, shape, normal: heads(t, shape, normal) + [
             normal(shape[2], shape[2]) > -2]),
    Case("lstm_cell", ((2, 8), (16, 64), (64, 256)), lambda t, x, h, c, w, v, a, b: t.lstm_cell(
        x, (h, c), w, v, a, b)[0], draw=lambda t, shape, normal: [
            normal(*shape), normal(*shape), normal(*shape),
            *(normal(4 * shape[1], shape[1]) * shape[1] ** -0.5 for _ in range(2)),
            *(normal(4 * shape[1]) for _ in range(2))]),
    Case("gru_cell", ((2, 8), (16, 64), (64, 256)), lambda t, x, h, w, v, a, b: t.gru_cell(
        x, h, w, v, a, b), draw=lambda t, shape, normal: [
            normal(*shape), normal(*shape),
            *(normal(3 * shape[1], shape[1]) * shape[1] ** -0.5 for _ in range(2)),
            *(normal(3 * shape[1]) for _ in range(2))]),
    Case("lstm", ((5, 2, 8), (16, 8, 64), (32, 32, 256)), lambda t, x, h, c, *w: t.lstm(
        x, (h, c), w, True, 1, 0.0, False, False, False)[0], draw=_recurrent(4, 2)),
    Case("gru", ((5, 2, 8), (16, 8, 64), (32, 32, 256)), lambda t, x, h, *w: t.gru(
        x, h, w, True, 1, 0.0, False, False, False)[0], draw=_recurrent(3, 1)),
    Case("rnn_tanh", ((5, 2, 8), (16, 8, 64), (32, 32, 256)), lambda t, x, h, *w: t.rnn_tanh(
        x, h, w, True, 1, 0.0, False, False, False)[0], draw=_recurrent(1, 1)),
]

LOSSES = [
    Case("nll_loss", SQUARE, lambda t, x, i: t.nn.functional.nll_loss(x, i), draw=labels),
    Case("l1_loss", FLAT, lambda t, x, y: t.nn.functional.l1_loss(x, y), operands=2),
    Case("smooth_l1_loss", FLAT, lambda t, x, y: t.nn.functional.smooth_l1_loss(x, y),
         operands=2),
    Case("huber_loss", FLAT, lambda t, x, y: t.nn.functional.huber_loss(x, y), operands=2),
    Case("bce with logits", FLAT, lambda t, x, y:
         t.nn.functional.binary_cross_entropy_with_logits(x, y), draw=_targets),
    Case("kl_div", SQUARE, lambda t, x, y: t.nn.functional.kl_div(
        x, y, reduction="batchmean"), draw=lambda t, shape, normal: [
            normal(*shape), normal(*shape).softmax(1)]),
    Case("cross_entropy smooth", SQUARE, lambda t, x, i: t.nn.functional.cross_entropy(
        x, i, label_smoothing=0.1), draw=labels),
    Case("cross_entropy of pixels", IMAGE, lambda t, x, i: t.nn.functional.cross_entropy(x, i),
         draw=lambda t, shape, normal: [normal(*shape), (normal(
             shape[0], *shape[2:]).abs() * 10).to(t.int64) % shape[1]]),
    Case("cosine_embedding_loss", SQUARE, lambda t, x, y: t.nn.functional.cosine_embedding_loss(
        x, y, t.ones(x.shape[0])), operands=2),
    Case("triplet_margin_loss", SQUARE, lambda t, x, y, z: t.nn.functional.triplet_margin_loss(
        x, y, z), operands=3),
    Case("ctc_loss", ((8, 2, 5), (50, 4, 20), (100, 16, 40)), lambda t, x:
         t.nn.functional.ctc_loss(x, t.ones(x.shape[1], 3, dtype=t.int64), (x.shape[0],) *
                                  x.shape[1], (3,) * x.shape[1]),
         draw=lambda t, shape, normal: [normal(*shape).log_softmax(2)]),
]

MORE_CASES = (MORE_ELEMENTWISE + MORE_ACTIVATIONS + MORE_REDUCTIONS + MORE_MOVES + PRODUCTS +
              LINALG + SPECTRA + MORE_LAYERS + LOSSES)
