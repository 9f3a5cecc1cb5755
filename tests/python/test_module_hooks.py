"""Hooks of modules: around forward, and on gradients."""

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn


def _linear():
    module = nn.Linear(2, 2).double()
    with flow.no_grad():
        module.weight.copy_(flow.tensor([[1., 2.], [3., 4.]]))
        module.bias.zero_()
    return module


def _input():
    return flow.tensor([[1., -1.]], dtype=flow.float64, requires_grad=True)


def test_forward_hooks_take_keywords_and_an_order():
    module, seen = _linear(), []
    module.register_forward_hook(lambda m, a, y: seen.append("second"))
    module.register_forward_hook(lambda m, a, y: seen.append("first"), prepend=True)
    handle = module.register_forward_hook(lambda m, a, k, y: y * 0 + len(k), with_kwargs=True)
    assert module(input=_input()).tolist() == [[1.0, 1.0]] and seen == ["first", "second"]
    handle.remove()
    module.register_forward_pre_hook(lambda m, a, k: (a, {"input": k["input"] * 2}),
                                     with_kwargs=True)
    assert module(input=_input()).tolist() == [[-2.0, -2.0]]
    module.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        module(input=_input())


def test_a_hook_may_be_called_after_an_error():
    module, seen = _linear(), []
    module.register_forward_hook(lambda m, a, y: seen.append(y), always_call=True)
    module.register_forward_hook(lambda m, a, y: seen.append("never"))
    with pytest.raises(RuntimeError):
        module(flow.ones(1, 3, dtype=flow.float64))
    assert seen == [None]


def test_full_backward_hooks_see_and_replace_gradients():
    module, seen = _linear(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    x = _input()
    module(x).sum().backward()
    (of_input,), (of_result,) = seen[0]
    assert of_input.tolist() == [[4.0, 6.0]] and of_result.tolist() == [[1.0, 1.0]]
    assert x.grad.tolist() == [[4.0, 6.0]]
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    module.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    x, module.bias.grad = _input(), None
    module(x).sum().backward()
    assert x.grad.tolist() == [[120.0, 180.0]] and module.bias.grad.tolist() == [3.0, 3.0]
    assert len(seen) == 2 and seen[1][1][0].tolist() == [[3.0, 3.0]]


def test_full_backward_hooks_without_a_gradient_of_the_arguments():
    module, seen = _linear(), []
    handle = module.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    module(_input().detach()).sum().backward()
    assert seen[0][0] == (None,) and seen[0][1][0].tolist() == [[1.0, 1.0]]
    with flow.no_grad():
        module(_input())
    assert len(seen) == 1
    handle.remove()
    module.register_full_backward_hook(lambda m, gi, go: (go[0],))
    with pytest.raises(RuntimeError, match="should always return None"):
        module(_input().detach()).sum().backward()


class _Two(nn.Module):
    def forward(self, x, scale, y):
        return x * scale, y + 1


def test_full_backward_hooks_of_several_arguments_and_results():
    module, seen = _Two(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    x, y = _input(), _input()
    first, _ = module(x, 3.0, y)
    first.sum().backward()
    (of_x, of_scale, of_y), (of_first, of_second) = seen[0]
    np.testing.assert_array_equal(of_x.numpy(), [[3.0, 3.0]])
    assert of_scale is None and of_first.tolist() == [[1.0, 1.0]]
    assert of_y is None and of_second is None
    module.register_full_backward_hook(lambda m, gi, go: (gi[0],))
    with pytest.raises(RuntimeError, match="invalid number of grad_input"):
        module(x, 3.0, y)[0].sum().backward()


def test_what_has_no_gradients_to_show_is_refused():
    class Dictionary(nn.Module):
        def forward(self, x):
            return {"y": x}

    module = Dictionary()
    module.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(TypeError, match="expected a Tensor or a tuple"):
        module(_input())
    with pytest.raises(TypeError, match="expected a function"):
        module.register_full_backward_hook(3)


def test_graphs_refuse_hooks_on_gradients():
    module = _linear()

    class Forward(nn.Graph):
        def __init__(self):
            super().__init__()
            self.module = module

        def build(self, x):
            return self.module(x)

    graph, x = Forward(), _input().detach()
    graph(x)
    handle = module.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(NotImplementedError, match="hook on its gradients inside"):
        graph(x)
    handle.remove()
    assert graph(x).tolist() == [[-1.0, -1.0]]
