"""The tables of docs/from_pytorch.md, from the data of torch_parity."""

import textwrap
from pathlib import Path

from explained import REASONS
from surface import OUT_OF_SCOPE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from_pytorch.md"
BEGIN, END = "<!-- by torch_parity --write-docs -->\n", "<!-- end -->\n"


def tables():
    return "".join([
        "\n| deliberate difference | |\n|---|---|\n",
        *(f"| {key} | {' '.join(text.split())} |\n" for key, text in sorted(REASONS.items())),
        "\n", textwrap.fill("Names out of scope: " + "; ".join(OUT_OF_SCOPE) + ".", 100),
        "\n`scripts/torch_parity --outside` lists them one by one.\n\n"])


def render(page):
    head, rest = page.split(BEGIN)
    return head + BEGIN + tables() + END + rest.split(END)[1]


def write():
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
