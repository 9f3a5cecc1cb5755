"""Derivatives of functions of tensors: autograd.functional."""

from . import _C
from .autograd import enable_grad, grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple_of(value, name, user):
    items = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for item in items:
        if not isinstance(item, _C.Tensor):
            raise TypeError(f"[{user}] {name} must be a Tensor or a tuple of Tensors: got "
                            f"{type(item).__name__}")
    return items


def _run(func, inputs, create_graph, user):
    """The inputs, as leaves or as parts of the caller's graph, and the results."""
    given = _tuple_of(inputs, "inputs", user)
    if create_graph:
        given = tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
                      for x in given)
    else:
        given = tuple(x.detach().requires_grad_() for x in given)
    return given, func(*given)


def _gradients(result, given, weight, create_graph, strict, user):
    found = (grad(result, given, weight, retain_graph=True, create_graph=create_graph,
                  allow_unused=True) if result.requires_grad else (None,) * len(given))
    if strict and any(g is None for g in found):
        raise RuntimeError(f"[{user}] the result does not depend on all inputs, which strict=True "
                           "asks for")
    return tuple(_C.zeros_like(x.detach()) if g is None else g
                 for g, x in zip(found, given, strict=True))


def _like(value, items):
    return tuple(items) if isinstance(value, (tuple, list)) else items[0]


def _check_strategy(user, strategy, vectorize, strict, create_graph):
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ValueError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: '
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
    with enable_grad():
        given, results = _run(func, inputs, create_graph, "jacobian")
        rows = []
        for result in _tuple_of(results, "the result", "jacobian"):
            flat = result.reshape(-1)
            of_elements = [_gradients(flat[i], given, None, create_graph, strict, "jacobian")
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
        result = func(*given)
        if not isinstance(result, _C.Tensor) or result.numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should "
                               "contain "
                               "a single element")
        found = _gradients(result.reshape(()), given, None, True, strict, "hessian")
        return found if isinstance(inputs, (tuple, list)) else found[0]

    return jacobian(slopes, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of v with the Jacobian."""
    with enable_grad():
        given, results = _run(func, inputs, create_graph, "vjp")
        outputs = _tuple_of(results, "the result", "vjp")
        weights = (None,) * len(outputs) if v is None else _tuple_of(v, "v", "vjp")
        if len(weights) != len(outputs):
            raise RuntimeError(f"[vjp] got {len(weights)} tensors as v; expected {len(outputs)}")
        total = None
        for result, weight in zip(outputs, weights, strict=True):
            if weight is None and result.numel() != 1:
                raise RuntimeError("The vector v can only be None if the user-provided function "
                                   "returns a single Tensor with a single element.")
            found = _gradients(result, given, weight, create_graph, strict, "vjp")
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
        if v is None and (len(given) != 1 or given[0].numel() != 1):
            raise RuntimeError("The vector v can only be None if the input to the user-provided "
                               "function is a single Tensor with a single element.")
        weights = (_C.ones_like(given[0]),) if v is None else _tuple_of(v, "v", "jvp")
        products = []
        for result in outputs:
            dual = _C.zeros_like(result.detach()).requires_grad_()
            found = _gradients(result, given, dual, True, strict, "jvp")
            total = sum((g * w).sum() for g, w in zip(found, weights, strict=True))
            products.append(_gradients(total, (dual,), None, create_graph, False, "jvp")[0])
    if not create_graph:
        results = _like(results, [r.detach() for r in outputs])
        products = [p.detach() for p in products]
    return results, _like(results, products)


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of v with the Hessian."""
    with enable_grad():
        given, result = _run(func, inputs, True, "vhp")
        found = _gradients(result, given, None, True, strict, "vhp")
        weights = (_C.ones_like(given[0]),) if v is None else _tuple_of(v, "v", "vhp")
        total = sum((g * w).sum() for g, w in zip(found, weights, strict=True))
        products = _gradients(total, given, None, create_graph, strict, "vhp")
    if not create_graph:
        result, products = result.detach(), [p.detach() for p in products]
    return result, _like(inputs, products)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs), and the product of the Hessian with v: the same, as it is symmetric."""
    return vhp(func, inputs, v, create_graph, strict)
