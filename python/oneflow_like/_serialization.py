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
from safetensors import SafetensorError, TensorSpec, safe_open, serialize

from . import _C
from ._C import InvalidArgumentError, TypeMismatchError
from .env import get_rank, get_world_size
from .nn._watch import refuse_in_build

_STRUCTURE = "oneflow_like.structure"
_RESERVED = "__metadata__"  # the format's own
_ERROR_BYTES = 2048  # of what rank 0 tells the others


def _check_key(key, path):
    """Keys come back as they were: what JSON keeps."""
    where = ".".join(path) or "the object"
    if key is not None and type(key) not in (bool, int, float, str):
        raise TypeMismatchError(
            f"[save] a key of {where}: got {key!r} of type {type(key).__name__}; "
            "expected str, int, float, bool or None")
    _check_text(str(key), where)


def _check_text(text, where):
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"[save] a text in {where} is no UTF-8: got {text!r}; expected no lone "
            "surrogates") from None


def _describe(value, path, tensors):
    """A JSON tree of `value`; its tensors are collected under dotted names."""
    where = ".".join(path) or "the object"
    if isinstance(value, _C.Tensor):
        name = ".".join(path) or "tensor"
        if name in tensors or name == _RESERVED:
            raise InvalidArgumentError(
                f"[save] two tensors are called {name}, or the format uses the name; "
                "expected distinct keys")
        if value.dtype not in _C.safetensors_codes.values():
            raise TypeMismatchError(
                f"[save] {where}: got dtype {value.dtype.name}, which safetensors has "
                "not; expected another: convert with .to(dtype)")
        tensors[name] = value
        return {"t": name}
    if isinstance(value, Mapping):
        items = []
        for key, item in value.items():
            _check_key(key, path)
            items.append([key, _describe(item, (*path, str(key)), tensors)])
        return {"d": items}
    if isinstance(value, (list, tuple)):
        items = [_describe(item, (*path, str(i)), tensors) for i, item in enumerate(value)]
        return {"l" if isinstance(value, list) else "u": items}
    if value is None or type(value) in (bool, int, float, str):
        if isinstance(value, str):
            _check_text(value, where)
        return {"v": value}
    raise TypeMismatchError(
        f"[save] {where}: got {type(value).__name__}; expected tensors, numbers, "
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
    if kind != "v":
        raise InvalidArgumentError(f"a node of kind {kind!r}")
    return value


def _file_bytes(tensors, raw, metadata):
    specs = {name: TensorSpec(dtype=tensor.dtype.name, shape=list(tensor.shape),
                              data_ptr=raw[name].ctypes.data, data_len=raw[name].nbytes)
             for name, tensor in tensors.items()}
    return serialize(specs, metadata=metadata or None)


class MissingDirectoryError(FileNotFoundError, RuntimeError):
    """PyTorch raises a RuntimeError for it, everything else of Python the other one."""


def _write_atomically(path, data):
    path = os.path.realpath(path)  # a link stays one
    if os.path.isdir(path):
        raise IsADirectoryError(f"[save] {path} is a directory; expected the path of a file")
    if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe is written to
        with open(path, "wb") as file:
            file.write(data)
        return
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise MissingDirectoryError(f"[save] {path}: Parent directory {folder} does not exist; "
                                    "expected a directory")
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=name[:100] + ".")
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


def _tell_all(error):
    """Every rank returns when rank 0 has written; its failure is an error on all of them."""
    from . import comm  # it imports what imports this

    text = "" if error is None else f"{type(error).__name__}: {error}"
    words = np.zeros(_ERROR_BYTES, np.uint8)
    told = text.encode(errors="replace")[:_ERROR_BYTES]
    words[:len(told)] = np.frombuffer(told, np.uint8)
    answer = _C.from_numpy(words)
    comm.broadcast(answer, src=0)
    return bytes(answer.numpy()).rstrip(b"\0").decode(errors="replace")


def _write(f, data):
    """To a path, the whole file or nothing; or to what has a method write."""
    if hasattr(f, "write"):
        f.write(data)
    else:
        _write_atomically(f, data)


def save(obj, f):
    """Writes `obj` to a safetensors file: the whole file or nothing. `f` is its path, or an object
    with write(), as io.BytesIO.

    Keeps nested dicts, lists and tuples with their order; keys are str, int, float, bool or None.
    With global tensors this is collective: every rank calls it, rank 0 writes their logical values,
    and all return once the file is there; that rank 0 could not write is an OSError on all ranks.
    With local tensors alone the calling process writes.
    """
    refuse_in_build("save", "it before or after the call: a value of a graph has no data")
    tensors = {}
    try:
        structure = _describe(obj, (), tensors)
    except RecursionError:
        raise InvalidArgumentError(
            "[save] the object contains itself, or is nested too deep; expected a "
            "tree") from None
    collective = any(tensor.is_global for tensor in tensors.values()) and get_world_size() > 1
    raw = {name: _C.raw_bytes(tensor) for name, tensor in tensors.items()}
    # Other tools read the tensors of any file; the structure says what they do not keep.
    flat = (isinstance(obj, Mapping) and list(tensors) == list(obj) and
            list(tensors) == sorted(tensors))
    metadata = {} if flat else {_STRUCTURE: json.dumps(structure)}
    if not collective:
        _write(f, _file_bytes(tensors, raw, metadata))
        return
    error = None
    if get_rank() == 0:
        try:
            _write(f, _file_bytes(tensors, raw, metadata))
        except Exception as failed:  # the others wait to hear of it
            error = failed
    told = _tell_all(error)
    if error is not None:
        raise error
    if told:
        raise OSError(f"[save] rank 0 could not write {f}: {told}")


def _read_tensors(path, names):
    """The tensors of a file that the library has found whole, whatever their dtype."""
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
        for name in names:
            entry = header[name]
            code, (begin, end) = entry["dtype"], entry["data_offsets"]
            if code not in _C.safetensors_codes:
                raise TypeMismatchError(f"[load] {path}: {name} has dtype {code}; expected one of "
                                        f"{', '.join(_C.safetensors_codes)}")
            file.seek(start + begin)
            yield name, _C.from_raw_bytes(file.read(end - begin), _C.safetensors_codes[code],
                                          entry["shape"])


def load(f, map_location=None, *, weights_only=None, mmap=None):
    """Reads what `save` wrote, or any safetensors file: local tensors in their containers. `f` is
    its path, or an object with read().

    FileNotFoundError without the file; ValueError for what is no whole safetensors file. Tensors
    lie on the CPU, which is the only `map_location`; nothing is ever unpickled, whatever
    `weights_only` says.
    """
    _C.check_device("load", map_location)
    for name, flag in (("weights_only", weights_only), ("mmap", mmap)):
        if flag is not None and not isinstance(flag, bool):
            raise TypeMismatchError(
                f"[load] argument '{name}' must be bool, not {type(flag).__name__}")
    if mmap:
        raise NotImplementedError("[load] files are read: got mmap=True; expected False or None")
    if not hasattr(f, "read"):
        return _load(f)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(f.read())
        file.flush()
        return _load(file.name)


def _load(path):
    if not os.path.exists(path):
        raise FileNotFoundError(f"[load] {path}: no such file")
    if not os.path.isfile(path):
        raise InvalidArgumentError(f"[load] {path} is no file; expected a safetensors file")
    try:
        with safe_open(path, framework="numpy") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InvalidArgumentError(
            f"[load] {path} is not a whole safetensors file: {error}; it is truncated "
            "or of another kind") from None
    tensors = OrderedDict(_read_tensors(path, names))
    if _STRUCTURE not in metadata:
        return tensors
    try:
        return _rebuild(json.loads(metadata[_STRUCTURE]), tensors)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InvalidArgumentError(
            f"[load] {path}: the structure in its metadata is damaged: {what}; "
            "expected what flow.save wrote") from None
