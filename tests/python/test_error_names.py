"""An error begins with what the user called, whatever part of it failed, and ends with the line."""

import pytest

import oneflow_like as flow
from oneflow_like import nn

F = nn.functional
NAN = float("nan")


def rows(*shape, dtype=flow.float32):
    return flow.zeros(*shape, dtype=dtype)


def index(*values):
    return flow.tensor(values)


# what was called: the call, and the part that fails, if that has another name
CASES = {
    "gather": (lambda: rows(3).gather(5, index(0)), "gather_along"),
    "scatter_": (lambda: rows(3).scatter_(0, index(0), 1j), "full_like"),
    "index_add": (lambda: rows(3).index_add(0, index(9), rows(1)), "index_put"),
    "index_fill": (lambda: rows(3).index_fill(0, index(9), 1), "index"),
    "take": (lambda: rows(3).take(index(9)), "index"),
    "put": (lambda: rows(3).put(index(9), rows(1)), "index_put"),
    "getitem": (lambda: rows(3)[index(9)], "index"),
    "setitem": (lambda: rows(3).__setitem__(0, 1j), "full"),
    "nll_loss": (lambda: F.nll_loss(rows(2, 3), index(0, 9)), None),
    "multi_margin_loss": (lambda: F.multi_margin_loss(rows(2, 3), index(0, 9)), "one_hot"),
    "cross_entropy": (lambda: F.cross_entropy(rows(2, 3), index(0, 9)), "cross_entropy_rows"),
    "embedding": (lambda: F.embedding(index(9), rows(3, 2)), "embedding_rows"),
    "max_unpool1d": (lambda: F.max_unpool1d(rows(1, 1, 2), index(0, 9).view(1, 1, 2), 2),
                     "scatter"),
    "max_pool2d": (lambda: F.max_pool2d(rows(1, 1, 4, 4), 0), None),
    "max_pool3d": (lambda: F.max_pool3d(rows(1, 1, 4, 4, 4), 2, return_indices=3), None),
    "pad": (lambda: F.pad(rows(3), (1,)), "constant_pad_nd"),
    "conv2d": (lambda: F.conv2d(rows(1, 1, 4, 4), rows(1, 1, 5, 5)), "conv"),
    "linalg.lu_solve": (lambda: flow.linalg.lu_solve(rows(3, 3), rows(3, dtype=flow.int32),
                                                     rows(3, 1)), "lu_permutation"),
    "linalg.det": (lambda: flow.linalg.det(rows(3, 2)), None),
    "linalg.matrix_rank": (lambda: flow.linalg.matrix_rank(rows(3, 3) * NAN), "linalg.svd"),
    "fft.fft": (lambda: flow.fft.fft(rows(3), norm="foo"), "fft"),
    "zeros": (lambda: flow.zeros(-1), "full"),
    "empty": (lambda: flow.empty(2**46), None),
    "randint": (lambda: flow.randint(5, 2, (3,)), "random_int"),
    "normal_": (lambda: rows(3).normal_(0, -1), "random_normal"),
    "multinomial": (lambda: flow.multinomial(flow.tensor([NAN, 1.0]), 1), None),
    "bernoulli": (lambda: flow.bernoulli(rows(3) + 2), None),
    "poisson": (lambda: flow.poisson(rows(3) - 1), None),
    "bincount": (lambda: flow.bincount(index(2**40)), "bincount_sized"),
    "cat": (lambda: flow.cat([rows(3), rows(3, 3)]), "concat"),
    "expand": (lambda: rows(3).expand(2), "broadcast_to"),
    "add": (lambda: rows(2) + rows(3), None),
    "add_": (lambda: flow.zeros(1).expand(5).add_(1), "add_scalar"),
    "pow": (lambda: rows(2) ** rows(3), None),
    "to": (lambda: rows(2).to("nowhere"), "device"),
    "histc": (lambda: flow.histc(rows(2) + NAN), None),
    "orgqr": (lambda: flow.orgqr(rows(3, 3), rows(2, 3)), "linalg_householder_product"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_error_begins_with_what_was_called(name):
    call, part = CASES[name]
    with pytest.raises(RuntimeError) as caught:  # each of the errors' classes inherits from it
        call()
    text = str(caught.value)
    assert text.startswith(f"[{name}] "), text
    assert part is None or f"\n  in [{part}]" in text, text
    assert f"\n  in [{name}]" not in text and "nn_functional" not in text, text
    assert "\n  at " in text and "test_error_names.py:" in text.splitlines()[-1], text


def test_the_error_of_a_module_names_its_operator():
    with pytest.raises(ValueError, match=r"^\[linear\] "):
        nn.Linear(3, 2)(rows(4, 4))
