"""Every Python block of the README that is marked `<!-- test -->` runs as it stands.

`<!-- test: nproc=2 -->` runs it under the launcher on two processes. Files that the README names
must exist.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- test(?:: nproc=(\d+))? -->\s*```python\n(.*?)```", re.DOTALL)
TIMEOUT_S = 120


def blocks() -> list:
    found = []
    for number, match in enumerate(BLOCK.finditer(README), 1):
        nproc = int(match.group(1) or 1)
        found.append(pytest.param(nproc, match.group(2), id=f"block{number}-nproc{nproc}"))
    return found


def test_every_python_block_is_marked():
    assert len(blocks()) == README.count("```python") > 0


@pytest.mark.parametrize(("nproc", "code"), blocks())
def test_block_runs(nproc, code, tmp_path):
    script = tmp_path / "snippet.py"
    script.write_text(code, encoding="utf-8")
    command = [sys.executable, script]
    if nproc > 1:
        command = [sys.executable, "-m", "oneflow_like.distributed.launch",
                   "--nproc-per-node", str(nproc), script]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False,
                         timeout=TIMEOUT_S)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"


def test_scripts_named_in_the_readme_exist():
    path = r"(?:^|[\s`(])((?:\./)?(?:scripts|examples|benchmarks|docs)/[\w./-]*\w)"
    named = set(re.findall(path, README))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


PAGES = ["README.md", "CONTRIBUTING.md",
         *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
