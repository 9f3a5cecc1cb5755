"""The text of errors of the Python part, which would repeat megabytes of the caller's."""

from . import _C

_LONGEST, _END = 8000, 2000


def _text(self):
    """The message; of one that is too long to be read its head and its end."""
    text = BaseException.__str__(self)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_END]} ... ({len(text) - 2 * _END} characters left out) ... {text[-_END:]}"


for _kind in (_C.InvalidArgumentError, _C.TypeMismatchError, _C.OutOfRangeError):
    _kind.__str__ = _text
