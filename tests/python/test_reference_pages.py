"""Every public function has an entry in the reference, with an example that has just run."""

import pathlib
import re
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reference_pages.py"


def test_every_entry_has_an_example_that_ran(tmp_path):
    result = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True,
                            text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    entries, shown = map(int, re.search(r"(\d+) entries, (\d+) with", result.stdout).groups())
    assert entries == shown > 900
    page = (tmp_path / "flow.md").read_text()
    entry = page.split("### cumsum\n")[1].split("\n### ")[0]
    for part in ("cumsum(input, dim, *, dtype=None, out=None)", "Dtypes of input: float32",
                 "Layouts on two ranks, of (5, 3): B -> B; S(1) -> S(1); P -> P.",
                 "Gradient: yes", "IndexError", ">>> flow.cumsum(flow.tensor("):
        assert part in entry, (part, entry)
