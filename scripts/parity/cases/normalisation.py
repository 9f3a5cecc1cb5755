"""Normalisations and embeddings."""

FAMILY = "normalisation"
DTYPES = "float16 bfloat16 int64"

CASES = {
    "F.batch_norm": """
f(4, 3), None, None, training=True
f(4, 3), f(3, grad=False), f(3, lo=0.5, grad=False), f(3), f(3)
f(4, 3, 5), None, None, f(3), f(3), True
f(2, 3, 2, 4), f(3, grad=False), f(3, lo=0.5, grad=False), f(3), f(3), True, 0.2, 1e-3
f(2, 3, 2, 4), f(3, grad=False), f(3, lo=0.5, grad=False)
! f(4, 3), None, None
! f(1, 3), None, None, training=True
! f(4, 3), f(2), f(2)
> m, s = f(3, grad=False), f(3, lo=0.5, grad=False); y = F.batch_norm(f(4, 3), m, s, \
training=True); r = [m, s]
> m, s = f(3, grad=False), f(3, lo=0.5, grad=False); y = F.batch_norm(f(4, 3, 2), m, s, None, \
None, True, 0.3); r = [y, m, s]
""",
    "batch_norm": "f(4, 3), f(3), f(3), None, None, True, 0.1, 1e-5, False",
    "F.instance_norm": """
f(2, 3, 4)
f(2, 3, 4, 5), weight=f(3), bias=f(3)
f(2, 3, 4), f(3, grad=False), f(3, lo=0.5, grad=False), use_input_stats=False
> m, s = f(3, grad=False), f(3, lo=0.5, grad=False); y = F.instance_norm(f(2, 3, 4), m, s); r = \
[y, m, s]
! f(2, 3, 1)
""",
    "instance_norm": "f(2, 3, 4), f(3), f(3), None, None, True, 0.1, 1e-5, False",
    "F.layer_norm": """
f(2, 3), (3,)
f(2, 3), (3,), f(3), f(3)
f(2, 3, 4), [3, 4], f(3, 4), f(3, 4), 1e-3
f(2, 3), (3,), weight=f(3)
f(2, 3), (3,), bias=f(3)
f(0, 3), (3,)
! f(2, 3), (2,)
! f(2, 3), (3,), f(2)
""",
    "layer_norm": "f(2, 3), (3,)\nf(2, 3), (3,), f(3), f(3), 1e-3, False",
    "F.group_norm": """
f(2, 6), 3
f(2, 6, 4), 2, f(6), f(6)
f(2, 4, 3, 3), 4, eps=1e-3
f(2, 4, 3, 3), 1, f(4)
! f(2, 6), 4
! f(2, 4), 2, f(3)
""",
    "group_norm": "f(2, 6), 3\nf(2, 6, 4), 2, f(6), f(6), 1e-3",
    "F.rms_norm rms_norm": """
f(2, 3), (3,)
f(2, 3), (3,), f(3)
f(2, 3, 4), [3, 4], f(3, 4), 1e-3
! f(2, 3), (2,)
""",
    "F.local_response_norm": """
f(2, 5, 3), 2
f(2, 5, 3, 3), 3, 1e-3, 0.5, 2.0
f(2, 4, 3), size=1
! f(3), 2
""",
    "F.embedding": """
idx(5, 3), f(5, 2)
idx(5, 2, 3), f(5, 2)
idx(5, 3), f(5, 2), 1
idx(5, 3), f(5, 2), padding_idx=-1
idx(5, 0), f(5, 2)
i(3, lo=0, hi=5, dtype='int32'), f(5, 2)
idx(5, 9), f(5, 2), scale_grad_by_freq=True
> w = f(5, 2, grad=False); y = F.embedding(idx(5, 4), w, max_norm=1.0); r = [y, w]
! v([5], 'int64'), f(5, 2)
! f(3), f(5, 2)
! idx(5, 3), f(5, 2), 7
""",
    "embedding": "f(5, 2), idx(5, 3)\nf(5, 2), idx(5, 3), 2",
    "F.embedding_bag": """
idx(5, 2, 3), f(5, 2)
idx(5, 6), f(5, 2), v([0, 2, 4], 'int64')
idx(5, 6), f(5, 2), v([0, 2, 2], 'int64'), mode='sum'
idx(5, 6), f(5, 2), v([0, 2, 2], 'int64'), mode='mean'
idx(5, 6), f(5, 2), v([0, 2, 4], 'int64'), mode='max'
idx(5, 2, 3), f(5, 2), mode='sum', per_sample_weights=f(2, 3)
idx(5, 6), f(5, 2), v([0, 2, 6], 'int64'), include_last_offset=True, mode='sum'
idx(5, 2, 3), f(5, 2), padding_idx=1, mode='sum'
idx(5, 2, 3), f(5, 2), padding_idx=1
! idx(5, 6), f(5, 2)
! idx(5, 2, 3), f(5, 2), mode='mean', per_sample_weights=f(2, 3)
! v([[5]], 'int64'), f(5, 2)
""",
    "embedding_bag": "f(5, 2), idx(5, 6), v([0, 2, 4], 'int64')",
}
