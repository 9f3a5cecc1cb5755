"""multi_head_attention_forward: its second result may be None, which no operator gives."""

import math

from .. import _C


def _expect(holds, what, got, expected):
    if not holds:
        raise RuntimeError(f"[multi_head_attention_forward] {what}: got {got}; expected {expected}")


def _added(mask, name, dtype):
    """A mask as what is added to the scores: of a bool one -infinity where it hides."""
    if mask is None or mask.dtype.is_floating_point:
        return mask
    _expect(mask.dtype is _C.bool, f"{name} is no mask", mask.dtype, "bool or a floating dtype")
    return _C.masked_fill(_C.zeros_like(mask, dtype=dtype), mask, -math.inf)


def _check_axes(query, key, value, key_padding_mask, attn_mask):
    axes = query.ndim
    _expect(axes in (2, 3) and key.ndim == axes and value.ndim == axes,
            "query, key and value have other numbers of axes", [axes, key.ndim, value.ndim],
            "three of (length, batch, width), or of (length, width) without a batch")
    for mask, name, allowed in ((key_padding_mask, "key_padding_mask", (axes - 1,)),
                                (attn_mask, "attn_mask", (2, 3))):
        _expect(mask is None or mask.ndim in allowed, f"{name} has another number of axes",
                mask if mask is None else mask.ndim, " or ".join(map(str, allowed)))


def _projected(query, key, value, width, packed, bias, apart):
    """The projections of query, key and value by one weight of three parts, or by three."""
    if apart is None:
        _expect(key.shape == value.shape, "key and value have different shapes",
                [tuple(key.shape), tuple(value.shape)], "one shape")
        _expect(packed is not None, "in_proj_weight is missing", None, "a weight (3 width, width)")
        if query is key and key is value:
            return _C.chunk(_C.linear(query, packed, bias), 3, -1)
        apart = _C.split(packed, width, 0)
    _expect(key.shape[:2] == value.shape[:2], "key and value have different lengths or batches",
            [tuple(key.shape), tuple(value.shape)], "equal leading axes")
    _expect(all(w is not None for w in apart), "a projection weight is missing", None, "three")
    biases = (None,) * 3 if bias is None else _C.chunk(bias, 3, 0)
    return [_C.linear(x, w, b) for x, w, b in zip((query, key, value), apart, biases, strict=True)]


def _widened(mask):
    """By one key more, which is seen."""
    return None if mask is None else _C.constant_pad_nd(mask, [0, 1])


def multi_head_attention_forward(
        query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k,
        bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training=True,
        key_padding_mask=None, need_weights=True, attn_mask=None, use_separate_proj_weight=False,
        q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None,
        average_attn_weights=True, is_causal=False):
    """Attention of `num_heads` heads with its projections; the weights too if `need_weights`.

    query: (length, batch, width), or (length, width); key and value likewise. Masks of bool hide
    where they are True, others are added to the scores. key_padding_mask: (batch, keys).
    """
    _check_axes(query, key, value, key_padding_mask, attn_mask)
    single = query.ndim == 2
    if single:
        same = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    keys, depth, dtype = key.shape[0], width // num_heads, query.dtype
    _expect(width == embed_dim_to_check, "query has another width", width, embed_dim_to_check)
    _expect(depth * num_heads == width, "the heads do not divide the width", (width, num_heads),
            "a multiple of num_heads")
    _expect(not is_causal or attn_mask is not None, "is_causal is a hint about attn_mask", None,
            "the mask")
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    elif key_padding_mask is not None:
        is_causal = False
    key_padding_mask = _added(key_padding_mask, "key_padding_mask", dtype)
    attn_mask = _added(attn_mask, "attn_mask", dtype)
    if attn_mask is not None:
        shape = (batch * num_heads, length, keys)[3 - attn_mask.ndim:]
        _expect(tuple(attn_mask.shape) == shape, "attn_mask has another shape",
                tuple(attn_mask.shape), shape)
        attn_mask = attn_mask.unsqueeze(0) if attn_mask.ndim == 2 else attn_mask
    apart = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, width, in_proj_weight, in_proj_bias, apart)
    _expect((bias_k is None) == (bias_v is None), "one of bias_k and bias_v is missing",
            [bias_k is not None, bias_v is not None], "both or none")
    if bias_k is not None:
        _expect(static_k is None and static_v is None, "a bias does not fit static keys", "both",
                "one of them")
        k, v = (_C.concat([x, bias.expand(1, batch, width)], dim=0)
                for x, bias in ((k, bias_k), (v, bias_v)))
        attn_mask, key_padding_mask = _widened(attn_mask), _widened(key_padding_mask)

    def heads(x):
        return x.reshape(x.shape[0], batch * num_heads, depth).transpose(0, 1)

    q = heads(q)
    for static, name in ((static_k, "static_k"), (static_v, "static_v")):
        _expect(static is None or (static.ndim == 3 and static.shape[0] == batch * num_heads
                                   and static.shape[2] == depth), f"{name} has another shape",
                static if static is None else tuple(static.shape),
                (batch * num_heads, "keys", depth))
    k = heads(k) if static_k is None else static_k
    v = heads(v) if static_v is None else static_v
    if add_zero_attn:
        k, v = (_C.constant_pad_nd(x, [0, 0, 0, 1]) for x in (k, v))
        attn_mask, key_padding_mask = _widened(attn_mask), _widened(key_padding_mask)
    keys = k.shape[1]
    if key_padding_mask is not None:
        _expect(tuple(key_padding_mask.shape) == (batch, keys),
                "key_padding_mask has another shape",
                tuple(key_padding_mask.shape), (batch, keys))
        hidden = key_padding_mask.reshape(batch, 1, 1, keys).expand(batch, num_heads, 1, keys)
        hidden = hidden.reshape(batch * num_heads, 1, keys)
        attn_mask = hidden if attn_mask is None else attn_mask + hidden
    dropout_p = dropout_p if training else 0.0

    def projected(made):
        made = _C.linear(made, out_proj_weight, out_proj_bias)
        return made.squeeze(1) if single else made

    if not need_weights:
        q, k, v = (x.reshape(batch, num_heads, x.shape[1], depth) for x in (q, k, v))
        if attn_mask is not None and attn_mask.shape[0] != 1:
            attn_mask = attn_mask.reshape(batch, num_heads, attn_mask.shape[1], keys)
        made = _C.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
        return projected(made.permute(2, 0, 1, 3).reshape(length, batch, width)), None
    scores = _C.matmul(q * math.sqrt(1 / depth), k.transpose(1, 2))
    weights = _C.softmax(scores if attn_mask is None else scores + attn_mask, -1)
    if dropout_p > 0:
        weights = _C.dropout(weights, dropout_p, True)
    made = _C.matmul(weights, v).transpose(0, 1).reshape(length, batch, width)
    weights = weights.reshape(batch, num_heads, length, keys)
    if average_attn_weights:
        weights = weights.mean(1)
    return projected(made), weights.squeeze(0) if single else weights
