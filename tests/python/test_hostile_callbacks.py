"""What users' functions, foreign memory and devices without memory may do: errors, never a signal.

A case that ended the process would end these tests with it.
"""

import copy
import ctypes
import os
import pickle
import random
import stat
import subprocess
import sys

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.utils.checkpoint import checkpoint, checkpoint_sequential

B = flow.sbp.broadcast
HERE = flow.placement("cpu", ranks=[0])


def local():
    return flow.ones(3, requires_grad=True)


def spread():
    return flow.ones(3, placement=HERE, sbp=B, requires_grad=True)


# --- gradients of another kind ---------------------------------------------------------------

def returns(gradient):
    class Returns(flow.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return gradient()

    return Returns.apply


@pytest.mark.parametrize("made, wrong", [(local, spread), (spread, local)],
                         ids=["global for local", "local for global"])
def test_a_gradient_is_local_or_global_as_its_tensor(made, wrong):
    def wrong_gradient(*_):
        return wrong().detach()

    x = made()
    x.register_hook(wrong_gradient)
    with pytest.raises(ValueError, match=r"\[hook\] a gradient does not fit"):
        (x * 2).sum().backward()
    x = made()
    y = x * 2
    y.register_hook(wrong_gradient)
    with pytest.raises(ValueError, match=r"\[hook\] a gradient does not fit"):
        y.sum().backward()
    x = made()
    with pytest.raises(ValueError, match=r"\[ReturnsBackward.backward\] a gradient does not fit"):
        returns(wrong_gradient)(x).sum().backward()
    assert x.grad is None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_a_leaf_is_not_marked_dirty():
    class Changes(flow.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx, grad):
            return grad

    x = local()
    with pytest.raises(RuntimeError, match="a leaf Tensor that requires grad is being used in"):
        Changes.apply(x)
    assert x.is_leaf


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_none_is_no_hook(register):
    with pytest.raises(TypeError, match=r"expected a function of the .*, not NoneType"):
        getattr(local(), register)(None)


@pytest.mark.parametrize("second, words", [
    (lambda x: flow.ones(7) * x.sum(), "another result 0"), (lambda x: (x, x), "another number"),
    (lambda x: x.detach(), "requires_grad"), (lambda x: None, "requires_grad")])
def test_a_checkpoint_that_is_another_function_the_second_time(second, words):
    calls = []

    def function(x):
        calls.append(x)
        return x * 2 if len(calls) == 1 else second(x)

    with pytest.raises(RuntimeError, match=r"\[checkpoint\]") as caught:
        checkpoint(function, local(), determinism_check="none").sum().backward()
    assert words in str(caught.value)


@pytest.mark.parametrize("segments", [0, -1, 3, "a", 1.0, None])
def test_segments_that_are_none(segments):
    with pytest.raises(ValueError, match=r"\[checkpoint_sequential\]"):
        checkpoint_sequential([nn.Linear(3, 3)] * 2, segments, local())


# --- devices and worlds without memory -------------------------------------------------------

def nowhere(*shape, **given):
    return flow.ones(*shape, placement=flow.placement("null", ranks=[0]), sbp=B, **given)


READS = {
    "to_local": lambda x: x.to_local(), "to the CPU": lambda x: x.to_global(HERE, B),
    "nonzero": lambda x: x.nonzero(), "argwhere": flow.argwhere, "mask": lambda x: x[x > 0],
    "unique": flow.unique, "unique_consecutive": flow.unique_consecutive,
    "masked_select": lambda x: flow.masked_select(x, x > 0), "where": lambda x: flow.where(x > 0),
    "item": lambda x: x.sum().item(), "numpy": lambda x: x.numpy(),
    "through a gradient": lambda x: x.requires_grad_().to_local().sum().backward(),
}


@pytest.mark.parametrize("name", READS)
def test_a_null_device_has_no_values(name):
    with pytest.raises(RuntimeError, match="a null device"):
        READS[name](nowhere(3))


def test_a_null_device_is_printed_without_values():
    assert "a null device holds no values" in repr(nowhere(3))


def test_a_tensor_that_left_its_world_is_not_read():
    with flow.compile_world(4):
        x = flow.ones(8, 8, placement=flow.placement.all("cpu"), sbp=B, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"\[to_local\] a tensor made in compile_world"):
        (x.to_local() * 2).sum().backward()


# --- foreign memory --------------------------------------------------------------------------

class _DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int * 2), ("ndim", ctypes.c_int),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
                ("byte_offset", ctypes.c_uint64), ("context", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p)]


def capsule(shape=(3,), strides=None, *, ndim=None, data=True, sizes=True):
    """A DLPack capsule by hand, and what it points to."""
    memory = (ctypes.c_float * 64)(*range(64))
    dims = (ctypes.c_int64 * 16)(*shape)
    steps = (ctypes.c_int64 * 16)(*(strides or ()))
    made = _DLTensor(ctypes.addressof(memory) if data else None, (1, 0),
                     len(shape) if ndim is None else ndim, 2, 32, 1,
                     ctypes.addressof(dims) if sizes else None,
                     ctypes.addressof(steps) if strides else None, 0, None, None)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p,
                                                   ctypes.c_void_p]
    return new(ctypes.addressof(made), b"dltensor", None), (memory, dims, steps, made)


LIES = {
    "negative axes": {"ndim": -1}, "axes without end": {"ndim": 2**31 - 1}, "no memory":
    {"data": False}, "no sizes": {"sizes": False}, "a negative size": {"shape": (-3,)},
    "a huge size": {"shape": (2**62, 2**62)}, "a huge stride": {"strides": (2**62,)},
    "the least stride": {"strides": (-2**63,)}, "huge strides": {"shape": (2, 2), "strides":
                                                                 (2**62, 2**62)},
}


@pytest.mark.parametrize("name", LIES)
def test_a_capsule_that_cannot_be_true(name):
    given, kept = capsule(**LIES[name])
    with pytest.raises(ValueError, match=r"^\[from_dlpack\] "):
        flow.from_dlpack(given)
    del kept


def test_a_capsule_that_is_true():
    given, kept = capsule((2, 3), (1, 2))
    assert flow.from_dlpack(given).tolist() == [[0, 2, 4], [1, 3, 5]]
    given, more = capsule((0,), data=False)
    assert flow.from_dlpack(given).shape == (0,)
    del kept, more


@pytest.mark.parametrize("given", [{"offset": 2**63}, {"count": -2**70}, {"offset": "1"}])
def test_a_buffer_is_read_from_a_number(given):
    with pytest.raises(TypeError, match=r"^\[frombuffer\] argument"):
        flow.frombuffer(bytearray(8), dtype=flow.float32, **given)


# --- containers that hold themselves ---------------------------------------------------------

def endless():
    items = []
    items.append(items)
    return items


def deep(levels=100_000):
    items = 1.0
    for _ in range(levels):
        items = [items]
    return items


class Same(nn.Graph):
    def build(self, x):
        return x


class Gives(nn.Graph):
    def build(self, x):
        return endless()


@pytest.mark.parametrize("made", [endless, deep])
@pytest.mark.parametrize("name, use", [
    ("tensor", flow.tensor), ("tensor", flow.as_tensor), ("tensor", flow.ones(2).new_tensor),
    ("getitem", lambda items: flow.ones(2)[items]),
    ("setitem", lambda items: flow.ones(2).__setitem__(items, 1)),
    ("nn.Graph", lambda items: Same()(items)), ("nn.Graph", lambda _: Gives()(flow.ones(1)))])
def test_a_list_without_end(made, name, use):
    with pytest.raises((ValueError, IndexError), match=rf"^\[{name}\] .*itself"):
        use(made())


# --- files and pickles -----------------------------------------------------------------------

def test_a_device_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    count = f"print(len(open({str(pipe)!r}, 'rb').read()))"
    reader = subprocess.Popen([sys.executable, "-c", count], stdout=subprocess.PIPE, text=True)
    flow.save({"a": flow.ones(2)}, pipe)
    assert int(reader.communicate(timeout=60)[0]) > 8
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    flow.save({"a": flow.ones(2)}, link)
    assert link.is_symlink() and flow.load(target)["a"].tolist() == [1, 1]


@pytest.mark.parametrize("path, error", [("missing/file", FileNotFoundError),
                                         ("", IsADirectoryError)])
def test_a_path_that_is_none(tmp_path, path, error):
    with pytest.raises(error, match=r"^\[save\] "):
        flow.save(flow.ones(2), tmp_path / path)


def test_a_damaged_pickle_of_a_tensor_is_an_error():
    whole = pickle.dumps(flow.arange(6.0).view(2, 3))
    assert pickle.loads(whole).tolist() == [[0, 1, 2], [3, 4, 5]]
    draw = random.Random(0)
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            pickle.loads(bytes(damaged[:draw.choice([len(damaged), draw.randrange(len(damaged))])]))
        except Exception:  # any error is fine: a signal is not
            continue


@pytest.mark.parametrize("dtype", [flow.float32, flow.bfloat16, flow.bool, flow.complex64,
                                   flow.int64, flow.float8_e5m2])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_a_pickle_keeps_dtype_shape_and_values(dtype, shape):
    x = flow.ones(*shape, dtype=dtype).t() if len(shape) == 2 else flow.ones(shape, dtype=dtype)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.dtype is x.dtype and y.shape == x.shape and np.array_equal(y.tolist(), x.tolist())


# --- numbers at the ends ---------------------------------------------------------------------

@pytest.mark.parametrize("beta", [float("inf"), -float("inf"), float("nan"), 1e5, -1e10])
@pytest.mark.parametrize("length", [5, 10_000])
def test_a_window_of_any_beta(length, beta):
    assert flow.kaiser_window(length, beta=beta).shape == (length,)


def test_a_window_is_even_in_beta():
    assert flow.kaiser_window(5, beta=-12.0).tolist() == flow.kaiser_window(5, beta=12.0).tolist()


@pytest.mark.parametrize("dtype, most", [(flow.float32, 3.4e38), (flow.float64, 1.7e308)])
def test_a_histogram_of_a_range_beyond_the_largest_number(dtype, most):
    x = flow.tensor([-most, -0.6 * most, 0.0, 0.1 * most, most], dtype=dtype)
    assert flow.histc(x, 4, -most, most).tolist() == [2, 0, 2, 1]
    assert flow.histc(x, 4).tolist() == [2, 0, 2, 1]
