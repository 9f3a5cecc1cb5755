"""What holds of every operator, tried on its own samples. A check raises where something differs.

`CHECKS` are of one (operator, sample) and return how many calls they tried, 0 where the sample says
nothing to them; `cases` says which samples a check is about.
"""

import re
import zlib

import numpy as np

from .. import _C
from .._creation import from_numpy, tensor
from ..autograd import gradcheck, gradgradcheck
from . import oracles
from .samples import (HALVES, array, call_on, call_tensors, compare, draw, expected, is_exact,
                      tensors, widened)

MOST_DIFFERENCES = 200  # elements of a sample that are varied one by one
EXCEPTIONS = {"INVALID_ARGUMENT": _C.InvalidArgumentError, "TYPE_MISMATCH": TypeError,
              "OUT_OF_RANGE": IndexError, "UNIMPLEMENTED": NotImplementedError}


def _sample(name, index, salt=""):
    sample = _C.op_samples(name)[index]
    seed = zlib.crc32(f"{salt}{name} {index}".encode())
    return sample, [d for d, _ in sample["inputs"]], draw(
        sample["inputs"], sample["low"], sample["high"], seed, sample["note"],
        sample["ranges"])


def _compare_all(name, got, want, arrays, **tolerance):
    assert len(got) == len(want), (len(got), len(want))
    for g, w in zip(got, want, strict=True):
        compare(array(g), w, is_exact(name, arrays), g.dtype, **tolerance)


# --- values -----------------------------------------------------------------------------------

def values(name, index):
    """The sample's own dtypes against the oracle."""
    sample, dtypes, arrays = _sample(name, index)
    got = call_tensors(name, arrays, sample["attrs"], dtypes)
    _compare_all(name, got, expected(name, arrays, sample["attrs"], dtypes), arrays)
    return 1


def double_precision(name, index):
    """The sample in float64, and inference tells what the call gives."""
    sample = _C.op_samples(name)[index]
    dtypes, attrs = widened(sample)
    inputs = [(d, shape) for d, (_, shape) in zip(dtypes, sample["inputs"], strict=True)]
    arrays = draw(inputs, sample["low"], sample["high"], index, sample["note"],
                  sample["ranges"])
    got = call_tensors(name, arrays, attrs, dtypes)
    inferred = _C.infer_op(name, inputs, attrs)
    outputs = oracles.SCHEMAS[name]["outputs"]
    outputs = outputs + outputs[-1:] * (len(got) - len(outputs))
    for y, (dtype, shape), output in zip(got, inferred, outputs, strict=True):
        assert y.dtype == dtype, (y.dtype, dtype)
        if output["bounded"]:  # its first axis depends on values: inference gives the most
            assert y.shape[0] <= shape[0] and tuple(y.shape[1:]) == tuple(shape[1:])
        else:
            assert tuple(y.shape) == tuple(shape), (y.shape, shape)
    _compare_all(name, got, expected(name, arrays, attrs, dtypes), arrays)
    return 1


def refusal(name, index):
    """An error sample is refused by inference and by a call, with its text."""
    sample = _C.op_error_samples(name)[index]
    error = EXCEPTIONS[sample["code"]]
    said = _refusal_of(error, lambda: _C.infer_op(name, sample["inputs"], sample["attrs"]))
    assert sample["text"] in said and f"[{name}]" in said, said
    promotion = oracles.SCHEMAS[name]["promotion"]
    dtypes = {d.name for d, _ in sample["inputs"]}
    whole = not any(d.is_floating_point or d.name.startswith("complex")
                    for d, _ in sample["inputs"])
    if (promotion != "none" and len(dtypes) > 1) or (promotion == "float" and whole):
        return 1  # a call promotes the dtypes first
    inputs = tensors(draw(sample["inputs"], 0, 2, index), [d for d, _ in sample["inputs"]])
    said = _refusal_of(error, lambda: _C.call_op(name, inputs, sample["attrs"]))
    assert sample["text"] in said, said
    return 2


def _refusal_of(error, call):
    try:
        call()
    except error as refused:
        return str(refused)
    raise AssertionError(f"accepted; expected {error.__name__}")


# --- gradients --------------------------------------------------------------------------------

def _float_leaves(arrays, hermitian=False):
    """(leaves in float64, a function from leaves to the operator's inputs). A complex operand has
    two: its real and its imaginary part. Of Hermitian matrices differences go along such."""
    parts, fixed = [], []
    for a in arrays:
        fixed.append(None if a.dtype.kind in "fc" else tensor(a))
        for part in (a.real, a.imag) if a.dtype.kind == "c" else (a,) * (a.dtype.kind == "f"):
            parts.append(tensor(part, dtype=_C.float64, requires_grad=True))

    def inputs(given):
        given, made = list(given), []
        for a, kept in zip(arrays, fixed, strict=True):
            if kept is None and a.dtype.kind == "c":
                kept = given.pop(0) + given.pop(0) * 1j
            x = given.pop(0) if kept is None else kept
            square = hermitian and x.ndim >= 2 and x.shape[-1] == x.shape[-2]
            made.append((x + x.mH) * 0.5 if square else x)
        return made

    return parts, inputs


def _differentiable(name, index):
    """(function, leaves) for differences; None where they say nothing."""
    if oracles.SCHEMAS[name]["gradient_apart"]:
        return None
    sample, _, arrays = _sample(name, index, "twice ")
    # Of a half type differences would see the steps of its rounding.
    if not any(d.is_floating_point or d.name.startswith("complex") for d, _ in sample["inputs"]):
        return None
    _, attrs = widened({**sample, "inputs": []})
    if attrs.get("dtype") in {*HALVES, _C.float8_e4m3fn, _C.float8_e5m2}:
        return None
    if "phase" in sample["note"]:  # vectors up to a factor: which one the library takes is its own
        return None
    parts, inputs = _float_leaves(arrays, "hermitian" in sample["note"])
    if sum(x.numel() for x in parts) > MOST_DIFFERENCES:
        return None  # smaller samples tell the same

    def every(*given):
        return [y for y in _C.call_op(name, inputs(given), attrs)
                if y.dtype is _C.complex128 or y.dtype.is_floating_point]

    depends = [y.requires_grad for y in every(*parts)]
    if not any(depends):
        return None

    def call(*given):
        return tuple(y for y, take in zip(every(*given), depends, strict=True) if take)

    return call, parts


def _has_gradient(check, name, index):
    found = _differentiable(name, index)
    if found is None:
        return 0
    try:
        return int(check(*found, atol=1e-4, rtol=1e-4))
    except NotImplementedError as refused:  # by one operand or by all: no wrong number, an error
        assert re.search("has no (derivative by|gradient: )", str(refused))
        return 0


def gradient(name, index):
    """The gradient is that of finite differences, or an operand's is refused."""
    return _has_gradient(gradcheck, name, index)


def second_derivative(name, index):
    """The gradient can be differentiated again, and is that of finite differences."""
    return _has_gradient(gradgradcheck, name, index)


# --- how operands lie ---------------------------------------------------------------------------

def _transposed(a):
    order = tuple(reversed(range(a.ndim)))
    return from_numpy(np.ascontiguousarray(a.transpose(order))).permute(order)


def _stepped(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1] + 1), a.dtype)
    wide[..., 1::2] = a
    return from_numpy(wide)[..., 1::2]


def _repeated(a):
    """Its first row again and again: elements that share memory."""
    return from_numpy(np.ascontiguousarray(a[:1])).expand(a.shape)


def _has_regular_matrix(sample, arrays):
    note = sample["note"]
    return "regular" in note or (re.search("dominant|hermitian|phase", note) and any(
        a.ndim == 2 for a in arrays))


def strides(name, index):
    """Operands that lie transposed, with steps or over one another give what dense ones give."""
    sample, dtypes, arrays = _sample(name, index)
    # as_strided counts places in its operand's memory: of another memory it gives something else.
    in_memory = name.startswith("as_strided") and name != "as_strided_take"
    tried = 0
    for lay, shapes in ((_transposed, 2), (_stepped, 1), (_repeated, 1)):
        if not any(a.ndim >= shapes and a.size for a in arrays):
            continue
        if lay is _repeated and _has_regular_matrix(sample, arrays):
            continue  # equal rows make no such matrix
        if lay is _repeated:
            arrays = [np.ascontiguousarray(np.broadcast_to(a[:1], a.shape))
                      if a.ndim and a.size else a for a in arrays]
        dense = tensors(arrays, dtypes)
        laid = [lay(a).to(d) if a.ndim >= shapes and a.size and not oracles.is_narrow(d) and not (
                    in_memory and at == 0) else x
                for at, (a, d, x) in enumerate(zip(arrays, dtypes, dense, strict=True))]
        want = [array(y) for y in call_on(name, dense, sample["attrs"])]
        try:
            got = call_on(name, laid, sample["attrs"])
        except _C.InvalidArgumentError as error:
            # `view` aliases or refuses: a copy would be another promise.
            assert "would not lie in its operand's memory" in str(error), error
        else:
            _compare_all(name, got, want, arrays)
        tried += 1
    return tried


# --- in place, out= -----------------------------------------------------------------------------

def _arguments(schema, binding, inputs, attrs):
    """{parameter: value} of one of the operator's names in Python; None where it does not fit."""
    operands = oracles.bind(schema, inputs)
    head = binding["signature"]
    given, targets = {}, {}
    for part in head[head.index("(") + 1:head.rindex(")")].split(", "):
        parameter, _, target = part.partition("=")[0].lstrip("*").partition(": ")
        targets[parameter] = target or parameter
    for parameter, target in targets.items():
        value = operands.get(target, attrs.get(target))
        if value is not None:
            given[parameter] = value
    used = set(targets.values())
    return given if {k for k, v in operands.items() if v is not None} <= used else None


def _calls(name, inputs, attrs):
    """(function, keyword arguments, binding) of each name in Python that takes this sample."""
    schema = oracles.SCHEMAS[name]
    for n, binding in enumerate(schema["bindings"]):
        function = getattr(_C, binding["name"], None)
        given = _arguments(schema, binding, inputs, attrs)
        by_position = re.search(r"\*\w", binding["signature"])
        if function is not None and given is not None and not by_position:
            yield n, function, given, binding


def forms(name, index):
    """In-place forms and out= give what the call gives, and the very tensor they were given."""
    sample, dtypes, arrays = _sample(name, index)
    schema, tried = oracles.SCHEMAS[name], 0
    for n, function, given, binding in _calls(name, tensors(arrays, dtypes), sample["attrs"]):
        try:
            plain = function(**given)
        except (TypeError, ValueError, NotImplementedError):
            continue  # an overload of the same name that does not take this sample
        if not isinstance(plain, _C.Tensor):
            continue
        if "out=" in binding["text"]:
            tried += _check_out(function, given, plain)
        first = next(iter(given))
        for method in schema["methods"]:
            if method["in_place"] and n in method["bindings"]:
                tried += _check_in_place(method["name"], given, first, plain)
    return tried


def _check_out(function, given, plain):
    places = [_C.empty(*plain.shape, dtype=plain.dtype)]
    if plain.ndim >= 2:  # one that lies transposed
        order = tuple(reversed(range(plain.ndim)))
        places.append(_C.empty(*reversed(plain.shape), dtype=plain.dtype).permute(order))
    for out in places:
        assert function(**given, out=out) is out, "out= gives another tensor"
        np.testing.assert_array_equal(array(out), array(plain), err_msg="out=")
    return len(places)


def _check_in_place(method, given, first, plain):
    rest = {k: v for k, v in given.items() if k != first}
    x = given[first]
    if not isinstance(x, _C.Tensor) or x.shape != plain.shape or x.dtype != plain.dtype:
        return 0  # another shape or dtype: torch's rules of casting, tried by torch_parity
    target = x.clone()
    assert getattr(target, method)(**rest) is target, f"{method} gives another tensor"
    np.testing.assert_array_equal(array(target), array(plain), err_msg=method)
    return 1


# --- all of them --------------------------------------------------------------------------------

CHECKS = (values, double_precision, gradient, second_derivative, strides, forms, refusal)


def names():
    return sorted(_C.op_names())


def cases(check, chosen=None):
    """The (operator, index of its sample) that a check is about."""
    for name in chosen or names():
        schema = oracles.SCHEMAS[name]
        if oracles.is_update(name) and check not in (values, refusal):
            continue
        if schema["random"] and check in (gradient, second_derivative, forms):
            continue
        listed = _C.op_error_samples if check is refusal else _C.op_samples
        for index in range(len(listed(name))):
            yield name, index
