"""Press Ctrl-C at every line that the top of the program executes in one command, `times` in a row.

    python -m tests.at_every_line 2

The command is run once per line, in a fork of this process that has imported everything. Prints the
lines at which it ended other than by one line and exit code 130 (or as usual, where it was over),
and the number of lines that were tried.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import bench.__main__ as program
from bench.cli import app, inspect, terminal
from bench.measure import interrupts
from bench.plugins.recipe import recipes

COMMAND = ["bench", "recipe", "show", "digits"]
FILES = {module.__file__ for module in (program, app, inspect, terminal, interrupts)}
LONGEST = 10_000
"""Lines of the command, at most."""


def interrupting(first: int, times: int, place: int) -> Callable[..., Any]:
    """Return a trace function that raises SIGINT at the lines from number `first` on.

    The first place is written to the descriptor `place`.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in FILES:
            return None
        # The interpreter's own handler is still there: no line of ours can help that.
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            count += event in ("line", "return")
            if event in ("line", "return") and first <= count < first + times:
                name = os.path.basename(frame.f_code.co_filename)
                os.write(place, f"{name}:{frame.f_lineno} ".encode())
                signal.raise_signal(signal.SIGINT)
        return trace

    return trace


def run(first: int, times: int, output: int, place: int) -> None:
    """Run the command with everything that it prints going to a descriptor."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output, number)
        setattr(sys, name, os.fdopen(number, "w", buffering=1, encoding="utf-8"))
    sys.argv = COMMAND
    sys.settrace(interrupting(first, times, place))
    program.script()


def tried(first: int, times: int) -> tuple[str, str]:
    """Return where the signal came, "" if the command was over, and what was wrong then."""
    (told, output), (where, place) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            run(first, times, output, place)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)
    os.close(output)
    os.close(place)
    with open(told, encoding="utf-8") as text, open(where, encoding="utf-8") as lines:
        said, at = text.read(), lines.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    as_usual = code == 0 and "interrupted" not in said
    in_one_line = code == 130 and said.count("bench: interrupted\n") == 1
    clean = "Traceback" not in said and "Exception" not in said
    return at, "" if clean and (as_usual or in_one_line) else f"exit code {code}: {said[-800:]}"


def main() -> None:
    """Try every line."""
    times, wrong = int(sys.argv[1]), 0
    recipes.names()
    for first in range(1, LONGEST):
        at, fault = tried(first, times)
        if not at:
            print(f"{first - 1} lines, {wrong} wrong")
            sys.exit(bool(wrong))
        if fault:
            wrong += 1
            print(f"{at}: {fault}")
    sys.exit("the command does not end")


if __name__ == "__main__":
    main()
