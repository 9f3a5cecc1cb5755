"""Which process this is: the launcher's environment, or one process alone."""

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
