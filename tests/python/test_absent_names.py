"""Names that are absent: the error says which is meant, or why PyTorch's is left out."""

import sys
from pathlib import Path

import pytest

import oneflow_like as flow
from oneflow_like import _absent

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "parity"))


@pytest.mark.parametrize(("owner", "name", "text"), [
    (flow, "sigmod", r"\[flow.sigmod\] there is no such name; did you mean .*'sigmoid'"),
    (flow, "sparse_coo_tensor", "left out with sparse tensors"),
    (flow, "cuda", "no kernels for CUDA"),
    (flow, "compile", "left out with compilers, tracing, tools; use nn.Graph"),
    (flow, "zzzzzz", r"\[flow.zzzzzz\] there is no such name$"),
    (flow.nn.functional, "gelo", r"\[nn.functional.gelo\].* did you mean .*'gelu'"),
    (flow.linalg, "slogdett", r"did you mean 'slogdet'"),
    (flow.special, "erff", r"did you mean .*'erf'"),
    (flow.autograd, "graph", r"\[autograd.graph\] .*saved for backward.*utils.checkpoint"),
    (flow.autograd, "forward_ad", "use autograd.functional.jvp"),
    (flow.autograd, "gradchek", "did you mean 'gradcheck'"),
    (flow.autograd.function, "once_diferentiable", "did you mean 'once_differentiable'"),
    (flow.autograd.functional, "jacobain", "did you mean 'jacobian'"),
    (flow.nn, "Linaer", r"\[nn.Linaer\].* did you mean 'Linear'"),
    (flow.nn, "Conv2d", "there is the function alone; use nn.functional.conv2d$"),
    (flow.nn, "NLLLoss", "use nn.functional.nll_loss$"),
    (flow.nn, "KLDivLoss", "use nn.functional.kl_div$"),
    (flow.nn, "DataParallel", "use global tensors"),
    (flow.nn.init, "ones", "did you mean 'ones_'"),
    (flow.nn.utils, "clip_grad_norm", "use clip_grad_norm_"),
    (flow.optim, "Adan", "did you mean 'Adam'"),
    (flow.optim.lr_scheduler, "StepLr", "did you mean 'StepLR'"),
    (flow.utils, "checkpont", "did you mean 'checkpoint'"),
    (flow.comm, "all_gater", "did you mean 'all_gather'"),
    (flow.random, "manual_sed", "did you mean 'manual_seed'"),
    (flow.ones(1), "to_sparse", "left out with sparse tensors"),
    (flow.ones(1), "storage", "use data_ptr"),
    (flow.Tensor, "set_", "use copy_"),
])
def test_the_error_says_what_to_do(owner, name, text):
    with pytest.raises(AttributeError, match=text):
        getattr(owner, name)
    assert not hasattr(owner, name)


def test_what_is_there_is_found():
    with pytest.raises(ImportError):
        exec("from oneflow_like import sigmod")
    assert flow.ones(1).to_global is not None


def test_the_reasons_are_those_of_the_comparison():
    from surface import reason_outside
    spaces = {"flow": "torch", "Tensor": "Tensor", "nn.functional": "F"}
    for where, names in _absent.REASONS.items():
        for name, why in names.items():
            assert reason_outside(f"{spaces[where]}.{name}") == why, name
