"""Random and hostile calls end in a value or an exception, on one rank and on two."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "random_calls.py"


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True,
                          timeout=300, check=False)


@pytest.mark.parametrize("processes", [1, 2])
def test_no_call_ends_or_holds_a_process(processes):
    result = run("--calls", "1500", "--seed", "7", "--processes", str(processes))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "'values'" in result.stdout  # some were good calls


def test_a_call_that_ends_the_process_is_found_and_the_next_ones_are_made(tmp_path):
    """os.abort in the place of flow.exp2, by a copy of the script."""
    script = tmp_path / "random_calls.py"
    script.write_text(SCRIPT.read_text().replace(
        "    chosen = functions(flow,",
        "    flow.exp2 = lambda input: os.abort()\n    chosen = functions(flow,"))
    result = subprocess.run([sys.executable, str(script), "--calls", "40", "--only", "exp2,neg",
                             "--most", "3"],
                            capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout.count("exit code -6 in call") == 3, result.stdout
    assert "flow.exp2(" in result.stdout
