"""Neural-network modules, with torch's names; nn.Graph compiles them."""

from .._absent import getter as _getter
from .._constructors import explain as _explain
from . import functional, init, utils
from .containers import ModuleDict, ModuleList, Sequential
from .layers import (GELU, CrossEntropyLoss, Dropout, Embedding, Identity, LayerNorm, Linear,
                     MSELoss, ReLU, Sigmoid, Softmax, Tanh)
from .module import Module
from .parameter import Parameter
from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNBase, RNNCell, RNNCellBase

__all__ = ["functional", "init", "utils", "Module", "Parameter", "ModuleDict", "ModuleList",
           "Sequential", "GELU", "CrossEntropyLoss", "Dropout", "Embedding", "Identity",
           "LayerNorm", "Linear", "MSELoss", "ReLU", "Sigmoid", "Softmax", "Tanh", "RNNBase", "RNN",
           "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]

try:
    from . import graph
    from .graph import Graph
except ModuleNotFoundError as error:
    if error.name != __name__ + ".graph":
        raise
else:
    __all__ += ["graph", "Graph"]

_explain(*(cls for cls in map(globals().get, __all__)
           if isinstance(cls, type) and issubclass(cls, Module) and cls is not Module))

__getattr__ = _getter("nn", globals())
