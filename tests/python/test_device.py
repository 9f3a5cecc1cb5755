"""flow.device, Tensor.to and its kin, and what tells where and how a tensor lies."""

import copy
import pickle

import pytest

import oneflow_like as flow
from oneflow_like import nn


def test_a_device_is_a_type_and_perhaps_a_number():
    cpu, first = flow.device("cpu"), flow.device("cpu", 0)
    assert (cpu.type, cpu.index) == ("cpu", None) and (first.type, first.index) == ("cpu", 0)
    assert first == flow.device("cpu:0") == flow.device(type="cpu", index=0) != cpu
    assert flow.device(cpu) == cpu and flow.device("cpu", None) == cpu
    assert str(cpu) == "cpu" and str(first) == "cpu:0"
    assert repr(cpu) == "device(type='cpu')" and repr(first) == "device(type='cpu', index=0)"
    assert len({cpu, first, flow.device("cpu")}) == 2 and cpu != "cpu"
    assert flow.device("cuda:1").index == 1 and flow.device("cuda") != cpu
    for other in (pickle.loads(pickle.dumps(first)), copy.copy(first), copy.deepcopy(first)):
        assert other == first


@pytest.mark.parametrize(("arguments", "error", "text"), [
    (("nonsense",), ValueError, "no device has this name: got 'nonsense'"),
    (("cpu:x",), ValueError, "got 'cpu:x'"),
    (("cpu:-1",), ValueError, "got 'cpu:-1'"),
    (("cpu:01",), ValueError, "got 'cpu:01'"),
    (("cpu:",), ValueError, "got 'cpu:'"),
    (("",), ValueError, "got ''"),
    ((None,), TypeError, "must be str or oneflow_like.device, not NoneType"),
    ((3,), TypeError, "not int"),
    (("cpu", -1), ValueError, "the number is wrong"),
    (("cpu", 2**40), ValueError, "the number is wrong"),
    (("cpu:0", 0), ValueError, "a type without a number"),
    (("cpu", "0"), TypeError, "argument 'index' must be int, not str"),
])
def test_a_device_of_another_name_is_refused(arguments, error, text):
    with pytest.raises(error, match=text) as told:
        flow.device(*arguments)
    assert isinstance(told.value, RuntimeError)


def test_tensors_lie_on_the_cpu():
    x = flow.ones(2)
    assert x.device == flow.device("cpu") and x.is_cpu and not x.is_cuda and x.get_device() == -1
    everyone = flow.placement.all("cpu")
    y = flow.ones(2, placement=everyone, sbp=flow.sbp.broadcast)
    assert y.device == x.device == flow.get_default_device()
    for where in ("cpu", "cpu:0", x.device, flow.device("cpu", 0), None):
        assert flow.zeros(2, device=where).device == x.device
        assert flow.zeros_like(x, device=where).device == x.device
        flow.set_default_device(where)
    with flow.device("cpu") as where:
        assert flow.ones(1).device == where
    for where in ("cuda", flow.device("cuda:0"), "meta", "cpu:1"):
        for call in (lambda w=where: flow.zeros(2, device=w), lambda w=where: x.to(w),
                     lambda w=where: flow.set_default_device(w), lambda w=where: nn.Linear(
                         1, 1).to(w), lambda w=where: flow.Generator(w)):
            with pytest.raises(RuntimeError, match="device '.*'.*expected 'cpu'"):
                call()
    with pytest.raises(RuntimeError, match="expected 'cpu'"):
        x.cuda()
    with pytest.raises(RuntimeError, match="expected 'cpu'"), flow.device("cuda"):
        pass
    with pytest.raises(TypeError, match="'device' must be str or oneflow_like.device, not int"):
        flow.zeros(2, device=3)


def test_the_forms_of_to():
    x, whole = flow.ones(2), flow.ones(2, dtype=flow.int64)
    for same in (x.to(), x.to(None), x.to("cpu"), x.to(flow.float32), x.to(x), x.cpu(),
                 x.to(device="cpu"), x.to("cpu", flow.float32, True), x.to(dtype=None),
                 x.to(memory_format=flow.contiguous_format), x.contiguous(),
                 x.contiguous(memory_format=flow.preserve_format)):
        assert same is x
    for double in (x.to(flow.float64), x.to(float), x.to(None, flow.float64),
                   x.to(flow.device("cpu"), flow.float64, False, True),
                   x.to(flow.float64, True, True), x.to("cpu", dtype=flow.float64),
                   x.type(flow.float64), x.type("torch.DoubleTensor")):
        assert double.dtype is flow.float64
    assert x.to(whole).dtype is x.to(other=whole).dtype is x.to(tensor=whole).dtype is flow.int64
    for apart in (x.to("cpu", copy=True), x.to(flow.float32, copy=True), x.to(x, copy=True)):
        assert apart is not x and apart.data_ptr() != x.data_ptr()
    assert x.type() == "oneflow_like.FloatTensor" and whole.type() == "oneflow_like.LongTensor"
    for call, text in ((lambda: x.to(3), "no form takes these arguments: got int"),
                       (lambda: x.to(flow.float64, dtype=flow.int8), "several values"),
                       (lambda: x.to("cpu", device="cpu"), "several values"),
                       (lambda: x.to(bogus=1), "unexpected keyword argument 'bogus'"),
                       (lambda: x.to("cpu", copy=1), "'copy' must be bool, not int"),
                       (lambda: x.to(flow.float64, 1), "'non_blocking' must be bool"),
                       (lambda: x.to(dtype="float64"), "'dtype' must be"),
                       (lambda: x.to(1, 2, 3, 4, 5), "no form takes"),
                       (lambda: x.to(other=3), "'other' must be Tensor")):
        with pytest.raises(TypeError, match=text):
            call()
    with pytest.raises(NotImplementedError, match="tensors are row-major"):
        flow.ones(1, 2, 3, 4).to(memory_format=flow.channels_last)
    with pytest.raises(ValueError, match="no device has this name: got 'nonsense'"):
        x.to("nonsense")
    with pytest.raises(ValueError, match="no class of tensors"):
        x.type("nonsense")


def test_modules_take_what_tensors_take():
    layer = nn.Linear(2, 2)
    assert layer.to("cpu") is layer.cpu() is layer and layer.to() is layer
    assert layer.to("cpu", flow.float64).weight.dtype is flow.float64
    assert layer.to(device=flow.device("cpu"), dtype=flow.float32).bias.dtype is flow.float32
    assert layer.to(flow.ones(1, dtype=flow.float16)).bias.dtype is flow.float16


def test_layouts_and_orders_have_names():
    x = flow.ones(2, 3)
    assert x.layout is flow.strided and repr(flow.strided) == "oneflow_like.strided"
    assert isinstance(flow.channels_last, flow.memory_format)
    assert pickle.loads(pickle.dumps(flow.contiguous_format)) is flow.contiguous_format
    assert flow.zeros(2, layout=flow.strided).shape == (2,)
    assert x.clone(memory_format=flow.contiguous_format).tolist() == x.tolist()
    assert flow.zeros_like(x, memory_format=flow.preserve_format).shape == (2, 3)
    assert x.is_contiguous(memory_format=flow.contiguous_format)
    assert not flow.ones(2, 3, 4, 5).is_contiguous(memory_format=flow.channels_last)
    for call in (lambda: x.clone(memory_format=flow.channels_last),
                 lambda: flow.zeros(2, layout="sparse"),
                 lambda: flow.zeros_like(x, memory_format=flow.channels_last)):
        with pytest.raises(TypeError, match="'(memory_format|layout)' must be"):
            call()


def test_what_a_tensor_says_of_itself():
    x = flow.ones(2, 3, dtype=flow.float64)
    assert (x.itemsize, x.nbytes, x.ndimension(), x.element_size()) == (8, 48, 2, 8)
    assert x.dim_order() == (0, 1) and x.t().dim_order() == (1, 0)
    assert flow.ones(()).dim_order() == ()
    with pytest.raises(RuntimeError, match="several orders"):
        flow.ones(1, 1).dim_order(ambiguity_check=True)
    assert not any((x.is_meta, x.is_sparse, x.is_quantized, x.is_nested, x.is_mkldnn)) and (
        x.name is None and not x.is_inference() and flow.get_device(x) == -1)
