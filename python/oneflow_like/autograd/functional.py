"""Derivatives of functions of tensors: autograd.functional."""

from .._C import InvalidArgumentError, TypeMismatchError
from . import _refuse_in_build, enable_grad, grad
from .. import _C
from .._absent import getter as _getter

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple_of(value, name, user):
    items = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for item in items:
        if not isinstance(item, _C.Tensor):
            raise TypeMismatchError(f"[{user}] {name} must be a Tensor or a tuple of Tensors: got "
                                    f"{type(item).__name__}")
    return items


def _run(func, inputs, create_graph, user):
    """The inputs, as leaves or as parts of the caller's graph, and the results."""
    _refuse_in_build(user)
    given = _tuple_of(inputs, "inputs", user)
    if create_graph:
        given = tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
                      for x in given)
    else:
        given = tuple(x.detach().requires_grad_() for x in given)
    return given, func(*given)


_OUTPUT = "Output {} of the user-provided function"
_JACOBIAN = "the jacobian of the user-provided function with respect to input {}"


def _gradients(result, given, weight, create_graph, strict, user, number=0,
               what=_OUTPUT):
    what = what.format(number)
    if strict and not result.requires_grad:
        raise RuntimeError(
            f"[{user}] {what} does not require gradients: got {result._describe()} and strict=True;"
            " expected it to be computed in a differentiable manner from the inputs; use "
            "strict=False, which takes zeros")
    found = (grad(result, given, weight, retain_graph=True, create_graph=create_graph,
                  allow_unused=True) if result.requires_grad else (None,) * len(given))
    for place, g in enumerate(found):
        if strict and g is None:
            raise RuntimeError(
                f"[{user}] {what} is independent of input {place}: got {given[place]._describe()} "
                "and strict=True; expected every input to be used; use strict=False, which takes "
                "zeros")
    return tuple(_C.zeros_like(x.detach()) if g is None else g
                 for g, x in zip(found, given, strict=True))


def _one_element(user, result):
    if not isinstance(result, _C.Tensor) or result.numel() != 1:
        got = result._describe() if isinstance(result, _C.Tensor) else type(result).__name__
        raise RuntimeError(f"[{user}] The Tensor returned by the function given to {user} should "
                           f"contain a single element: got {got}; expected one element; sum it")
    return result


def _weights_of(user, v, given):
    """What stands for v: itself, or a one for the only element of the only input."""
    if v is None and (len(given) != 1 or given[0].numel() != 1):
        raise RuntimeError(
            f"[{user}] The vector v can only be None if the input to the user-provided function "
            "is a single Tensor with a single element: got "
            f"{', '.join(x._describe() for x in given)}; expected v, of the inputs' shapes")
    weights = (_C.ones_like(given[0].detach()),) if v is None else _tuple_of(v, "v", user)
    if len(weights) != len(given):
        raise RuntimeError(f"[{user}] v is a tuple of invalid length: got {len(weights)}; expected "
                           f"{len(given)}, one for each input")
    for number, (weight, x) in enumerate(zip(weights, given, strict=True)):
        if tuple(weight.shape) != tuple(x.shape):
            raise RuntimeError(f"[{user}] v has an invalid size: got {tuple(weight.shape)} for "
                               f"input {number}; expected {tuple(x.shape)}")
    return weights


def _like(value, items):
    return tuple(items) if isinstance(value, (tuple, list)) else items[0]


def _check_strategy(user, strategy, vectorize, strict, create_graph):
    if strategy not in ("forward-mode", "reverse-mode"):
        raise InvalidArgumentError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: '
            'If your function has more outputs than inputs, "forward-mode" tends to '
            'be more performant. Otherwise, prefer to use "reverse-mode".')
    if vectorize and strict:
        raise RuntimeError(f"[{user}] strict=True and vectorize=True are not supported together")
    if strategy == "forward-mode" and (not vectorize or create_graph):
        raise NotImplementedError(f"[{user}] 'forward-mode' is for vectorize=True and "
                                  f"create_graph=False, as in PyTorch: got vectorize={vectorize}, "
                                  f"create_graph={create_graph}; use 'reverse-mode'")


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False,
             strategy="reverse-mode"):
    """d func(inputs)[i] / d inputs[j], of shape result.shape + input.shape, one row at a time.

    However it is asked for it is found backwards: `vectorize` and `strategy` change nothing.
    """
    _check_strategy("jacobian", strategy, vectorize, strict, create_graph)
    return _all_rows("jacobian", func, inputs, create_graph, strict)


def _all_rows(user, func, inputs, create_graph, strict, what=_OUTPUT):
    with enable_grad():
        given, results = _run(func, inputs, create_graph, user)
        rows = []
        for place, result in enumerate(_tuple_of(results, "the result", user)):
            flat = result.reshape(-1)
            of_elements = [_gradients(flat[i], given, None, create_graph, strict, user, place, what)
                           for i in range(result.numel())]
            parts = []
            for number, x in enumerate(given):
                shape = (*result.shape, *x.shape)
                if of_elements:
                    part = _C.stack([g[number] for g in of_elements]).reshape(*shape)
                else:
                    part = _C.full(list(shape), 0, dtype=x.dtype)
                parts.append(part)
            rows.append(_like(inputs, parts))
    return _like(results, rows)


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False,
            outer_jacobian_strategy="reverse-mode"):
    """The second derivatives of a function that gives one element."""
    def slopes(*given):
        result = _one_element("hessian", func(*given))
        found = _gradients(result.reshape(()), given, None, True, strict, "hessian")
        return found if isinstance(inputs, (tuple, list)) else found[0]

    _check_strategy("hessian", outer_jacobian_strategy, vectorize, strict, create_graph)
    return _all_rows("hessian", slopes, inputs, create_graph, strict, _JACOBIAN)


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of v with the Jacobian."""
    with enable_grad():
        given, results = _run(func, inputs, create_graph, "vjp")
        outputs = _tuple_of(results, "the result", "vjp")
        weights = (None,) * len(outputs) if v is None else _tuple_of(v, "v", "vjp")
        if len(weights) != len(outputs):
            raise RuntimeError(f"[vjp] got {len(weights)} tensors as v; expected {len(outputs)}")
        total = None
        if v is None and (len(outputs) != 1 or outputs[0].numel() != 1):
            raise RuntimeError(
                "[vjp] The vector v can only be None if the user-provided function returns a "
                "single Tensor with a single element: got "
                f"{', '.join(r._describe() for r in outputs)}; expected v, of the results' shapes")
        for place, (result, weight) in enumerate(zip(outputs, weights, strict=True)):
            found = _gradients(result, given, weight, create_graph, strict, "vjp", place)
            total = found if total is None else tuple(
                a + b for a, b in zip(total, found, strict=True))
    if not create_graph:
        results = _like(results, [r.detach() for r in outputs])
    return results, _like(inputs, total)


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of the Jacobian with v, by differentiating twice backwards."""
    with enable_grad():
        given, results = _run(func, inputs, True, "jvp")
        outputs = _tuple_of(results, "the result", "jvp")
        weights = _weights_of("jvp", v, given)
        products = []
        for place, result in enumerate(outputs):
            dual = _C.zeros_like(result.detach()).requires_grad_()
            found = _gradients(result, given, dual, True, strict, "jvp", place)
            total = sum((g * w).sum() for g, w in zip(found, weights, strict=True))
            products.append(_gradients(total, (dual,), None, create_graph, False, "jvp")[0])
    if not create_graph:
        results = _like(results, [r.detach() for r in outputs])
        products = [p.detach() for p in products]
    return results, _like(results, products)


def _hessian_product(user, func, inputs, v, create_graph, strict):
    with enable_grad():
        given, result = _run(func, inputs, True, user)
        weights = _weights_of(user, v, given)
        found = _gradients(_one_element(user, result), given, None, True, strict, user)
        total = sum((g * w).sum() for g, w in zip(found, weights, strict=True))
        products = _gradients(total, given, None, create_graph, strict, user, what=_JACOBIAN)
    if not create_graph:
        result, products = result.detach(), [p.detach() for p in products]
    return result, _like(inputs, products)


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of v with the Hessian."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of the Hessian with v: the same, as it is symmetric."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


__getattr__ = _getter("autograd.functional", globals())
