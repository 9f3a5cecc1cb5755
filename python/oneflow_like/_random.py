"""The state of the random generators, to save and to restore.

Global tensors, and graphs on them, draw from the job's generator, which every rank advances alike.
Local tensors draw from the rank's own. A draw is counted, whatever its size; a compiled graph takes
as many a call as it has random operators.
"""

import struct

import numpy as np

from . import _C
from ._C import InvalidArgumentError, TypeMismatchError
from ._creation import from_numpy
from .nn._watch import refuse_in_build

_MAGIC = b"OFLRNG1"
_HEADER = struct.Struct("<7sB")
_STATE = struct.Struct("<Qq")  # seed, offset of the next draw
_JOB, _LOCAL, _OWN = 1, 2, 4  # whose states follow; _OWN: that of a flow.Generator


def _packed(parts, *states):
    return from_numpy(np.frombuffer(_HEADER.pack(_MAGIC, parts) + b"".join(
        _STATE.pack(*state) for state in states), np.uint8))


def _unpacked(state, name):
    """{whose: (seed, offset)}."""
    if not isinstance(state, _C.Tensor):
        raise TypeMismatchError(f"[{name}] got {type(state).__name__}; expected a Tensor of "
                                "flow.get_rng_state()")
    if state.is_global or state.dtype is not _C.uint8 or state.ndim != 1:
        raise TypeMismatchError(f"[{name}] got {state._describe()}; expected a local uint8 "
                                "tensor of flow.get_rng_state()")
    data = state.numpy().tobytes()
    magic, parts = _HEADER.unpack(data[:_HEADER.size]) if len(data) >= _HEADER.size else (b"", 0)
    whose = {_JOB: [_JOB], _LOCAL: [_LOCAL], _JOB | _LOCAL: [_JOB, _LOCAL], _OWN: [_OWN]}.get(
        parts, [])
    if magic != _MAGIC or not whose or len(data) != _HEADER.size + len(whose) * _STATE.size:
        raise InvalidArgumentError(f"[{name}] the {len(data)} bytes are no state of a generator; "
                                   "expected what flow.get_rng_state() returned")
    return dict(zip(whose, _STATE.iter_unpack(data[_HEADER.size:]), strict=True))


def pack_rng_state(local=True):
    """The job's generator, and this rank's own if `local`, as a tensor of bytes."""
    states = _C.random_states()
    if not local:
        return _packed(_JOB, states[:2])
    return _packed(_JOB | _LOCAL, states[:2], states[2:])


def get_rng_state():
    """The state of both generators, seeds and counts, as a tensor of bytes.

    The job's part is equal on all ranks, the rest is this rank's own.
    """
    refuse_in_build("get_rng_state", "it before or after the call")
    return pack_rng_state()


def set_rng_state(new_state):
    """Continues from what get_rng_state() returned: call it with the same job's part on all ranks.

    Compiled graphs draw from here on too. The state of a flow.Generator is given to both.
    """
    refuse_in_build("set_rng_state", "it before or after the call")
    states = _unpacked(new_state, "set_rng_state")
    own = states.get(_OWN)
    _C.restore_random_states(states.get(_JOB, own), states.get(_LOCAL, own))


# --- methods of Generator ------------------------------------------------------------------------

def _get_state(self):
    """The seed and the count of draws, as a tensor of bytes."""
    if self._is_default:
        return get_rng_state()
    refuse_in_build("Generator.get_state", "it before or after the call")
    return _packed(_OWN, self._state())


def _set_state(self, new_state):
    """Continues from what get_state() of this or another generator returned."""
    if self._is_default:
        set_rng_state(new_state)
        return self
    refuse_in_build("Generator.set_state", "it before or after the call")
    states = _unpacked(new_state, "Generator.set_state")
    self._restore(next(states[k] for k in (_OWN, _LOCAL, _JOB) if k in states))
    return self


def _clone_state(self):
    """A generator of its own that goes on from where this one stands."""
    made = _C.Generator()
    made._restore(self._state())
    return made


def _of_state(seed, offset):
    made = _C.Generator()
    made._restore((seed, offset))
    return made


def _reduce(self):
    if self._is_default:
        return "default_generator"
    return _of_state, self._state()


_C.Generator.get_state = _C.Generator.graphsafe_get_state = _get_state
_C.Generator.set_state = _C.Generator.graphsafe_set_state = _set_state
_C.Generator.clone_state = _clone_state
_C.Generator.__reduce__ = _reduce
