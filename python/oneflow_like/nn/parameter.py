"""Parameter: a tensor that a Module registers as trainable."""

from .._C import Tensor


class Parameter(Tensor):
    """A leaf tensor that modules list among their parameters. Shares its data with `data`."""

    _copies_grad = False  # by deepcopy

    def __init__(self, data, requires_grad=True):
        if not isinstance(data, Tensor):
            raise TypeError("[Parameter] got data: "
                            f"{type(data).__name__}; expected a Tensor, for example flow.randn(3)")
        super().__init__(data.detach())
        self.requires_grad = bool(requires_grad)

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()
