"""Every signature of an operator on real ranks: its sample in those layouts gives the whole result.

Runs as a job, one process a rank; every rank draws the same numbers:

    oneflow-like-run --nproc-per-node 4 -m oneflow_like.testing.layouts 2x2 REPORT [OPERATOR ...]

Rank 0 writes a line to REPORT before each operator and after it, so that whoever started the job
knows which one ended it.
"""

import itertools
import json
import sys
import zlib

import numpy as np

from .. import _C
from . import oracles
from .samples import TOLERANCE, array, call_on, draw, tensors

MOST_LAYOUTS = {1: 16, 2: 8}  # of one sample on a mesh of so many axes; spread over all there are
_SUMMED = {"float32": 8, "float64": 8, "float16": 4, "bfloat16": 4, "complex64": 8, "complex128": 8}


# --- layouts ------------------------------------------------------------------------------------

def symbol(text):
    """The sbp symbol of "B", "S(0)", "P", "P(max)" or "P(min)"."""
    if text.startswith("S"):
        return _C.sbp.split(int(text[2:-1]))
    return {"B": _C.sbp.broadcast, "P": _C.sbp.partial_sum, "P(max)": _C.sbp.partial_max,
            "P(min)": _C.sbp.partial_min}[text]


def _balanced(length, parts, part):
    whole, longer = divmod(length, parts)
    begin = part * whole + min(part, longer)
    return begin, begin + whole + (part < longer)


def _partials(x, text, parts, rng, low, high):
    """Parts that add up to x, or whose maximum or minimum it is.

    What loses lies in the range, or is what an empty part holds: the lowest or the highest value.
    NaN wins over any number.
    """
    if text == "P":
        rest = [rng.integers(-3, 4, x.shape).astype(x.dtype) for _ in range(parts - 1)]
        return [np.asarray(x - sum(rest), x.dtype), *rest]
    owner, step = rng.integers(0, parts, x.shape), rng.integers(0, 3, x.shape)
    beaten = x
    if x.dtype.kind == "f" and np.isnan(x).any():
        beaten = np.where(np.isnan(x), rng.uniform(low, high, x.shape), x).astype(x.dtype)
    if x.dtype == bool:
        loser = x & (step > 0) if text == "P(max)" else x | (step > 0)
    elif text == "P(max)":
        bound = 0 if x.dtype == np.uint8 else np.ceil(low)
        loser = np.maximum(beaten.astype(np.float64) - step, bound).astype(x.dtype)
        loser = np.where(step == 2, _extreme(x.dtype, -1), np.minimum(beaten, loser))
    else:
        loser = np.minimum(beaten.astype(np.float64) + step, high).astype(x.dtype)
        loser = np.where(step == 2, _extreme(x.dtype, 1), np.maximum(beaten, loser))
    return [np.where(owner == p, x, loser) for p in range(parts)]


def _extreme(dtype, sign):
    if dtype.kind == "f":
        return np.asarray(sign * np.inf, dtype)
    return np.asarray(np.iinfo(dtype).max if sign > 0 else np.iinfo(dtype).min, dtype)


def distribute(x, layout, mesh, rng, low=-4, high=4):
    """What each rank of the mesh holds of the array, in the order of ranks."""
    held = [x]
    for text, parts in zip(layout, mesh, strict=True):
        following = []
        for whole in held:
            if text.startswith("P"):
                following += _partials(whole, text, parts, rng, low, high)
            elif text == "B":
                following += [whole] * parts
            else:
                axis = int(text[2:-1])
                ends = [_balanced(whole.shape[axis], parts, p) for p in range(parts)]
                following += [np.take(whole, range(*e), axis) for e in ends]
        held = following
    return held


def _free_layouts(inputs, mesh):
    """For a composite, whose parts have the rules: every operand whole, split, or a sum."""
    choices = []
    for dtype, shape in inputs:
        texts = ["B", *(f"S({axis})" for axis in range(len(shape)))]
        summed = dtype.is_floating_point and not dtype.name.startswith("float8")
        choices.append([[t] * len(mesh) for t in texts + ["P"] * summed])
    return [list(c) for c in itertools.islice(itertools.product(*choices), 400)]


def layouts_of(name, inputs, attrs, mesh):
    """The layouts of the inputs that the operator's rule takes as they are."""
    schema = oracles.SCHEMAS[name]
    if schema["composite"]:
        found = _free_layouts(inputs, mesh)
    else:
        found = [inputs for inputs, _ in _C.op_signatures(name, inputs, attrs, list(mesh))]
    kept = [x for x in {json.dumps(f): f for f in found}.values() if _can_be_asked(inputs, x)]
    count = min(MOST_LAYOUTS[len(mesh)], len(kept))
    return [kept[len(kept) * n // count] for n in range(count)]


def _can_be_asked(inputs, layouts):
    """Whether partials of such dtypes mean something: not sums of bool, nor extremes of complex."""
    for (dtype, _), layout in zip(inputs, layouts, strict=True):
        of_sums, of_extremes = "P" in layout, any(t in ("P(max)", "P(min)") for t in layout)
        small = dtype.name == "bool" or dtype.name.startswith("float8")
        if of_sums and (small or dtype.name == "uint8"):
            return False
        if of_extremes and (dtype.name.startswith("complex") or dtype.name.startswith("float8")):
            return False
        if len({t for t in layout if t.startswith("P")}) > 1:
            return False
    return True


# --- cases --------------------------------------------------------------------------------------

def samples_of(name):
    """Samples that differ in shapes or attributes: dtypes are tried without layouts."""
    seen, kept = set(), []
    for index, sample in enumerate(_C.op_samples(name)):
        attrs = {k: v for k, v in sample["attrs"].items() if not isinstance(v, _C.dtype)}
        key = repr(([tuple(s) for _, s in sample["inputs"]], sorted(attrs.items())))
        if key not in seen:
            seen.add(key)
            kept.append((index, sample))
    return kept


def _whole_numbers(sample, seed):
    """Arrays of whole numbers where the range holds some, so that sums are exact."""
    arrays = draw(sample["inputs"], sample["low"], sample["high"], seed, sample["note"],
                  sample["ranges"])
    if np.ceil(sample["high"]) - np.ceil(sample["low"]) < 2:
        return arrays
    return [np.asarray(np.ceil(a.real), a.dtype) if a.dtype.kind in "fc" else a for a in arrays]


def _global(arrays, sample, layouts, mesh, placement, rank, seed, needs_grad):
    rng, made = np.random.default_rng(seed), []
    for a, (dtype, _), layout in zip(arrays, sample["inputs"], layouts, strict=True):
        part = distribute(a, layout, mesh, rng, sample["low"], sample["high"])[rank]
        x = tensors([np.array(part, order="C")], [dtype])[0]
        x = x.to_global(placement=placement, sbp=[symbol(t) for t in layout])
        if needs_grad and dtype in (_C.float32, _C.float64):
            x = x.detach()
            x.requires_grad = True
        made.append(x)
    return made


def _close(got, want, dtype, what):
    assert got.shape == want.shape and got.dtype == want.dtype, (
        f"{what}: {got.dtype}{got.shape}, expected {want.dtype}{want.shape}")
    scale = max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0))) if want.size else 1.0
    rtol = TOLERANCE.get(dtype, {"rtol": 0})["rtol"] * _SUMMED.get(dtype, 0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale, err_msg=what)


def weights_of(y):
    """Numbers that follow from a tensor's size alone."""
    count = int(np.prod(tuple(y.shape), dtype=int))
    weights = np.round(2 * np.cos(np.arange(count) * 0.7)).reshape(tuple(y.shape))
    return tensors([weights.astype(y.dtype.name)])[0]


def loss_of(outputs, weights=()):
    """Of every floating output, by given weights or by its own."""
    total = None
    for n, y in enumerate(outputs):
        if not y.requires_grad or y.dtype not in (_C.float32, _C.float64):
            continue
        w = weights[n] if weights else weights_of(y)
        if y.is_global and not w.is_global:
            mesh = len(y.placement.hierarchy)
            w = w.to_global(placement=y.placement, sbp=[_C.sbp.broadcast] * mesh)
        part = (y * w).sum()
        total = part if total is None else total + part
    return total


def _grads(inputs, outputs):
    loss = loss_of(outputs)
    if loss is None:
        return []
    loss.backward()
    return [None if x.grad is None else array(x.grad) for x in inputs]


def _with_nan(arrays, seed):
    """The same with one NaN in each array of floating numbers."""
    rng, made = np.random.default_rng(seed), []
    for a in arrays:
        b = np.array(a)
        if b.dtype.kind == "f" and b.size:
            b.flat[rng.integers(b.size)] = np.nan
        made.append(b)
    return made


class Whole:
    """A sample's arrays, and what a local call gives, forward and backward; forward with a NaN."""

    def __init__(self, name, index, sample, nan=False):
        self.name, self.sample = name, sample
        self.seed = zlib.crc32(f"{name} {index}".encode())
        self.arrays = _whole_numbers(sample, self.seed)
        schema = oracles.SCHEMAS[name]
        self.backward = (schema["gradient"] or schema["composite"]) and not nan
        if nan:
            self.arrays = _with_nan(self.arrays, self.seed)
        inputs = tensors(self.arrays, [d for d, _ in sample["inputs"]])
        for x in inputs:
            x.requires_grad = self.backward and x.dtype in (_C.float32, _C.float64)
        self.results = call_on(name, inputs, sample["attrs"])
        try:
            self.grads = _grads(inputs, self.results) if self.backward else []
        except NotImplementedError:  # of some operand it has none
            self.backward, self.grads = False, []

    def check(self, layouts, mesh, placement, rank):
        """The sample in one choice of layouts."""
        given = _global(self.arrays, self.sample, layouts, mesh, placement, rank, self.seed,
                        self.backward)
        values, grads = self._call(given)
        assert len(values) == len(self.results), (len(values), len(self.results))
        # Compared at the end: a rank that stopped at a difference would leave the others waiting.
        for n, (g, w) in enumerate(zip(values, self.results, strict=True)):
            _close(g, array(w.detach()), w.dtype.name, f"result {n}")
        for n, (g, w) in enumerate(zip(grads, self.grads, strict=True)):
            assert (g is None) == (w is None), f"gradient {n}"
            if w is not None:
                _close(g, w, self.sample["inputs"][n][0].name, f"gradient {n}")

    def _call(self, given):
        """The results and the gradients of a call, as arrays."""
        got = call_on(self.name, given, self.sample["attrs"])
        values = [array(g.detach()) for g in got]
        return values, _grads(given, got) if self.backward else []


def _has_extremes(inputs, layouts):
    """Whether floating numbers are a maximum or minimum of parts, among which NaN wins."""
    return any(dtype.is_floating_point and not {"P(max)", "P(min)"}.isdisjoint(layout)
               for (dtype, _), layout in zip(inputs, layouts, strict=True))


def run(name, mesh, placement, rank, kind=Whole):
    """(cases tried, what failed, whether the ranks are in step) of one operator."""
    tried, failed = 0, []
    for index, sample in samples_of(name):
        whole = kind(name, index, sample)
        for layouts in layouts_of(name, sample["inputs"], sample["attrs"], mesh):
            tried += 1
            try:
                whole.check(layouts, mesh, placement, rank)
                if kind is Whole and _has_extremes(sample["inputs"], layouts):
                    tried += 1
                    Whole(name, index, sample, nan=True).check(layouts, mesh, placement, rank)
            except Exception as error:
                text = " ".join(f"{type(error).__name__}: {error}".split())
                shapes = [f"{d.name}{list(s)}" for d, s in sample["inputs"]]
                where = f"sample {index} {shapes} {sample['attrs']} in {layouts}"
                failed.append(f"{where}: {text}"[:700])
                if "[exchange]" in text:
                    return tried, failed, False
    return tried, failed, True


def main(argv, kind=Whole):
    """Tries operators and writes the report; each sample as a `kind` of Whole."""
    mesh = [int(n) for n in argv[0].split("x")]
    rank = _C.rank()
    ranks = np.arange(int(np.prod(mesh))).reshape(mesh).tolist()
    placement = _C.placement("cpu", ranks=ranks)
    report = open(argv[1], "a", encoding="utf-8") if rank == 0 else None

    def tell(**entry):
        if report:
            print(json.dumps(entry), file=report, flush=True)

    for name in argv[2:] or sorted(_C.op_names()):
        tell(started=name)
        tried, failed, in_step = run(name, mesh, placement, rank, kind)
        tell(name=name, tried=tried, failed=failed)
        if not in_step:
            sys.exit(1)  # the next job goes on with the next operator


if __name__ == "__main__":
    main(sys.argv[1:])
