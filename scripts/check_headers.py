"""Compiles every header of ours alone, so that each includes what it uses.

Usage: check_headers.py BUILD_DIR, a build folder with compile_commands.json: its include folders,
macros and language standard are used. Objects stay below BUILD_DIR/headers, and a header is
compiled again only when something it includes has changed. Prints what fails; exits 1 if any does.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("actor", "compiler", "device", "oneflow_like", "python", "sbp", "transport")


def compile_flags(build: Path) -> tuple[str, list[str]]:
    """The compiler, and the flags that all of the build's own commands use between them."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    includes: list[str] = []
    compiler = "c++"
    for entry in commands:
        words = shlex.split(entry["command"])
        if "ccache" in Path(words[0]).name:
            words = words[1:]
        compiler = words[0] if re.search(r"(\+\+|cc|clang)[^/]*$", words[0]) else compiler
        for index, word in enumerate(words):
            found = None
            if word in ("-isystem", "-I"):
                found = f"{word} {words[index + 1]}"
            elif word.startswith(("-I", "-isystem")):
                found = word
            if found and found not in includes:
                includes.append(found)
    flags = ["-std=c++20", "-O0", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
             "-Wno-missing-field-initializers"]
    return compiler, flags + [word for include in includes for word in include.split(" ", 1)]


def headers() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.h")]
    return sorted(path.relative_to(ROOT) for path in found)


def is_current(target: Path) -> bool:
    """Whether the object is newer than everything its dependency file lists."""
    deps = target.with_suffix(".d")
    if not target.exists() or not deps.exists():
        return False
    made = target.stat().st_mtime
    names = deps.read_text(encoding="utf-8").replace("\\\n", " ").split(":", 1)[1].split()
    return all(os.path.exists(name) and os.path.getmtime(name) <= made for name in names)


def compile_header(header: Path, folder: Path, command: list[str]) -> str:
    """Returns what the compiler says against the header, nothing when it compiles."""
    stem = "_".join(header.with_suffix("").parts)
    source, target = folder / f"{stem}.cc", folder / f"{stem}.o"
    text = f'#include "{header.as_posix()}"\n'
    if not source.exists() or source.read_text(encoding="utf-8") != text:
        source.write_text(text, encoding="utf-8")
    if is_current(target):
        return ""
    run = subprocess.run([*command, "-MD", "-c", str(source), "-o", str(target)],
                         capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if run.returncode == 0 else f"{header}: does not compile alone\n{run.stderr[:2000]}"


def main() -> int:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "compile_commands.json").is_file():
        print(f"{sys.argv[0]}: expected a build folder with compile_commands.json", file=sys.stderr)
        return 2
    build = Path(sys.argv[1]).resolve()
    compiler, flags = compile_flags(build)
    ccache = shutil.which("ccache")
    command = [*([ccache] if ccache else []), compiler, *flags]
    folder = build / "headers"
    folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        answers = pool.map(lambda header: compile_header(header, folder, command), headers())
        problems = [answer for answer in answers if answer]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
