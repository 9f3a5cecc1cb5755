"""Parameter: a tensor that a Module registers as trainable."""

from .. import _C
from .._C import Tensor, TypeMismatchError


class Parameter(Tensor):
    """A leaf tensor that modules list among their parameters. Shares its data with `data`; without
    it has no elements. Of a global tensor whose ranks hold terms of a sum, as of a slice of a split
    one, it holds the whole on every rank (B), in memory of its own: terms cannot be updated."""

    _copies_grad = False  # by deepcopy

    def __init__(self, data=None, requires_grad=True):
        if data is None:
            data = _C.empty((0,))
        if not isinstance(data, Tensor):
            raise TypeMismatchError(
                "[Parameter] got data: "
                f"{type(data).__name__}; expected a Tensor, for example flow.randn(3)")
        if not data.is_symbolic and data.is_global and any(s.is_partial() for s in data.sbp):
            whole = [_C.sbp.broadcast if s.is_partial() else s for s in data.sbp]
            data = data.detach().to_global(sbp=whole).clone()  # not what follows a view
        super().__init__(data.detach())
        self.requires_grad = bool(requires_grad)

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()
