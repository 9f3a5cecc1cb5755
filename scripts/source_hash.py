"""Prints a hash of everything that an installed product is made from, and of the interpreter."""

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("CMakeLists.txt", "pyproject.toml", "requirements-build.txt",
         "scripts/generate_op_list.py", "scripts/generate_stubs.py")
FOLDERS = ("actor", "cmake", "compiler", "device", "oneflow_like", "python", "sbp", "third_party",
           "transport")
SUFFIXES = {".cc", ".h", ".cu", ".inc", ".proto", ".py", ".pyi", ".txt", ".cmake", ".typed", ".in"}


def source_files(root: Path) -> list[Path]:
    files = [root / name for name in FILES]
    for folder in FOLDERS:
        files += [p for p in (root / folder).rglob("*") if p.suffix in SUFFIXES]
    return sorted(path for path in files if path.is_file())


def source_hash(root: Path) -> str:
    digest = hashlib.sha256(f"{sys.version}\n{sys.prefix}\n".encode())
    for path in source_files(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


if __name__ == "__main__":
    print(source_hash(ROOT))
