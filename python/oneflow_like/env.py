"""Which process this is: the launcher's environment, or one process alone."""

import operator
import os

from . import _C


def get_rank():
    """This process's number in the job."""
    return _C.rank()


def get_world_size():
    """Processes in the job; 1 without a launcher. Inside compile_world(n): n."""
    return _C.world_size()


def get_local_rank():
    """This process's number on its machine."""
    return _C.local_rank()


def get_node_size():
    """Machines in the job, when all run equally many processes."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "")
    local = int(text) if text.isdecimal() and int(text) > 0 else get_world_size()
    return max(1, get_world_size() // local)


def get_num_threads():
    """Threads of every kernel of this process."""
    return _C.threads()


def set_num_threads(int):
    """Says how many threads kernels use: as many as this process started with (OMP_NUM_THREADS).

    What they compute, and how, is chosen for that number once, and plans hold it.
    """
    try:
        number = operator.index(int)
    except TypeError:
        raise _C.TypeMismatchError("[set_num_threads] argument 'int' must be int, not "
                                   f"{type(int).__name__}; expected {_C.threads()}") from None
    if number < 1:
        raise RuntimeError(f"[set_num_threads] no number of threads: got {number}; expected at "
                           "least 1")
    if number != _C.threads():
        raise RuntimeError(f"[set_num_threads] this process has another number of threads: got "
                           f"{number}; expected {_C.threads()}; set the environment's "
                           f"OMP_NUM_THREADS={number} before it starts")


_OVERRIDES = ("OPENBLAS_CORETYPE", "OMP_NUM_THREADS")


def show_config():
    """Prints what this process is and runs on: version, arithmetic, threads, world, overrides."""
    config = _C.config()
    overrides = [f"{name}={value}" for name, value in sorted(os.environ.items())
                 if name.startswith("OFL_") or name in _OVERRIDES]
    wire = config["wire"]
    if wire != "none":
        wire += ", connected" if config["connected"] else ", not connected yet"
    lines = {
        "version": config["version"],
        "build": config["build"],
        "CPU level": config["cpu_level"],
        "BLAS core": config["blas_core"],
        "equal bits": "promised and compared" if config["equal_bits"] else
                      "not promised, digests not compared: OFL_MIXED_CPUS=1",
        "threads": config["threads"],
        "world": f"rank {config['rank']} of {config['world_size']}, "
                 f"{config['local_world_size']} on this machine",
        "wire": wire,
        "overrides": ", ".join(overrides) or "none",
    }
    print("\n".join(f"{name:<11} {value}" for name, value in lines.items()))
