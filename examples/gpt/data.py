"""Text that every machine has: the Python standard library's own sources, as bytes."""

import pathlib
import sysconfig

import numpy as np

_SKIPPED = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test",
            "lib2to3", "pydoc_data", "encodings"}


def source_files(folder=None):
    """The library's .py files, sorted; its tests, tables and installed packages left out."""
    folder = pathlib.Path(folder or sysconfig.get_paths()["stdlib"])
    files = [path for path in folder.rglob("*.py")
             if not _SKIPPED.intersection(path.relative_to(folder).parts)]
    if not files:
        raise SystemExit(f"no .py files below {folder}: give a folder of text with --data")
    return sorted(files)


def load(folder=None, seed=1, held_out=0.1):
    """(train, held_out) as uint8 arrays. Whole files go to one side or the other."""
    files = source_files(folder)
    order = np.random.RandomState(seed).permutation(len(files))
    count = max(1, int(len(files) * held_out))
    sides = []
    for chosen in (order[count:], order[:count]):
        text = b"\n".join(files[i].read_bytes() for i in chosen)
        sides.append(np.frombuffer(text, dtype=np.uint8))
    return tuple(sides)


def bigram_entropy(train, held_out):
    """Nats per byte of held_out under train's bigram counts, each plus one."""
    counts = np.ones((256, 256))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    log_p = np.log(counts) - np.log(counts.sum(axis=1, keepdims=True))
    return -float(log_p[held_out[:-1], held_out[1:]].mean())


class Batches:
    """Random windows of a text: batch i is a function of the seed and i alone."""

    def __init__(self, text, batch, context, seed):
        if len(text) <= context + 1:
            raise SystemExit(f"the text has {len(text)} bytes; expected more than {context + 1}")
        self._text = text
        self._batch = batch
        self._context = context
        self._seed = seed

    def __getitem__(self, index):
        random = np.random.RandomState((self._seed, index))
        starts = random.randint(0, len(self._text) - self._context - 1, self._batch)
        windows = np.stack([self._text[s:s + self._context + 1] for s in starts])
        return windows[:, :-1].astype(np.int64), windows[:, 1:].astype(np.int64)

