"""What random operators draw: Philox by the elements' indices, and what is made of it."""

import math

import numpy as np


def philox(seed, offset, counters):
    """Philox4x32-10: an array (len(counters), 4) of words. The counter is (counters, offset)."""
    word, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    c0, c1 = counters & low, counters >> word
    c2, c3 = (np.full_like(counters, offset & 0xFFFFFFFF), np.full_like(counters, offset >> 32))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((p1 >> word) ^ c1 ^ np.uint64(k0), p1 & low,
                          (p0 >> word) ^ c3 ^ np.uint64(k1), p0 & low)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


def words(draw, shape, each):
    """`each` words for every element of `shape`, by its row-major index."""
    count = math.prod(shape)
    blocks = np.arange(-(-count * each // 4), dtype=np.uint64)
    found = philox(*draw, blocks).reshape(-1, each)
    return found[:count].reshape(*shape, each)


def _wide(found):
    return found[..., 1] << np.uint64(32) | found[..., 0]


def _is_complex(dtype):
    return dtype.name.startswith("complex")


def random_normal(shape, draw, dtype):
    if _is_complex(dtype):
        parts = _normals([*shape, 2], draw) / math.sqrt(2)
        return parts[..., 0] + 1j * parts[..., 1]
    return _normals(shape, draw)


def _box_muller(a, b):
    radius = np.sqrt(-2 * np.log((a + 1) / 2 ** 32))
    return radius * np.cos(2 * math.pi * b / 2 ** 32), radius * np.sin(2 * math.pi * b / 2 ** 32)


def _normals(shape, draw):
    count = math.prod(shape)
    pairs = words(draw, [-(-count // 2)], 2).astype(np.float64)
    values = np.stack(_box_muller(pairs[:, 0], pairs[:, 1]), axis=-1)
    return values.reshape(-1)[:count].reshape(shape)


def random_unit(shape, draw, bits=32):
    """The first bits of each word, or of each pair of words, in [0, 1)."""
    if bits > 32:
        return (_wide(words(draw, shape, 2)) >> np.uint64(64 - bits)) / 2.0 ** bits
    return (words(draw, shape, 1)[..., 0] >> np.uint64(32 - bits)) / 2.0 ** bits


def random_uniform(low, high, shape, draw, dtype):
    bits = 53 if dtype.name in ("float64", "complex128") else 24
    if _is_complex(dtype):
        unit = low + (high - low) * random_unit([*shape, 2], draw, bits)
        return unit[..., 0] + 1j * unit[..., 1]
    return low + (high - low) * random_unit(shape, draw, bits)


def random_int(shape, low, high, draw):
    values = [low + ((int(bits) * (high - low)) >> 64)
              for bits in _wide(words(draw, shape, 2)).reshape(-1)]
    return np.array(values, np.int64).reshape(shape)


_MANTISSAS = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8}


def random_range(shape, low, high, draw, dtype):
    if high is None:
        last = (1 if dtype.name == "bool" else 2 ** _MANTISSAS[dtype.name]
                if dtype.name in _MANTISSAS else int(np.iinfo(dtype.name).max))
        high = last + 1
    return random_int(shape, low, high, draw)


# --- draws that are an element's own -------------------------------------------------------------

def _own(shape, draw, k=0):
    """The 64-bit draw k of every element."""
    index = np.arange(math.prod(shape), dtype=np.uint64) | np.uint64(k // 2 << 44)
    found = philox(*draw, index)
    return _wide(found[:, k % 2 * 2:]).reshape(shape)


def random_open(shape, draw):
    return (_own(shape, draw) >> np.uint64(11)) / 2.0 ** 53 + 2.0 ** -54


def random_own_normal(shape, draw):
    bits = _own(shape, draw)
    low = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64)
    return _box_muller(low, (bits >> np.uint64(32)).astype(np.float64))[0]


def random_permutation(n, draw):
    order = list(range(n))
    draws = [int(_own((1,), draw, k)[0]) for k in range(n)]
    for k, i in enumerate(range(n - 1, 0, -1)):
        j = draws[k] * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


def _poisson(rate, left):
    count, chance = 0, math.exp(-rate)
    while left > chance > 0:
        left -= chance
        count += 1
        chance *= rate / count
    return count


def random_poisson(rates, draw):
    unit = random_open(rates.shape, draw) - 2.0 ** -54
    return np.array([_poisson(float(r), float(u)) for r, u in
                     zip(rates.reshape(-1), unit.reshape(-1), strict=True)],
                    np.float64).reshape(rates.shape)


def _binomial(trials, p, left):
    """Boost's inversion, of few successes."""
    if trials <= 0 or p <= 0:
        return 0
    if p >= 1:
        return trials
    trials, small = int(trials), min(p, 1 - p)
    slope, chance, count = small / (1 - small), (1 - small) ** int(trials), 0
    while left > chance:
        left -= chance
        count += 1
        following = ((trials + 1) * slope / count - slope) * chance
        if following < np.finfo(np.float64).eps and following < chance:
            break
        chance = following
    return trials - count if p > 0.5 else count


def random_binomial(counts, p, draw):
    unit = _own(counts.shape, draw).astype(np.float64) / 2.0 ** 64
    return np.array([_binomial(*(float(x) for x in each)) for each in
                     zip(counts.reshape(-1), p.reshape(-1), unit.reshape(-1), strict=True)],
                    np.float64).reshape(counts.shape)


def random_multinomial(weights, samples, replacement, draw):
    rows = np.atleast_2d(weights).astype(np.float64)
    each = samples if replacement else rows.shape[1]
    drawn = random_open((len(rows), each), draw)
    if replacement:
        found = [np.searchsorted(np.cumsum(row), (at - 2.0 ** -54) * np.cumsum(row)[-1], "right")
                 for row, at in zip(rows, drawn, strict=True)]
    else:
        found = [np.argsort(-np.log(at) / row, kind="stable")[:samples]
                 for row, at in zip(rows, drawn, strict=True)]
    return np.array(found, np.int64).reshape(*weights.shape[:-1], samples)


HELPERS = {f.__name__: f for f in (
    random_normal, random_unit, random_uniform, random_int, random_range, random_open,
    random_own_normal, random_permutation, random_poisson, random_binomial, random_multinomial)}
EXACT = {"randperm", "random_range", "bernoulli", "bernoulli_into", "bernoulli_like",
         "multinomial", "poisson", "binomial", "binomial_drawn"}
