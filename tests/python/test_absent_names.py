"""Names that are absent: the error says which is meant, or why PyTorch's is left out."""

import re
import sys
from pathlib import Path

import pytest

import oneflow_like as flow
from oneflow_like import _absent

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "parity"))

# The classes of torch.nn.
TORCH_NN = """
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d
AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BCELoss
BCEWithLogitsLoss BatchNorm1d BatchNorm2d BatchNorm3d Bilinear Buffer CELU CTCLoss ChannelShuffle
CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Container
Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d CosineEmbeddingLoss
CosineSimilarity CrossEntropyLoss CrossMapLRN2d DataParallel Dropout Dropout1d Dropout2d Dropout3d
ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold FractionalMaxPool2d
FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardsigmoid
Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity InstanceNorm1d InstanceNorm2d
InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d LPPool3d LSTM LSTMCell LayerNorm LazyBatchNorm1d
LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d
LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d
LazyLinear LeakyReLU Linear LinearCrossEntropyLoss LinearCrossEntropyOptions LocalResponseNorm
LogSigmoid LogSoftmax MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d
MaxUnpool2d MaxUnpool3d Mish Module ModuleDict ModuleList MultiLabelMarginLoss
MultiLabelSoftMarginLoss MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU
PairwiseDistance Parameter ParameterDict ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss
RMSNorm RNN RNNBase RNNCell RNNCellBase RReLU ReLU ReLU6 ReflectionPad1d ReflectionPad2d
ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU Sequential SiLU Sigmoid
SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm
Tanh Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer
TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss
Unflatten Unfold UninitializedBuffer UninitializedParameter Upsample UpsamplingBilinear2d
UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
"""


@pytest.mark.parametrize(("owner", "name", "text"), [
    (flow, "sigmod", r"\[flow.sigmod\] there is no such name; did you mean .*'sigmoid'"),
    (flow, "sparse_coo_tensor", "left out with sparse tensors"),
    (flow.cuda, "synchronize", "no kernels for CUDA"),
    (flow.cuda, "is_avail", "did you mean 'is_available'"),
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
    (flow.nn, "Conv2d", "PyTorch's class is not here yet; use nn.functional.conv2d$"),
    (flow.nn, "BatchNorm1d", "PyTorch's class is not here yet; use nn.functional.batch_norm$"),
    (flow.nn, "ReflectionPad2d", "not here yet; use nn.functional.pad"),
    (flow.nn, "Flatten", r"not here yet; use x.flatten\(1\)$"),
    (flow.nn, "MultiheadAttention", "not here yet; use nn.functional.multi_head_attention_forward"),
    (flow.optim, "RMSprop", "not here yet; use optim.AdamW"),
    (flow.optim.lr_scheduler, "OneCycleLR", "not here yet; use optim.lr_scheduler.LambdaLR"),
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


def test_every_class_of_pytorch_that_is_missing_says_what_to_use():
    for name in TORCH_NN.split():
        if not hasattr(flow.nn, name):
            with pytest.raises(AttributeError, match=rf"^\[nn.{name}\] there is no such name; \w"):
                getattr(flow.nn, name)
            with pytest.raises(AttributeError) as told:
                getattr(flow.nn, name)
            assert "did you mean" not in str(told.value)


def test_functions_that_an_error_names_are_there():
    for names in _absent.ELSEWHERE.values():
        for advice in names.values():
            for function in re.findall(r"nn\.functional\.(\w+)", advice):
                assert hasattr(flow.nn.functional, function), advice


def test_a_name_of_any_length_is_not_repeated():
    with pytest.raises(AttributeError) as told:
        getattr(flow, "x" * 10 ** 6)
    assert str(told.value) == "[flow] there is no such name: got one of 1000000 characters"


def test_there_is_no_cuda_and_programs_may_ask():
    assert flow.cuda.is_available() is False and flow.cuda.device_count() == 0
    device = flow.device("cuda" if flow.cuda.is_available() else "cpu")
    assert flow.ones(1, device=device).device == flow.device("cpu")


def _of_type(module, kind):
    return {name for name, value in vars(module).items()
            if isinstance(value, kind) and not name.startswith("_")}


def test_the_table_of_names_is_what_there_is():
    text = (Path(__file__).resolve().parents[2] / "docs" / "from_pytorch.md").read_text()
    table = text.partition("<!-- names -->")[2].partition("<!-- end of names -->")[0]
    said = {}
    for line in table.splitlines():
        module, _, names = line.strip("| ").partition("|")
        if "`" in names:
            said[module.strip(" `")] = set(re.findall(r"`(\w+)`", names))
    there = {
        "nn": {n for n in flow.nn.__all__ if isinstance(getattr(flow.nn, n), type)},
        "nn.init": {n for n in vars(flow.nn.init) if n.endswith("_") and n[0] != "_"},
        "nn.utils": set(flow.nn.utils.__all__),
        "optim": set(flow.optim.__all__) - {"lr_scheduler"},
        "optim.lr_scheduler": {n for n in _of_type(flow.optim.lr_scheduler, type)
                               if issubclass(getattr(flow.optim.lr_scheduler, n),
                                             flow.optim.lr_scheduler.LRScheduler)},
        "utils": set(flow.utils.__all__),
        "cuda": set(flow.cuda.__all__),
        "dtypes": {d.name for d in vars(flow).values() if isinstance(d, flow.dtype)},
    }
    assert said == there


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
