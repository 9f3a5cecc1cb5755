"""The calls that benchmarks/operators.py measures, written once for both frameworks.

The first hundred; more_operator_cases.py has the others. A case is (name, shapes for three sizes,
call, arguments). `call(t, *operands)` gets the framework's module. Operands are float32 drawn from
N(0, 1) unless `draw` says otherwise.
"""

import dataclasses
from collections.abc import Callable

SIZES = ("small", "medium", "large")

FLAT = ((64,), (10_000,), (1_000_000,))
SQUARE = ((8, 8), (100, 100), (1000, 1000))
SEQUENCE = ((2, 8, 16), (8, 32, 64), (16, 128, 512))
IMAGE = ((1, 4, 8, 8), (4, 16, 28, 28), (8, 64, 56, 56))
PRODUCT = ((8, 8), (128, 128), (768, 768))
BATCHED = ((2, 8, 8), (8, 64, 64), (16, 256, 256))
HEADS = ((1, 2, 8, 16), (2, 4, 64, 32), (4, 8, 256, 64))


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    shapes: tuple  # of the first operand, one for each size
    call: Callable
    operands: int = 1
    # Gives all operands from (t, shape, normal): for those that are not alike.
    draw: Callable | None = None
    backward: bool = True  # of all operands that hold floating numbers


def unary(name, shapes=FLAT, **options):
    return Case(name, shapes, lambda t, x: getattr(t, name)(x), **options)


def function(name, shapes=FLAT, **options):
    return Case(name, shapes, lambda t, x: getattr(t.nn.functional, name)(x), **options)


def binary(name, **options):
    return Case(name, FLAT, lambda t, x, y: getattr(t, name)(x, y), operands=2, **options)


def reduction(name, shapes=SQUARE, **arguments):
    label = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return Case(f"{name}({label})" if label else name, shapes,
                lambda t, x: _first(getattr(t, name)(x, **arguments)))


def _first(result):
    return result[0] if isinstance(result, tuple) else result


def positive(t, shape, normal):
    return [normal(*shape).abs() + 0.1]


def unit(t, shape, normal):
    return [normal(*shape).sigmoid()]


def labels(t, shape, normal):
    return [normal(*shape), (normal(shape[0]).abs() * 10).to(t.int64) % shape[1]]


def rows(t, shape, normal):
    """Row numbers and a table."""
    rows, width = shape
    return [(normal(rows).abs() * 1000).to(t.int64) % rows, normal(rows, width)]


def places(t, shape, normal):
    return [normal(*shape), (normal(*shape).abs() * 1000).to(t.int64) % shape[0], normal(*shape)]


def mask(t, shape, normal):
    return [normal(*shape), normal(*shape) > 0]


def norm(t, shape, normal):
    return [normal(*shape), normal(shape[-1]), normal(shape[-1])]


def channels(t, shape, normal):
    return [normal(*shape), normal(shape[1]), normal(shape[1])]


def kernel(t, shape, normal):
    return [normal(*shape), normal(shape[1], shape[1], 3, 3), normal(shape[1])]


def weights(t, shape, normal):
    return [normal(*shape), normal(shape[-1], shape[-1]), normal(shape[-1])]


def heads(t, shape, normal):
    return [normal(*shape) for _ in range(3)]


ELEMENTWISE = [
    binary("add"), binary("mul"), binary("div"), binary("maximum"), binary("atan2"),
    Case("add a number", FLAT, lambda t, x: x + 1.5),
    Case("add rows", SQUARE, lambda t, x, y: x + y, operands=2,
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[-1])]),
    Case("add transposed", SQUARE, lambda t, x, y: x + y.t(), operands=2),
    Case("pow(x, 3)", FLAT, lambda t, x: x ** 3),
    Case("pow(x, y)", FLAT, lambda t, x, y: x ** y, operands=2,
         draw=lambda t, shape, normal: [normal(*shape).abs() + 0.1, normal(*shape)]),
    unary("exp"), unary("sin"), unary("tanh"), unary("sigmoid"), unary("abs"), unary("neg"),
    unary("erf"), unary("log", draw=positive), unary("sqrt", draw=positive),
    unary("rsqrt", draw=positive), unary("lgamma", draw=positive),
    unary("round"), unary("sign"), unary("isnan", backward=False),
    Case("lt", FLAT, lambda t, x, y: x < y, operands=2, backward=False),
    Case("clamp", FLAT, lambda t, x: x.clamp(-0.5, 0.5)),
    Case("where", FLAT, lambda t, x, y: t.where(x > 0, x, y), operands=2),
    Case("lerp", FLAT, lambda t, x, y: t.lerp(x, y, 0.3), operands=2),
    Case("addcmul", FLAT, lambda t, x, y, z: t.addcmul(x, y, z, value=0.5), operands=3),
    Case("to bfloat16", FLAT, lambda t, x: x.to(t.bfloat16)),
    Case("bitwise_and", FLAT, lambda t, x, y: x & y, backward=False,
         draw=lambda t, shape, normal: [(normal(*shape) * 100).to(t.int32) for _ in range(2)]),
    Case("add_ (in place)", FLAT, lambda t, x: x.add_(1.0), backward=False),
    Case("mul_ (in place)", FLAT, lambda t, x, y: x.mul_(y), operands=2, backward=False,
         draw=lambda t, shape, normal: [normal(*shape), normal(*shape) * 0 + 1]),
]

ACTIVATIONS = [
    function("relu"), function("gelu"), function("silu"), function("softplus"),
    function("elu"), function("hardswish"), function("logsigmoid"), function("leaky_relu"),
    Case("softmax", SQUARE, lambda t, x: t.softmax(x, -1)),
    Case("log_softmax", SQUARE, lambda t, x: t.log_softmax(x, -1)),
    Case("dropout", FLAT, lambda t, x: t.nn.functional.dropout(x, 0.1)),
]

REDUCTIONS = [
    reduction("sum"), reduction("sum", dim=0), reduction("sum", dim=1), reduction("mean"),
    reduction("prod", dim=1), reduction("amax", dim=1), reduction("max", dim=0),
    Case("argmax", SQUARE, lambda t, x: x.argmax(1), backward=False),
    reduction("std", dim=1), reduction("logsumexp", dim=1),
    reduction("norm"), reduction("cumsum", dim=1), reduction("cummax", dim=1),
    reduction("sort", dim=1), reduction("topk", k=5), reduction("median", dim=1),
    Case("all", SQUARE, lambda t, x: (x > 0).all(), backward=False),
]

MOVES = [
    Case("view", SQUARE, lambda t, x: x.view(-1)),
    Case("x[1:-1, ::2]", SQUARE, lambda t, x: x[1:-1, ::2]),
    Case("x[i]", SQUARE, lambda t, x: x[3]),
    Case("transpose", SQUARE, lambda t, x: x.transpose(0, 1)),
    Case("x.t().contiguous()", SQUARE, lambda t, x: x.t().contiguous()),
    Case("permuted copy", SEQUENCE, lambda t, x: x.permute(2, 0, 1).contiguous()),
    Case("x[1:-1] = y", SQUARE, lambda t, x, y: x.__setitem__(slice(1, -1), y[1:-1]), operands=2,
         backward=False),
    Case("cat", SQUARE, lambda t, x, y: t.cat((x, y), 1), operands=2),
    Case("stack", SQUARE, lambda t, x, y: t.stack((x, y)), operands=2),
    Case("split in 4", SQUARE, lambda t, x: t.chunk(x, 4)[1]),
    Case("repeat", SQUARE, lambda t, x: x.repeat(2, 1)),
    Case("flip", SQUARE, lambda t, x: t.flip(x, (1,))),
    Case("roll", SQUARE, lambda t, x: t.roll(x, 2, 1)),
    Case("tril", SQUARE, lambda t, x: t.tril(x)),
    Case("pad", IMAGE, lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1))),
    Case("pad reflect", IMAGE, lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1), "reflect")),
    Case("pixel_shuffle", IMAGE, lambda t, x: t.nn.functional.pixel_shuffle(x, 2)),
    Case("gather", SQUARE, lambda t, x, i, y: t.gather(x, 0, i), draw=places),
    Case("scatter_add", SQUARE, lambda t, x, i, y: t.scatter_add(x, 0, i, y), draw=places),
    Case("index_select", SQUARE, lambda t, i, x: t.index_select(x, 0, i), draw=rows),
    Case("x[mask]", SQUARE, lambda t, x, m: x[m], draw=mask),
    Case("masked_fill", SQUARE, lambda t, x, m: x.masked_fill(m, 0.0), draw=mask),
    Case("embedding", SQUARE, lambda t, i, x: t.nn.functional.embedding(i, x), draw=rows),
    Case("randn", FLAT, lambda t, x: t.randn(x.shape[0]), backward=False),
    Case("zeros", FLAT, lambda t, x: t.zeros(x.shape[0]), backward=False),
]

LAYERS = [
    Case("matmul", PRODUCT, lambda t, x, y: x @ y, operands=2),
    Case("matmul transposed", PRODUCT, lambda t, x, y: x @ y.t(), operands=2),
    Case("bmm", BATCHED, lambda t, x, y: t.bmm(x, y), operands=2),
    Case("linear", PRODUCT, lambda t, x, w, b: t.nn.functional.linear(x, w, b), draw=weights),
    Case("conv2d", IMAGE, lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, padding=1),
         draw=kernel),
    Case("max_pool2d", IMAGE, lambda t, x: t.nn.functional.max_pool2d(x, 2)),
    Case("avg_pool2d", IMAGE, lambda t, x: t.nn.functional.avg_pool2d(x, 2)),
    Case("interpolate", IMAGE, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=2, mode="bilinear")),
    Case("layer_norm", SEQUENCE, lambda t, x, w, b: t.nn.functional.layer_norm(
        x, (x.shape[-1],), w, b), draw=norm),
    Case("batch_norm", IMAGE, lambda t, x, w, b: t.nn.functional.batch_norm(
        x, None, None, w, b, training=True), draw=channels),
    Case("attention", HEADS, lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(
        q, k, v), draw=heads),
    Case("cross_entropy", SQUARE, lambda t, x, i: t.nn.functional.cross_entropy(x, i),
         draw=labels),
    Case("mse_loss", FLAT, lambda t, x, y: t.nn.functional.mse_loss(x, y), operands=2),
    Case("binary_cross_entropy", FLAT, lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y),
         draw=lambda t, shape, normal: unit(t, shape, normal) + unit(t, shape, normal)),
    Case("rfft", SQUARE, lambda t, x: t.fft.rfft(x), backward=False),
]

FIRST_CASES = ELEMENTWISE + ACTIVATIONS + REDUCTIONS + MOVES + LAYERS
