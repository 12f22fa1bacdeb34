"""The command line: its commands, the suite behind `bench run`, and how a command ends."""

from __future__ import annotations

import platform
from typing import Any

from cyclopts import App, CycloptsError
from cyclopts.config import Dict

from bench.cli import terminal
from bench.cli.help.commands import add_commands
from bench.cli.help.mistakes import in_words
from bench.cli.terminal import complain
from bench.config import DEFAULT_SUITE, suite_fields
from bench.errors import ModelFault, UsageError, one_line
from bench.files import system_limits
from bench.files.files import unwritable
from bench.measure import interrupts
from bench.plugins import models


def _configure(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Note which names were typed, then let the suite of a `bench run` add its own.

    The order matters: only a name that was typed may import a package (`Registry.typed`).
    """
    for argument in arguments:
        for token in argument.tokens:
            for name in token.value.split(","):
                models.typed.add(name.strip().partition("@")[0])
    if commands[:1] == ("run",):
        _add_suite(app, commands, arguments)


def _add_suite(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Take flags that were not given from the suite.

    `--models` or `--reference` without `--suite` asks a question of its own, so the default suite
    adds nothing to it.
    """
    given = {argument.name: argument.tokens[-1].value for argument in arguments if argument.tokens}
    name = given.get("--suite")
    if name is None and ("--models" in given or "--reference" in given):
        return
    name = name or DEFAULT_SUITE
    suite = Dict(suite_fields(name), use_commands_as_keys=False, source=f"suite {name}")
    suite(app, commands, arguments)


def _version() -> str:
    """Return the versions of this program and of what its numbers depend on most."""
    from bench.measure.machine import project_version, versions

    parts = [f"convmixer-bench {project_version()}"]
    for name, version in versions("torch", "timm").items():
        parts.append(f"{name} {version}")
    return ", ".join([*parts, f"Python {platform.python_version()}"])


app = App(
    name="bench",
    help="ConvMixer, ViT, MLP-Mixer and ResNet on one bench: counts, speed, memory and accuracy, "
    "measured alike.",
    config=_configure,
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # cyclopts would exit without a message
)
add_commands(app)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; bad input is one line and exit code 2."""
    try:
        # A scheduler's SIGTERM ends a run as Ctrl-C does: finished rounds are kept and reported.
        with interrupts.listening():
            return _run(arguments)
    except (UsageError, ModelFault) as error:
        complain(error)
        return 2
    except (OSError, MemoryError) as error:
        return _end_with(error)
    except KeyboardInterrupt:
        return terminal.interrupted()


def _run(arguments: list[str] | None) -> int:
    """Run one command and return its exit code; UsageError for flags that cannot be parsed."""
    system_limits.require_folder()
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise UsageError(in_words(error)) from error
    return code or 0


def _end_with(error: OSError | MemoryError) -> int:
    """Report an error of the operating system that the user can mend, and return the exit code.

    Raises any other error again.
    """
    if interrupts.asked():  # the terminal was closed
        return terminal.interrupted()
    lost = terminal.flush()
    if lost is None and isinstance(error, BrokenPipeError):
        lost = error
    if lost:
        return terminal.lost(lost)
    if line := system_limits.in_words(error):
        complain(line)
        return 2
    # A full disk, a read-only folder: the file's name says more than a traceback.
    if isinstance(error, OSError) and (refusal := unwritable(error)):
        complain(refusal)
        return 2
    if isinstance(error, MemoryError):
        raise error
    if error.filename is None:  # of a read or write, a pipe or another process
        complain(
            f"the system refused a call: {error.strerror or one_line(error)}; finished results are "
            "kept: rerun to continue"
        )
    else:
        complain(f"{error.filename}: {error.strerror}; give a path that can be read and written")
    return 2
