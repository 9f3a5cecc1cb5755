"""Views share memory, changes in place reach all, and gradients know: NumPy is the oracle."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

# A program is a list of steps on a list of tensors, which begins with one base. Every step is
# written once for arrays and once for tensors.
VIEWS = {
    "row": (lambda a: a[0, ...] if a.ndim and len(a) else a,
            lambda t: t[0] if t.ndim and len(t) else t),
    "rows": (lambda a: a[1:] if a.ndim else a, lambda t: t[1:] if t.ndim else t),
    "steps": (lambda a: a[..., ::2] if a.ndim else a, lambda t: t[..., ::2] if t.ndim else t),
    "turned": (lambda a: a.swapaxes(0, -1) if a.ndim else a,
               lambda t: t.transpose(0, -1) if t.ndim else t),
    "permuted": (lambda a: a.transpose(), lambda t: t.permute(*reversed(range(t.ndim)))),
    "new axis": (lambda a: a[None], lambda t: t.unsqueeze(0)),
    "flat": (lambda a: a.reshape(-1), lambda t: t.reshape(-1)),
    "same": (lambda a: a[...], lambda t: t[...]),
}
CHANGES = {
    "add_": (lambda a: np.add(a, 1.5, out=a), lambda t: t.add_(1.5)),
    "mul_": (lambda a: np.multiply(a, -0.5, out=a), lambda t: t.mul_(-0.5)),
    "square": (lambda a: np.multiply(a, a, out=a), lambda t: t.mul_(t)),
    "tanh_": (lambda a: np.tanh(a, out=a), lambda t: t.tanh_()),
    "zero_": (lambda a: a.fill(0), lambda t: t.zero_()),
    "first": (lambda a: a.__setitem__(np.s_[..., :1] if a.ndim else np.s_[...], 2.0),
              lambda t: t.__setitem__((..., slice(None, 1)) if t.ndim else (...,), 2.0)),
    "times": (lambda a: a.__imul__(3.0), lambda t: t.__imul__(3.0)),
}
STEPS = st.tuples(st.sampled_from([*VIEWS, *CHANGES]), st.integers(0, 7))
PROGRAMS = st.lists(STEPS, min_size=1, max_size=8)
SHAPES = st.sampled_from([(3, 4), (2, 3, 2), (4,), (1, 3), ()])


def run(values, program, side):
    for name, at in program:
        target = values[at % len(values)]
        if name in VIEWS:
            values.append(VIEWS[name][side](target))
        else:
            CHANGES[name][side](target)
    return values


def numbers(shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


@settings(max_examples=300, deadline=None)
@given(SHAPES, PROGRAMS)
def test_values_follow_their_memory(shape, program):
    x = numbers(shape)
    arrays = run([x.copy()], program, 0)
    tensors = run([flow.tensor(x)], program, 1)
    for array, tensor in zip(arrays, tensors, strict=True):
        np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-12)


@settings(max_examples=120, deadline=None)
@given(SHAPES, PROGRAMS)
def test_gradients_follow_changes(shape, program):
    """d loss / d x of a program on y = 1 * x, by central differences on NumPy's arrays."""
    x = numbers(shape)
    weights = {}

    def loss(values, weigh):
        return sum((v * weigh(i, v.shape)).sum() for i, v in enumerate(values))

    def weight(i, shape):
        return weights.setdefault(i, numbers(shape, 100 + i))

    def by_numpy(x):
        return loss(run([np.array(x * 1.0)], program, 0), weight)

    leaf = flow.tensor(x, requires_grad=True)
    total = loss(run([leaf * 1.0], program, 1), lambda i, s: flow.tensor(weight(i, s)))
    total.backward()
    assert np.isclose(total.item(), by_numpy(x), rtol=1e-9)
    got = leaf.grad.numpy()
    for index in np.ndindex(*shape):
        step = np.zeros(shape)
        step[index] = 1e-6
        want = (by_numpy(x + step) - by_numpy(x - step)) / 2e-6
        rounding = 100 * np.finfo(np.float64).eps * (1 + abs(total.item())) / 2e-6
        assert np.isclose(got[index], want, rtol=1e-5, atol=1e-6 + rounding), index


@settings(max_examples=80, deadline=None)
@given(SHAPES, PROGRAMS)
def test_graphs_do_the_same(shape, program):
    class Program(nn.Graph):
        def build(self, x):
            return tuple(run([x * 1.0], program, 1))

    x = flow.tensor(numbers(shape))
    got, want = Program()(x), run([x * 1.0], program, 1)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([(3, 4), (4,), (2, 3, 2)]), PROGRAMS)
def test_graphs_have_the_same_gradients(shape, program):
    made = []
    for compiled in (True, False):
        layer = nn.Linear(1, 1, bias=False)
        layer.weight = nn.Parameter(flow.tensor(np.float32(numbers(shape))))
        optimizer = flow.optim.SGD(layer.parameters(), lr=1.0)

        def loss_of(layer=layer):
            values = run([layer.weight * 1.0], program, 1)
            return sum((v * v).sum() for v in values) + layer.weight.sum()

        class Step(nn.Graph):
            def __init__(self, layer=layer, optimizer=optimizer):
                super().__init__()
                self.layer = layer
                self.add_optimizer(optimizer)

            def build(self, loss_of=loss_of):
                loss = loss_of()
                loss.backward()
                return loss

        if compiled:
            Step()()
        else:
            loss_of().backward()
            optimizer.step()
        made.append(layer.weight.detach().numpy())
    np.testing.assert_allclose(made[0], made[1], rtol=2e-5, atol=1e-6)


# --- what torch's documentation says --------------------------------------------------------------

def test_writes_through_every_alias():
    w = flow.zeros(4, 3)
    nn.init.ones_(w[:2])
    assert w.sum().item() == 6
    w[3].fill_(2.0)
    w.T.mul_(2.0)
    w.view(-1)[0:2].zero_()
    w.data[1].zero_()
    w.detach()[0, 2:] = 7.0
    assert w.tolist() == [[0, 0, 7], [0, 0, 0], [0, 0, 0], [4, 4, 4]]
    w += 1
    assert w[0].tolist() == [1, 1, 8]


def test_a_parameter_is_changed_through_its_views():
    layer = nn.Linear(3, 2)
    with flow.no_grad():
        layer.weight[0].zero_()
        layer.weight.data[1] = 1.0
        layer.weight.T[0].mul_(5.0)
    assert layer.weight.tolist() == [[0, 0, 0], [5, 1, 1]]
    for change in (lambda w: w[0].zero_(), lambda w: w.T.mul_(2.0), lambda w: w.add_(1.0)):
        with pytest.raises(RuntimeError, match="leaf Tensor that requires grad"):
            change(layer.weight)


def test_view_refuses_what_strides_do_not_say():
    x = flow.zeros(3, 4)
    assert x.view(2, 6).data_ptr() == x.data_ptr()
    assert x.T.view(4, 3, 1).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match=r"\[view\](.|\n)*strides(.|\n)*reshape"):
        x.T.view(12)
    y = x.T.reshape(12)
    y.add_(1.0)
    assert x.sum().item() == 0


@pytest.mark.parametrize("use", [lambda x: x * x, lambda x: x.exp(), lambda x: x @ x.T])
def test_a_saved_value_that_changed_is_refused(use):
    x = flow.tensor(numbers((3, 3)), requires_grad=True)
    y = x * 2.0
    z = use(y)
    (z if z.grad_fn and "exp" in z.grad_fn else y)[0].add_(1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_what_no_gradient_reads_may_change():
    x = flow.tensor(numbers((3, 3)), requires_grad=True)
    y = x * 2.0
    z = y + 1.0
    y.zero_()  # the gradient of a sum reads no operand
    z.sum().backward()
    assert (x.grad.numpy() == 2).all()


def test_a_change_keeps_what_its_own_gradient_reads():
    x = flow.tensor(numbers((3,)), requires_grad=True)
    w = flow.tensor(numbers((3,), 1), requires_grad=True)
    y = x * 1.0
    y.mul_(w).mul_(w)
    y.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * np.array(x.tolist()) * np.array(w.tolist()))


def test_overwritten_values_have_a_gradient_of_zero():
    x = flow.ones(3, requires_grad=True)
    y = x * 2.0
    y.zero_()
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_a_base_gets_a_history_through_its_view():
    base = flow.zeros(2, 2)
    before = base[1]
    w = flow.ones(2, requires_grad=True)
    base[0].copy_(w * 3.0)
    assert base.requires_grad and before.requires_grad
    (base * flow.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert w.grad.tolist() == [3, 6]


def test_second_derivatives_through_a_change():
    x = flow.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    y[1:].mul_(x[1:])  # x ** 3
    (g,) = flow.autograd.grad(y.sum(), [x], create_graph=True)
    assert g.tolist() == [2, 12, 27]
    (h,) = flow.autograd.grad(g.sum(), [x])
    assert h.tolist() == [2, 12, 18]


def test_views_taken_without_gradients():
    x = flow.ones(3, requires_grad=True)
    y = x * 2.0
    with flow.no_grad():
        v = y[0:2]
    assert not v.requires_grad
    with pytest.raises(RuntimeError, match=r"taken under no_grad\(\)"):
        v.mul_(3.0)
    with flow.no_grad():
        v.mul_(3.0)
    assert y.tolist() == [6, 6, 2]


def test_a_tensor_in_its_own_history_is_let_go():
    memory = np.zeros(3, np.float32)
    gone = weakref.ref(memory)
    x = flow.ones(3, requires_grad=True)
    y = flow.from_numpy(memory)
    y[0:1].add_(x[0:1])
    for _ in range(3):
        y.mul_(y[1:].sum() + x)
        y.view(3)[1:].tanh_()
        z = y * y
        y.add_(z)
    del y, z, memory
    gc.collect()
    assert gone() is None


def test_a_long_chain_of_views_ends():
    x = flow.ones(2, 3, requires_grad=True) * 1.0
    v = x
    for _ in range(100_000):
        v = v.T
    v.sum().backward()
    del v, x


def test_expanded_tensors_are_not_written():
    x = flow.zeros(3, 1).expand(3, 4)
    for change in (lambda: x.add_(1.0), lambda: x.__setitem__(0, 1.0)):
        with pytest.raises((RuntimeError, ValueError), match="clone"):
            change()
    y = flow.zeros(3).expand(1, 3)  # repeats nothing
    y.add_(1.0)
    assert y.tolist() == [[1, 1, 1]]


def test_gradients_are_tensors_of_their_own():
    x = flow.ones(2, 3, requires_grad=True)
    x.sum().backward()
    x.grad.add_(1.0)
    x.T.sum().backward()
    assert x.grad.tolist() == [[3.0] * 3] * 2 and x.grad.is_contiguous()


def test_contiguous_and_reshape_copy_only_where_they_must():
    x = flow.tensor(numbers((3, 4)))
    assert x.contiguous() is x
    assert x.reshape(12).data_ptr() == x.data_ptr()
    assert x[1:].is_contiguous() and not x.T.is_contiguous()
    assert x.T.contiguous().data_ptr() != x.data_ptr()
    assert x[1].storage_offset() == 4 and x[:, 1].stride() == (4,)


# --- global tensors -------------------------------------------------------------------------------

def test_contiguous_is_one_program_on_all_ranks(tmp_path):
    """Parts of one row or none are dense whatever their strides."""
    run_text(tmp_path, 2, """
import oneflow_like as flow
P = flow.placement("cpu", ranks=[0, 1])
for shape in ((3, 3), (3, 1), (1, 3)):
    for split in (0, 1):
        x = flow.ones(*shape).to_global(placement=P, sbp=flow.sbp.broadcast)
        x = x.to_global(sbp=flow.sbp.split(split))
        for y in (x.T, x.T.detach()):
            y.contiguous().to_global(sbp=flow.sbp.broadcast).numpy()
""")


GLOBAL = """
import numpy as np
import oneflow_like as flow
P = flow.placement("cpu", ranks=[0, 1])
B, S0, S1 = flow.sbp.broadcast, flow.sbp.split(0), flow.sbp.split(1)
for sbp in (B, S0, S1):
    x = flow.arange(24, dtype=flow.float32).reshape(4, 6).to_global(placement=P, sbp=B)
    x = x.to_global(sbp=sbp).clone()
    want = np.arange(24, dtype=np.float32).reshape(4, 6)
    x.T.add_(1.0); want.T[...] += 1
    x.view(4, 2, 3)[:, 1].mul_(2.0); want.reshape(4, 2, 3)[:, 1] *= 2
    x[1:3, 2:4] = -1.0; want[1:3, 2:4] = -1
    x.unsqueeze(1)[:, :, :].sub_(3.0); want -= 3
    np.testing.assert_array_equal(x.numpy(), want)
    rows, steps = x[1:], x[:, ::2]
    part = rows[1:].T[1:]
    wanted = want[1:], want[:, ::2], want[1:][1:].T[1:]
    part.add_(2.0); wanted[2][...] += 2
    steps.mul_(-1.0); wanted[1][...] *= -1
    rows[0] = 9.0; wanted[0][0] = 9
    x += 1.0; want += 1
    for got, array in zip((x, rows, steps, part), (want, *wanted)):
        np.testing.assert_array_equal(got.numpy(), array)
    # gradients
    w = flow.ones(6).to_global(placement=P, sbp=B).requires_grad_()
    y = x * w
    half = y[1:3, 1:5]
    half.mul_(half)
    y[:, 0] = w[1] * 2.0
    (y.sum() + half.sum()).backward()
    z = want.copy(); z[1:3, 1:5] **= 2
    grad = np.zeros(6, np.float32)
    grad[5] = want[:, 5].sum(); grad[1:5] = want[0, 1:5] + want[3, 1:5]
    grad[1:5] += 2 * 2 * (want[1:3, 1:5] ** 2).sum(0)
    grad[1] += 2.0 * 4
    np.testing.assert_allclose(w.grad.numpy(), grad, rtol=1e-5)
    print(sbp, w.grad.numpy().tolist())
"""


def test_views_of_shards(tmp_path):
    run_text(tmp_path, 2, GLOBAL)


def test_a_change_through_an_alias_is_a_claim_of_all(tmp_path):
    """B values that ranks changed apart through an alias are not believed to be equal."""
    run_text(tmp_path, 2, """
import oneflow_like as flow
P = flow.placement("cpu", ranks=[0, 1])
x = flow.ones(4).to_global(placement=P, sbp=flow.sbp.broadcast)
if flow.env.get_rank() == 0:
    x.detach().add_(1.0)
else:
    x.detach().mul_(1.0)
try:
    x.to_global(sbp=flow.sbp.split(0)).numpy()
    raise SystemExit("not noticed")
except RuntimeError as error:
    assert "differ" in str(error) or "not" in str(error), error
    print("noticed")
""")


def test_ranks_agree_on_whether_a_reshape_copies(tmp_path):
    """Where a shard has one row its strides would allow a view that the others' do not."""
    run_text(tmp_path, 2, """
import oneflow_like as flow
P = flow.placement.all("cpu")
TAKEN = [lambda y: y.t().reshape(12), lambda y: y.t().flatten(), lambda y: y[:, 1:].ravel(),
         lambda y: y[:, :2].reshape(6), lambda y: y[1:].reshape(8), lambda y: y.reshape(2, 6),
         lambda y: y.t()[1:].t().flatten(), lambda y: y.t().t().reshape(12),
         lambda y: y.as_strided((2, 2), (1, 4)).reshape(4)]
for sbp in (flow.sbp.split(0), flow.sbp.split(1), flow.sbp.broadcast):
    for number, take in enumerate(TAKEN):
        x = flow.arange(12.0).reshape(3, 4)
        y = x.to_global(placement=P, sbp=flow.sbp.broadcast).to_global(sbp=sbp) * 1
        for base in (x, y):
            take(base).add_(100)
        assert (y.numpy() == x.numpy()).all(), (sbp, number, y.numpy())
""")
