"""RNN, LSTM, GRU: packed batches as the sequences alone, states, names, layouts, refusals."""

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.nn.utils import rnn


def made(kind, **kinds):
    flow.manual_seed(1)
    return getattr(nn, kind)(3, 4, **kinds)


def sequences(*lengths):
    rng = np.random.default_rng(len(lengths))
    return [flow.from_numpy(rng.normal(size=(n, 3)).astype(np.float32)) for n in lengths]


def same(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu", "bias": False}), ("GRU", {"num_layers": 2}),
         ("LSTM", {"bidirectional": True}),
         ("LSTM", {"num_layers": 2, "proj_size": 2, "bidirectional": True})]


@pytest.mark.parametrize("kind, options", KINDS)
def test_a_packed_batch_is_its_sequences_alone(kind, options):
    net = made(kind, **options)
    each = sequences(2, 5, 1, 5)
    packed = rnn.pack_sequence(each, enforce_sorted=False)
    output, ended = net(packed)
    states = ended if kind == "LSTM" else (ended,)
    for i, (x, got) in enumerate(zip(each, rnn.unpack_sequence(output), strict=True)):
        want, alone = net(x)  # without a batch
        same(got, want)
        for h, own in zip(states, alone if kind == "LSTM" else (alone,), strict=True):
            same(h[:, i], own)


@pytest.mark.parametrize("kind, options", KINDS)
def test_a_step_at_a_time_is_the_whole(kind, options):
    if options.get("bidirectional"):
        return  # the other way needs the end
    net = made(kind, **options)
    x = flow.stack(sequences(4, 4), dim=1)
    want, ended = net(x)
    state, outputs = None, []
    for t in range(4):
        y, state = net(x[t:t + 1], state)
        outputs.append(y)
    same(flow.concat(outputs, dim=0), want)
    for a, b in zip(*((s if kind == "LSTM" else (s,)) for s in (state, ended)), strict=True):
        same(a, b)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_cell_is_a_layer_of_one_step(kind):
    net = made(kind)
    cell = getattr(nn, f"{kind}Cell")(3, 4)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in net.state_dict().items()})
    x = flow.concat(sequences(3), dim=0)
    state = cell(x)
    want, ended = net(x.unsqueeze(0))
    same(state[0] if kind == "LSTM" else state, want[0])
    same(cell(x[1])[0] if kind == "LSTM" else cell(x[1]), want[0, 1])
    if kind == "LSTM":
        same(state[1], ended[1][0])


def test_names_and_shapes_are_pytorch_s():
    net = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    shapes = {name: tuple(p.shape) for name, p in net.state_dict().items()}
    assert list(shapes)[:5] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0",
                                "weight_hr_l0"]
    assert shapes["weight_ih_l1_reverse"] == (16, 4) and shapes["weight_hr_l1"] == (2, 4)
    assert len(net.all_weights) == 4 and len(net.all_weights[0]) == 5
    assert repr(net) == "LSTM(3, 4, proj_size=2, num_layers=2, bidirectional=True)"
    assert repr(nn.RNNCell(3, 4, nonlinearity="relu")) == "RNNCell(3, 4, nonlinearity=relu)"


def test_dropout_lies_between_the_layers_and_rests_in_evaluation():
    net = made("GRU", num_layers=2, dropout=1.0)
    x = flow.stack(sequences(4, 4), dim=1)
    trained = net(x)[0]
    assert (net(x * 2)[0].detach().numpy() == trained.detach().numpy()).all()  # nothing comes by
    net.eval()
    assert (net(x)[0].detach().numpy() != trained.detach().numpy()).any()


def test_padding_and_packing():
    each = sequences(2, 3)
    left = rnn.pad_sequence(each, batch_first=True, padding_value=7.0, padding_side="left")
    assert left.shape == (2, 3, 3) and (left[0, 0].numpy() == 7).all()
    packed = rnn.pack_padded_sequence(rnn.pad_sequence(each), [2, 3], enforce_sorted=False)
    assert packed.batch_sizes.numpy().tolist() == [2, 2, 1]
    assert packed.sorted_indices.numpy().tolist() == [1, 0]
    padded, lengths = rnn.pad_packed_sequence(packed, padding_value=-1.0, total_length=5)
    assert lengths.numpy().tolist() == [2, 3] and (padded[3:].numpy() == -1).all()
    same(padded[:2, 0], each[0])
    assert packed.double().data.dtype is flow.float64 and packed.to(flow.float32) is packed


@pytest.mark.parametrize("call, error, text", [
    (lambda: rnn.pack_padded_sequence(flow.ones(3, 2, 1), [1, 3]), RuntimeError, "not sorted"),
    (lambda: rnn.pack_padded_sequence(flow.ones(3, 2, 1), [3, 0]), RuntimeError, "at least 1"),
    (lambda: nn.LSTM(3, 4)(flow.ones(2, 2, 5)), RuntimeError, "input_size=3"),
    (lambda: nn.GRU(3, 4)(flow.ones(2, 2, 3), flow.ones(1, 3, 4)), RuntimeError, "hidden size"),
    (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "nonlinearity"),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size"),
    (lambda: nn.GRUCell(3, 4)(flow.ones(1, 2, 3)), ValueError, "1D or 2D"),
])
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


LAYOUTS = """
import numpy as np
import oneflow_like as flow
from oneflow_like import nn

everyone = flow.placement.all("cpu")
B, S = flow.sbp.broadcast, flow.sbp.split
x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
for kind in ("RNN", "GRU", "LSTM"):
    flow.manual_seed(1)
    net = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    local = flow.from_numpy(x)
    want = net(local)[0]
    want.sum().backward()
    want = want.detach().numpy()
    grads = [p.grad.numpy() for p in net.parameters()]
    net.zero_grad()
    net = net.to_global(everyone, B)
    for sbp in (B, S(1), S(0), S(2)):
        given = flow.from_numpy(x).to_global(placement=everyone, sbp=B).to_global(sbp=sbp)
        got = net(given)[0]
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-5, atol=1e-6)
        net.zero_grad()
        got.sum().backward()
        for p, g in zip(net.parameters(), grads, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-4, atol=1e-5)
    packed = nn.utils.rnn.pack_padded_sequence(given, [4, 2, 1, 3, 4], enforce_sorted=False)
    one = nn.utils.rnn.pack_padded_sequence(local, [4, 2, 1, 3, 4], enforce_sorted=False)
    flow.manual_seed(1)
    alone = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    got, want = (nn.utils.rnn.pad_packed_sequence(y)[0].detach().numpy()
                 for y in (net(packed)[0], alone(one)[0]))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
print("fine")
"""


def test_every_layout_gives_the_same(tmp_path):
    assert run_text(tmp_path, 2, LAYOUTS).stdout.count("fine") == 2
