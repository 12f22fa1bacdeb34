"""Start a command that ends when its parent does: `python begin.py PARENT COMMAND...`.

This is a script instead of a `preexec_fn`, because Python warns of code in a forked child of a
program with threads. It imports nothing from this project, since it is started with `-I -S`.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
FIRST_TO_GO = "900"
"""If memory runs out, the kernel should kill this process before the visit: from 0 to 1000."""


def main(parent: int, command: list[str]) -> None:
    """Replace this process with a command; does not return."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's `&` makes it ignored
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would take many gigabytes
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(FIRST_TO_GO)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before prctl was called
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
