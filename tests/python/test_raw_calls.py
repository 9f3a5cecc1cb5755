"""The module under the package, called as the package never calls it: errors, never a signal.

A case that ended the process would end these tests with it, which is failure enough.
"""

import os
import sys
import threading

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import _C

COUNTED = r"wrong number of tensor inputs|one count for each|counts for"
COMPOSITES = [s["name"] for s in _C.op_schemas() if s["composite"]]


def traced(build, like=None):
    """A session of build(x), compiled."""
    session = _C.GraphSession("raw", 1)
    x = session.add_input(flow.ones(64) if like is None else like, "x")
    session.add_output(session.trace(lambda: build(x)))
    session.compile([], "")
    return session


# --- the number of operands ------------------------------------------------------------------

def takes(name, count):
    inputs = next(s for s in _C.op_schemas() if s["name"] == name)["inputs"]
    least = sum(not i["optional"] for i in inputs)
    return count >= least and (count <= len(inputs) or any(i["variadic"] for i in inputs))


@pytest.mark.parametrize("name, count", [(name, count) for name in COMPOSITES
                                         for count in (0, 1, 9) if not takes(name, count)])
def test_composites_are_given_as_many_operands_as_they_take(name, count):
    attrs = {k: v for k, v in _C.op_samples(name)[0]["attrs"].items() if k != "arity"}
    operands = [flow.ones(3)] * count
    with pytest.raises(ValueError, match=COUNTED):
        _C.call_op(name, operands, attrs)
    with pytest.raises(ValueError, match=COUNTED):
        traced(lambda x: _C.call_op(name, operands, attrs)[0])


def test_counts_of_operands_that_fit_none():
    for arity in ([1], [], [1] * 9, [2**62] * 3, [-1, 1, 1]):
        with pytest.raises(ValueError, match=r"count|this many tensors"):
            _C.call_op("clamp_tensor", [flow.ones(3), flow.ones(3)], {"arity": arity})


# --- updates in a graph ----------------------------------------------------------------------

TARGETS = {
    "assign": lambda x: flow.ones(64),
    "assign, computed": lambda x: flow.zeros(64) + 0,
    "assign, of the input": lambda x: x + 1,
    "assign, a part": lambda x: flow.ones(2, 64)[0],
}


@pytest.mark.parametrize("name", TARGETS)
def test_an_assignment_to_what_build_has_made_is_one_in_place(name):
    def build(x):
        target = TARGETS[name](x)
        _C.assign(target, x * 3)
        return target + 1

    x = flow.arange(64.0)
    assert traced(build).launch([x])[0].tolist() == build(x).tolist() == (x * 3 + 1).tolist()


UPDATES = {
    "assign, the input": lambda x: _C.assign(x, x + 1),
    "assign_add": lambda x: _C.assign_add(flow.randn(64), x),
    "sgd_update": lambda x: _C.sgd_update(flow.ones(64), x, flow.ones(2, dtype=flow.float64)),
    "increment": lambda x: _C.call_op("increment", [flow.ones(())], {"value": 1}),
}


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_of_what_is_no_variable_is_refused(name):
    def build(x):
        UPDATES[name](x)
        return x

    op = name.split(",")[0]
    with pytest.raises(RuntimeError, match=rf"\[{op}\] would update a value .* no variable") as e:
        traced(build)
    assert "got " in str(e.value) and "expected a parameter or a buffer" in str(e.value)


# --- sessions --------------------------------------------------------------------------------

def test_numbers_of_a_compiled_session_keep_their_count():
    session = _C.GraphSession("raw", 1)
    session.set_numbers("rate", [1.0])
    session.set_numbers("rate", [1.0, 2.0])
    x = session.add_input(flow.ones(2), "x")
    session.add_output(session.trace(lambda: x + 1))
    session.compile([], "")
    session.set_numbers("rate", [3.0, 4.0])
    with pytest.raises(ValueError, match=r"'rate' of graph raw.*got 3; expected 2"):
        session.set_numbers("rate", [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"'other' of graph raw.*got 1; expected a name"):
        session.set_numbers("other", [1.0])
    assert session.launch([flow.ones(2)])[0].tolist() == [2.0, 2.0]


def test_a_compiled_session_is_not_traced_again():
    session = traced(lambda x: x + 1)
    for call in (lambda: session.compile([], ""), lambda: session.add_input(flow.ones(2), "y"),
                 lambda: session.trace(lambda: None), lambda: session.add_output(flow.ones(2))):
        with pytest.raises(RuntimeError, match="compiled already"):
            call()
    assert session.launch([flow.ones(64)])[0].tolist() == [2.0] * 64
    with pytest.raises(RuntimeError, match=r"\[nn.Graph\] graph raw is not compiled"):
        _C.GraphSession("raw", 1).launch([])


def test_a_session_is_one_threads_while_it_traces():
    session, errors = _C.GraphSession("raw", 1), []
    x = session.add_input(flow.ones(4), "x")

    def others():
        for call in (lambda: session.compile([], ""), lambda: session.add_output(x),
                     lambda: session.trace(lambda: x), lambda: session.set_numbers("n", [1.0]),
                     lambda: session.launch([flow.ones(4)]),
                     lambda: session.add_input(flow.ones(4), "z"),
                     lambda: session.name_variable(flow.ones(4), "v")):
            with pytest.raises(RuntimeError, match="running in another thread"):
                call()
            errors.append(call)

    def build():
        other = threading.Thread(target=others)
        other.start()
        other.join()
        return x + 1

    session.add_output(session.trace(build))
    session.compile([], "")
    assert len(errors) == 7 and session.launch([flow.ones(4)])[0].tolist() == [2.0] * 4


@pytest.mark.timeout(120)
def test_threads_that_race_for_one_session():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(40):
            session, stop = _C.GraphSession("raw", 1), threading.Event()

            def compile_it(session=session, stop=stop):
                while not stop.is_set():
                    try:
                        session.compile([], "")
                    except RuntimeError:
                        pass

            other = threading.Thread(target=compile_it)
            other.start()
            try:
                x = session.add_input(flow.ones(64), "x")
                session.add_output(session.trace(lambda x=x: x + 1))
                session.compile([], "")
            except RuntimeError as error:
                assert "another thread" in str(error) or "compiled already" in str(error)
            stop.set()
            other.join()
    finally:
        sys.setswitchinterval(interval)


# --- files and states ------------------------------------------------------------------------

@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", [_C.plan_check, _C.plan_show])
def test_a_plan_is_a_file_with_an_end(tmp_path, call):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in ("/dev/zero", pipe, tmp_path):
        with pytest.raises(ValueError, match=r"\[plan\] no plan file: got .*; expected a file"):
            call(str(path))
    with pytest.raises(Exception, match=r"\[plan\] cannot open .*got .*absent.*; expected"):
        call(str(tmp_path / "absent.pb"))
    large = tmp_path / "large.pb"
    with large.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(Exception, match="1073741824"):
        call(str(large))


@pytest.mark.parametrize("count", [-1, -5, 2**63 - 1, -2**63])
def test_counts_of_draws_that_no_generator_has(count):
    before = _C.random_states()
    for states in (((1, count), None), (None, (1, count)), ((1, 3), (1, count))):
        with pytest.raises(ValueError, match=rf"count of draws .*got {count}; expected 0 to"):
            _C.restore_random_states(*states)
    assert _C.random_states() == before


def test_bytes_that_are_no_state_of_a_generator():
    state = flow.get_rng_state().numpy().copy()
    state[8:] = 0xff
    with pytest.raises(ValueError, match=r"\[set_rng_state\]"):
        flow.set_rng_state(flow.from_numpy(state))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "bool", "float16",
                                   "bfloat16", "float32", "float64", "float8_e4m3fn",
                                   "float8_e5m2", "complex64", "complex128"])
def test_a_number_of_every_dtype_is_read(dtype):
    one = flow.ones(1).to(getattr(flow, dtype))
    assert one.item() == 1 and bool(one) is True and complex(one) == 1
    assert isinstance(one.item(), {"b": bool, "i": int, "u": int, "f": float, "c": complex}[
        "f" if "float" in dtype else dtype[0]])
    if "complex" in dtype:
        assert (one * (2 + 3j)).item() == 2 + 3j
        with pytest.raises(TypeError):
            int(one)
    else:
        assert int(one) == 1 and float(one) == 1.0


@pytest.mark.parametrize("call, words", [
    (lambda: flow.ones(3)[5], ["[getitem]", "got shape (3,)", "expected -3 <= index < 3"]),
    (lambda: flow.ones(3).__setitem__(5, 1.0), ["[setitem]", "got shape (3,)", "expected"]),
    (lambda: flow.ones(3).copy_(flow.ones(4)), ["[copy_]", "got ", "float32[4]", "(3,)",
                                                "expected"]),
    (lambda: flow.ones(()) @ flow.ones(3), ["[matmul]", "got input: float32[]", "expected"])])
def test_an_error_names_the_operator_what_came_and_what_should(call, words):
    with pytest.raises((ValueError, IndexError)) as caught:
        call()
    for word in words:
        assert word in str(caught.value), caught.value


def test_seeds_of_64_bits():
    draws = {}
    for seed in (0, -1, 2**63 - 1, 2**63, 2**64 - 1, -2**63, np.int64(7)):
        flow.manual_seed(seed)
        draws[int(seed) % 2**64] = _C.random_states()[0]
    assert all(seed == kept for seed, kept in draws.items())
    for seed, error, words in ((2**64, ValueError, "got 18446744073709551616; expected -2"),
                               (-2**63 - 1, ValueError, "got -9223372036854775809; expected -2"),
                               ("x", TypeError, "got str; expected"),
                               (1.5, TypeError, "got float; expected")):
        with pytest.raises(error, match=r"\[manual_seed\].*" + words):
            flow.manual_seed(seed)
