"""`bench completion`: scripts that complete commands, flags and choices in a shell."""

from __future__ import annotations

from typing import Literal

from bench.cli.terminal import say

PROGRAM = "convmixer-bench"
"""The installed command: shells complete programs, and `python -m bench` is none."""


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that completes commands in your shell.

    `source <(convmixer-bench completion bash)` turns it on for one session.

    Parameters
    ----------
    shell
        bash, zsh or fish. For every session, write the script where the shell looks for them.
    """
    from bench.cli.app import app  # which imports this module's command

    say(app.generate_completion(prog_name=PROGRAM, shell=shell))
    return 0
