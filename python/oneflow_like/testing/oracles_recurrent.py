"""Recurrent networks, one sequence step after the other."""

import numpy as np


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _step(kind, x, state, w_ih, w_hh, b_ih, b_hh, w_hr=None):
    ours = x @ w_ih.T + (0 if b_ih is None else b_ih)
    theirs = state[0] @ w_hh.T + (0 if b_hh is None else b_hh)
    if kind == "lstm":
        i, f, g, o = np.split(ours + theirs, 4, axis=1)
        c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        return h if w_hr is None else h @ w_hr.T, c
    if kind == "gru":
        (r, z, n), (rh, zh, nh) = np.split(ours, 3, axis=1), np.split(theirs, 3, axis=1)
        n = np.tanh(n + _sigmoid(r + rh) * nh)
        z = _sigmoid(z + zh)
        return ((1 - z) * n + z * state[0],)
    total = ours + theirs
    return (np.tanh(total) if kind == "rnn_tanh" else np.maximum(total, 0),)


def rnn_cell(name, x, hx, w_ih, w_hh, b_ih, b_hh):
    kind = name.removesuffix("_cell")
    made = _step(kind, x, hx if kind == "lstm" else (hx,), w_ih, w_hh, b_ih, b_hh)
    return made if kind == "lstm" else made[0]


def lstm_gates(from_input, from_state, cell):
    i, f, g, o = np.split(from_input + from_state, 4, axis=1)
    c = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def lstm_gates_grad(hidden_grad, cell_grad, from_input, from_state, cell):
    i, f, g, o = np.split(from_input + from_state, 4, axis=1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    shown = np.tanh(f * cell + i * g)
    back = cell_grad + hidden_grad * o * (1 - shown ** 2)
    gates = (back * g * i * (1 - i), back * cell * f * (1 - f), back * i * (1 - g ** 2),
             hidden_grad * shown * o * (1 - o))
    return np.concatenate(gates, axis=1), back * f


def _gru_parts(from_input, from_state):
    (r, z, n), (rh, zh, nh) = (np.split(x, 3, axis=1) for x in (from_input, from_state))
    r = _sigmoid(r + rh)
    return r, _sigmoid(z + zh), np.tanh(n + r * nh), nh


def gru_gates(from_input, from_state, hidden):
    _, z, n, _ = _gru_parts(from_input, from_state)
    return (1 - z) * n + z * hidden


def gru_gates_grad(grad, from_input, from_state, hidden):
    r, z, n, nh = _gru_parts(from_input, from_state)
    new = grad * (1 - z) * (1 - n ** 2)
    reset, update = new * nh * r * (1 - r), grad * (hidden - n) * z * (1 - z)
    return (np.concatenate((reset, update, new), axis=1),
            np.concatenate((reset, update, new * r), axis=1), grad * z)


def _one_way(kind, steps, first, weights, backwards):
    """Steps are the rows of each time; a sequence that is over keeps its state."""
    state = [s.copy() for s in first]
    outputs = [None] * len(steps)
    for t in range(len(steps))[::-1 if backwards else 1]:
        now = len(steps[t])
        made = _step(kind, steps[t], [s[:now] for s in state], *weights)
        for s, m in zip(state, made, strict=True):
            s[:now] = m
        outputs[t] = made[0]
    return outputs, state


def rnn_layers(kind, x, hx, params, biases, layers, both_ways, batch_first, sizes):
    if sizes is not None:
        steps = np.split(x, np.cumsum(sizes)[:-1])
    else:
        steps = list(np.swapaxes(x, 0, 1) if batch_first else x)
    hx = hx if kind == "lstm" else [hx]
    params, ways = list(params), 2 if both_ways else 1
    each = len(params) // (layers * ways)
    last = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            at = layer * ways + way
            mine = params[at * each:(at + 1) * each]
            if not biases:
                mine = [*mine[:2], None, None, *mine[2:]]
            out, state = _one_way(kind, steps, [h[at] for h in hx], mine, way == 1)
            outputs.append(out)
            last.append(state)
        steps = [np.concatenate(parts, axis=1) for parts in zip(*outputs, strict=True)]
    if sizes is not None:
        output = np.concatenate(steps)
    else:
        output = np.stack(steps, axis=1 if batch_first else 0)
    return (output, *(np.stack(s) for s in zip(*last, strict=True)))


HELPERS = {"rnn_cell": rnn_cell, "rnn_layers": rnn_layers, "lstm_gates": lstm_gates,
           "lstm_gates_grad": lstm_gates_grad, "gru_gates": gru_gates,
           "gru_gates_grad": gru_gates_grad}
EXACT = set()
