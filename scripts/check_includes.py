"""Checks every #include against the table of who may know whom.

The table below is the charter's, as data: a folder, and what its files may include beside
themselves. A longer prefix wins over a shorter one, on both sides. An entry that names a file
allows that file only. Usage: check_includes.py [root]; prints each violation, exits 1 if any.
"""

import re
import sys
from pathlib import Path

BASE = "oneflow_like/base"
CORE = "oneflow_like/core"
PROTO = "oneflow_like/proto"
CONTROL_PROTO = "oneflow_like/proto/control.pb.h"
OP = "oneflow_like/op"
OP_DEF = "oneflow_like/op/def"
OP_KERNEL = "oneflow_like/op/kernel"
OPS = "oneflow_like/ops"
IR = "oneflow_like/ir"
TENSOR = "oneflow_like/tensor"
RUNTIME = "oneflow_like/runtime"
CLI = "oneflow_like/cli"

BELOW_RUNTIME = [BASE, CORE, PROTO, "sbp", "device", "transport", OP, IR, "compiler", "actor",
                 TENSOR]
EVERYTHING_PUBLIC = [*BELOW_RUNTIME, RUNTIME, CLI]

ALLOWED = {
    BASE: [],
    CORE: [BASE],
    PROTO: [],
    "sbp": [BASE, CORE],
    "device": [BASE, CORE],
    "transport": [BASE, CORE, CONTROL_PROTO, "device/memory_handle.h"],
    OP: [BASE, CORE, "sbp"],
    OP_DEF: [BASE, CORE, "sbp"],
    OP_KERNEL: [BASE, CORE, "sbp", "device", OP_DEF],
    OPS: [BASE, CORE, "sbp", "device", OP],
    IR: [BASE, CORE, "sbp", OP],
    "compiler": [BASE, CORE, PROTO, "sbp", OP_DEF, IR],
    "actor/core": [BASE, CORE],
    "actor": [BASE, CORE, PROTO, "device", "transport", OP_KERNEL, "actor/core"],
    TENSOR: [BASE, CORE, "sbp", "device", "transport", OP],
    RUNTIME: BELOW_RUNTIME,
    CLI: [*BELOW_RUNTIME, RUNTIME],
    "python": EVERYTHING_PUBLIC,
    "benchmarks": EVERYTHING_PUBLIC,
    "examples": EVERYTHING_PUBLIC,
    "tests": [*EVERYTHING_PUBLIC, OPS],
}

# Folders whose files reach no header of these others, by way of whatever they include.
NEVER_REACHES = {"compiler": ["device", "actor", "transport", OP_KERNEL, OPS, TENSOR],
                 IR: ["device", OP_KERNEL],
                 "sbp": ["device", OP, IR]}

# Borrowed headers that only some folders may see; every other <header> is the standard library's
# or the system's and is free. Pattern of the header -> folders.
BORROWED = {
    r"boost/asio(/|\.hpp)": ["transport/tcp"],
    r"boost/(math|random)/": [OPS],
    r"(unsupported/)?Eigen/": [OPS],
    r"boost/(smart_ptr|container)/": [BASE, "device", OP, TENSOR, "python"],
    r"boost/": [BASE, "transport/tcp"],
    r"google/protobuf/": [PROTO, "compiler", "transport", RUNTIME, CLI, "python", "tests"],
    r"glog/": [BASE, RUNTIME],
    r"openssl/": [BASE],
    r"(nanobind/|Python\.h)": ["python"],
    r"cblas\.h|f77blas\.h|lapacke?\.h": [OPS],
    r"oneapi/|dnnl|omp\.h": ["oneflow_like/ops/conv"],
    r"(gtest|gmock|rapidcheck)(/|\.h)": ["tests"],
    r"cuda|cublas|nccl|cudnn": ["device/cuda"],
}
GENERATED_PROTO = {PROTO, "compiler", "transport", "actor", RUNTIME, CLI, "python", "tests"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def inside(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def owner(path: str) -> str | None:
    """The row of the table that a path belongs to."""
    return max((row for row in ALLOWED if inside(path, row)), key=len, default=None)


def check_ours(source: str, row: str, target: str, root: Path) -> str | None:
    """Why `source`, of table row `row`, may not include our header `target`."""
    generated = target.endswith(".pb.h")
    if not generated and not (root / target).is_file():
        return "no such file below the root; write the path from the root, system headers in <>"
    if generated and row.split("/", 1)[0] not in GENERATED_PROTO and row not in GENERATED_PROTO:
        return "generated messages are not for this folder"
    target_row = owner(target)
    if target_row is None:
        return "the included folder has no row in the table"
    if target.endswith("_internal.h") and Path(target).parent != Path(source).parent:
        return "an _internal.h is for its own folder only"
    if target_row == row or any(inside(target, allowed) for allowed in ALLOWED[row]):
        return None
    return f"{row} may include: {', '.join(ALLOWED[row]) or 'nothing of ours'}"


def check_borrowed(source: str, target: str) -> str | None:
    """Why `source` may not include the borrowed or system header `target`."""
    for pattern, folders in BORROWED.items():
        if re.match(pattern, target):
            if any(inside(source, folder) for folder in folders):
                return None
            return f"only for {', '.join(folders)}"
    return None


def check_file(root: Path, path: Path) -> list[str]:
    source = path.relative_to(root).as_posix()
    row = owner(source)
    if row is None:
        return [f"{source}: the folder has no row in the table"]
    problems = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, target = match.groups()
        if quote == '"':
            why = check_ours(source, row, target, root)
        else:
            why = check_borrowed(source, target)
        if why:
            problems.append(f"{source}:{number}: {line.strip()}: {why}")
    return problems


def included(root: Path, path: str) -> list[str]:
    """Our headers that a file includes itself."""
    lines = (root / path).read_text(encoding="utf-8").splitlines()
    matches = (INCLUDE.match(line) for line in lines)
    return [m[2] for m in matches if m and m[1] == '"' and (root / m[2]).is_file()]


def check_reach(root: Path) -> list[str]:
    """Files of NEVER_REACHES that reach what they must not, with the way there."""
    problems = []
    for folder, banned in NEVER_REACHES.items():
        for source in sorted((root / folder).rglob("*")):
            if source.suffix not in {".h", ".cc"}:
                continue
            start = source.relative_to(root).as_posix()
            came_from, queue = {start: None}, [start]
            for path in queue:
                for target in included(root, path):
                    if target not in came_from:
                        came_from[target] = path
                        queue.append(target)
            for reached in queue:
                direct = came_from[reached] == start  # the table speaks of those
                if direct or not any(inside(reached, row) for row in banned):
                    continue
                way = [reached]
                while came_from[way[-1]]:
                    way.append(came_from[way[-1]])
                problems.append(f"{start}: reaches {reached}: {' <- '.join(way[:-1])}; {folder} "
                                f"must know nothing of {', '.join(banned)}")
                break
    return problems


def check_tree(root: Path) -> list[str]:
    problems = check_reach(root)
    for folder in sorted({row.split("/", 1)[0] for row in ALLOWED}):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in {".h", ".cc", ".cu"}:
                problems += check_file(root, path)
    return problems


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    problems = check_tree(root.resolve())
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
