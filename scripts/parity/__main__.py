"""Prints how far ours agrees with PyTorch: a table, or the differences of one name or family."""

import argparse
import collections
import fnmatch
import functools
import json
import os
import sys
import time
from pathlib import Path

import document
import torch
from calls import compare, has
from explained import reason
from pool import outcomes
from ranks import outcomes_on_ranks
from samples import all_cases, laid_out
from surface import names

import oneflow_like as flow


CASE_STATES = ("equal", "explained", "absent", "refused", "wrong", "crash")


def arguments():
    parser = argparse.ArgumentParser(prog="torch_parity", description=__doc__)
    parser.add_argument("--op", action="append", default=[], metavar="NAME",
                        help="only this name: add, Tensor.add_, F.relu, linalg.*")
    parser.add_argument("--family", action="append", default=[], metavar="F",
                        help="only this file of scripts/parity/cases")
    parser.add_argument("--open", action="store_true", help="list the names that are open")
    parser.add_argument("--explained", action="store_true", help="print explained differences too")
    parser.add_argument("--outside", action="store_true", help="list names that are out of scope")
    parser.add_argument("--write-docs", action="store_true", help="renew docs/from_pytorch.md")
    parser.add_argument("--ranks", action="store_true",
                        help="our operands are global tensors over two ranks, in three layouts")
    parser.add_argument("--json", type=Path, help="write every case's outcome to a file")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one case")
    return parser.parse_args()


def wanted(row, patterns):
    return not patterns or any(fnmatch.fnmatchcase(row, p) or fnmatch.fnmatchcase(
        row.partition(".")[2], p) for p in patterns)


def kind_of(text):
    """What an open difference is."""
    if text == "absent":
        return "absent"
    if text.startswith(("CRASH", "HANG")):
        return "crash"
    return "refused" if text.startswith(("raised", "gradient: raised")) else "wrong"


def run(cases, args):
    """[(case, status, key or text, PyTorch's outcome, ours)] without what says nothing."""
    found = []
    tried = outcomes_on_ranks(cases, args.timeout) if args.ranks else outcomes(
        cases, functools.partial(compare, torch, flow), args.timeout)
    for case, (status, text, want, got) in zip(cases, tried, strict=True):
        if status == "dropped":
            continue
        key = reason(case, text, want) if status == "open" else ""
        found.append((case, "explained" if key else status, key or text, want, got))
    return found


def rows_of(found):
    """{row: Counter of its cases' statuses}; open ones are counted by kind too."""
    rows = collections.defaultdict(collections.Counter)
    for case, status, text, *_ in found:
        rows[case.row][status] += 1
        if status == "open":
            rows[case.row][kind_of(text)] += 1
    return rows


def state(row, counts):
    if not has(flow, row):
        return "absent"
    return next((s for s in ("open", "explained") if counts[s]), "equal")


def table(by_family):
    print(f"{'':14}{'functions':>50}{'cases':>70}")
    head = ("family", "all", "equal", "explained", "open", "absent", "all", *CASE_STATES)
    lines, total = [head], collections.Counter()
    for family, found in by_family.items():
        rows = rows_of(found)
        line = collections.Counter(state(row, counts) for row, counts in rows.items())
        line.update({"functions": len(rows), "cases": len(found)})
        line.update({"case " + s: sum(c[s] for c in rows.values())
                     for s in CASE_STATES})
        total.update(line)
        lines.append(_row(family, line))
    lines.append(_row("all", total))
    for cells in lines:
        print(f"{cells[0]:14}" + "".join(f"{c:>10}" for c in cells[1:]))
    share = total["case equal"] + total["case explained"]
    print(f"\n{share} of {total['cases']} cases are equal or explained "
          f"({100 * share / max(1, total['cases']):.1f} %)")


def _row(name, c):
    return (name, *(c[k] for k in ("functions", "equal", "explained", "open", "absent", "cases")),
            *(c["case " + s] for s in CASE_STATES))


def print_differences(found, with_explained):
    absent = collections.Counter(case.row for case, _, text, *_ in found if text == "absent")
    for row, count in absent.items():
        print(f"ABSENT    {row}: {count} cases")
    for case, status, text, want, got in found:
        if text == "absent":
            continue
        if status == "equal" or status == "explained" and not with_explained:
            continue
        print(f"{status.upper():9} {case}\n          {text}")
        if want:
            print(f"          torch: {want}\n          ours:  {got}")


def print_open(by_family, surface):
    for family, found in by_family.items():
        states = {row: state(row, c) for row, c in rows_of(found).items()}
        for kind in ("absent", "open"):
            rows = [row for row, s in states.items() if s == kind]
            if rows:
                print(f"\n{family}, {kind}: {' '.join(rows)}")
    covered = {case.row for found in by_family.values() for case, *_ in found}
    missing = [row for row, why in surface.items() if not why and row not in covered]
    print(f"\nwithout a sample ({len(missing)}): {' '.join(missing)}")


def main():
    args = arguments()
    torch.set_num_threads(1)
    os.chdir(Path(__file__).resolve().parents[2])
    surface = names(torch)
    if args.write_docs:
        document.write()
        return 0
    if args.outside:
        for why in dict.fromkeys(filter(None, surface.values())):
            print(f"\n{why}: {' '.join(r for r, w in surface.items() if w == why)}")
        return 0
    families = {f: c for f, c in all_cases(torch).items() if not args.family or f in args.family}
    if not families:
        sys.exit(f"torch_parity: no such family; there are {' '.join(all_cases(torch))}")
    start, by_family = time.monotonic(), {}
    for family, cases in families.items():
        chosen = [case for case in cases if wanted(case.row, args.op)]
        chosen = list(laid_out(chosen)) if args.ranks else chosen
        if chosen:
            by_family[family] = run(chosen, args)
    if not by_family:
        sys.exit(f"torch_parity: no sample of {' '.join(args.op)}")
    if args.op or args.family:
        for found in by_family.values():
            print_differences(found, args.explained)
    if args.json:
        args.json.write_text(json.dumps(
            [{"family": family, "row": case.row, "case": str(case), "status": status,
              "text": text, "torch": want, "ours": got}
             for family, found in by_family.items()
             for case, status, text, want, got in found], indent=0), encoding="utf-8")
    table(by_family)
    if args.open:
        print_open(by_family, surface)
    uncovered = set(n for n, why in surface.items() if not why) - {
        case.row for found in by_family.values() for case, *_ in found}
    if not (args.op or args.family):
        print(f"{len(uncovered)} public names have no sample; {time.monotonic() - start:.0f} s")
    return 0


sys.exit(main())
