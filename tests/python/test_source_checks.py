"""The source checkers refuse what they are there to refuse, and accept the tree as it is."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(root: Path, name: str, text: str = "#pragma once\n") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    for header in ("oneflow_like/base/status.h", "oneflow_like/core/shape.h", "sbp/sbp.h",
                   "device/device.h", "compiler/compiler.h", "actor/actor.h",
                   "actor/core/core.h", "actor/drivers/instance.h",
                   "oneflow_like/ops/nn/row_math.h", "oneflow_like/op/def/op_def.h",
                   "oneflow_like/op/kernel/kernel.h",
                   "sbp/table_internal.h", "transport/transport.h"):
        write(tmp_path, header)
    return tmp_path


def test_the_tree_keeps_to_the_table():
    assert load("check_includes").check_tree(ROOT) == []


@pytest.mark.parametrize(("source", "include"), [
    ("sbp/a.cc", '"oneflow_like/core/shape.h"'),
    ("sbp/a.cc", '"sbp/table_internal.h"'),
    ("sbp/a.cc", "<vector>"),
    ("actor/drivers/a.cc", '"device/device.h"'),
    ("actor/drivers/a.cc", '"actor/core/core.h"'),
    ("oneflow_like/ops/a.cc", '"oneflow_like/op/kernel/kernel.h"'),
    ("transport/tcp/a.cc", "<boost/asio.hpp>"),
    ("tests/unit/ops/a.cc", "<gtest/gtest.h>"),
])
def test_allowed(tree, source, include):
    write(tree, source, f"#include {include}\n")
    assert load("check_includes").check_tree(tree) == []


def test_what_a_folder_reaches_by_way_of_others_counts(tree):
    write(tree, "oneflow_like/op/def/op_def.h", '#include "oneflow_like/core/shape.h"\n')
    write(tree, "compiler/a.cc", '#include "oneflow_like/op/def/op_def.h"\n')
    assert load("check_includes").check_tree(tree) == []
    write(tree, "oneflow_like/core/shape.h", '#include "device/device.h"\n')
    problems = load("check_includes").check_reach(tree)
    assert any(p.startswith("compiler/a.cc: reaches device/device.h: device/device.h <- "
                            "oneflow_like/core/shape.h <- oneflow_like/op/def/op_def.h; ")
               for p in problems)


@pytest.mark.parametrize(("source", "include"), [
    ("actor/a.cc", '"compiler/compiler.h"'),
    ("actor/a.cc", '"sbp/sbp.h"'),
    ("actor/a.cc", '"oneflow_like/op/def/op_def.h"'),
    ("actor/core/a.cc", '"actor/drivers/instance.h"'),
    ("actor/core/a.cc", '"device/device.h"'),
    ("compiler/a.cc", '"device/device.h"'),
    ("compiler/a.cc", '"transport/transport.h"'),
    ("compiler/a.cc", '"oneflow_like/op/kernel/kernel.h"'),
    ("oneflow_like/op/def/a.cc", '"oneflow_like/op/kernel/kernel.h"'),
    ("transport/a.cc", '"sbp/sbp.h"'),
    ("oneflow_like/base/a.cc", '"oneflow_like/core/shape.h"'),
    ("oneflow_like/tensor/a.cc", '"oneflow_like/ops/nn/row_math.h"'),
    ("compiler/a.cc", '"sbp/table_internal.h"'),
    ("sbp/a.cc", '"sbp/missing.h"'),
    ("sbp/a.cc", '"sbp.h"'),
    ("transport/protocol.cc", "<boost/asio/ip/tcp.hpp>"),
    ("actor/a.cc", "<google/protobuf/message.h>"),
    ("sbp/a.cc", "<glog/logging.h>"),
    ("device/cpu/a.cc", "<cuda_runtime.h>"),
    ("sbp/a.h", "<gtest/gtest.h>"),
])
def test_refused(tree, source, include):
    write(tree, source, f"// text\n#include {include}\n")
    problems = load("check_includes").check_tree(tree)
    assert len(problems) == 1
    assert problems[0].startswith(f"{source}:2: ")


def test_include_checker_exits_with_one_on_a_violation(tree):
    write(tree, "sbp/a.cc", '#include "device/device.h"\n')
    run = subprocess.run([sys.executable, ROOT / "scripts" / "check_includes.py", tree],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "sbp may include: oneflow_like/base, oneflow_like/core" in run.stdout


def test_headers_are_compiled_alone(tree, monkeypatch):
    checker = load("check_headers")
    monkeypatch.setattr(checker, "ROOT", tree)
    write(tree, "sbp/sbp.h", "#pragma once\ninline std::size_t Two() { return 2; }\n")
    build = tree / "build"
    build.mkdir()
    command = {"command": f"/usr/bin/c++ -I{tree} -O2 -c a.cc", "file": "a.cc", "directory": "."}
    (build / "compile_commands.json").write_text(json.dumps([command]), encoding="utf-8")
    compiler, flags = checker.compile_flags(build)
    assert compiler == "/usr/bin/c++" and f"-I{tree}" in flags
    found = checker.compile_header(Path("sbp/sbp.h"), build, [compiler, *flags])
    assert "sbp/sbp.h: does not compile alone" in found
    write(tree, "sbp/sbp.h", "#pragma once\n#include <cstddef>\n"
          "inline std::size_t Two() { return 2; }\n")
    assert checker.compile_header(Path("sbp/sbp.h"), build, [compiler, *flags]) == ""


def test_source_hash_sees_every_change(tree):
    hasher = load("source_hash")
    before = hasher.source_hash(tree)
    write(tree, "sbp/sbp.h", "#pragma once\n// changed\n")
    changed = hasher.source_hash(tree)
    write(tree, "sbp/new.cc", "")
    assert len({before, changed, hasher.source_hash(tree)}) == 3
    write(tree, "tests/unit/a.cc", "")
    write(tree, "docs/a.md", "")
    (tree / "sbp" / "new.cc").unlink()
    assert hasher.source_hash(tree) == changed


@pytest.mark.parametrize("script", ["quickstart", "build", "test"])
def test_a_script_that_is_asked_for_help_does_nothing_else(script):
    path = ROOT / "scripts" / script
    result = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stderr == ""
    first = path.read_text(encoding="utf-8").splitlines()[1]
    assert first == "# " + result.stdout.splitlines()[0] and "==" not in result.stdout


@pytest.mark.parametrize(("script", "option"), [("quickstart", "--frobnicate=3"), ("build", "x")])
def test_a_script_refuses_what_it_does_not_know_before_it_builds(script, option):
    result = subprocess.run([ROOT / "scripts" / script, option], capture_output=True, text=True,
                            timeout=60)
    assert result.returncode == 1 and result.stdout == "" and option[:6] in result.stderr
