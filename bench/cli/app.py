"""The command line: its commands, the suite behind `bench run`, and how a command ends."""

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
recipe = App(name="recipe", help="Show and compare training recipes.")
study = App(name="study", help="Test the paper's claims on records.")

# The module of a command is imported when the command is called. Its help is repeated here, since
# `bench --help` imports none of them; tests/test_cli.py compares it with the docstring.
app.command(
    "bench.cli.run:run",
    help="Measure models and write records; finished configurations are not measured again.",
)
app.command(
    "bench.cli.evaluate:evaluate",
    name="eval",
    help="Evaluate published weights or a weights file, or compare two sets of weights.",
)
app.command(recipe)
recipe.command("bench.cli.recipe:show", help="Show every field of a recipe.")
recipe.command("bench.cli.recipe:diff", help="Show the fields in which two recipes differ.")
app.command(study)
study.command(
    "bench.cli.study:list_studies",
    name="list",
    help="List the studies, each with its question and the claims it tests.",
)
study.command(
    "bench.cli.study:run",
    help="Measure what a study lacks, most valuable per minute first, and print its verdict.",
)
study.command(
    "bench.cli.study:verdict",
    help="Print verdicts from records, without measuring; exit with 2 if a record is damaged.",
)
app.command(
    "bench.cli.report:report",
    help="Render tables, figures and the HTML page from records, without measuring.",
)
app.command(
    "bench.cli.report:findings",
    help="Print what the records say of every claim: what holds, what does not, what is not known.",
)
app.command(
    "bench.cli.report:paper",
    help="Print what the records say of each claim of the paper: does it hold, where, how sure?",
)
app.command(
    "bench.cli.report:claim",
    help="Test one comparison under every condition that was measured or published.\n\n"
    "Exit with 0 if no decided condition contradicts it, else with 1; with 2 if a damaged record "
    "had to be left out.",
)
app.command(
    "bench.cli.report:compare",
    help="Show what changed between two sets of records, by configuration.",
)
app.command(
    "bench.cli.exchange:import_",
    name="import",
    help="Keep somebody's published table with the results, as reference rows of every report.",
)
app.command(
    "bench.cli.exchange:export",
    help="Write the results as CSV files in timm's columns, or a model as ONNX (--onnx).",
)
app.command(
    "bench.cli.exchange:pack",
    help="Pack all records of a results folder into one file; damaged ones are named and left out.",
)
app.command(
    "bench.cli.exchange:verify",
    help="Check a pack without executing any of it: hashes, schema, counts, A/A and drift checks.",
)
app.command(
    "bench.cli.visit:visit",
    help="Measure what is most valuable within a few minutes, and pack the records into one file."
    "\n\nA step that fails, hangs or fills the memory is ended, and the next one begins. Rerun the "
    "same command to continue.",
)
app.command(
    "bench.cli.visit:unpack",
    help="Check packs as `verify` does, and write their records into a results folder."
    "\n\nExisting files are never overwritten.",
)
app.command("bench.cli.inspect:list_", name="list", help="List models, metrics and other plug-ins.")
app.command(
    "bench.cli.inspect:describe",
    help="Show a model layer by layer: shape, parameters, MACs and their share.",
)
app.command(
    "bench.cli.inspect:match",
    help="Find models of other families with the same budget as a reference.",
)
app.command(
    "bench.cli.check:doctor",
    help="Examine this machine: versions, missing packages, disk, memory, other users, noise.",
)
app.command(
    "bench.cli.check:selfcheck",
    help="Test whether this machine measures correctly; writes nothing.",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; bad input is one line and exit code 2."""
    try:
        # A scheduler's SIGTERM ends a run as Ctrl-C does: finished rounds are kept and reported.
        with interrupts.listening():
            code = app(
                arguments, exit_on_error=False, print_error=False, result_action="return_value"
            )
            return code or 0
    except (UsageError, ModelFault, CycloptsError) as error:
        complain(error)
        return 2
    except OSError as error:
        return _end_with(error)
    except KeyboardInterrupt:
        return terminal.interrupted()


def _end_with(error: OSError) -> int:
    """Report an error of the operating system that the user can mend, and return the exit code.

    Raises any other error again.
    """
    if interrupts.asked():  # the terminal was closed
        return terminal.interrupted()
    lost = terminal.flush()
    if lost or isinstance(error, BrokenPipeError):
        return terminal.lost(lost or error)
    # A full disk, a read-only folder: the file's name says more than a traceback.
    if line := unwritable(error):
        complain(line)
        return 2
    if error.filename is None:
        raise error
    complain(f"{error.filename}: {error.strerror}; give a path that can be read and written")
    return 2
