"""save and load: nested containers of tensors in one safetensors file.

A flat dictionary of tensors becomes a plain safetensors file that other tools read. Anything else
(optimizer state) keeps its structure as JSON in the file's metadata; nothing is ever unpickled.
"""

import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from . import _C
from ._creation import from_numpy
from .env import get_rank

_STRUCTURE = "oneflow_like.structure"


def _describe(value, path, tensors):
    """A JSON tree of `value`; its tensors are collected under dotted names."""
    if isinstance(value, _C.Tensor):
        name = ".".join(path) or "tensor"
        if name in tensors:
            raise ValueError(f"[save] two tensors are called {name}; expected distinct keys")
        tensors[name] = value
        return {"t": name}
    if isinstance(value, Mapping):
        items = [[key, _describe(item, (*path, str(key)), tensors)] for key, item in value.items()]
        return {"d": items}
    if isinstance(value, (list, tuple)):
        items = [_describe(item, (*path, str(i)), tensors) for i, item in enumerate(value)]
        return {"l" if isinstance(value, list) else "u": items}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"v": value}
    where = ".".join(path) or "the object"
    raise TypeError(f"[save] {where}: got {type(value).__name__}; expected tensors, numbers, "
                    "strings, None, and dicts, lists or tuples of them")


def _rebuild(node, tensors):
    (kind, value), = node.items()
    if kind == "t":
        return tensors[value]
    if kind == "d":
        return OrderedDict((key, _rebuild(item, tensors)) for key, item in value)
    if kind in ("l", "u"):
        items = [_rebuild(item, tensors) for item in value]
        return items if kind == "l" else tuple(items)
    return value


def _write_atomically(path, data):
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save(obj, path):
    """Writes `obj` to a safetensors file: the whole file or nothing.

    With global tensors this is collective: every rank calls it, rank 0 writes their logical values.
    With local tensors alone the calling process writes.
    """
    tensors = {}
    structure = _describe(obj, (), tensors)
    collective = any(tensor.is_global for tensor in tensors.values())
    # Not ascontiguousarray, which makes a vector of a scalar.
    arrays = {name: np.asarray(tensor.detach().numpy(), order="C")
              for name, tensor in tensors.items()}
    if collective and get_rank() != 0:
        return
    flat = isinstance(obj, Mapping) and list(tensors) == list(obj)
    metadata = {} if flat else {_STRUCTURE: json.dumps(structure)}
    _write_atomically(path, to_bytes(arrays, metadata=metadata or None))


def load(path):
    """Reads what `save` wrote, or any safetensors file: local tensors in their containers."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"[load] {path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = OrderedDict((name, from_numpy(file.get_tensor(name)))
                                  for name in file.keys())
            structure = (file.metadata() or {}).get(_STRUCTURE)
    except SafetensorError as error:
        raise ValueError(f"[load] {path} is not a whole safetensors file: {error}; it is truncated "
                         "or of another kind") from None
    return tensors if structure is None else _rebuild(json.loads(structure), tensors)
