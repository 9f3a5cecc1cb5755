"""flow.save and flow.load: every dtype, order and structure; damaged files; several ranks."""

import json
import struct

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow

_C = flow._C
SAVED = sorted(_C.safetensors_codes.values(), key=lambda dtype: dtype.name)


def bits(tensor):
    return bytes(_C.raw_bytes(tensor))


@pytest.mark.parametrize("dtype", SAVED, ids=lambda dtype: dtype.name)
def test_every_dtype_comes_back_in_its_bits(tmp_path, dtype):
    path = str(tmp_path / "x.safetensors")
    x = (flow.arange(12, dtype=flow.float32) - 5).reshape(3, 4).to(dtype)
    held = {"whole": x, "turned": x.transpose(0, 1), "none": x[0:0], "one": x[0, 1]}
    flow.save(held, path)
    back = flow.load(path)
    assert list(back) == list(held)
    for name, value in held.items():
        assert back[name].dtype is dtype and tuple(back[name].shape) == tuple(value.shape), name
        assert bits(back[name]) == bits(value), name


def test_a_dtype_that_the_format_has_not_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"\[save\] a.0: got dtype complex128"):
        flow.save({"a": [flow.ones(2).to(flow.complex128)]}, str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_order_and_keys_come_back(tmp_path):
    path = str(tmp_path / "x.safetensors")
    flow.save({"b": flow.ones(1), "a": flow.zeros(2)}, path)
    assert list(flow.load(path)) == ["b", "a"]
    held = {3: flow.ones(1), "3.5": 1, 2.5: None, None: [True], True: ()}
    flow.save(held, path)
    back = flow.load(path)
    assert list(back) == list(held) and [type(key) for key in back] == [type(key) for key in held]


def recursive():
    held = []
    held.append(held)
    return held


REFUSED = [({(1, 2): 1}, TypeError, r"\[save\] a key of the object: got \(1, 2\)"),
           ({"a": {b"k": 1}}, TypeError, r"\[save\] a key of a: got b'k'"),
           ({"__metadata__": 0}, None, ""),
           ({"\ud800": 1}, ValueError, r"\[save\] a text in the object is no UTF-8"),
           ({"a": "\ud800"}, ValueError, r"\[save\] a text in a is no UTF-8"),
           (recursive(), ValueError, r"\[save\] the object contains itself")]


@pytest.mark.parametrize(("held", "error", "words"), REFUSED)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, held, error, words):
    path = str(tmp_path / "x.safetensors")
    if error is None:
        flow.save(held, path)  # a number of that name is no tensor
        assert flow.load(path) == held
        with pytest.raises(ValueError, match="__metadata__"):
            flow.save({"__metadata__": flow.ones(1)}, path)
        return
    with pytest.raises(error, match=words):
        flow.save(held, path)


@pytest.mark.parametrize("structure", [
    "{", "null", "[]", '{"t": "zzz"}', '{"t": null}', '{"d": [[1]]}', '{"d": [[[1], {"v": 1}]]}',
    '{"x": 1}', '{"v": 1, "t": "a"}', '{"l": ' * 5000 + "1" + "}" * 5000])
def test_damaged_structures_are_named(tmp_path, structure):
    path = tmp_path / "x.safetensors"
    header = json.dumps({"__metadata__": {"oneflow_like.structure": structure},
                         "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ValueError, match=r"\[load\] .*x.safetensors: the structure .* is damaged"):
        flow.load(str(path))


def test_other_damage_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    axes = [1] * 70
    header = json.dumps({"a": {"dtype": "F32", "shape": axes, "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ValueError, match="axes"):
        flow.load(str(path))
    header = json.dumps({"a": {"dtype": "U64", "shape": [1], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(TypeError, match=r"\[load\] .*: a has dtype U64; expected one of"):
        flow.load(str(path))
    with pytest.raises(ValueError, match="is no file"):
        flow.load(str(tmp_path))


def test_files_of_other_tools_are_read_and_ours_by_them(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = str(tmp_path / "x.safetensors")
    numpy.save_file({"w": np.arange(6, dtype=np.float16).reshape(2, 3)}, path)
    np.testing.assert_array_equal(flow.load(path)["w"].numpy(), np.arange(6).reshape(2, 3))
    flow.save({"b": flow.ones(2), "a": [flow.zeros(1)]}, path)
    assert sorted(numpy.load_file(path)) == ["a.0", "b"]


RANKS = """
import os
import oneflow_like as flow
R, P = flow.env.get_rank(), flow.placement.all("cpu")
for turn in range(1, 8):
    x = flow.full((64, 64), float(turn), placement=P, sbp=flow.sbp.split(0))
    flow.save({"w": x}, "w.safetensors")
    assert flow.load("w.safetensors")["w"].numpy()[0, 0] == turn, (R, turn)
try:
    flow.save({"w": x}, "missing/w.safetensors")
except OSError as error:
    assert "missing" in str(error) and (R == 0 or "rank 0 could not write" in str(error)), error
    print("refused", flush=True)
flow.comm.barrier()
print("fine", flush=True)
"""


def test_every_rank_reads_what_was_saved_and_hears_of_failures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = run_text(tmp_path, 3, RANKS).stdout
    assert out.count("fine") == 3 and out.count("refused") == 3, out


def test_a_missing_directory_is_an_error_of_either_class(tmp_path):
    for error in (RuntimeError, FileNotFoundError):
        with pytest.raises(error, match="Parent directory .* does not exist"):
            flow.save({}, tmp_path / "missing" / "x")
