"""Recurrent networks: RNN, LSTM and GRU over sequences, and their cells, with torch's names."""

import math
import numbers

from .. import _C
from .._C import InvalidArgumentError, TypeMismatchError
from .._functions import empty, zeros
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence, reordered, sizes_of

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_LAYERS = {"LSTM": _C.lstm, "GRU": _C.gru, "RNN_TANH": _C.rnn_tanh, "RNN_RELU": _C.rnn_relu}


def _zeros_beside(x, *shape):
    """Zeros with the dtype of `x`, whole on its placement where that is global."""
    if not x.is_global:
        return zeros(*shape, dtype=x.dtype)
    return zeros(*shape, dtype=x.dtype, placement=x.placement,
                 sbp=[_C.sbp.broadcast] * len(x.sbp))


def _made(shape, device, dtype):
    return Parameter(empty(*shape, dtype=dtype, device=device))


class RNNBase(Module):
    """What RNN, LSTM and GRU share; `mode` is LSTM, GRU, RNN_TANH or RNN_RELU."""

    def __init__(self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False,
                 dropout=0.0, bidirectional=False, proj_size=0, device=None, dtype=None):
        super().__init__()
        if mode not in _GATES:
            raise InvalidArgumentError(
                f"Unrecognized RNN mode: {mode}; expected one of {sorted(_GATES)}")
        if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not (
                0 <= dropout <= 1):
            raise InvalidArgumentError(
                f"[{mode}] got dropout={dropout!r}; expected a number in range [0, 1]")
        for name, size in (("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(size, int):
                raise TypeMismatchError(f"[{mode}] {name} should be of type int, got: "
                                        f"{type(size).__name__}")
            if size <= 0:
                raise InvalidArgumentError(
                    f"[{mode}] got {name}={size}; expected {name} greater than zero")
        if proj_size < 0 or proj_size >= hidden_size:
            raise InvalidArgumentError(
                f"[{mode}] got proj_size={proj_size} and hidden_size={hidden_size}; "
                "expected 0 <= proj_size < hidden_size")
        if proj_size and mode != "LSTM":
            raise InvalidArgumentError(
                f"[{mode}] got proj_size={proj_size}; expected 0: projections are for "
                "LSTM only")
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        out = proj_size or hidden_size
        height = _GATES[mode] * hidden_size
        self._names = []
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * (2 if bidirectional else 1)
            for end in ("", "_reverse") if bidirectional else ("",):
                shapes = {"weight_ih": (height, width), "weight_hh": (height, out)}
                if bias:
                    shapes |= {"bias_ih": (height,), "bias_hh": (height,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {f"{kind}_l{layer}{end}": shape for kind, shape in shapes.items()}
                for name, shape in names.items():
                    self.register_parameter(name, _made(shape, device, dtype))
                self._names.append(list(names))
        self.reset_parameters()

    def reset_parameters(self):
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self):
        """Of no effect here: nothing is gained by weights that lie side by side."""

    @property
    def all_weights(self):
        return [[getattr(self, name) for name in names] for names in self._names]

    @property
    def _flat_weights(self):
        return [getattr(self, name) for names in self._names for name in names]

    def _sizes_of_states(self, batch):
        states = self.num_layers * (2 if self.bidirectional else 1)
        hidden = (states, batch, self.proj_size or self.hidden_size)
        return (hidden, (states, batch, self.hidden_size)) if self.mode == "LSTM" else (hidden,)

    def _states(self, hx, x, batch, single, order):
        """The states that the layers begin with, as a list, and whether `hx` was given."""
        if hx is None:
            return [_zeros_beside(x, *shape) for shape in self._sizes_of_states(batch)]
        if self.mode == "LSTM" and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise RuntimeError(f"[LSTM] got hx of {type(hx).__name__}; expected (h_0, c_0)")
        given = list(hx) if self.mode == "LSTM" else [hx]
        if any(h.ndim != (2 if single else 3) for h in given):
            raise RuntimeError(f"[{self.mode}] got states of {[h.ndim for h in given]} axes; "
                               f"expected {2 if single else 3}, as the input says")
        given = [reordered(h.unsqueeze(1) if single else h, order, 1) for h in given]
        for h, shape in zip(given, self._sizes_of_states(batch), strict=True):
            if tuple(h.shape) != shape:
                raise RuntimeError(f"[{self.mode}] got a state of {tuple(h.shape)}; expected "
                                   f"hidden size {shape}")
        return given

    def forward(self, input, hx=None):
        packed = input if isinstance(input, PackedSequence) else None
        if packed is not None:
            x, sizes = packed.data, sizes_of(packed, self.mode)
            batch, single, order = sizes[0], False, packed.sorted_indices
        else:
            if input.ndim not in (2, 3):
                raise InvalidArgumentError(
                    f"[{self.mode}] got an input of {input.ndim} axes; expected 2-D "
                    "or 3-D: (time, batch, size), without batch (time, size)")
            single, order, sizes = input.ndim == 2, None, None
            at = 0 if self.batch_first else 1
            x = input.unsqueeze(at) if single else input
            batch = x.shape[at]
        if x.shape[-1] != self.input_size:
            raise RuntimeError(f"[{self.mode}] got an input of size {x.shape[-1]}; "
                               f"input.size(-1) must be equal to input_size={self.input_size}")
        states = self._states(hx, x, batch, single, order)
        given = states if self.mode == "LSTM" else states[0]
        arguments = (given, self._flat_weights, self.bias, self.num_layers, self.dropout,
                     self.training, self.bidirectional)
        layers = _LAYERS[self.mode]
        if packed is not None:
            made = layers(x, sizes, *arguments)
        else:
            made = layers(x, *arguments, self.batch_first)
        output, ended = made[0], list(made[1:])
        if packed is not None:
            output = PackedSequence(output, *packed[1:])
            ended = [reordered(h, packed.unsorted_indices, 1) for h in ended]
        elif single:
            output = output.squeeze(at)
            ended = [h.squeeze(1) for h in ended]
        return output, tuple(ended) if self.mode == "LSTM" else ended[0]

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
                    "dropout": 0.0, "bidirectional": False}
        return text + "".join(f", {name}={getattr(self, name)}"
                              for name, default in defaults.items()
                              if getattr(self, name) != default)


class RNN(RNNBase):
    """Layers of h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True,
                 batch_first=False, dropout=0.0, bidirectional=False, device=None, dtype=None):
        if nonlinearity not in ("tanh", "relu"):
            raise InvalidArgumentError(
                f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or "
                "'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias,
                         batch_first, dropout, bidirectional, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Layers of long short-term memory; with proj_size the hidden state is projected."""

    def __init__(self, input_size, hidden_size, num_layers=1, bias=True, batch_first=False,
                 dropout=0.0, bidirectional=False, proj_size=0, device=None, dtype=None):
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, proj_size, device, dtype)


class GRU(RNNBase):
    """Layers of gated recurrent units."""

    def __init__(self, input_size, hidden_size, num_layers=1, bias=True, batch_first=False,
                 dropout=0.0, bidirectional=False, device=None, dtype=None):
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, device=device, dtype=dtype)


class RNNCellBase(Module):
    """What the cells share: weights of `num_chunks` gates."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        height = num_chunks * hidden_size
        self.weight_ih = _made((height, input_size), device, dtype)
        self.weight_hh = _made((height, hidden_size), device, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, _made((height,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, cell, input, states):
        """One step of `cell` from states, of which None are zeros; with or without a batch."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or any(s is not None and s.ndim not in (1, 2) for s in states):
            raise InvalidArgumentError(
                f"[{name}] got an input or a state of another number of axes; "
                f"expected input to be 1D or 2D, got {input.ndim}D instead")
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input
        given = [_zeros_beside(x, x.shape[0], self.hidden_size) if s is None
                 else s.unsqueeze(0) if single else s for s in states]
        made = cell(x, given if len(given) > 1 else given[0], self.weight_ih, self.weight_hh,
                    self.bias_ih, self.bias_hh)
        made = made if isinstance(made, tuple) else (made,)
        return tuple(h.squeeze(0) if single else h for h in made)

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text


class RNNCell(RNNCellBase):
    """One step of h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None,
                 dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        cell = _C.rnn_tanh_cell if self.nonlinearity == "tanh" else _C.rnn_relu_cell
        return self._step(cell, input, [hx])[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: (h, c) from (h, c)."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step(_C.lstm_cell, input, [None, None] if hx is None else list(hx))


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(_C.gru_cell, input, [hx])[0]
