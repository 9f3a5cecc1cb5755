"""Every operator inside nn.Graph gives the bits that the same calls give eagerly.

`CHECKS` are of one (operator, sample), as those of `checks`; layouts.py compares the same on ranks.
"""

import re
import sys

import numpy as np

from .. import _C, nn, optim
from . import layouts, oracles
from .checks import _calls, _sample, _stepped, _transposed
from .layouts import loss_of
from .samples import array, call_on, compare, tensors

# What a graph refuses by design, in the words of its errors (docs/graphs.md).
_BY_DESIGN = re.compile(
    "the size of the result depends on values|the answer depends on values|"
    "would update a value of a graph that is no variable")
# Eager takes a kernel that finds nothing else; a graph works with the parts that have a gradient,
# which are other routines of the library.
_OTHER_ROUTINES = {"linalg_eigvalsh", "linalg_svdvals", "linalg_householder_product"}
_SEED = 7
_LEAVES = (_C.float32, _C.float64)


class Calls(nn.Graph):
    """A function of tensors as a graph."""

    def __init__(self, function, held=(), optimizer=None):
        super().__init__()
        self.held = nn.Module()
        for n, x in enumerate(held):
            if isinstance(x, nn.Parameter):
                setattr(self.held, f"x{n}", x)
            else:
                self.held.register_buffer(f"x{n}", x)
        self._function = function
        if optimizer is not None:
            self.add_optimizer(optimizer)

    def build(self, *xs):
        return self._function(*xs)


def same_bits(got, want, what, name=""):
    """Equal in dtype, shape and every bit (any NaN is any NaN)."""
    assert got.dtype == want.dtype and tuple(got.shape) == tuple(want.shape), (
        f"{what}: {got.dtype}{tuple(got.shape)}, eager gives {want.dtype}{tuple(want.shape)}")
    if name in _OTHER_ROUTINES:
        compare(array(got), array(want), False, want.dtype)
    else:
        np.testing.assert_array_equal(array(got), array(want), err_msg=what)


def _all_same(got, want, what, name=""):
    assert len(got) == len(want), f"{what}: {len(got)} results, eager gives {len(want)}"
    for n, (g, w) in enumerate(zip(got, want, strict=True)):
        same_bits(g, w, f"{what} {n}", name)


def _in_graph(function, *xs):
    """The results of a function of tensors as a graph; None where that is refused by design."""
    _C.manual_seed(_SEED)
    try:
        return Calls(function)(*xs)
    except (NotImplementedError, RuntimeError) as refused:
        if _BY_DESIGN.search(str(refused)) is None:
            raise
        return None


def _attrs(sample):
    """Without the draw that a random operator's sample fixes: the call takes its own."""
    return {k: v for k, v in sample["attrs"].items() if k != "draw"}


def results(name, index):
    """The sample's own dtypes, as arguments of the graph; an update's as its buffers."""
    sample, dtypes, arrays = _sample(name, index)
    attrs, flat = _attrs(sample), tensors(arrays, dtypes)
    if oracles.is_update(name):
        return _updates(name, flat, tensors(arrays, dtypes), attrs)
    _C.manual_seed(_SEED)
    want = call_on(name, flat, attrs)
    got = _in_graph(lambda *xs: tuple(call_on(name, list(xs), attrs)), *tensors(arrays, dtypes))
    if got is not None:
        _all_same(got, want, "result", name)
    return 1


def _updates(name, flat, held, attrs):
    call_on(name, flat, attrs)
    graph = Calls(lambda: call_on(name, held, attrs) and (), _mutated(name, held))
    graph()
    _all_same(held, flat, "operand")
    return 1


def _mutated(name, inputs):
    operands = oracles.SCHEMAS[name]["inputs"]
    return [x for x, operand in zip(inputs, operands, strict=False) if operand["mutated"]]


def gradient_of(optimizer, parameter):
    """What a graph's first step of an optimizer with momentum leaves: the gradient, to the bit."""
    return optimizer.state.get(parameter, {}).get("momentum_buffer")


def _trained(build, leaves, others):
    """(loss, gradients) of build(leaves, others), eagerly; or the error of its backward."""
    _C.manual_seed(_SEED)
    loss = loss_of(build(leaves, others))
    if loss is None:
        return None
    try:
        loss.backward()
    except NotImplementedError as refused:
        return refused
    return loss.detach(), [x.grad for x in leaves]


def _same_training(build, leaves, others, name=""):
    """Whether a graph gives the loss and the gradients that eager gives, or its refusal; 0 where
    nothing can be trained."""
    if not leaves:
        return 0
    want = _trained(build, [x.clone().requires_grad_() for x in leaves], others)
    if want is None:
        return 0
    held = [nn.Parameter(x.clone()) for x in leaves]
    optimizer = optim.SGD(held, lr=0.0, momentum=0.5)

    def whole(*xs):
        loss = loss_of(build(held, list(xs)))
        loss.backward()
        return loss

    graph = Calls(whole, held, optimizer)
    _C.manual_seed(_SEED)
    if isinstance(want, NotImplementedError):
        return _refused_alike(graph, others, want)
    try:
        loss = graph(*others)
    except (NotImplementedError, RuntimeError) as refused:
        if _BY_DESIGN.search(str(refused)) is None:
            raise
        return 1
    same_bits(loss, want[0], "loss", name)
    for n, (x, grad) in enumerate(zip(held, want[1], strict=True)):
        moved = gradient_of(optimizer, x)
        if grad is None:
            assert moved is None or not np.any(array(moved)), f"gradient {n}: eager has none"
        else:
            assert moved is not None, f"gradient {n}: the graph has none"
            same_bits(moved, grad, f"gradient {n}", name)
    return 1


def _refused_alike(graph, others, want):
    first = str(want).splitlines()[0]
    try:
        graph(*others)
    except NotImplementedError as refused:
        assert first in str(refused), f"refused otherwise: {refused}; eager: {first}"
        return 1
    raise AssertionError(f"a graph took what eager refuses: {first}")


def _in_order(leaves_at, leaves, others):
    leaves, others = iter(leaves), iter(others)
    return [next(leaves) if at else next(others) for at in leaves_at]


def gradients(name, index):
    """Gradients of every floating operand, as what momentum holds after one step."""
    if oracles.is_update(name):
        return 0
    sample, dtypes, arrays = _sample(name, index)
    flat, leaf = tensors(arrays, dtypes), [d in _LEAVES for d in dtypes]

    def build(leaves, others):
        return call_on(name, _in_order(leaf, leaves, others), _attrs(sample))

    try:
        return _same_training(build, [x for x, at in zip(flat, leaf, strict=True) if at],
                              [x for x, at in zip(flat, leaf, strict=True) if not at], name)
    except NotImplementedError:
        if not _C.is_tracing() and oracles.SCHEMAS[name]["random"]:
            return 0
        raise


def strided(name, index):
    """Operands that lie transposed or with steps: arguments that do, and views taken in build()."""
    sample, dtypes, arrays = _sample(name, index)
    in_memory = name.startswith("as_strided") and name != "as_strided_take"
    if oracles.is_update(name) or in_memory:
        return 0  # of another memory as_strided gives something else
    tried = 0
    for lay, shapes in ((_transposed, 2), (_stepped, 1)):
        if not any(a.ndim >= shapes and a.size for a in arrays):
            continue
        dense = tensors(arrays, dtypes)
        laid = [lay(a).to(d) if a.ndim >= shapes and a.size and not oracles.is_narrow(d) else x
                for a, d, x in zip(arrays, dtypes, dense, strict=True)]
        _C.manual_seed(_SEED)
        try:
            want = call_on(name, laid, _attrs(sample))
        except ValueError:  # `view` aliases or refuses
            continue
        got = _in_graph(lambda *xs: tuple(call_on(name, list(xs), _attrs(sample))), *laid)
        if got is not None:
            _all_same(got, want, "result", name)
        tried += 1
    return tried


def names_in_python(name, index):
    """By each of its names in Python, with keywords; its in-place forms and out= inside build()."""
    sample, dtypes, arrays = _sample(name, index)
    schema, tried = oracles.SCHEMAS[name], 0
    if oracles.is_update(name):
        return 0
    for n, function, given, binding in _calls(name, tensors(arrays, dtypes), sample["attrs"]):
        _C.manual_seed(_SEED)
        try:
            plain = function(**given)
        except (TypeError, ValueError, NotImplementedError):
            continue  # an overload of the same name that does not take this sample
        xs, arguments = _tensors_apart(given)
        got = _in_graph(lambda *xs, f=function, a=arguments: f(**a(xs)), *xs)
        if got is None:
            continue
        _all_same(_flat(got), _flat(plain), binding["name"], name)
        tried += 1
        if not isinstance(plain, _C.Tensor):
            continue
        if "out=" in binding["text"]:
            tried += _out(function, given, plain, schema["random"], name)
        first = next(iter(given))
        for method in schema["methods"]:
            if method["in_place"] and n in method["bindings"]:
                tried += _in_place(method["name"], given, first)
    return tried


def _tensors_apart(given):
    """(tensors, a function from tensors to the arguments) of keyword arguments."""
    flat, places = [], {}
    for key, value in given.items():
        if isinstance(value, _C.Tensor):
            places[key] = len(flat)
            flat.append(value)
        elif isinstance(value, list) and value and all(isinstance(v, _C.Tensor) for v in value):
            places[key] = range(len(flat), len(flat) + len(value))
            flat += value

    def arguments(xs):
        made = dict(given)
        for key, at in places.items():
            made[key] = xs[at] if isinstance(at, int) else [xs[k] for k in at]
        return made

    return flat, arguments


def _flat(value):
    return [value] if isinstance(value, _C.Tensor) else list(value)


def _out(function, given, plain, random, name):
    xs, arguments = _tensors_apart(given)
    order = tuple(reversed(range(plain.ndim)))

    def build(*xs):
        out = _C.empty(*plain.shape, dtype=plain.dtype)
        assert function(**arguments(xs), out=out) is out, "out= gives another tensor"
        laid = _C.zeros(*reversed(plain.shape), dtype=plain.dtype)
        function(**arguments(xs), out=laid.permute(order))
        return out, laid

    out, laid = _in_graph(build, *xs)
    same_bits(out, plain, "out=", name)
    if not random:  # which draws again
        same_bits(laid.permute(order), plain, "out= of a view", name)
    return 2


def _in_place(method, given, first):
    """An in-place form, which a view of the target sees; with gradients too, of what it was."""
    if not isinstance(given[first], _C.Tensor):
        return 0
    xs, arguments = _tensors_apart(given)

    def call(xs):
        made = arguments(xs)
        own = made.pop(first).clone()
        held = own[None]
        assert getattr(own, method)(**made) is own, f"{method} gives another tensor"
        return own, held

    _C.manual_seed(_SEED)
    try:
        want = call(xs)
    except (TypeError, ValueError, RuntimeError) as refused:
        return _refused_in_graph(call, xs, type(refused), method)
    _all_same(_in_graph(lambda *xs: call(xs), *xs), want, method)
    leaf = [x.dtype in _LEAVES for x in xs]

    def build(leaves, others):
        return call(_in_order(leaf, leaves, others))

    return 1 + _same_training(build, [x for x, at in zip(xs, leaf, strict=True) if at],
                              [x for x, at in zip(xs, leaf, strict=True) if not at])


def _refused_in_graph(call, xs, error, method):
    try:
        Calls(lambda *xs: call(xs))(*xs)
    except (TypeError, ValueError, RuntimeError) as refused:
        assert isinstance(refused, error) or isinstance(refused, RuntimeError), (
            f"{method}: {type(refused).__name__}, eager raises {error.__name__}")
        return 1
    raise AssertionError(f"{method}: a graph took what eager refuses")


CHECKS = (results, gradients, strided, names_in_python)


class InGraph(layouts.Whole):
    """A sample's layouts, as those of a graph's arguments, parameters and buffers."""

    def __init__(self, name, index, sample):
        _C.manual_seed(_SEED)
        super().__init__(name, index, {**sample, "attrs": _attrs(sample)})

    def _call(self, given):
        _C.manual_seed(_SEED)
        if oracles.is_update(self.name):
            return self._update(given)
        # A parameter is never partial: such an operand is an argument, and has no gradient.
        trained = [*(g is not None for g in self.grads), *[False] * len(given)]
        held = [nn.Parameter(x.detach()) if train and x.requires_grad and not _is_partial(x)
                else x.detach() for x, train in zip(given, trained, strict=False)]
        leaves = [x for x in held if isinstance(x, nn.Parameter)]
        weights = self._weights(given[0].placement) if leaves else []

        def build(*xs):
            rest = iter(xs)
            got = call_on(self.name, [x if isinstance(x, nn.Parameter) else next(rest)
                                      for x in held], self.sample["attrs"])
            if leaves:
                layouts.loss_of(got, weights).backward()
            return tuple(got)

        optimizer = optim.SGD(leaves, lr=0.0, momentum=0.5) if leaves else None
        try:
            got = Calls(build, leaves, optimizer)(
                *[x for x in held if not isinstance(x, nn.Parameter)])
        except (NotImplementedError, RuntimeError) as refused:
            if _BY_DESIGN.search(str(refused)) is None:
                raise
            return [array(y.detach()) for y in self.results], self.grads
        values = [array(y.detach()) for y in got]
        return values, [array(gradient_of(optimizer, x)) if isinstance(x, nn.Parameter) else w
                        for x, w in zip(held, self.grads, strict=False)]

    def _weights(self, placement):
        whole = [_C.sbp.broadcast] * len(placement.hierarchy)
        return [layouts.weights_of(y).to_global(placement=placement, sbp=whole)
                if y.dtype in _LEAVES else None for y in self.results]

    def _update(self, held):
        graph = Calls(lambda: call_on(self.name, held, self.sample["attrs"]) and (),
                      _mutated(self.name, held))
        graph()
        return [array(x) for x in held], []


def _is_partial(x):
    return any(s in (_C.sbp.partial_sum, _C.sbp.partial_max, _C.sbp.partial_min) for s in x.sbp)


def main(argv):
    """As layouts.main, inside graphs."""
    layouts.main(argv, InGraph)


if __name__ == "__main__":
    main(sys.argv[1:])
