"""Importing from the source tree, where a folder of C++ sources bears the package's name."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    """A source tree's root with the stand-in, and another folder for an installed package."""
    (tmp_path / "root" / "oneflow_like").mkdir(parents=True)
    shutil.copy(ROOT / "oneflow_like" / "__init__.py", tmp_path / "root" / "oneflow_like")
    (tmp_path / "site" / "oneflow_like" / "nn").mkdir(parents=True)
    return tmp_path


def run(tree, code, *path):
    program = f"import sys; sys.path[:] = {[str(p) for p in path]} + [p for p in sys.path if " \
              f"'-packages' not in p]; {code}"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([sys.executable, "-S", "-c", program], cwd=tree / "root", env=env,
                          capture_output=True, text=True, timeout=60)


def test_without_an_install_the_error_says_what_to_do(tree):
    result = run(tree, "import oneflow_like", "")
    assert result.returncode != 0
    assert "ImportError: oneflow_like is not installed" in result.stderr
    assert "./scripts/quickstart" in result.stderr and "pip install ." in result.stderr


def test_an_installed_package_is_found_behind_the_sources(tree):
    site = tree / "site" / "oneflow_like"
    (site / "__init__.py").write_text("from . import nn\nword = 'installed'\n")
    (site / "nn" / "__init__.py").write_text("import oneflow_like\n")
    code = ("import oneflow_like, oneflow_like.nn as nn; "
            "print(oneflow_like.word, oneflow_like.__file__, nn.oneflow_like is oneflow_like)")
    result = run(tree, code, "", tree / "site")
    assert result.stdout.split() == ["installed", str(site / "__init__.py"), "True"], result.stderr


def test_package_without_its_extension_says_what_to_do(tree):
    site = tree / "site" / "oneflow_like"
    shutil.copy(ROOT / "python" / "oneflow_like" / "__init__.py", site)
    shutil.copy(ROOT / "python" / "oneflow_like" / "_cpu.py", site)
    result = run(tree, "import oneflow_like", tree / "site")
    assert "ImportError: oneflow_like is not built here" in result.stderr
    assert "./scripts/quickstart" in result.stderr


def test_variables_that_nobody_reads_are_told_at_the_start():
    import oneflow_like._lifecycle as lifecycle
    table = (ROOT / "docs" / "architecture.md").read_text()
    assert set(re.findall(r"^\| `(OFL_\w+)`", table, re.M)) < lifecycle.VARIABLES
    read = {name for folder in ("oneflow_like", "device", "actor", "compiler", "transport")
            for path in (ROOT / folder).rglob("*.cc")
            for name in re.findall(r'(?:getenv|IntOf)\("(OFL_\w+)"', path.read_text())}
    assert read and read < lifecycle.VARIABLES
    env = {**os.environ, "OFL_CHECKSUMS": "1", "OFL_DUMP": ""}
    done = subprocess.run([sys.executable, "-c", "import oneflow_like"], env=env, check=True,
                          capture_output=True, text=True)
    assert done.stderr.count("has no effect") == 1
    assert "OFL_CHECKSUMS has no effect" in done.stderr
    assert "did you mean OFL_CHECKSUM?" in done.stderr
    env["LOCAL_RANK"] = "1"
    done = subprocess.run([sys.executable, "-c", "import oneflow_like"], env=env, check=False,
                          capture_output=True, text=True)
    assert "has no effect" not in done.stderr
