"""The command line: which commands there are, and how they end."""

from __future__ import annotations

import platform
from typing import Any

from cyclopts import App, CycloptsError
from cyclopts.config import Dict

from bench.cli import terminal
from bench.cli.terminal import complain
from bench.config import DEFAULT_SUITE, suite_fields
from bench.errors import ModelFault, UsageError
from bench.files.files import unwritable
from bench.measure import interrupts
from bench.plugins import models


def _read(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Note what was typed, and only then let a suite add to it."""
    typed = [
        part.strip()
        for argument in arguments
        for token in argument.tokens
        for part in token.value.split(",")
    ]
    models.typed.update(part.partition("@")[0] for part in typed)
    _suite(app, commands, arguments)


def _suite(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Fields of the suite stand in for flags that were not given.

    `--models` or `--reference` without `--suite` is a question of its own: the default suite has no say in it.
    """
    if commands[:1] != ("run",):
        return
    given = {argument.name: argument.tokens[-1].value for argument in arguments if argument.tokens}
    name = given.get("--suite")
    if name is None and ("--models" in given or "--reference" in given):
        return
    content = suite_fields(name or DEFAULT_SUITE)
    Dict(content, use_commands_as_keys=False, source=f"suite {name or DEFAULT_SUITE}")(
        app, commands, arguments
    )


def _version() -> str:
    """This program, and what its numbers depend on most."""
    from bench.measure.machine import project_version, versions

    parts = [
        f"convmixer-bench {project_version()}",
        *(f"{name} {found}" for name, found in versions("torch", "timm").items()),
    ]
    return ", ".join([*parts, f"Python {platform.python_version()}"])


app = App(
    name="bench",
    help="ConvMixer, ViT, MLP-Mixer and ResNet on one bench: counts, speed, memory and accuracy, measured alike.",
    config=_read,
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # it would end here without a word
)


recipe = App(name="recipe", help="Look into recipes.")
study = App(name="study", help="Ask the paper's claims of the records.")
app.command(recipe)
app.command(study)

# The module of a command is imported when that command is called. The help is given here as well,
# since `bench --help` imports none of them; a test compares it with the docstrings.
app.command(
    "bench.cli.run:run",
    help="Measure models and write records; what is finished is not measured again.",
)
app.command(
    "bench.cli.evaluate:evaluate",
    name="eval",
    help="Evaluate published weights or a file's, or compare two sets of weights on the same images.",
)
recipe.command("bench.cli.recipe:show", help="Every field of a recipe.")
recipe.command("bench.cli.recipe:diff", help="The fields in which two recipes differ.")
study.command(
    "bench.cli.study:list_studies",
    name="list",
    help="Every study with its question and the claims it asks about.",
)
study.command(
    "bench.cli.study:run",
    help="Measure what a study lacks, most worth per minute first, and print its verdict; the same command goes on later.",
)
study.command(
    "bench.cli.study:verdict",
    help="Print verdicts from records alone; measures nothing. Exit code 2 where a record is damaged and left out.",
)
app.command(
    "bench.cli.report:report",
    help="Render tables, figures and the page from records; measures nothing.",
)
app.command(
    "bench.cli.report:claim",
    help="Hold one comparison against every condition measured or published; exit code 0 only where no decided one is against it.\n\n"
    "A damaged record is named and left out, with exit code 2: the answer then rests on the others alone.",
)
app.command(
    "bench.cli.report:compare",
    help="Show what changed between two sets of records, arm by arm.",
)
app.command(
    "bench.cli.exchange:import_",
    name="import",
    help="Put somebody's published table beside the results, as marked reference rows of every later report.",
)
app.command(
    "bench.cli.exchange:export",
    help="Write the results as CSV files in the columns of timm's result files.",
)
app.command(
    "bench.cli.exchange:pack",
    help="Put all records of a results folder into one file, to be sent to somebody. A damaged one is named and left out.",
)
app.command(
    "bench.cli.exchange:verify",
    help="Check a pack: hashes, schema, counts against the known ones, the sentinel pair and the canary. Executes nothing of it.",
)
app.command("bench.cli.inspect:list_", name="list", help="Show what can be asked for.")
app.command(
    "bench.cli.inspect:describe",
    help="Show one model layer by layer: shape, parameters, MACs and their share.",
)
app.command(
    "bench.cli.inspect:match",
    help="Find models of other families with the budget of a reference.",
)
app.command(
    "bench.cli.check:doctor",
    help="Examine this machine: versions, what is missing and how to get it, free disk and memory, other users, noise.",
)
app.command(
    "bench.cli.check:selfcheck",
    help="Prove on this machine that its numbers can be believed; writes nothing.",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Bad input is one line and exit code 2."""
    try:
        with interrupts.listening():  # a scheduler's SIGTERM ends a run as Ctrl-C does: finished rounds are kept and said to be
            return (
                app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
                or 0
            )
    except (UsageError, ModelFault, CycloptsError) as error:
        complain(error)
        return 2
    except OSError as error:
        if interrupts.asked():  # the terminal was closed, and there is none to write to
            return terminal.interrupted()
        lost = terminal.flush()
        if lost or isinstance(error, BrokenPipeError):
            return terminal.lost(lost or error)
        # A full disk, a folder that nobody may write: the user's to mend, and no traceback says more than the name.
        if line := unwritable(error):
            complain(line)
            return 2
        if error.filename is None:
            raise
        complain(f"{error.filename}: {error.strerror}; give a path that can be read and written")
        return 2
    except KeyboardInterrupt:
        return terminal.interrupted()
