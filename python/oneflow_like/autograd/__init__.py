"""Gradients as values, and the gradient mode: no_grad, enable_grad, set_grad_enabled."""

import contextlib
import functools
import inspect
import threading

import numpy as np

from .. import _C
from .._C import InvalidArgumentError, TypeMismatchError
from .._absent import getter as _getter

is_grad_enabled = _C.is_grad_enabled


class _Stack(threading.local):
    def __init__(self):
        self.modes = []


class _GradMode(contextlib.ContextDecorator):
    """Sets the thread's gradient mode and restores the previous one.

    May be nested, and shared by threads, as a decorated function is: each restores its own mode.
    """

    def __init__(self, mode):
        self._mode = mode
        self._previous = _Stack()

    def __enter__(self):
        before = _C.is_grad_enabled()
        try:  # what a signal's handler raises may come behind every call
            self._previous.modes.append(before)
            _C.set_grad_enabled(self._mode)
        except BaseException:
            _C.set_grad_enabled(before)
            raise
        return self

    def __exit__(self, *_):
        _C.set_grad_enabled(self._previous.modes.pop())
        return False

    def __call__(self, function):
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeMismatchError(
                f"[grad mode] a coroutine cannot be decorated: got {function!r}; "
                "expected a function or a generator function; write `with` inside it, "
                "between its awaits")
        if inspect.isgeneratorfunction(function):
            return self._over_generator(function)
        return super().__call__(function)

    def _over_generator(self, function):
        """The mode holds whenever the generator runs, its caller's between."""
        @functools.wraps(function)
        def generate(*args, **kwargs):
            generator = function(*args, **kwargs)
            resume, given = generator.send, None
            try:
                while True:
                    with self:
                        item = resume(given)
                    try:
                        resume, given = generator.send, (yield item)
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        resume, given = generator.throw, error
            except StopIteration as end:
                return end.value
            finally:
                with self:
                    generator.close()
        return generate


def _usable_bare(mode, name, doc):
    """`with f():`, `@f()` and `@f`."""
    def make(function=None):
        context = _GradMode(mode)
        return context if function is None else context(function)
    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    return make


no_grad = _usable_bare(False, "no_grad", "Operations inside record no gradient.")
enable_grad = _usable_bare(True, "enable_grad", "Operations inside record gradients again.")


class set_grad_enabled(_GradMode):
    """Sets the mode at once, as in torch.

    As a context it restores the previous mode; as a decorator it sets it for the function alone.
    """

    def __init__(self, mode):
        if not isinstance(mode, bool):
            raise TypeMismatchError("[set_grad_enabled] argument 'mode' must be bool, not "
                                    f"{type(mode).__name__}; expected True or False")
        super().__init__(mode)
        super().__enter__()
        self._entered = True

    def __enter__(self):
        if not self._entered:
            return super().__enter__()
        self._entered = False
        _C.set_grad_enabled(self._mode)
        return self

    def __call__(self, function):
        if self._entered:
            self._entered = False
            self.__exit__()
        return _GradMode(self._mode)(function)


def _tuple_of(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _grads_of_batch(outputs, inputs, given, keep, **options):
    """One walk for each slice of the gradients' first axis; results along a first axis."""
    sizes = {g.shape[0] for g in given if g is not None and g.ndim}
    if len(given) != len(outputs) or len(sizes) != 1 or sizes == {0} or any(
            g is not None and tuple(g.shape[1:]) != tuple(y.shape)
            for g, y in zip(given, outputs, strict=True)):
        raise RuntimeError(
            "[grad] is_grads_batched=True takes the first axis of each grad_outputs for that of a "
            f"batch: got {[None if g is None else tuple(g.shape) for g in given]} for outputs of "
            f"{[tuple(y.shape) for y in outputs]}; expected one count before the outputs' axes")
    count = sizes.pop()
    rows = [grad(outputs, inputs, tuple(None if g is None else g[n] for g in given),
                 retain_graph=keep or n < count - 1, **options) for n in range(count)]
    return tuple(None if parts[0] is None else _C.stack(list(parts))
                 for parts in zip(*rows, strict=True))


def _refuse_in_build(name):
    if _C.is_tracing():
        raise NotImplementedError(
            f"[{name}] gradients as values inside build() of a graph: got a call while tracing; "
            "expected loss.backward() in a graph with an optimizer, whose plan uses the gradients; "
            f"call {name}() outside of graphs")


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """The gradients of the outputs' sum with respect to each input, as a tuple of tensors.

    No tensor's `grad` changes. With `create_graph` the gradients can be differentiated again.
    An input that no output depends on is an error, unless `allow_unused` (then None) or
    `materialize_grads` (then zeros) says otherwise. With `is_grads_batched` the first axis of
    `grad_outputs` counts gradients, and so does that of the results.
    """
    _refuse_in_build("grad")
    outputs, inputs = _tuple_of(outputs), _tuple_of(inputs)
    given = (None,) * len(outputs) if grad_outputs is None else _tuple_of(grad_outputs)
    if is_grads_batched:
        return _grads_of_batch(
            outputs, inputs, given, create_graph if retain_graph is None else bool(retain_graph),
            create_graph=create_graph, allow_unused=allow_unused,
            materialize_grads=materialize_grads)
    if allow_unused is False and materialize_grads:
        raise InvalidArgumentError(
            "[grad] got allow_unused=False and materialize_grads=True; expected "
            "allow_unused to be True or None with materialize_grads")
    for number, tensor in enumerate(inputs):
        if isinstance(tensor, _C.Tensor) and not tensor.requires_grad:
            raise RuntimeError(f"[grad] One of the differentiated Tensors does not require grad: "
                               f"got inputs[{number}] of shape {tuple(tensor.shape)}; expected "
                               "requires_grad=True")
    results = _C.gradients(outputs, inputs, given,
                           create_graph if retain_graph is None else bool(retain_graph),
                           bool(create_graph))
    if materialize_grads:
        return tuple(_C.zeros_like(x.detach()) if g is None else g
                     for g, x in zip(results, inputs, strict=True))
    if not allow_unused and any(g is None for g in results):
        number = next(i for i, g in enumerate(results) if g is None)
        raise RuntimeError("[grad] One of the differentiated Tensors appears to not have been "
                           f"used in the graph: got inputs[{number}]; expected it in the history "
                           "of outputs; set allow_unused=True if this is the desired behavior")
    return results


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False,
             grad_variables=None, inputs=None):
    """Accumulates the gradients of the tensors' sum into the leaves' `grad`, or into that of
    `inputs` alone. `grad_variables` is an old name of `grad_tensors`."""
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("[backward] got grad_tensors and grad_variables, its old name; "
                               "expected grad_tensors alone")
        grad_tensors = grad_variables
    tensors = _tuple_of(tensors)
    given = (None,) * len(tensors) if grad_tensors is None else _tuple_of(grad_tensors)
    if len(given) != len(tensors):
        raise InvalidArgumentError(
            f"[backward] got {len(tensors)} tensors and {len(given)} grad_tensors; "
            "expected one gradient (or None) for each")
    keep = create_graph if retain_graph is None else retain_graph
    for number, (tensor, gradient) in enumerate(zip(tensors, given, strict=True)):
        last = number == len(tensors) - 1  # they may share a part of the history
        tensor.backward(gradient, retain_graph=keep or not last, create_graph=create_graph,
                        inputs=inputs)


def _weighted(results, weights):
    total = None
    for result, weight in zip(results, weights, strict=True):
        part = (result * weight).sum()
        total = part if total is None else total + part
    return total


def _weights_like(results):
    """Fixed numbers without symmetry, so that no error cancels in their sum."""
    from .._creation import tensor  # which needs this module

    made = []
    for number, result in enumerate(results):
        count = result.numel()
        values = np.cos(np.arange(count) * 0.7 + number) + 1.5
        where = {}
        if result.is_global:
            where = {"placement": result.placement, "sbp": [_C.sbp.broadcast] * len(result.sbp)}
        made.append(tensor(values.reshape(tuple(result.shape)), dtype=result.dtype, **where))
    return made


def _is_complex(tensor):
    return tensor.dtype in (_C.complex64, _C.complex128)


def _real_results(results):
    parts = []
    for result in _tuple_of(results):
        parts += [result.real, result.imag] if _is_complex(result) else [result]
    return parts


def _refuse_complex(inputs, check):
    for number, x in enumerate(inputs):
        if isinstance(x, _C.Tensor) and x.requires_grad and _is_complex(x):
            raise TypeMismatchError(
                f"[{check}] a complex input cannot be varied: got inputs[{number}] of "
                f"{x.dtype.name}; expected its parts: lambda a, b: func(a + b * 1j)")


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True):
    """Whether func's gradients are those of central differences (float64 inputs are advised).

    `func` maps tensors to one tensor or a tuple; inputs that require grad are varied: real ones,
    while a complex result counts as its real and its imaginary part. Of global tensors the whole
    value is varied, and every rank of the placement calls.
    """
    from .._creation import tensor  # which needs this module

    inputs = _tuple_of(inputs)
    _refuse_complex(inputs, "gradcheck")
    results = [r for r in _real_results(func(*inputs)) if r.requires_grad]
    weights = _weights_like(results)

    def value(given):
        with no_grad():
            kept = [r for r in _real_results(func(*given)) if r.dtype.is_floating_point]
            return float(_weighted(kept, weights).item())

    if len(results) != len([r for r in _real_results(func(*inputs)) if r.dtype.is_floating_point]):
        raise InvalidArgumentError(
            "[gradcheck] some floating results do not require grad: expected all to "
            "depend on an input with requires_grad=True")
    varied = [x for x in inputs if isinstance(x, _C.Tensor) and x.requires_grad]
    found = grad(_weighted(results, weights), varied, materialize_grads=True)
    for number, (x, g) in enumerate(zip(varied, found, strict=True)):
        memory = x.detach().numpy()  # of a local tensor its own
        slopes = np.zeros(memory.shape)

        def value_with(at, number, x=x, memory=memory):
            memory[at] = number
            if not x.is_global:
                return value(inputs)
            other = tensor(memory, dtype=x.dtype, placement=x.placement, sbp=x.sbp,
                           requires_grad=True)
            return value([other if given is x else given for given in inputs])

        for at in np.ndindex(*memory.shape):
            kept = memory[at].copy()
            slopes[at] = (value_with(at, kept + eps) - value_with(at, kept - eps)) / (2 * eps)
            memory[at] = kept
        if not np.allclose(g.detach().numpy(), slopes, rtol=rtol, atol=atol, equal_nan=True):
            if raise_exception:
                raise RuntimeError(f"[gradcheck] the gradient of input {number} is not that of "
                                   f"differences: got\n{g.detach().numpy()}\nexpected\n{slopes}")
            return False
    return True


def gradgradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True):
    """gradcheck of func's gradients: whether they can be differentiated again, rightly."""
    inputs = _tuple_of(inputs)
    _refuse_complex(inputs, "gradgradcheck")

    def gradients(*given):
        varied = [x for x in given if isinstance(x, _C.Tensor) and x.requires_grad]
        with enable_grad():
            results = [r for r in _real_results(func(*given)) if r.requires_grad]
            total = _weighted(results, _weights_like(results))
            return grad(total, varied, create_graph=True, materialize_grads=True)

    def recorded(*given):
        return tuple(g for g in gradients(*given) if g.requires_grad)

    if not recorded(*inputs):
        return True  # linear: the gradients do not depend on the inputs
    kept = [g.requires_grad for g in gradients(*inputs)]

    def chosen(*given):
        return tuple(g for g, keep in zip(gradients(*given), kept, strict=True) if keep)

    return gradcheck(chosen, inputs, eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception)


class set_detect_anomaly:
    """Looks for what makes a gradient NaN, from now on or (as a context) inside.

    Forward notes the line of every call that is recorded, so that an error of backward names it;
    with `check_nan` backward refuses the first NaN that a rule gives. It costs time.
    """

    def __init__(self, mode, check_nan=True):
        self._before = _C.anomaly_mode()
        _C.set_anomaly_mode(bool(mode), bool(check_nan))

    def __enter__(self):
        pass

    def __exit__(self, *_):
        _C.set_anomaly_mode(*self._before)


class detect_anomaly(set_detect_anomaly):
    """set_detect_anomaly(True) as a context."""

    def __init__(self, check_nan=True):
        self._check_nan = bool(check_nan)
        self._before = _C.anomaly_mode()

    def __enter__(self):
        self._before = _C.anomaly_mode()
        _C.set_anomaly_mode(True, self._check_nan)


class inference_mode(_GradMode):
    """As no_grad: no gradient is recorded. Tensors made inside may be used anywhere."""

    def __new__(cls, mode=True):
        if callable(mode):
            return cls()(mode)  # a bare decorator
        return super().__new__(cls)

    def __init__(self, mode=True):
        super().__init__(not mode)
        self._inside = mode

    def __enter__(self):
        self._previous.modes.append(is_inference_mode_enabled())
        _inference.inside = self._inside
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        _inference.inside = self._previous.modes.pop()
        return False


_inference = threading.local()


def is_inference_mode_enabled():
    """Whether this thread is inside inference_mode()."""
    return getattr(_inference, "inside", False)


from . import function, functional  # noqa: E402  (they use what is above)
from .function import Function  # noqa: E402

__all__ = ["Function", "backward", "detect_anomaly", "enable_grad", "function", "functional",
           "grad", "gradcheck", "gradgradcheck", "inference_mode", "is_grad_enabled",
           "is_inference_mode_enabled", "no_grad", "set_detect_anomaly", "set_grad_enabled"]
__getattr__ = _getter("autograd", globals())
