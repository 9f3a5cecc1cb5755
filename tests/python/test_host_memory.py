"""Tensors of memory that others have: NumPy arrays, buffers, DLPack; and what copies instead."""

import array as arrays
import gc
import os
import subprocess
import sys

import numpy as np
import pytest

import oneflow_like as flow


def _turned():
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    return {"whole": base, "turned": base.T, "reversed": base[::-1], "steps": base[:, ::-2],
            "part": base[1:, ::3], "single": base[:1], "empty": base[:0], "number": base[0, 0:1]
            .reshape(())}


@pytest.mark.parametrize("array", _turned().values(), ids=_turned())
def test_an_array_and_its_tensor_are_one_memory(array):
    want = array.tolist()
    for make in (flow.from_numpy, flow.as_tensor, flow.asarray, flow.from_dlpack):
        x = make(array)
        assert x.tolist() == want and x.stride() == tuple(s // 4 for s in array.strides)
        if array.size:
            x.add_(1)
            assert (array == np.array(want, np.float32) + 1).all()
            array -= 1
        assert x.tolist() == want
    x = flow.from_numpy(array)
    for seen in (x.numpy(), np.from_dlpack(x), np.asarray(x), flow.from_dlpack(x).numpy()):
        assert seen.tolist() == want
        if array.size:
            assert np.shares_memory(seen, array)


def test_memory_lives_as_long_as_somebody_uses_it():
    x = flow.from_numpy(np.full(100_000, 3.0))
    y = flow.from_dlpack(flow.full((100_000,), 4.0))
    z = np.from_dlpack(flow.full((100_000,), 5.0))
    flow.ones(3).__dlpack__()  # nobody takes it
    gc.collect()
    for _ in range(3):
        flow.zeros(100_000), np.zeros(100_000)
    assert x[7:9].tolist() == [3, 3] and y[-1].item() == 4 and z[50_000] == 5


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8",
                                   "int16", "int32", "int64", "bool", "complex64", "complex128",
                                   "float8_e4m3fn", "float8_e5m2"])
def test_dlpack_carries_every_dtype(dtype):
    x = flow.tensor([[1, 0, 1], [0, 1, 1]]).to(getattr(flow, dtype))
    y = flow.from_dlpack(x.t())
    assert y.dtype is x.dtype and y.tolist() == x.t().tolist() and y.data_ptr() == x.data_ptr()
    assert flow.from_dlpack(x.__dlpack__(max_version=(1, 0))).tolist() == x.tolist()


def test_a_capsule_is_taken_once():
    x = flow.ones(2)
    assert x.__dlpack_device__() == (1, 0)
    capsule = x.__dlpack__()
    assert flow.from_dlpack(capsule).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match="nobody has taken from yet"):
        flow.from_dlpack(capsule)
    assert flow.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    assert flow.from_dlpack(ext_tensor=x, device="cpu", copy=False).data_ptr() == x.data_ptr()
    for wrong in (3, "a", None, object()):
        with pytest.raises(ValueError, match="no tensor to take"):
            flow.from_dlpack(wrong)
    for call in (lambda: flow.ones(2, requires_grad=True).__dlpack__(),
                 lambda: x.__dlpack__(stream=1), lambda: x.__dlpack__(dl_device=(2, 0)),
                 lambda: flow.ones(2, placement=flow.placement.all("cpu"),
                                   sbp=flow.sbp.broadcast).__dlpack__()):
        with pytest.raises(BufferError, match=r"\[__dlpack__\]") as told:
            call()
        assert isinstance(told.value, RuntimeError)


def test_memory_that_nobody_may_write_is_read_alone():
    fixed = np.arange(4.0)
    fixed.flags.writeable = False
    for x in (flow.from_numpy(fixed), flow.from_dlpack(fixed), flow.frombuffer(
            b"\0" * 32, dtype=flow.float64), flow.from_numpy(np.broadcast_to(np.ones(1), (4,)))):
        before = x.tolist()
        assert (x + 1).tolist() == [v + 1 for v in before]
        for write in (lambda x=x: x.add_(1), lambda x=x: x.zero_(), lambda x=x: x[1:].fill_(3),
                      lambda x=x: x.copy_(flow.ones(4)), lambda x=x: flow.exp(x, out=x),
                      lambda x=x: x.__setitem__(0, 5.0), lambda x=x: x.normal_(),
                      lambda x=x: x.detach().mul_(2)):
            with pytest.raises(RuntimeError, match="lets nobody write there"):
                write()
        assert x.tolist() == before and not x.numpy().flags.writeable
        assert x.clone().add_(1).tolist() == [v + 1 for v in before]
    with pytest.raises(RuntimeError, match=r"max_version=\(1, 0\)"):
        flow.from_numpy(fixed).__dlpack__()
    again = flow.from_dlpack(flow.from_numpy(fixed))
    with pytest.raises(RuntimeError, match="lets nobody write there"):
        again.zero_()


def test_frombuffer():
    data = bytearray(np.arange(4, dtype=np.float32).tobytes())
    x = flow.frombuffer(data, dtype=flow.float32)
    x[0] = 9
    assert np.frombuffer(data, np.float32).tolist() == [9, 1, 2, 3]
    assert flow.frombuffer(data, dtype=flow.float32, count=2, offset=4).tolist() == [1, 2]
    assert flow.frombuffer(data, dtype=flow.float32, requires_grad=True).requires_grad
    assert flow.frombuffer(bytearray(9)[1:], dtype=flow.int32).tolist() == [0, 0]
    assert flow.frombuffer(arrays.array("d", [1.5]), dtype=flow.float64).item() == 1.5
    odd = flow.frombuffer(memoryview(bytearray(9))[1:], dtype=flow.int32)
    assert odd.tolist() == [0, 0]  # copied: no processor reads it where it lies
    for arguments, text in (({"offset": 1}, "no whole number of elements"),
                            ({"count": 5}, "too short"), ({"offset": 16}, "outside the buffer"),
                            ({"offset": -1}, "outside the buffer"), ({"count": 0}, "may be 0"),
                            ({"count": 2**62}, "too short"), ({"offset": 2**62}, "outside")):
        with pytest.raises(ValueError, match=text):
            flow.frombuffer(data, dtype=flow.float32, **arguments)
    with pytest.raises(TypeError, match="gives no buffer"):
        flow.frombuffer([1], dtype=flow.int32)


def test_asarray_copies_where_it_is_told_to():
    a, x = np.ones(3), flow.ones(3)
    assert flow.asarray(x) is x is flow.asarray(x, copy=False) is flow.as_tensor(x)
    assert flow.asarray(x, copy=True).data_ptr() != x.data_ptr()
    assert flow.asarray(a, copy=True).data_ptr() != a.ctypes.data
    assert flow.asarray(a, dtype=flow.float32).dtype is flow.float32
    assert flow.asarray(bytearray(8), dtype=flow.int32).tolist() == [0, 0]
    assert flow.asarray(3.5).item() == 3.5 and flow.asarray([1, 2]).dtype is flow.int64
    assert flow.asarray(x, requires_grad=True).requires_grad and not x.requires_grad
    for wrong in (lambda: flow.asarray([1], copy=False),
                  lambda: flow.asarray(a, dtype=flow.float32, copy=False)):
        with pytest.raises(ValueError, match="copy=False"):
            wrong()


def test_lists_say_their_dtype():
    for data, dtype in (([np.float64(2)], "float64"), ([np.float32(2), 1], "float32"),
                        ([np.int32(3)], "int32"), ([np.int32(3), 2.5], "float32"),
                        ([True, 2], "int64"), ([True, 2.5], "float32"), ([1, 2j], "complex64"),
                        ([], "float32"), (bytearray(b"ab"), "int64"), (range(3), "int64"),
                        ([flow.tensor(1), flow.tensor(2.0)], "float32"), (np.int8(3), "int8"),
                        ([np.ones(2, np.float32), [1, 2]], "float32")):
        assert flow.tensor(data).dtype is getattr(flow, dtype), data
    assert flow.tensor([[flow.tensor(1)], [2]]).tolist() == [[1], [2]]
    source = flow.ones(2, requires_grad=True)
    copy = flow.tensor(source)
    assert not copy.requires_grad and copy.data_ptr() != source.data_ptr()
    with pytest.raises(ValueError, match="only one element tensors"):
        flow.tensor([flow.ones(2), flow.ones(2)])
    x = flow.ones(2, dtype=flow.int32)
    assert x.new_tensor([1.5]).tolist() == [1] and x.new_tensor([1], dtype=flow.float64).dtype is (
        flow.float64)
    y = flow.ones(4, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0)).new_tensor([2])
    assert y.is_global and y.tolist() == [2]


def test_tensors_in_an_order_of_ones_own():
    x = flow.empty_strided((2, 3), (1, 2), dtype=flow.int64)
    assert x.stride() == (1, 2) and x.dtype is flow.int64 and x.zero_().sum().item() == 0
    assert flow.empty_permuted((2, 3, 4), (2, 0, 1)).stride() == (3, 1, 6)
    assert flow.ones(1, dtype=flow.int8).new_empty_strided((2, 2), (1, 2)).dtype is flow.int8
    assert flow.empty_strided((0, 3), (5, 7)).shape == (0, 3)
    for wrong in (lambda: flow.empty_strided((2,), (1, 1)), lambda: flow.empty_strided((2,), (-1,)),
                  lambda: flow.empty_permuted((2, 3), (0, 0))):
        with pytest.raises(ValueError, match="empty_"):
            wrong()


def test_numpy_by_force():
    x = flow.ones(2, requires_grad=True)
    assert x.numpy(force=True).tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="requires grad"):
        x.numpy()
    with pytest.raises(ValueError, match="another dtype needs a copy"):
        flow.ones(2).__array__(np.float64, copy=False)
    assert not hasattr(x, "__cuda_array_interface__")


def test_membership_and_reversal():
    x = flow.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert 2 in x and 5 not in x and flow.tensor(3.0) in x and flow.tensor([1.0, 2.0]) in x
    assert reversed(x).tolist() == [[3, 4], [1, 2]] and reversed(flow.tensor(3)).item() == 3
    with pytest.raises(TypeError, match="only a Tensor or a number"):
        "a" in x  # noqa: B015


LIMITED = """
import oneflow_like as flow
held = flow.zeros(10 << 20)
for _ in range(20):  # what is freed is at hand again
    flow.zeros(10 << 20)
try:
    flow.zeros(20 << 20)
except flow.OutOfMemoryError as error:
    print(error)
"""


def test_the_classes_of_errors_are_names_of_the_package():
    for name in ("TypeMismatchError", "OutOfRangeError", "InvalidArgumentError",
                 "OutOfMemoryError"):
        assert issubclass(getattr(flow, name), RuntimeError) and name in flow.__all__
    with pytest.raises(flow.OutOfMemoryError, match="out of memory on cpu"):
        flow.zeros(2**46)


def _under(limit, code):
    env = {**os.environ, "OFL_MEMORY_LIMIT_MIB": limit}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                          timeout=60, check=False)


def test_a_process_keeps_within_the_memory_that_its_environment_allows():
    ended = _under("100", LIMITED)
    assert "requested 83886080 bytes, in use 41943040, limit 104857600" in ended.stdout, ended
    for wrong in ("0", "-1", "much", "1e3"):
        ended = _under(wrong, "import oneflow_like")
        assert ended.returncode == 1 and "OFL_MEMORY_LIMIT_MIB: got" in ended.stderr, ended
