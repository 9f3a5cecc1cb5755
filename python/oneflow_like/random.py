"""Random numbers: seeds and states of the generators (flow.Generator has those of one)."""

import contextlib

from ._C import InvalidArgumentError, default_generator, initial_seed, manual_seed, seed
from ._absent import getter as _getter
from ._random import get_rng_state, set_rng_state

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
           "set_rng_state"]


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices",
             device_type=None):
    """After the block the default generators, the job's and this rank's, stand where they stood.

    `devices` and `device_type` name devices besides the CPU, of which there are none.
    """
    if devices or device_type not in (None, "cpu"):
        raise InvalidArgumentError(
            f"[{_caller}] there is no device besides the CPU: got {_devices_kw}="
            f"{devices!r}, device_type={device_type!r}; expected none of them")
    state = get_rng_state() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            set_rng_state(state)


__getattr__ = _getter("random", globals())
