"""The program: `python -m bench`, and the installed command `convmixer-bench`.

Everything else is imported after the signal handler is set, so that Ctrl-C during the imports also
prints a single line.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys

NO_MEMORY = (
    b"bench: no memory is left: free some memory or raise the limit; finished results are kept\n"
)


def script() -> None:
    """Run one command and end the process with its exit code."""
    try:
        _to_the_end()
    except MemoryError:  # before or after the command, which reports its own
        os.write(2, NO_MEMORY)
        sys.exit(2)


def _to_the_end() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _at_once)
    from bench.cli import terminal
    from bench.measure import interrupts

    try:
        interrupts.listen()
        code = _command()
        interrupts.deaf()
    except KeyboardInterrupt:
        interrupts.deaf()
        code = terminal.interrupted()
    except Exception:
        interrupts.deaf()
        if not interrupts.asked():
            raise
        # An import that Ctrl-C broke off may raise anything.
        code = terminal.interrupted()
    # Without this, Python searches all of torch for garbage before it ends: 0.7 s per command.
    gc.freeze()
    lost = terminal.flush()
    code = code if code or lost is None else terminal.lost(lost)
    if interrupts.asked():
        # Python would wait for threads, and would end by SIGINT if the exception came through an
        # `exec` of a string.
        atexit._run_exitfuncs()
        os._exit(code)
    sys.exit(code)


def _command() -> int:
    """Run one command and return its exit code; what it imports may take seconds."""
    from bench.cli import terminal
    from bench.files import system_limits

    terminal.prepare()
    system_limits.prepare()
    from bench.cli.app import main

    return main()


def _at_once(*_: object) -> None:
    """Ctrl-C before there is anything to close."""
    os.write(2, b"bench: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    script()
