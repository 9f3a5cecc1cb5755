"""The text of tensors against PyTorch's, kept as data, and set_printoptions."""

import math
from pathlib import Path

import pytest

import oneflow_like as flow

DATA = Path(__file__).parent / "data" / "printed_tensors.txt"


def _cases():
    for block in DATA.read_text(encoding="utf-8").split("\n\n")[1:]:
        call, text = block.rstrip("\n").split("\n", 1)
        expression, _, options = call.partition("  # ")
        yield pytest.param(expression, options, text, id=call)


@pytest.mark.parametrize(("expression", "options", "text"), list(_cases()))
def test_a_tensor_is_written_as_pytorch_does(expression, options, text):
    names = {n: getattr(flow, n) for n in dir(flow) if not n.startswith("_")}
    x = eval(expression, names | {"float": float, "complex": complex})
    try:
        flow.set_printoptions(**eval(f"dict({options})"))
        assert repr(x) == str(x) == text
    finally:
        flow.set_printoptions(profile="default")


def test_what_is_no_option_is_refused():
    for wrong, error, text in (({"profile": "loud"}, ValueError, "no profile has this name"),
                               ({"precision": -1}, ValueError, "precision is no count"),
                               ({"edgeitems": "a"}, ValueError, "edgeitems is no count"),
                               ({"sci_mode": 1}, TypeError, "'sci_mode' must be bool")):
        with pytest.raises(error, match=rf"\[set_printoptions\].*{text}"):
            flow.set_printoptions(**wrong)
    flow.set_printoptions(threshold=math.inf)
    assert "..." not in repr(flow.zeros(3000))
    flow.set_printoptions(profile="default")
    assert "..." in repr(flow.zeros(3000))


@pytest.mark.parametrize("dtype", [flow.float32, flow.bfloat16, flow.float8_e5m2, flow.bool])
def test_what_is_not_written_is_not_read(dtype):
    one = flow.ones(1, dtype=dtype)
    short = repr(one.expand(2 ** 13))
    assert repr(one.expand(2 ** 40)) == short and "..." in short
    wide = repr(one.expand(2 ** 20, 2 ** 20)).splitlines()
    assert len(wide) == 7 and wide[-1].endswith(short[short.index("]") + 1:])
    P = flow.placement.all("cpu")
    whole = flow.ones(1, dtype=dtype, placement=P, sbp=flow.sbp.broadcast).expand(2 ** 40)
    assert repr(whole).startswith(short[:short.index("]")])


def test_the_default_dtype_is_not_written():
    x, y = flow.ones(1), flow.ones(1, dtype=flow.float64)
    flow.set_default_dtype(flow.float64)
    try:
        assert repr(y) == "tensor([1.])" and repr(x) == "tensor([1.], dtype=oneflow_like.float32)"
    finally:
        flow.set_default_dtype(flow.float32)


def test_a_format_is_for_one_number():
    assert f"{flow.tensor(3)} {flow.tensor(2.5):.2f} {flow.tensor(7):5d}" == "3 2.50     7"
    assert f"{flow.ones(2)}" == "tensor([1., 1.])" and f"{flow.tensor(True)}" == "True"
    with pytest.raises(TypeError, match="a format is for one number"):
        f"{flow.ones(2):.2f}"
