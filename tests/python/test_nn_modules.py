"""Module: registration, state, walking, printing; and the layers against NumPy."""

import math

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(3, 4)
        self.act = nn.GELU()
        self.rest = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.LayerNorm(4)])
        self.register_buffer("count", flow.zeros(1))

    def forward(self, x):
        x = self.act(self.fc1(x))
        for module in self.rest:
            x = module(x)
        return x


def array(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def test_names_follow_the_tree():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "fc1.weight", "fc1.bias", "rest.0.weight", "rest.1.weight", "rest.1.bias"]
    assert list(net.state_dict()) == ["count", "fc1.weight", "fc1.bias", "rest.0.weight",
                                      "rest.1.weight", "rest.1.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "fc1", "act", "rest", "rest.0",
                                                         "rest.1"]
    assert net.get_submodule("rest.1") is net.rest[1]


def test_shared_parameters_are_listed_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert "1.weight" in net.state_dict()


def test_repr_is_torchs_tree():
    assert repr(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.LayerNorm(4)))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): LayerNorm((4,), eps=1e-05, elementwise_affine=True)\n"
        "  )\n"
        ")")


def test_state_dict_round_trip_and_file(tmp_path):
    first, second = Net(), Net()
    assert not np.array_equal(first.fc1.weight.detach().numpy(), second.fc1.weight.detach().numpy())
    path = tmp_path / "net.safetensors"
    flow.save(first.state_dict(), str(path))
    assert str(second.load_state_dict(flow.load(path))) == "<All keys matched successfully>"
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), second.state_dict()[name].numpy())
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]


def test_load_state_dict_names_every_problem_and_changes_nothing():
    net = Net()
    before = net.fc1.bias.detach().numpy().copy()
    state = net.state_dict()
    state["fc1.bias"] = flow.ones(4)
    state["fc1.weight"] = flow.ones(5, 3)
    state["extra"] = state.pop("count")
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert text.startswith("Error(s) in loading state_dict for Net:")
    assert 'Unexpected key(s) in state_dict: "extra".' in text
    assert 'Missing key(s) in state_dict: "count".' in text
    assert ("size mismatch for fc1.weight: copying a param with shape flow.Size([5, 3]) from "
            "checkpoint, the shape in current model is flow.Size([4, 3]).") in text
    np.testing.assert_array_equal(net.fc1.bias.detach().numpy(), before)
    keys = net.load_state_dict({"nothing": flow.ones(1)}, strict=False)
    assert keys.unexpected_keys == ["nothing"] and "fc1.weight" in keys.missing_keys


def test_load_state_dict_refuses_complex_values_for_real_parameters():
    layer = nn.Linear(2, 1)
    before = layer.weight.tolist()
    state = {"weight": flow.tensor([[1 + 2j, 3j]]), "bias": flow.ones(1)}
    with pytest.raises(RuntimeError, match="weight: complex values do not fit: got complex64 for "
                                           "float32"):
        layer.load_state_dict(state)
    assert layer.weight.tolist() == before


def test_modules_take_floating_and_complex_dtypes_alone():
    layer = nn.Linear(2, 1)
    assert layer.to(float).weight.dtype is flow.float64
    for wrong in (flow.int64, int, bool, flow.ones(2, dtype=flow.int8)):
        with pytest.raises(TypeError, match=r"\[module.to\] .*floating point or complex"):
            layer.to(wrong)
    assert layer.to(complex).weight.dtype is flow.complex128
    with pytest.raises(TypeError, match="complex parameters do not fit: got complex128 for float3"):
        layer.to(flow.float32)
    assert layer.half().weight.dtype is flow.complex128  # as in torch
    assert layer.to(flow.complex64).bias.dtype is flow.complex64
    assert layer(flow.ones(1, 2, dtype=flow.complex64)).dtype is flow.complex64


def test_assignment_errors_are_torchs():
    net = Net()
    with pytest.raises(TypeError, match="as parameter 'weight'"):
        net.fc1.weight = flow.ones(4, 3)
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        net.missing  # noqa: B018

    class Early(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="before Module.__init__"):
        Early()
    with pytest.raises(KeyError, match="name can.*a.b"):
        net.add_module("a.b", nn.ReLU())


def test_train_eval_dropout_and_hooks():
    net = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    x = flow.ones(200)
    y = net(x).numpy()
    assert set(np.unique(y)) == {0.0, 2.0} and 40 < (y == 0).sum() < 160
    net.eval()
    np.testing.assert_array_equal(net(x).numpy(), np.ones(200))
    seen = []
    handle = net.register_forward_hook(lambda module, args, out: seen.append(len(args)) or out * 3)
    np.testing.assert_array_equal(net(x).numpy(), np.full(200, 3.0))
    handle.remove()
    np.testing.assert_array_equal(net(x).numpy(), np.ones(200))
    assert seen == [1]
    with pytest.raises(ValueError, match="p=1.5"):
        nn.Dropout(1.5)


def test_initial_values_have_torchs_bounds():
    flow.manual_seed(3)
    linear = nn.Linear(100, 50)
    for values in (linear.weight.detach().numpy(), linear.bias.detach().numpy()):
        assert 0.09 < abs(values).max() <= 0.1
    table = nn.Embedding(300, 40).weight.detach().numpy()
    assert abs(table.mean()) < 0.05 and abs(table.std() - 1) < 0.05
    norm = nn.LayerNorm(5)
    assert (norm.weight.detach().numpy() == 1).all() and (norm.bias.detach().numpy() == 0).all()


def test_linear_embedding_layer_norm_against_numpy():
    x = array(5, 3)
    linear = nn.Linear(3, 4)
    want = x @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(linear(flow.tensor(x)).detach().numpy(), want, rtol=1e-5, atol=1e-6)
    table = nn.Embedding(7, 2)
    indices = np.array([[0, 6], [3, 3]])
    np.testing.assert_array_equal(table(flow.tensor(indices)).detach().numpy(),
                                  table.weight.detach().numpy()[indices])
    norm = nn.LayerNorm(3)
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(flow.tensor(x)).detach().numpy(), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [
    lambda **made: nn.Linear(2, 3, **made), lambda **made: nn.LayerNorm(3, **made),
    lambda **made: nn.Embedding(2, 3, **made)])
def test_layers_are_made_in_a_dtype(make):
    for parameter in make(device="cpu", dtype=flow.float64).parameters():
        assert parameter.dtype is flow.float64
    assert next(make().parameters()).dtype is flow.float32
    with pytest.raises(ValueError, match="tensors lie on the CPU"):
        make(device="cuda")


def test_relu_and_dropout_in_place():
    for layer in (nn.ReLU(inplace=True), nn.Dropout(1.0, inplace=True)):
        x = flow.tensor([-1.0, 0.0])
        assert layer(x).tolist() == [0.0, 0.0] and x.tolist() == [0.0, 0.0]
    x = flow.tensor([-1.0])
    assert nn.ReLU()(x).tolist() == [0.0] and x.tolist() == [-1.0]
    assert repr(nn.ReLU(True)) == "ReLU(inplace=True)"
    assert repr(nn.Dropout(0.5)) == "Dropout(p=0.5, inplace=False)"


def test_embedding_leaves_its_padding_alone():
    for padding in (2, -3):
        table = nn.Embedding(5, 3, padding_idx=padding)
        assert table.padding_idx == 2 and table.weight[2].tolist() == [0, 0, 0]
        assert table.extra_repr() == "5, 3, padding_idx=2"
        table(flow.tensor([2, 4, 2])).sum().backward()
        assert table.weight.grad.sum(1).tolist() == [0, 0, 0, 0, 3]
    for wrong, text in ((5, "Padding_idx"), (-6, "Padding_idx"), (1.5, "padding_idx is no size")):
        with pytest.raises((ValueError, TypeError), match=text):
            nn.Embedding(5, 3, padding_idx=wrong)
    with pytest.raises(NotImplementedError, match="dense"):
        nn.Embedding(5, 3, sparse=True)


def test_embedding_of_a_table_that_exists():
    rows = flow.tensor([[3.0, 4.0], [0.0, 1.0]])
    table = nn.Embedding.from_pretrained(rows, max_norm=1.0)
    assert table.weight.requires_grad is False and table.extra_repr() == "2, 2, max_norm=1.0"
    np.testing.assert_allclose(table(flow.tensor([0])).numpy(), [[0.6, 0.8]], rtol=1e-5)
    counted = nn.Embedding.from_pretrained(flow.ones(2, 2), freeze=False, scale_grad_by_freq=True)
    counted(flow.tensor([1, 1, 0])).sum().backward()
    assert counted.weight.grad.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="2-dimensional"):
        nn.Embedding.from_pretrained(flow.ones(3))
    with pytest.raises(ValueError, match="does not match"):
        nn.Embedding(3, 2, _weight=flow.ones(2, 2))


def numpy_cross_entropy(logits, target, ignore=-100):
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    kept = target != ignore
    return -log_p[np.arange(len(target))[kept], target[kept]]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_against_numpy(reduction):
    logits, target = array(6, 4), np.array([0, 3, 1, 2, 2, 0])
    rows = numpy_cross_entropy(logits, target)
    want = {"mean": rows.mean(), "sum": rows.sum(), "none": rows}[reduction]
    got = nn.CrossEntropyLoss(reduction=reduction)(flow.tensor(logits), flow.tensor(target))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)


def test_cross_entropy_mean_leaves_ignored_rows_out():
    logits, target = array(6, 4), np.array([0, 3, 1, 1, 2, 0])
    got = nn.functional.cross_entropy(flow.tensor(logits), flow.tensor(target), ignore_index=1)
    np.testing.assert_allclose(got.item(), numpy_cross_entropy(logits, target, 1).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="reduction='median'"):
        nn.CrossEntropyLoss(reduction="median")
    with pytest.raises(ValueError, match=r"reshape\(-1, C\)"):
        nn.functional.cross_entropy(flow.ones(2, 3, 4), flow.zeros(2, 3, dtype=flow.int64))


def test_mse_loss():
    a, b = array(3, 2), array(3, 2, seed=1)
    got = nn.MSELoss()(flow.tensor(a), flow.tensor(b)).item()
    assert math.isclose(got, ((a - b) ** 2).mean(), rel_tol=1e-5)
    with pytest.raises(ValueError, match="shapes differ"):
        nn.MSELoss()(flow.ones(2), flow.ones(3))


def test_attention_against_numpy():
    q, k, v = (array(2, 3, 5, 4, seed=i) for i in range(3))
    scores = q @ k.transpose(0, 1, 3, 2) / 2.0
    scores = np.where(np.tril(np.ones((5, 5), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    got = nn.functional.scaled_dot_product_attention(*map(flow.tensor, (q, k, v)), is_causal=True)
    np.testing.assert_allclose(got.numpy(), weights @ v, rtol=1e-4, atol=1e-5)


def test_to_global_keeps_values_and_names():
    net = Net()
    values = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    placement = flow.placement("cpu", ranks=[0])
    net.to_global(placement=placement, sbp=flow.sbp.broadcast)
    assert all(p.is_global and p.placement == placement and isinstance(p, nn.Parameter)
               for p in net.parameters())
    assert all(p.requires_grad for p in net.parameters())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), values[name])
    net.load_state_dict({name: flow.tensor(value + 1) for name, value in values.items()})
    np.testing.assert_array_equal(net.fc1.bias.detach().numpy(), values["fc1.bias"] + 1)


def test_containers():
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layers.append(nn.Sigmoid())
    layers[1] = nn.GELU()
    assert [type(m).__name__ for m in layers] == ["ReLU", "GELU", "Sigmoid"]
    assert isinstance(layers[-1], nn.Sigmoid) and len(layers[1:]) == 2
    with pytest.raises(IndexError):
        layers[3]
    heads = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    assert list(heads) == ["a", "b"] and "b.weight" in heads.state_dict()
    with pytest.raises(NotImplementedError, match="ModuleDict"):
        heads(1)


def test_save_keeps_structure_and_refuses_what_it_cannot_keep(tmp_path):
    path = str(tmp_path / "state.safetensors")
    flow.save({"a": [flow.ones(2), {"b": 3}], "c": (None, "x", 1.5, True)}, path)
    back = flow.load(path)
    np.testing.assert_array_equal(back["a"][0].numpy(), np.ones(2))
    assert back["a"][1] == {"b": 3} and back["c"] == (None, "x", 1.5, True)
    with pytest.raises(TypeError, match="c.0: got object"):
        flow.save({"c": [object()]}, path)
    data = open(path, "rb").read()
    open(path, "wb").write(data[:-5])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        flow.load(path)
    with pytest.raises(FileNotFoundError):
        flow.load(path + ".missing")
