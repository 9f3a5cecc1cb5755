"""What oracles of losses and normalisations share."""

import numpy as np


def reduced(losses, reduction):
    return np.asarray(losses if reduction == "none" else getattr(np, reduction)(losses))


def weighted(losses, weight, reduction, by_weights=True):
    if weight is None:
        return reduced(losses, reduction)
    losses = losses * weight
    if reduction == "mean" and by_weights:
        return np.asarray(losses.sum() / weight.sum())
    return reduced(losses, reduction)


def bent(difference, bend):
    d = np.abs(difference)
    return np.where(d < bend, d * d / 2 / (bend or 1), d - bend / 2)


def bce(x, target):
    with np.errstate(divide="ignore"):
        return -(target * np.maximum(np.log(x), -100)
                 + (1 - target) * np.maximum(np.log1p(-x), -100))


def bce_logits(x, target, pos_weight):
    scale = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    return (1 - target) * x + scale * np.log1p(np.exp(-x))


def kl_div(x, target, reduction, log_target):
    if log_target:
        losses = np.exp(target) * (target - x)
    else:
        losses = target * np.log(np.where(target > 0, target, 1)) - target * x
    if reduction == "batchmean":
        return np.asarray(losses.sum() / (x.shape[0] if x.ndim else 1))
    return reduced(losses, reduction)


def poisson(x, target, log_input, full, eps):
    losses = np.exp(x) - target * x if log_input else x - target * np.log(x + eps)
    if full:
        t = np.where(target > 1, target, 2)
        stirling = t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t)
        losses = losses + np.where(target > 1, stirling, 0)
    return losses


def gaussian(x, target, var, full, eps):
    if np.ndim(var) + 1 == x.ndim and x.ndim > 0 and np.shape(var) == x.shape[:-1]:
        var = np.asarray(var)[..., None]
    var = np.maximum(var, eps)
    return 0.5 * (np.log(var) + (x - target) ** 2 / var) + (0.5 * np.log(2 * np.pi) if full else 0)


def hinge(x, target, margin):
    return (np.where(target != 1, np.maximum(margin - x, 0), 0) + np.where(target != -1, x, 0))


def cosine_rows(x, y, target, margin):
    dot = (x * y).sum(-1)
    cosine = dot / np.sqrt(((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12))
    return (np.where(target == 1, 1 - cosine, 0)
            + np.where(target == -1, np.maximum(cosine - margin, 0), 0))


def triplet(distance, anchor, positive, negative, margin, swap):
    apart = distance(anchor, negative)
    if swap:
        apart = np.minimum(apart, distance(positive, negative))
    return np.maximum(distance(anchor, positive) - apart + margin, 0)


def _classes_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim > 2 else x


def _log_softmax(x):
    centred = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    return centred - np.log(np.exp(centred).sum(axis=-1, keepdims=True))


def _mean_by(losses, weights, reduction):
    return np.asarray(losses.sum() / weights.sum()) if reduction == "mean" else reduced(
        losses, reduction)


def nll(x, target, weight, ignore_index, reduction):
    x = _classes_last(x)
    weight = np.ones(x.shape[-1]) if weight is None else weight
    counts = target != ignore_index
    safe = np.where(counts, target, 0)
    weights = np.where(counts, weight[safe], 0)
    losses = -np.take_along_axis(x, safe[..., None], axis=-1)[..., 0] * weights
    return _mean_by(losses, weights, reduction)


def nll_rows(x, target, ignore_index):
    axis = min(x.ndim - 1, 1)
    counts = target != ignore_index
    safe = np.expand_dims(np.where(counts, target, 0), axis)
    return np.where(counts, -np.take_along_axis(x, safe, axis).squeeze(axis), 0)


def nll_rows_grad(grad, target, classes, ignore_index):
    axis = min(grad.ndim, 1)
    counts = target != ignore_index
    place = np.expand_dims(np.where(counts, target, 0), axis)
    value = np.expand_dims(np.where(counts, -grad, 0), axis)
    return np.where(np.arange(classes).reshape(-1, *[1] * (grad.ndim - axis)) == place, value, 0)


def cross_entropy(x, target, weight, ignore_index, reduction, label_smoothing):
    probabilities = x.shape == target.shape
    logs = _log_softmax(_classes_last(x))
    classes = logs.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    if probabilities:
        target = (1 - label_smoothing) * _classes_last(target) + label_smoothing / classes
        return reduced(-(logs * target * weight).sum(-1), reduction)
    counts = target != ignore_index
    safe = np.where(counts, target, 0)
    weights = np.where(counts, weight[safe], 0)
    losses = -np.take_along_axis(logs, safe[..., None], axis=-1)[..., 0] * weights
    smooth = np.where(counts, -(logs * weight).sum(axis=-1), 0)
    losses = (1 - label_smoothing) * losses + label_smoothing / classes * smooth
    return _mean_by(losses, weights, reduction)


def _channels(x, values):
    return values.reshape((1, -1) + (1,) * (x.ndim - 2))


def _affine(x, weight, bias):
    x = x if weight is None else x * _channels(x, weight)
    return x if bias is None else x + _channels(x, bias)


def batch_norm(x, running_mean, running_var, weight, bias, own, eps, instance=False):
    if own:
        axes = tuple(range(2, x.ndim)) if instance else (0, *range(2, x.ndim))
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    else:
        mean, var = _channels(x, running_mean), _channels(x, running_var)
    return _affine((x - mean) / np.sqrt(var + eps), weight, bias)


def group_affine(x, weight, bias, eps):
    mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * weight[..., None] + bias[..., None]


def group_affine_grad(dy, x, weight, eps):
    rstd = 1 / np.sqrt(x.var((2, 3), keepdims=True) + eps)
    normal = (x - x.mean((2, 3), keepdims=True)) * rstd
    g = dy * weight[..., None]
    dx = rstd * (g - g.mean((2, 3), keepdims=True)
                 - normal * (g * normal).mean((2, 3), keepdims=True))
    return dx, (dy * normal).sum((0, 3)), dy.sum((0, 3))


def group_norm(x, groups, weight, bias, eps):
    rows = x.reshape(x.shape[0], groups, -1)
    mean, var = rows.mean(-1, keepdims=True), rows.var(-1, keepdims=True)
    return _affine(((rows - mean) / np.sqrt(var + eps)).reshape(x.shape), weight, bias)


def rms_norm(x, shape, weight, eps):
    axes = tuple(range(-len(shape), 0))
    eps = np.finfo(x.dtype).eps if eps is None else eps
    y = x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def local_response_norm(x, size, alpha, beta, k):
    around = [(0, 0)] * x.ndim
    around[1] = (size // 2, (size - 1) // 2)
    squares = np.pad(x * x, around)
    mean = sum(squares[:, i:i + x.shape[1]] for i in range(size)) / size
    if x.dtype.kind in "iu":
        mean = np.trunc(mean).astype(np.float32)
    return (x / (k + alpha * mean) ** beta).astype(mean.dtype)


def multi_margin(x, target, p, margin, weight):
    rows = x.reshape(-1, x.shape[-1] if x.ndim else 1)
    target = target.reshape(-1)
    own = rows[np.arange(len(rows)), target][:, None]
    losses = np.maximum(margin - own + rows, 0) ** p * (1 - np.eye(rows.shape[1])[target])
    if weight is not None:
        losses = losses * weight[target][:, None]
    return losses.sum(1).reshape(x.shape[:-1]) / rows.shape[1]


def multilabel_margin(x, target):
    losses = []
    columns = x.shape[-1] if x.ndim else 1
    for row, classes in zip(x.reshape(-1, columns), target.reshape(-1, columns), strict=True):
        named = list(classes[:list(classes).index(-1)] if -1 in classes else classes)
        others = [j for j in range(len(row)) if j not in named]
        losses.append(sum(max(1 - row[k] + row[j], 0) for k in named for j in others) / len(row))
    return np.array(losses, dtype=x.dtype).reshape(x.shape[:-1])


def embedding_bag(index, weight, offsets, each, mode, include_last_offset, padding_idx):
    if index.ndim == 1:
        ends = offsets if include_last_offset else [*offsets, len(index)]
        bags = [range(*pair) for pair in zip(ends[:-1], ends[1:], strict=True)]
        scales, index = each, index
    else:
        bags = np.arange(index.size).reshape(index.shape)
        scales, index = None if each is None else each.ravel(), index.ravel()
    padding = None if padding_idx is None else padding_idx % len(weight)
    out = np.zeros((len(bags), weight.shape[1]), weight.dtype)
    for row, bag in zip(out, bags, strict=True):
        at = [i for i in bag if index[i] != padding]
        rows = weight[index[at]] if at else np.zeros((0, weight.shape[1]))
        rows = rows if scales is None else rows * scales[at][:, None]
        if at:
            row[:] = getattr(np, mode)(rows, axis=0)
    return out


def embedding_bag_parts(weight, indices, weights, mode):
    """One bag, which begins at 0."""
    rows = weight[indices] if weights is None else weight[indices] * weights[:, None]
    bag = getattr(np, ("sum", "mean", "max")[mode])(rows, axis=0)[None]
    kept = weight.dtype == np.float64 or mode > 0
    sizes = np.array([len(indices) if mode else 0])
    largest = indices[np.argmax(rows, axis=0)][None] if mode == 2 else sizes
    return bag, np.zeros(len(indices) if kept else 0, np.int64), sizes, largest


def _ctc_tables(log_probs, targets, inputs, labels, blank):
    """For each row: probabilities by time, the label of each state, forward and backward sums."""
    begins = np.concatenate([[0], np.cumsum(labels)])
    for n, (times, count) in enumerate(zip(inputs, labels, strict=True)):
        own = targets[begins[n]:begins[n + 1]] if targets.ndim == 1 else targets[n, :count]
        states = np.full(2 * count + 1, blank)
        states[1::2] = own
        p = np.exp(log_probs[:times, n])[:, states]
        into = np.eye(len(states)) + np.eye(len(states), k=1)
        for s in range(3, len(states), 2):
            into[s - 2, s] = states[s] != states[s - 2]
        ahead, back = np.zeros(p.shape), np.zeros(p.shape)
        for t in range(times):
            ahead[t] = p[t] * (ahead[t - 1] @ into if t else np.arange(len(states)) < 2)
            u = times - 1 - t
            back[u] = p[u] * (into @ back[u + 1] if t else np.arange(len(states))
                              >= len(states) - 2)
        yield n, times, states, ahead, back


def ctc_rows(log_probs, targets, inputs, labels, blank):
    losses = np.zeros(len(inputs))
    for n, times, states, ahead, _ in _ctc_tables(log_probs, targets, inputs, labels, blank):
        with np.errstate(divide="ignore"):
            losses[n] = -np.log(ahead[-1, -2:].sum() if times else float(len(states) == 1))
    return losses


def ctc_rows_grad(grad, loss, log_probs, targets, inputs, labels, blank):
    made = np.zeros_like(log_probs)
    for n, times, states, ahead, back in _ctc_tables(log_probs, targets, inputs, labels, blank):
        p = np.exp(log_probs[:times, n])
        passed = (ahead * back) @ (states[:, None] == np.arange(p.shape[1]))
        made[:times, n] = grad[n] * (p - passed * np.exp(loss[n]) / p)
    return made


def ctc_loss(log_probs, targets, inputs, labels, blank, reduction, zero_infinity):
    losses = ctc_rows(log_probs, targets, inputs, labels, blank)
    if zero_infinity:
        losses = np.where(np.isinf(losses), 0, losses)
    if reduction == "mean":
        losses = losses / np.maximum(labels, 1)
    return reduced(losses, reduction)


HELPERS = {f.__name__: f for f in (
    reduced, weighted, bent, bce, bce_logits, kl_div, poisson, gaussian, hinge, cosine_rows,
    triplet, nll, cross_entropy, batch_norm, group_norm, group_affine, group_affine_grad,
    rms_norm, local_response_norm, multi_margin, multilabel_margin, embedding_bag,
    ctc_rows, ctc_rows_grad,
    ctc_loss, embedding_bag_parts, nll_rows, nll_rows_grad)}
