"""What torch_parity explains stands in docs/from_pytorch.md; needs no PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARITY = ROOT / "scripts" / "parity"


def run(text):
    result = subprocess.run([sys.executable, "-c", text], cwd=PARITY, capture_output=True,
                            text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_page_says_what_the_data_says():
    run("import document as d; t = d.PAGE.read_text(encoding='utf-8'); "
        "assert d.render(t) == t, 'run scripts/torch_parity --write-docs'")


def test_every_explained_difference_has_a_reason():
    run("import explained as e; assert {x[3] for x in e.EXPLAINED} <= set(e.REASONS)")


@pytest.mark.parametrize("want, got, how, words", [
    ("[1., 2.]", "[1., 2.]", "values", ""),
    ("[1., 2.]", "[1., 2.1]", "values", "1 of 2 values"),
    ("[1., 2.]", "[1., 2.1]", "shapes", ""),
    ("[1., 2.]", "[[1., 2.]]", "shapes", "shape"),
    ("[1., float('nan')]", "[1., 2.]", "values", "1 of 2 values"),
    ("[1., 2.] * 500", "[2., 1.] * 500", "moments", ""),
    ("[1., 2.] * 500", "[1., 3.] * 500", "moments", "mean"),
])
def test_differences_are_seen(want, got, how, words):
    out = run("import numpy as np; from math import nan; from outcome import Array, difference; "
              "a = lambda x: Array('float32', np.array(x, np.float32), False); "
              f"print(difference(a({want}), a({got}), {how!r}))")
    assert words in out and bool(words) == bool(out.strip())


def test_a_case_that_crashes_or_hangs_costs_itself_alone():
    out = run("""
import os, time
from pool import outcomes

def compare(case):
    if case == "crash":
        os.abort()
    while case == "hang":
        time.sleep(9)
    if case == "fault":
        raise KeyError(case)
    return case, "", "", ""

for status, text, *_ in outcomes(["a", "crash", "b", "hang", "fault", "c"], compare, timeout=0.5):
    print(status, text.split(" ")[0])
""")
    assert [x.strip() for x in out.splitlines()] == [
        "a", "open CRASH:", "b", "open HANG:", "open the", "c"]


def test_every_sample_can_be_read():
    out = run("""
import ast
import samples

count = 0
for family, module in samples.modules().items():
    for text in module.CASES.values():
        for line in filter(None, (x.strip() for x in text.splitlines())):
            how, form, call, words = samples._line(line)
            mode = "exec" if form == "statements" else "eval"
            ast.parse(f"A({call})" if form == "call" else call, mode=mode)
            assert words <= {"nograd", "float", "function"}, line
            count += 1
print(count)
""")
    assert int(out) > 2500
