"""oneflow-like-plan: looks at plan files.

    oneflow-like-plan show plan.pb     the summary
    oneflow-like-plan check plan.pb    verifies it; prints its hash
"""

import argparse
import os
import sys

EXIT_OK, EXIT_USAGE, EXIT_BAD_PLAN = 0, 64, 65


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}\n")


def main(argv=None):
    """Runs one command; returns the exit code: 65 for a file that is no sound plan."""
    parser = _Parser(prog="oneflow-like-plan", description="Look at a plan file.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name, text in (("show", "print the plan's summary"),
                       ("check", "verify the plan and print its hash")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("file", help="a plan file, as written by graph.plan().save(path)")
    args = parser.parse_args(argv)

    from .. import _C
    try:
        text = _C.plan_show(args.file) if args.command == "show" else _C.plan_check(args.file)
    except (RuntimeError, ValueError, OSError) as error:
        # The lines that follow say where in a Python program: here that is this file.
        reason = str(error).partition("\n")[0]
        print(f"oneflow-like-plan: error: {args.file}: {reason}", file=sys.stderr)
        return EXIT_BAD_PLAN
    try:
        print(text, flush=True)
    except BrokenPipeError:  # whoever reads (head, a pager) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
