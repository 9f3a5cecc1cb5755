"""In-place forms that change a tensor's shape, targets of several results, as_strided anywhere."""

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn

CHANGES = {
    "t_": (lambda x: x.t_(), lambda a: a.T),
    "transpose_": (lambda x: x.transpose_(0, -1), lambda a: a.T),
    "swapaxes_": (lambda x: x.swapaxes_(0, 1), lambda a: a.T),
    "swapdims_": (lambda x: x.swapdims_(0, 1), lambda a: a.T),
    "unsqueeze_": (lambda x: x.unsqueeze_(1), lambda a: a[:, None]),
    "squeeze_": (lambda x: x[None].squeeze_(0), lambda a: a),
    "as_strided_": (lambda x: x.as_strided_((2, 2), (1, 1)),
                    lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (4, 4))),
}


@pytest.mark.parametrize(("change", "want"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("shape", [(2, 3), (3, 3)])
def test_the_tensor_takes_the_shape_and_no_element_moves(change, want, shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    x = flow.from_numpy(array.copy())
    flat = x.view(-1)
    y = change(x)
    assert y is x or change is CHANGES["squeeze_"][0]
    assert y.tolist() == want(array).tolist() and flat.tolist() == array.ravel().tolist()
    if change is not CHANGES["as_strided_"][0]:  # several elements of its lie in one place
        y.fill_(7)
        assert 7 in flat


def test_gradients_go_through_a_changed_shape():
    x = flow.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    y = x * 2
    assert y.t_() is y and y.shape == (3, 2)
    (y * flow.tensor([[1.0, 10.0]])).sum().backward()
    assert x.grad.tolist() == [[2, 2, 2], [20, 20, 20]]
    for change in (lambda: x.t_(), lambda: x[0].unsqueeze_(0)):
        with pytest.raises(RuntimeError, match="leaf Tensor that requires grad"):
            change()
    with flow.no_grad():
        assert x.t_().shape == (3, 2) and x.requires_grad and x.is_leaf


def test_a_graph_takes_them_too():
    class Graph(nn.Graph):
        def build(self, x):
            y = x * 2
            y.t_()
            y.unsqueeze_(0)
            return y + 1

    x = flow.tensor([[1.0, 2.0, 3.0]])
    assert Graph()(x).tolist() == [[[3], [5], [7]]]

    class Outside(nn.Graph):
        def build(self, x):
            outside.t_()
            return x * 1

    outside = flow.ones(2, 3)
    with pytest.raises(RuntimeError, match="takes no other shape inside a graph"):
        Outside()(x)


def test_several_results_go_into_their_targets():
    x = flow.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    for call in (lambda **k: flow.max(x, 1, **k), lambda **k: flow.sort(x, **k),
                 lambda **k: flow.topk(x, 2, **k), lambda **k: flow.cummax(x, 1, **k),
                 lambda **k: flow.kthvalue(x, 1, **k), lambda **k: flow.min(x, 0, True, **k)):
        want = call()
        for shape in ((lambda y: tuple(y.shape)), (lambda _: (0,))):
            out = tuple(flow.empty(shape(y), dtype=y.dtype) for y in want)
            got = call(out=out)
            assert type(got)._fields == type(want)._fields
            for g, o, w in zip(got, out, want, strict=True):
                assert g is o and o.tolist() == w.tolist()
    values, places = flow.empty(2), flow.empty(2, dtype=flow.int64)
    for wrong, error, text in ((values, TypeError, "must be a tuple of 2 Tensors"),
                               ((values,), TypeError, "must be a tuple of 2 Tensors"),
                               ((values, values), TypeError, "another dtype than its result"),
                               ((flow.empty(3), places), ValueError, "does not fit")):
        with pytest.raises(error, match=text):
            flow.max(x, 1, out=wrong)
    with pytest.raises(RuntimeError, match="are not recorded"):
        flow.max(flow.ones(2, 2, requires_grad=True), 1, out=(values, places))


def test_a_target_that_holds_nothing_takes_the_result_s_shape():
    out = flow.empty(0)
    assert flow.add(flow.ones(2, 3), 1, out=out) is out and out.tolist() == [[2] * 3] * 2
    out = flow.empty(0, dtype=flow.float64)
    assert flow.exp(flow.zeros(2), out=out).dtype is flow.float64
    with pytest.raises(ValueError, match="does not fit"):
        flow.exp(flow.zeros(2), out=flow.empty(3))


def test_as_strided_counts_in_the_memory_of_any_tensor():
    base = flow.arange(12.0)
    for x, offset in ((base[4:], 4), (base.view(3, 4).t(), 0), (base[2::3], 2),
                      (base.view(3, 4)[1:, 1:], 5)):
        view = x.as_strided((2, 2), (3, 1))
        assert view.tolist() == [[offset, offset + 1], [offset + 3, offset + 4]]
        assert x.as_strided((3,), (2,), 1).tolist() == [1, 3, 5]
        assert view.data_ptr() == x.data_ptr()
    base.view(3, 4).t().as_strided((2,), (1,), 10).fill_(0)
    assert base.tolist()[9:] == [9, 0, 0]
    leaf = flow.arange(6.0).requires_grad_()
    (leaf.view(2, 3).t().as_strided((2,), (2,), 1) * flow.tensor([1.0, 10.0])).sum().backward()
    assert leaf.grad.tolist() == [0, 1, 0, 10, 0, 0]


def test_as_strided_scatter_of_a_base_that_is_not_dense():
    base = flow.arange(16.0).view(4, 4)
    for x in (base.t(), base[:, ::2], base[1:, 1:], base[::2]):
        memory = base.clone().view(-1)
        memory.as_strided((2, 2), (5, 1), 5).copy_(flow.full((2, 2), -1.0))
        want = memory.as_strided(tuple(x.shape), x.stride(), x.storage_offset())
        got = x.as_strided_scatter(flow.full((2, 2), -1.0), (2, 2), (5, 1), 5)
        assert got.tolist() == want.tolist()
    assert base.tolist() == flow.arange(16.0).view(4, 4).tolist()
    x = flow.arange(6.0).view(2, 3).requires_grad_()
    src = flow.ones(2, requires_grad=True)
    x.t().as_strided_scatter(src, (2,), (1,), 2).sum().backward()
    assert src.grad.tolist() == [1, 1] and x.grad.tolist() == [[1, 1, 0], [0, 1, 1]]


def test_files_may_be_objects(tmp_path):
    import io
    memory = io.BytesIO()
    flow.save({"a": flow.ones(2), "b": [1, flow.zeros(3)]}, memory)
    memory.seek(0)
    for source in (memory, None):
        if source is None:
            flow.save({"a": flow.ones(2), "b": [1, flow.zeros(3)]}, tmp_path / "x")
            source = tmp_path / "x"
        read = flow.load(source, map_location="cpu", weights_only=True)
        assert read["a"].tolist() == [1, 1] and read["b"][1].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="expected 'cpu'"):
        flow.load(tmp_path / "x", "cuda")
    with pytest.raises(NotImplementedError, match="mmap"):
        flow.load(tmp_path / "x", mmap=True)
