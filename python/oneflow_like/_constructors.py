"""Arguments that a class of ours does not take: the error says which it takes."""

import functools
import inspect

from ._C import TypeMismatchError

_ELSEWHERE = {
    "device": "tensors lie on the CPU",
    "dtype": "use module.to(dtype)",
    "foreach": "parameters are updated one by one; leave it out",
    "fused": "updates always are; leave it out",
}


def _explained(name, init):
    @functools.wraps(init)
    def __init__(self, *args, **kwargs):
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            signature = inspect.signature(init)
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as unfit:
                own = [p for p in signature.parameters if p != "self"]
                forms = signature.replace(parameters=[signature.parameters[p] for p in own])
                advice = next((f"; {text}" for key, text in _ELSEWHERE.items()
                               if key in kwargs and key not in own), "")
                raise TypeMismatchError(
                    f"[{name}] the arguments do not fit: {unfit}; expected {name}{forms}"
                    f"{advice}") from None
            raise error
    return __init__


def explain(*classes):
    """Lets the constructors of these classes say what they take."""
    for cls in classes:
        init = cls.__init__
        cls.__init__ = _explained(cls.__name__, getattr(init, "__wrapped__", init))
