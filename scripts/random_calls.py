"""Calls public functions with random and hostile arguments, and sees that no process ends or hangs.

    python scripts/random_calls.py --calls 100000 [--seed 0] [--processes 2] [--only add,cat]

Arguments are tensors of every dtype and shape, numbers at the ends of their ranges, NaN, None,
text, bytes, objects that lie about themselves. Every call may give a value or raise; what must not
happen is a signal, an exit, a call that takes longer than --limit, or a report of a sanitizer.
With --processes 2 tensors are global, and the ranks make the same calls.

A worker notes each call in a file before it makes it, so the call that ended it is known; the next
worker goes on after it. Exit code 1 if there was one.
"""

import argparse
import collections
import faulthandler
import inspect
import mmap
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from operator import attrgetter

NOTE_BYTES = 4096
# Names that end, wait, or write files by what they are.
LEFT_OUT = {"save", "load", "compile_world", "fork_rng", "set_num_threads", "manual_seed", "seed",
            "set_rng_state", "set_default_dtype", "set_printoptions", "register_hook", "backward",
            "set_grad_enabled", "is_grad_enabled", "from_numpy", "share_memory_"}
_BIG = (2**31 - 1, 2**31, -2**31, 2**62, 2**63 - 1, -2**63, 2**63, 2**64, 2**100, -2**100)


class Liar:
    """Says that it is a number, a sequence, an array, and raises when it is taken for one."""

    def __index__(self):
        raise ValueError("no index")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise LookupError("nothing here")

    def __float__(self):
        return float("nan")


class Changing:
    """An index that changes the list in which it stands."""

    def __init__(self):
        self.home = []

    def __index__(self):
        self.home.clear()
        return 1


class Pool:
    """Where arguments come from."""

    def __init__(self, flow, draw, spread):
        self.flow, self.draw = flow, draw
        self.dtypes = [flow.float32, flow.float64, flow.bfloat16, flow.float16, flow.int64,
                       flow.int32, flow.int16, flow.int8, flow.uint8, flow.bool, flow.complex64,
                       flow.complex128]
        self.spread = spread
        self.kept = collections.deque(maxlen=24)

    def layout(self, shape):
        flow, draw = self.flow, self.draw
        choices = [flow.sbp.broadcast, flow.sbp.partial_sum]
        choices += [flow.sbp.split(axis) for axis in range(len(shape))]
        return {"placement": flow.placement.all("cpu"), "sbp": draw.choice(choices)}

    def begin(self):
        """One call's tensors are alike more often than not."""
        draw = self.draw
        self.shape = draw.choice([(), (1,), (3,), (0,), (2, 3), (3, 3), (0, 4), (1, 5), (2, 3, 4),
                                  (2, 2, 3, 3), (1, 2, 4, 4), (2, 1, 3, 1, 2), (7,)])
        self.dtype = draw.choice(self.dtypes[:2] * 4 + self.dtypes)

    def tensor(self, dtype=None):
        flow, draw = self.flow, self.draw
        if self.kept and draw.random() < 0.15:
            return draw.choice(self.kept)
        if draw.random() < 0.3:
            self.begin()
        shape, dtype = self.shape, dtype or self.dtype
        where = self.layout(shape) if self.spread else {}
        if where and where["sbp"] == flow.sbp.partial_sum and dtype == flow.bool:
            where["sbp"] = flow.sbp.broadcast
        x = flow.full(shape, draw.choice([0, 1, 1, 2, 100]), dtype=dtype, **where)
        if dtype.is_floating_point:
            if draw.random() < 0.4:
                x = x * draw.choice([0.5, -1.0, float("nan"), float("inf"), 1e30])
            if draw.random() < 0.25:
                x.requires_grad_()
        if len(shape) > 1 and draw.random() < 0.2:
            x = x.transpose(0, 1)
        return x

    def number(self):
        draw = self.draw
        return draw.choice([
            lambda: draw.randint(-3, 5), lambda: draw.choice(_BIG), lambda: draw.random(),
            lambda: draw.choice([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e308,
                                 5e-324]),
            lambda: draw.choice([True, False]), lambda: complex(draw.random(), draw.choice([0, 1])),
        ])()

    def sequence(self, depth=0):
        draw = self.draw
        size = draw.choice([0, 1, 1, 2, 2, 3, 4, 9, 70])
        make = draw.choice([lambda: draw.randint(-2, 4), self.number, self.tensor,
                            lambda: self.anything(depth + 1)])
        items = [make() for _ in range(size)]
        return tuple(items) if draw.random() < 0.5 else items

    def odd(self):
        import numpy
        draw = self.draw
        changing = Changing()
        changing.home = [changing, 2, 3]
        return draw.choice([
            None, "", "mean", "sum", "none", "reflect", "cpu", "cuda:0", "\udcff", "x" * 10000,
            b"\x00", object(), Liar(), changing.home, lambda *a: 1, len, Ellipsis,
            slice(None), slice(5, -7, 2), slice(0, 1, 0), slice(Liar(), None), {}, {"dim": 0},
            {1, 2}, range(3), range(2**62), iter([1, 2]), numpy.float32(2), numpy.int64(-1),
            numpy.arange(3), numpy.zeros((2, 3))[:, ::-1], numpy.array(["a"]), type, 1 << 4000,
            self.flow, self.flow.Size((2, 3)), draw.choice(self.dtypes),
        ])

    def anything(self, depth=0):
        draw = self.draw
        kinds = [self.number, self.odd, self.tensor]
        if depth < 2:
            kinds.append(lambda: self.sequence(depth))
        return draw.choice(kinds)()

    def hostile(self):
        return self.draw.choice([self.tensor, self.number, self.sequence, self.odd])()

    def argument(self, parameter):
        """What the parameter looks as if it would take, or now and then anything."""
        draw, default = self.draw, parameter.default
        if draw.random() < 0.1:
            return self.hostile()
        name = parameter.name
        if isinstance(default, bool):
            return draw.random() < 0.5
        if isinstance(default, int) or name in INTEGERS:
            return draw.choice([0, 1, 2, -1, 3, -2])
        if isinstance(default, float):
            return draw.choice([0.0, 0.5, 1.0, 2.0, -1.0, 1e-5])
        if isinstance(default, str):
            return draw.choice([default, "sum", "none", "constant", "nearest"])
        if "dtype" in name:
            return draw.choice(self.dtypes)
        if name in INDICES:
            return self.tensor(draw.choice([self.flow.int64, self.flow.int64, self.flow.int32]))
        if name in SIZES:
            return [draw.choice([0, 1, 2, 3, -1]) for _ in range(draw.randint(0, 4))]
        if name in ("mask", "condition", "attn_mask"):
            return self.tensor(self.flow.bool)
        if name in ("tensors", "matrices", "inputs", "operands"):
            return [self.tensor() for _ in range(draw.randint(0, 3))]
        return self.tensor() if draw.random() < 0.9 else self.number()


def functions(flow, only):
    """[(name, function)]: methods take their tensor as the first argument."""
    from oneflow_like import nn
    spaces = [("flow", flow), ("Tensor", flow.Tensor), ("F", nn.functional)]
    for name in ("linalg", "special", "fft", "autograd", "autograd.functional", "random",
                 "utils.checkpoint", "nn.init", "nn.utils"):
        spaces.append((name, attrgetter(name)(flow)))
    found = []
    for space, owner in spaces:
        for name in sorted(dir(owner)):
            value = getattr(owner, name, None)
            operator = space == "Tensor" and name.startswith("__") and name.endswith("__") and (
                name[2:-2] in OPERATORS)
            public = not name.startswith("_") and name not in LEFT_OUT
            if not (public or operator) or not callable(value) or isinstance(value, type):
                continue
            if only and name not in only:
                continue
            found.append((f"{space}.{name}", value))
    return found


OPERATORS = set("""add sub mul truediv floordiv mod pow matmul and or xor lshift rshift neg pos
    abs invert eq ne lt le gt ge radd rsub rmul rtruediv rpow iadd isub imul getitem setitem len
    bool int float complex index contains iter format repr str hash array""".split())
INTEGERS = set("""dim dim0 dim1 k n m p chunks sections groups steps start end step num_classes
    diagonal offset axis num_embeddings upscale_factor kernel_size stride padding
    dilation""".split())
INDICES = {"index", "indices", "target", "labels", "offsets", "boundaries"}
SIZES = {"size", "shape", "dims", "repeats", "pad", "shifts", "normalized_shape", "output_size",
         "sizes", "split_size_or_sections", "tile_dims", "s"}


def parameters_of(function, cache={}):  # noqa: B006  (a cache of this module)
    """Of the first signature; some functions show none and take anything."""
    key = id(function)
    if key not in cache:
        try:
            cache[key] = [p for p in inspect.signature(function).parameters.values()
                          if p.kind is not p.VAR_KEYWORD]
        except (TypeError, ValueError):
            cache[key] = None
    return cache[key]


def arguments_for(pool, function):
    """Positional ones and keywords, as the signature has them, or too many, or too few."""
    draw, parameters = pool.draw, parameters_of(function)
    if parameters is None:
        count = draw.choice([1, 1, 2, 2, 3, 4])
        return [pool.tensor() if place == 0 else pool.hostile() for place in range(count)], {}
    positional, keywords, gap = [], {}, False
    for parameter in parameters:
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += [pool.hostile() for _ in range(draw.choice([0, 1, 2]))]
        elif required and draw.random() < 0.97 or draw.random() < 0.3:
            if parameter.kind is parameter.KEYWORD_ONLY or gap or draw.random() < 0.1:
                gap = True
                keywords[parameter.name] = pool.argument(parameter)
            else:
                positional.append(pool.argument(parameter))
        else:
            gap = True  # what follows goes by name
    if draw.random() < 0.02:
        positional.append(pool.hostile())
    if draw.random() < 0.02:
        keywords["no_such"] = 1
    return positional, keywords


def described(value):
    text = type(value).__name__
    if text == "Tensor":
        try:
            return f"Tensor({value.dtype}, {tuple(value.shape)})"
        except Exception:  # noqa: BLE001  (a description must not fail)
            return text
    if isinstance(value, (list, tuple)):
        return f"{text}[{', '.join(described(v) for v in value[:6])}]"
    try:
        return repr(value)[:60]
    except Exception:  # noqa: BLE001
        return text


def call_once(pool, chosen, note):
    draw = pool.draw
    name, function = chosen
    pool.begin()
    arguments, keywords = arguments_for(pool, function)
    note(f"{name}({', '.join([described(a) for a in arguments])}; "
         f"{ {key: described(value) for key, value in keywords.items()} })")
    result = function(*arguments, **keywords)
    tensors = [y for y in (result if isinstance(result, (tuple, list)) else [result])
               if isinstance(y, pool.flow.Tensor)]
    for y in tensors[:2]:
        if y.numel() < 1000:
            pool.kept.append(y.detach() if draw.random() < 0.7 else y)
    if tensors and draw.random() < 0.3 and tensors[0].requires_grad and tensors[0].numel() < 1000:
        note(f"backward of {name}({', '.join(described(a) for a in arguments)})")
        tensors[0].sum().backward()
    if tensors and draw.random() < 0.1 and tensors[0].numel() < 1000:
        repr(tensors[0]), tensors[0].tolist()


def work(args):
    """Calls number args.first to args.calls; the file says which is under way."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.set_int_max_str_digits(0)
    import oneflow_like as flow
    rank = int(os.environ.get("RANK", 0))
    with open(f"{args.note}.{rank}", "r+b") as file:
        memory = mmap.mmap(file.fileno(), NOTE_BYTES)
    soft = args.memory << 20
    if soft:
        resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    chosen = functions(flow, set(args.only.split(",")) if args.only else None)
    kinds = collections.Counter()

    for number in range(args.first, args.calls):
        draw = random.Random(args.seed * 1_000_003 + number)
        if (number - args.first) % 500 == 0:
            pool = Pool(flow, draw, "WORLD_SIZE" in os.environ and args.processes > 1)
        pool.draw = draw

        def note(text, number=number):
            data = f"{number}\n{text}\n".encode("utf-8", "backslashreplace")[:NOTE_BYTES - 1]
            memory[:len(data) + 1] = data + b"\0"
        try:
            call_once(pool, draw.choice(chosen), note)
            kinds["values"] += 1
        except (MemoryError, Exception) as error:  # noqa: BLE001  (any exception is an answer)
            kinds[type(error).__name__] += 1
    data = f"{args.calls}\ndone {dict(kinds.most_common(8))}\n".encode()
    memory[:len(data) + 1] = data + b"\0"
    sys.stdout.flush()
    os._exit(0)  # what hostile calls have left behind is not to be torn down


def read_note(path):
    text = pathlib.Path(path).read_bytes().split(b"\0", 1)[0].decode("utf-8", "replace")
    number, _, what = text.partition("\n")
    return int(number or -1), what.strip()


def launch(args, first, note):
    command = [sys.executable]
    if args.processes > 1:
        home = pathlib.Path(__file__).resolve().parents[1] / "python" / "oneflow_like"
        command += [str(home / "distributed" / "launch.py"), "--nproc-per-node",
                    str(args.processes)]
    command += [__file__, "--worker", "--first", str(first), "--note", note]
    for name in ("calls", "seed", "processes", "memory"):
        command += [f"--{name}", str(getattr(args, name))]
    if args.only:
        command += ["--only", args.only]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True, text=True, errors="replace")


def watch(process, notes, limit):
    """Waits for the end. False: no call began within the limit."""
    last, since = None, time.monotonic()
    while process.poll() is None:
        now = [read_note(path) for path in notes]
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > limit:
            os.killpg(process.pid, signal.SIGABRT)  # each worker says where it is
            time.sleep(2)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
        time.sleep(0.2)
    return True


def run(args):
    """[(what happened, number, call)] of all that should not have happened."""
    found = []
    with tempfile.TemporaryDirectory(prefix="random_calls_") as folder:
        note = os.path.join(folder, "note")
        notes = [f"{note}.{rank}" for rank in range(args.processes)]
        first = args.first
        while first < args.calls and len(found) < args.most:
            for path in notes:
                pathlib.Path(path).write_bytes(b"\0" * NOTE_BYTES)
            with open(os.path.join(folder, "output"), "w+") as output:
                process = launch(args, first, note)
                reader = threading.Thread(
                    target=lambda p=process, o=output: o.write(p.stdout.read()))
                reader.start()
                ended = watch(process, notes, args.limit)
                reader.join(10)
                output.seek(0)
                text = output.read()
            states = [read_note(path) for path in notes]
            if ended and process.returncode == 0 and all(n == args.calls for n, _ in states):
                print(f"{args.calls} calls; rank 0: {states[0][1]}")
                return found
            number, what = max(states)
            how = f"exit code {process.returncode}" if ended else f"no end within {args.limit} s"
            found.append((how, number, what))
            print(f"{how} in call {number}: {what}\n{text[-12000:]}", flush=True)
            if args.processes > 1:
                print("\n".join(f"rank {rank} was in call {at}: {call}"
                                for rank, (at, call) in enumerate(states)), flush=True)
            first = max(number, first) + 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", help="names of functions, separated by commas")
    parser.add_argument("--limit", type=float, default=60, help="seconds that a call may take")
    parser.add_argument("--memory", type=int, default=6000,
                        help="MiB of address space a process may have; 0: any (sanitizers)")
    parser.add_argument("--most", type=int, default=20, help="stop after so many findings")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--note", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
    found = run(args)
    print(f"{len(found)} of {args.calls} calls ended or held a process (seed {args.seed}, "
          f"{args.processes} processes)")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
