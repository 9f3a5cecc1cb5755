"""The calls that benchmarks/operators.py measures, written once for both frameworks.

A case is (name, shapes for three sizes, call, arguments). `call(t, *operands)` gets the framework's
module. Operands are float32 drawn from N(0, 1) unless `draw` says otherwise.
"""

import dataclasses
from collections.abc import Callable

SIZES = ("small", "medium", "large")

_FLAT = ((64,), (10_000,), (1_000_000,))
_SQUARE = ((8, 8), (100, 100), (1000, 1000))
_SEQUENCE = ((2, 8, 16), (8, 32, 64), (16, 128, 512))
_IMAGE = ((1, 4, 8, 8), (4, 16, 28, 28), (8, 64, 56, 56))
_PRODUCT = ((8, 8), (128, 128), (768, 768))
_BATCHED = ((2, 8, 8), (8, 64, 64), (16, 256, 256))
_HEADS = ((1, 2, 8, 16), (2, 4, 64, 32), (4, 8, 256, 64))


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    shapes: tuple  # of the first operand, one for each size
    call: Callable
    operands: int = 1
    # Gives all operands from (t, shape, normal): for those that are not alike.
    draw: Callable | None = None
    backward: bool = True  # of all operands that hold floating numbers


def _unary(name, shapes=_FLAT, **options):
    return Case(name, shapes, lambda t, x: getattr(t, name)(x), **options)


def _function(name, shapes=_FLAT, **options):
    return Case(name, shapes, lambda t, x: getattr(t.nn.functional, name)(x), **options)


def _binary(name, **options):
    return Case(name, _FLAT, lambda t, x, y: getattr(t, name)(x, y), operands=2, **options)


def _reduction(name, shapes=_SQUARE, **arguments):
    label = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return Case(f"{name}({label})" if label else name, shapes,
                lambda t, x: _first(getattr(t, name)(x, **arguments)))


def _first(result):
    return result[0] if isinstance(result, tuple) else result


def _positive(t, shape, normal):
    return [normal(*shape).abs() + 0.1]


def _unit(t, shape, normal):
    return [normal(*shape).sigmoid()]


def _labels(t, shape, normal):
    return [normal(*shape), (normal(shape[0]).abs() * 10).to(t.int64) % shape[1]]


def _rows(t, shape, normal):
    """Row numbers and a table."""
    rows, width = shape
    return [(normal(rows).abs() * 1000).to(t.int64) % rows, normal(rows, width)]


def _places(t, shape, normal):
    return [normal(*shape), (normal(*shape).abs() * 1000).to(t.int64) % shape[0], normal(*shape)]


def _mask(t, shape, normal):
    return [normal(*shape), normal(*shape) > 0]


def _norm(t, shape, normal):
    return [normal(*shape), normal(shape[-1]), normal(shape[-1])]


def _channels(t, shape, normal):
    return [normal(*shape), normal(shape[1]), normal(shape[1])]


def _kernel(t, shape, normal):
    return [normal(*shape), normal(shape[1], shape[1], 3, 3), normal(shape[1])]


def _weights(t, shape, normal):
    return [normal(*shape), normal(shape[-1], shape[-1]), normal(shape[-1])]


def _heads(t, shape, normal):
    return [normal(*shape) for _ in range(3)]


ELEMENTWISE = [
    _binary("add"), _binary("mul"), _binary("div"), _binary("maximum"), _binary("atan2"),
    Case("add a number", _FLAT, lambda t, x: x + 1.5),
    Case("add rows", _SQUARE, lambda t, x, y: x + y, operands=2,
         draw=lambda t, shape, normal: [normal(*shape), normal(shape[-1])]),
    Case("add transposed", _SQUARE, lambda t, x, y: x + y.t(), operands=2),
    Case("pow(x, 3)", _FLAT, lambda t, x: x ** 3),
    Case("pow(x, y)", _FLAT, lambda t, x, y: x ** y, operands=2,
         draw=lambda t, shape, normal: [normal(*shape).abs() + 0.1, normal(*shape)]),
    _unary("exp"), _unary("sin"), _unary("tanh"), _unary("sigmoid"), _unary("abs"), _unary("neg"),
    _unary("erf"), _unary("log", draw=_positive), _unary("sqrt", draw=_positive),
    _unary("rsqrt", draw=_positive), _unary("lgamma", draw=_positive),
    _unary("round"), _unary("sign"), _unary("isnan", backward=False),
    Case("lt", _FLAT, lambda t, x, y: x < y, operands=2, backward=False),
    Case("clamp", _FLAT, lambda t, x: x.clamp(-0.5, 0.5)),
    Case("where", _FLAT, lambda t, x, y: t.where(x > 0, x, y), operands=2),
    Case("lerp", _FLAT, lambda t, x, y: t.lerp(x, y, 0.3), operands=2),
    Case("addcmul", _FLAT, lambda t, x, y, z: t.addcmul(x, y, z, value=0.5), operands=3),
    Case("to bfloat16", _FLAT, lambda t, x: x.to(t.bfloat16)),
    Case("bitwise_and", _FLAT, lambda t, x, y: x & y, backward=False,
         draw=lambda t, shape, normal: [(normal(*shape) * 100).to(t.int32) for _ in range(2)]),
    Case("add_ (in place)", _FLAT, lambda t, x: x.add_(1.0), backward=False),
    Case("mul_ (in place)", _FLAT, lambda t, x, y: x.mul_(y), operands=2, backward=False,
         draw=lambda t, shape, normal: [normal(*shape), normal(*shape) * 0 + 1]),
]

ACTIVATIONS = [
    _function("relu"), _function("gelu"), _function("silu"), _function("softplus"),
    _function("elu"), _function("hardswish"), _function("logsigmoid"), _function("leaky_relu"),
    Case("softmax", _SQUARE, lambda t, x: t.softmax(x, -1)),
    Case("log_softmax", _SQUARE, lambda t, x: t.log_softmax(x, -1)),
    Case("dropout", _FLAT, lambda t, x: t.nn.functional.dropout(x, 0.1)),
]

REDUCTIONS = [
    _reduction("sum"), _reduction("sum", dim=0), _reduction("sum", dim=1), _reduction("mean"),
    _reduction("prod", dim=1), _reduction("amax", dim=1), _reduction("max", dim=0),
    Case("argmax", _SQUARE, lambda t, x: x.argmax(1), backward=False),
    _reduction("std", dim=1), _reduction("logsumexp", dim=1),
    _reduction("norm"), _reduction("cumsum", dim=1), _reduction("cummax", dim=1),
    _reduction("sort", dim=1), _reduction("topk", k=5), _reduction("median", dim=1),
    Case("all", _SQUARE, lambda t, x: (x > 0).all(), backward=False),
]

MOVES = [
    Case("view", _SQUARE, lambda t, x: x.view(-1)),
    Case("x[1:-1, ::2]", _SQUARE, lambda t, x: x[1:-1, ::2]),
    Case("x[i]", _SQUARE, lambda t, x: x[3]),
    Case("transpose", _SQUARE, lambda t, x: x.transpose(0, 1)),
    Case("x.t().contiguous()", _SQUARE, lambda t, x: x.t().contiguous()),
    Case("permuted copy", _SEQUENCE, lambda t, x: x.permute(2, 0, 1).contiguous()),
    Case("x[1:-1] = y", _SQUARE, lambda t, x, y: x.__setitem__(slice(1, -1), y[1:-1]), operands=2,
         backward=False),
    Case("cat", _SQUARE, lambda t, x, y: t.cat((x, y), 1), operands=2),
    Case("stack", _SQUARE, lambda t, x, y: t.stack((x, y)), operands=2),
    Case("split in 4", _SQUARE, lambda t, x: t.chunk(x, 4)[1]),
    Case("repeat", _SQUARE, lambda t, x: x.repeat(2, 1)),
    Case("flip", _SQUARE, lambda t, x: t.flip(x, (1,))),
    Case("roll", _SQUARE, lambda t, x: t.roll(x, 2, 1)),
    Case("tril", _SQUARE, lambda t, x: t.tril(x)),
    Case("pad", _IMAGE, lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1))),
    Case("pad reflect", _IMAGE, lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1), "reflect")),
    Case("pixel_shuffle", _IMAGE, lambda t, x: t.nn.functional.pixel_shuffle(x, 2)),
    Case("gather", _SQUARE, lambda t, x, i, y: t.gather(x, 0, i), draw=_places),
    Case("scatter_add", _SQUARE, lambda t, x, i, y: t.scatter_add(x, 0, i, y), draw=_places),
    Case("index_select", _SQUARE, lambda t, i, x: t.index_select(x, 0, i), draw=_rows),
    Case("x[mask]", _SQUARE, lambda t, x, m: x[m], draw=_mask),
    Case("masked_fill", _SQUARE, lambda t, x, m: x.masked_fill(m, 0.0), draw=_mask),
    Case("embedding", _SQUARE, lambda t, i, x: t.nn.functional.embedding(i, x), draw=_rows),
    Case("randn", _FLAT, lambda t, x: t.randn(x.shape[0]), backward=False),
    Case("zeros", _FLAT, lambda t, x: t.zeros(x.shape[0]), backward=False),
]

LAYERS = [
    Case("matmul", _PRODUCT, lambda t, x, y: x @ y, operands=2),
    Case("matmul transposed", _PRODUCT, lambda t, x, y: x @ y.t(), operands=2),
    Case("bmm", _BATCHED, lambda t, x, y: t.bmm(x, y), operands=2),
    Case("linear", _PRODUCT, lambda t, x, w, b: t.nn.functional.linear(x, w, b), draw=_weights),
    Case("conv2d", _IMAGE, lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, padding=1),
         draw=_kernel),
    Case("max_pool2d", _IMAGE, lambda t, x: t.nn.functional.max_pool2d(x, 2)),
    Case("avg_pool2d", _IMAGE, lambda t, x: t.nn.functional.avg_pool2d(x, 2)),
    Case("interpolate", _IMAGE, lambda t, x: t.nn.functional.interpolate(
        x, scale_factor=2, mode="bilinear")),
    Case("layer_norm", _SEQUENCE, lambda t, x, w, b: t.nn.functional.layer_norm(
        x, (x.shape[-1],), w, b), draw=_norm),
    Case("batch_norm", _IMAGE, lambda t, x, w, b: t.nn.functional.batch_norm(
        x, None, None, w, b, training=True), draw=_channels),
    Case("attention", _HEADS, lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(
        q, k, v), draw=_heads),
    Case("cross_entropy", _SQUARE, lambda t, x, i: t.nn.functional.cross_entropy(x, i),
         draw=_labels),
    Case("mse_loss", _FLAT, lambda t, x, y: t.nn.functional.mse_loss(x, y), operands=2),
    Case("binary_cross_entropy", _FLAT, lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y),
         draw=lambda t, shape, normal: _unit(t, shape, normal) + _unit(t, shape, normal)),
    Case("rfft", _SQUARE, lambda t, x: t.fft.rfft(x), backward=False),
]

CASES = ELEMENTWISE + ACTIVATIONS + REDUCTIONS + MOVES + LAYERS
