"""Prints what an elementwise operator costs: lines of source, object code, seconds to build.

operator_costs.py [--root TREE] [--build FOLDER] [--kernels N]: of a tree that was built there
(default: this one, build/product). Kernels are counted as operators times dtypes, from the
definitions of the installed package; --kernels gives the comparisons' number for another tree.
"""

import argparse
import json
import re
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
DEFINITION = re.compile(r"^OFL_OP\((\w+)\) \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
FUNCTOR = re.compile(r"^(?:template <class T>\n)?struct (\w+) \{\n.*?^\};\n",
                     re.MULTILINE | re.DOTALL)
FUNCTORS_OF = re.compile(r"Unary<(\w+)")
LINES, KILOBYTES, MINUTES = 14, 8.0, 10.0
TIMES, CORES = 4, 2


def unary_lines(source: Path) -> dict[str, int]:
    """Lines of each unary operator: its functor and its definition."""
    text = source.read_text(encoding="utf-8")
    functors = {m[1]: m[0].count("\n") for m in FUNCTOR.finditer(text)}
    lines = {}
    for definition in DEFINITION.finditer(text):
        used = FUNCTORS_OF.search(definition[0])
        if used and used[1] in functors:
            lines[definition[1]] = definition[0].count("\n") + functors[used[1]]
    return lines


def text_bytes(path: Path) -> int:
    """Bytes of code in an object file."""
    out = subprocess.run(["size", "-A", path], capture_output=True, text=True, check=True).stdout
    return sum(int(line.split()[1]) for line in out.splitlines() if line.startswith(".text"))


def operators_of(source: Path) -> list[str]:
    return [m[1] for m in DEFINITION.finditer(source.read_text(encoding="utf-8"))]


def kernel_counts(source_names: list[str]) -> dict[str, int]:
    """Dtypes with a CPU kernel, by operator."""
    from oneflow_like import _C

    return {s["name"]: 0 if s["composite"] else len(s["dtypes"]) for s in _C.op_schemas()
            if s["name"] in source_names}


def compile_seconds(build: Path, source: Path, text: str | None = None) -> float:
    """Processor seconds to compile a source, or `text` in its place, as the build does."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    entry = next(c for c in commands if Path(c["file"]).resolve() == source.resolve())
    command = entry["command"].split()
    command = command[next(i for i, word in enumerate(command) if "ccache" not in word):]
    with tempfile.TemporaryDirectory() as folder:
        given = source
        if text is not None:
            given = Path(folder) / "only_headers.cc"
            given.write_text(text, encoding="utf-8")
        command[command.index("-o") + 1] = f"{folder}/out.o"
        command[-1] = str(given)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=entry["directory"], check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def verdict(value: float, bound: float) -> str:
    return f"{'within' if value <= bound else 'ABOVE'} {bound:g}"


def report_code(build: Path, sources: list[Path], counts: dict[str, int]) -> None:
    objects = build / "CMakeFiles" / "ofl_ops.dir"
    each = []
    for source in sources:
        names = operators_of(source)
        kernels = sum(counts.get(name, 0) for name in names)
        if not kernels:
            continue
        size = text_bytes(objects / f"{source.relative_to(build.parents[1])}.o") / 1024
        each += [size / kernels] * len(names)
        print(f"   {source.name:20} {len(names):3} operators {kernels:4} kernels "
              f"{size:8.1f} KB {size / kernels:6.2f} KB a kernel")
    if each:
        median = statistics.median(each)
        print(f"   object code an operator and dtype, median: {median:.2f} KB "
              f"({verdict(median, KILOBYTES)})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=HERE)
    parser.add_argument("--build", type=Path)
    parser.add_argument("--kernels", type=int, help="of the comparisons")
    args = parser.parse_args()
    root = args.root.resolve()
    build = (args.build or root / "build" / "product").resolve()
    ops = root / "oneflow_like" / "ops"
    sources = sorted(ops.rglob("*.cc"))
    unary = next(s for s in sources if s.name.endswith("unary.cc"))
    compare = next(s for s in sources if s.name.endswith("compare.cc"))

    print("lines of a unary operator (functor and definition)")
    lines = unary_lines(unary)
    worst = max(lines, key=lines.get)
    print(f"   {len(lines)} operators, median {statistics.median(lines.values()):g}, most "
          f"{lines[worst]} ({worst}); exp: {lines['exp']} ({verdict(lines['exp'], LINES)})")

    print("object code")
    counts = {}
    if args.kernels is None:
        counts = kernel_counts([n for s in sources for n in operators_of(s)])
        family = [s for s in sources if s.parent == compare.parent]
        report_code(build, family, counts)
    kernels = args.kernels or sum(counts[n] for n in operators_of(compare))
    size = text_bytes(build / "CMakeFiles" / "ofl_ops.dir" / f"{compare.relative_to(root)}.o")
    print(f"   comparisons: {size / 1024:.1f} KB, {kernels} kernels, "
          f"{size / 1024 / kernels:.2f} KB a kernel")

    print("seconds to build (processor time, without a cache)")
    include = re.findall(r'#include "oneflow_like/ops/.*"', compare.read_text(encoding="utf-8"))
    headers = compile_seconds(build, compare, "\n".join(include) + "\n")
    whole = compile_seconds(build, compare)
    each = max(whole - headers, 0.0) / kernels
    print(f"   comparisons: {whole:.1f} s, of which headers {headers:.1f} s; "
          f"{1000 * each:.0f} ms a kernel")
    total = sum(counts.values()) or kernels
    files = sum(bool(operators_of(s)) for s in sources)
    minutes = TIMES * (files * headers + total * each) / CORES / 60
    print(f"   {TIMES} x {total} kernels in {TIMES} x {files} files on {CORES} cores: "
          f"{minutes:.1f} minutes ({verdict(minutes, MINUTES)})")


if __name__ == "__main__":
    main()
