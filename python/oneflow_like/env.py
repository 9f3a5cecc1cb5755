"""Which process this is: the launcher's environment, or one process alone."""

import os


def _read(name, default):
    text = os.environ.get(name)
    if text is None or text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError(f"environment variable {name}: got {text!r}; expected a number >= 0; "
                         "start the script with oneflow-like-run, which sets it")
    return value


def get_rank():
    """This process's number in the job."""
    return _read("RANK", 0)


def get_world_size():
    """Processes in the job; 1 without a launcher."""
    return _read("WORLD_SIZE", 1)


def get_local_rank():
    """This process's number on its machine."""
    return _read("LOCAL_RANK", 0)


def get_local_world_size():
    """Processes on this machine."""
    return _read("LOCAL_WORLD_SIZE", get_world_size())


def get_node_size():
    """Machines in the job."""
    return max(1, get_world_size() // max(1, get_local_world_size()))
