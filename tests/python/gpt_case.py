"""The small GPT of the trace tests: its sizes, weights and batches, equal for every framework.

Weights and text come from NumPy's RandomState, whose streams are frozen.
"""

import zlib

import numpy as np

LAYERS, WIDTH, HEADS, CONTEXT, VOCABULARY = 2, 64, 4, 32, 256
BATCH, STEPS = 8, 100
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}

_WORDS = (b"the of and to in that it was he for on are as with his they at be this from have or "
          b"by one had not but what all were when we there can an your which their said").split()


def parameter_shapes():
    """Name → shape, in the order of the model's state_dict."""
    shapes = {"embeddings.token.weight": (VOCABULARY, WIDTH),
              "embeddings.position.weight": (CONTEXT, WIDTH)}
    for layer in range(LAYERS):
        block = f"blocks.{layer}."
        linears = {"attention.query": (WIDTH, WIDTH), "attention.key": (WIDTH, WIDTH),
                   "attention.value": (WIDTH, WIDTH), "attention.proj": (WIDTH, WIDTH),
                   "up": (4 * WIDTH, WIDTH), "down": (WIDTH, 4 * WIDTH)}
        for norm in ("norm1", "norm2"):
            shapes[block + norm + ".weight"] = shapes[block + norm + ".bias"] = (WIDTH,)
        for name, shape in linears.items():
            shapes[block + name + ".weight"] = shape
            shapes[block + name + ".bias"] = shape[:1]
    shapes["head.norm.weight"] = shapes["head.norm.bias"] = (WIDTH,)
    shapes["head.logits.weight"] = (VOCABULARY, WIDTH)
    return shapes


def weights():
    """Name → float32 array; each parameter's values depend on its name alone."""
    arrays = {}
    for name, shape in parameter_shapes().items():
        random = np.random.RandomState(zlib.crc32(name.encode()))
        value = 0.05 * random.standard_normal(shape)
        if "norm" in name and name.endswith("weight"):
            value += 1.0
        arrays[name] = value.astype(np.float32)
    return arrays


def batches(steps=STEPS):
    """Yields (tokens, targets) as int64 arrays of (BATCH, CONTEXT)."""
    random = np.random.RandomState(7)
    text = b" ".join(_WORDS[i] for i in random.randint(0, len(_WORDS), 8000))
    values = np.frombuffer(text, dtype=np.uint8).astype(np.int64)
    for _ in range(steps):
        starts = random.randint(0, len(values) - CONTEXT - 1, BATCH)
        windows = np.stack([values[start:start + CONTEXT + 1] for start in starts])
        yield windows[:, :-1].copy(), windows[:, 1:].copy()
