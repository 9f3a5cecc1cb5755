"""The state of the random generators, to save and to restore.

Global tensors, and graphs on them, draw from the job's generator, which every rank advances alike.
Local tensors draw from the rank's own. A draw is counted, whatever its size; a compiled graph takes
as many a call as it has random operators.
"""

import struct

import numpy as np

from . import _C
from ._creation import from_numpy
from .nn._watch import refuse_in_build

_MAGIC = b"OFLRNG1"
_HEADER = struct.Struct("<7sB")
_STATE = struct.Struct("<Qq")  # seed, offset of the next draw
_JOB, _LOCAL = 1, 2


def pack_rng_state(local=True):
    """The job's generator, and this rank's own if `local`, as a tensor of bytes."""
    states = _C.random_states()
    data = _HEADER.pack(_MAGIC, _JOB | (_LOCAL if local else 0)) + _STATE.pack(*states[:2])
    if local:
        data += _STATE.pack(*states[2:])
    return from_numpy(np.frombuffer(data, np.uint8))


def get_rng_state():
    """The state of both generators, seeds and counts, as a tensor of bytes.

    The job's part is equal on all ranks, the rest is this rank's own.
    """
    refuse_in_build("get_rng_state", "it before or after the call")
    return pack_rng_state()


def set_rng_state(new_state):
    """Continues from what get_rng_state() returned: call it with the same job's part on all ranks.

    Compiled graphs draw from here on too.
    """
    refuse_in_build("set_rng_state", "it before or after the call")
    if not isinstance(new_state, _C.Tensor):
        raise TypeError(f"[set_rng_state] got {type(new_state).__name__}; expected a Tensor of "
                        "flow.get_rng_state()")
    if new_state.is_global or new_state.dtype is not _C.uint8 or new_state.ndim != 1:
        raise TypeError(f"[set_rng_state] got {new_state._describe()}; expected a local uint8 "
                        "tensor of flow.get_rng_state()")
    data = new_state.numpy().tobytes()
    magic, parts = _HEADER.unpack(data[:_HEADER.size]) if len(data) >= _HEADER.size else (b"", 0)
    count = {_JOB: 1, _LOCAL: 1, _JOB | _LOCAL: 2}.get(parts, 0)
    if magic != _MAGIC or count == 0 or len(data) != _HEADER.size + count * _STATE.size:
        raise ValueError(f"[set_rng_state] the {len(data)} bytes are no state of a generator; "
                         "expected what flow.get_rng_state() returned")
    states = list(_STATE.iter_unpack(data[_HEADER.size:]))
    _C.restore_random_states(states.pop(0) if parts & _JOB else None,
                             states.pop(0) if parts & _LOCAL else None)
