"""The command line: sub-commands and nothing else. Each imports what it needs inside, so `--help` loads no torch."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from bench.config import (
    DEFAULT_POLICY,
    DEFAULT_SUITE,
    CropMode,
    Interpolation,
    Names,
    RunConfig,
    Shares,
    check_shape,
    suite_fields,
)
from bench.errors import ModelFault, UsageError, visible

if TYPE_CHECKING:  # imports torch
    from bench.analysis.rows import Summary
    from bench.cli.console import Terminal
    from bench.measure.messages import Job, Worker

BEGAN = time.monotonic()
"""When this command began."""
RENDERING_S = 60.0
"""Seconds that a queue of studies keeps for its report."""
Budget = Literal["params", "macs", "params+macs", "latency"]
Kind = Literal[
    "models",
    "weights",
    "families",
    "metrics",
    "policies",
    "datasets",
    "recipes",
    "studies",
    "launchers",
    "figures",
]


def _read(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Note what was typed, and only then let a suite add to it."""
    from bench.plugins import models

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
    from cyclopts.config import Dict

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


@app.command
def run(
    *,
    config: Annotated[RunConfig, Parameter(name="*")] = RunConfig(),  # noqa: B008 - frozen, and cyclopts reads it
    suite: Annotated[str, Parameter()] = DEFAULT_SUITE,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    strict: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Measure models and write records; what is finished is not measured again.

    Parameters
    ----------
    suite
        quick, paper, policies, gpu, full, or a TOML file with the same fields as these flags; flags win over it. Not used
        where --models is given alone.
    dry_run
        Show what would be measured, how long it would take and how much memory, and measure nothing.
    strict
        Exit with 1 where the speeds' own checks (A/A pair, canary, disturbed windows) failed or are missing.
    """
    if dry_run:
        return _dry_run(config)
    measure = partial(_measure, strict=strict)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from bench.run.torchrun import run_together

        return run_together(config, measure)
    from bench.measure.worker import Workers

    with Workers() as workers:
        return measure(config, workers.open)


def _measure(config: RunConfig, open_worker: Callable[[Job], Worker], *, strict: bool) -> int:
    """Run, and show what came out."""
    from bench.analysis.summary import summarise
    from bench.cli.console import Live, print_ledger, print_tables
    from bench.forecast.past import Past
    from bench.record.store import load
    from bench.report.tables.reading_order import all_tables
    from bench.run.observer import Interrupted
    from bench.run.runner import Runner
    from bench.run.session import Session

    console = _console()
    try:
        with Live(console) as live:
            session = Session.start(config.results, config.device, live, open_worker)
            outcome = Runner(config, session, began=BEGAN).run()
    except Interrupted as stop:
        return _interrupted(console, stop.rounds)
    records = [record for path in outcome.records if (record := load(path)).runs]
    doubted = False
    if records:
        machine = max(
            (run for record in records for run in record.runs), key=lambda run: run.started
        ).machine
        summary = summarise(records, past=Past.read(outcome.folder.parent, machine.fingerprint))
        doubted = not _print_grade(console, summary)
        print_tables(console, [table for table in all_tables(summary) if not table.published])
    print_ledger(console, outcome.ledger)
    state = f"{outcome.measured} arms measured" if outcome.measured else "nothing was measured"
    console.print(
        f"\n{state}; {len(outcome.records)} records in {outcome.folder} · next: python -m bench report --results {config.results}",
        soft_wrap=True,
        highlight=False,
    )
    if outcome.left:
        console.print(
            f"{outcome.left} timed arms are left for the next slice: the same command goes on",
            highlight=False,
        )
    if troubled := outcome.failures | outcome.partial:
        later = sum(not text.startswith(("unsupported", "diverged")) for text in troubled.values())
        again = f"; the same command tries {later} of them again" if later else ""
        console.print(f"{len(troubled)} arms failed for the reasons above{again}", highlight=False)
    # Out of memory or unsupported is a result; a model whose code failed is a fault that somebody has to mend.
    at_fault = any(text.startswith("failed") for text in troubled.values())
    failed = at_fault or (outcome.measured and len(outcome.failures) == outcome.measured)
    if strict and doubted:
        _complain(
            "--strict: these speeds are not fit to be ranked; the line before the tables says why"
        )
    return 1 if failed or (strict and doubted) else 0


def _print_grade(console: Terminal, summary: Summary, name: str = "") -> bool:
    """How far a machine's speeds can be believed, before they are shown; whether all of them may be ranked."""
    from bench.analysis import grade

    for line in grade.lines(summary):
        console.print(
            f"{name}: {line}" if name else line, style="bold", highlight=False, soft_wrap=True
        )
    trust = grade.worst(summary)
    return trust is None or trust.marks


def _interrupted(console: Terminal, rounds: int) -> int:
    """Say what is kept; returns the exit code."""
    from bench.measure import interrupts

    interrupts.deaf()  # it ends now: another Ctrl-C would only break that off
    finished = f"{rounds} finished round{'s' * (rounds != 1)} and every training's last checkpoint"
    console.print(
        f"interrupted: {finished} are kept; the same command goes on from there",
        highlight=False,
        soft_wrap=True,
    )
    return 130


def _dry_run(config: RunConfig) -> int:
    """The plan of a run as a table."""
    from bench.cli.console import Live, print_tables
    from bench.cli.forecast_tables import cost
    from bench.forecast.past import Past
    from bench.measure import machine as environment
    from bench.plan import plan
    from bench.plan.forecast import estimate, rate_now
    from bench.run.runner import Runner
    from bench.run.session import Session

    def nothing(job: Job) -> Worker:
        raise AssertionError("a dry run opens no worker")

    device = environment.resolve_device(config.device)
    asked = plan.make(config, device=device)
    for note in asked.notes:
        _console().print(note, soft_wrap=True, highlight=False, markup=False)
    tasks = [*asked.tasks, *asked.accuracies(lambda task: None)]
    past, open_tasks = Past(), tasks
    if (config.results / ".installation").exists():
        session = Session.start(config.results, config.device, Live(_console()), nothing)
        past = Past.read(session.folder, session.machine.fingerprint)
        open_tasks = Runner(config, session).outstanding()
    rate = rate_now(device)
    whole, left = (estimate(config, chosen, past, device, rate) for chosen in (tasks, open_tasks))
    print_tables(_console(), [cost(whole, left, device)])
    return 0


@app.command(name="eval")
def eval_(
    *,
    model: str | None = None,
    checkpoint: Path | None = None,
    checkpoint_key: str | None = None,
    data: str | None = None,
    compare: tuple[str, str] | None = None,
    labels: str | None = None,
    spread: bool = True,
    image_size: int | None = None,
    crop: float | None = None,
    crop_mode: CropMode | None = None,
    interpolation: Interpolation | None = None,
    mean: Shares = (),
    std: Shares = (),
    device: str = "auto",
    results: Path = Path("results"),
    force: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Evaluate published weights or a file's, or compare two sets of weights on the same images.

    Parameters
    ----------
    model
        NAME@TAG for published weights (`bench list weights NAME`); NAME with --checkpoint, where the file does not say.
    checkpoint
        File of weights: safetensors, or a torch file with a state dict in it. Nothing in it is executed; pickled code is refused.
    checkpoint_key
        Entry of the file to take, where there are several: state_dict; with a prefix of names in it: state_dict/teacher.
    data
        Images, as for `run`.
    compare
        Two sets of evaluated weights: NAME@TAG, NAME@seed=N, or the key of a record.
    labels
        Other labels for ImageNet's validation images: real:/path/real.json.
    spread
        Evaluate at neighbouring crops and image sizes as well.
    image_size
        Side of the images in pixels; the model's own unless given.
    crop
        Share of an image's side that is shown. This and the next four are the weights' own unless given: what a file of ours
        says, else what timm has for these weights or this architecture; `eval` prints them and whose they are.
    crop_mode
        center, squash or border: what becomes of an image that is no square.
    interpolation
        bicubic, bilinear, nearest, lanczos, hamming or box.
    mean
        What is taken from images in [0, 1], one number or three.
    std
        What they are then divided by, one number or three.
    device
        As for `run`.
    results
        Folder of the records.
    force
        Evaluate again what is already finished.
    """
    from bench.cli.console import print_tables

    if compare is not None:
        given: dict[str, object] = {
            "model": model,
            "checkpoint": checkpoint,
            "checkpoint-key": checkpoint_key,
            "labels": labels,
            "image-size": image_size,
        }
        given |= {
            "crop": crop,
            "crop-mode": crop_mode,
            "interpolation": interpolation,
            "mean": mean or None,
            "std": std or None,
        }
        if idle := [name for name, value in given.items() if value is not None]:
            raise UsageError(
                f"--{idle[0]}: --compare reads what was evaluated before, and shows nothing anew; drop it"
            )
        from bench.analysis.weights import find, rows_of
        from bench.report.tables.weights import compare as compared

        rows, damaged = rows_of(results, data)
        for error in damaged:
            _complain(error)
        print_tables(_console(), [compared(*(find(name, rows) for name in compare))])
        return 2 if damaged else 0
    if data is None:
        raise UsageError(
            "--data: on which images? imagenet:/path or another of `bench list datasets`"
        )
    from bench.plugins import dataset_of

    if checkpoint is not None:
        from bench.training.weights import split_key
        from bench.training.weights_file import weights_from

        says = weights_from(
            checkpoint, split_key(checkpoint_key)[0]
        ).says  # what is no file of weights is refused at once
        model = model or _architecture(checkpoint, says.model)
    elif not dataset_of(data)[0].published:
        raise UsageError(
            f"--data: there are no published weights for {data}; add --checkpoint FILE, or train with `bench run --recipe`"
        )
    if model is None:
        raise UsageError(
            "--model: which architecture? NAME@TAG for published weights, NAME with a --checkpoint that does not say it itself"
        )
    return run(
        config=RunConfig(
            models=(model,),
            metrics=("top1",),
            data=data,
            checkpoint=checkpoint,
            checkpoint_key=checkpoint_key,
            crop=crop,
            crop_mode=crop_mode,
            interpolation=interpolation,
            mean=mean,
            std=std,
            labels=labels,
            spread=spread,
            image_size=() if image_size is None else (image_size,),
            device=device,
            results=results,
            force=force,
        )
    )


def _architecture(checkpoint: Path, says: str | None) -> str | None:
    """The model that a file of weights says it is of; UsageError where that is none, or somebody's code."""
    from bench.plugins import models

    if says is None:
        return None
    try:
        return models.get(says).name
    except UsageError as error:
        raise UsageError(
            f"--checkpoint: {checkpoint} says of its model: {error}; give it with --model"
        ) from None


recipe = App(name="recipe", help="Look into recipes.")
app.command(recipe)


@recipe.command(name="show")
def recipe_show(name: str, /) -> int:
    """Every field of a recipe.

    Parameters
    ----------
    name
        A recipe of `bench list recipes`; fields are changed by NAME:field=value.
    """
    from bench.cli.console import print_tables
    from bench.cli.recipe_tables import recipe_fields
    from bench.plugins.recipe import recipes

    print_tables(_console(), [recipe_fields(recipes.get(name))])
    return 0


@recipe.command(name="diff")
def recipe_diff(left: str, right: str, /) -> int:
    """The fields in which two recipes differ.

    Parameters
    ----------
    left
        A recipe.
    right
        Another one.
    """
    from bench.cli.console import print_tables
    from bench.cli.recipe_tables import recipe_differences
    from bench.plugins.recipe import recipes

    print_tables(_console(), [recipe_differences(recipes.get(left), recipes.get(right))])
    return 0


study = App(name="study", help="Ask the paper's claims of the records.")
app.command(study)


def _studies(name: str) -> list[Any]:
    """The study of a name, or all."""
    from bench.plugins import studies

    return studies.entries() if name == "all" else [studies.get(name)]


@study.command(name="list")
def study_list() -> int:
    """Every study with its question and the claims it asks about."""
    return list_("studies")


@study.command(name="run")
def study_run(
    name: str,
    /,
    *,
    data: str = "digits",
    scale: Literal["small", "authors"] | None = None,
    max_minutes: float | None = None,
    results: Path = Path("results"),
    device: str = "auto",
    seed: int = 0,
    seeds: int | None = None,
    jobs: int | None = None,
    again: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Measure what a study lacks, most worth per minute first, and print its verdict; the same command goes on later.

    Parameters
    ----------
    name
        A study of `bench study list`, or all.
    data
        What studies that train are asked on: digits, cifar10:/path or imagenet:/path.
    scale
        small or authors: models for minutes on a processor's core, or the authors' own; what the device can do unless given.
    max_minutes
        Begin nothing that would end later; no limit unless given.
    results
        Folder of the records.
    device
        As for `run`.
    seed
        Of the order of rounds and the inputs; trainings have seeds of their own.
    seeds
        Trainings of each model; the scale's own number unless given.
    jobs
        Trainings at a time on a CPU; one per processor where the images are small, unless given.
    again
        Make the timed runs once more and add their rounds, where a verdict is inconclusive.
    force
        Measure all of it anew; what there was is superseded.
    dry_run
        Show the queue with what each entry is expected to take, and measure nothing.
    """
    from bench.claims.scales import scale_of
    from bench.cli.console import Live, print_tables
    from bench.cli.forecast_tables import queued
    from bench.measure.worker import Workers
    from bench.report.write import write
    from bench.run.observer import Interrupted
    from bench.run.session import Session
    from bench.run.study_queue import Queue

    if max_minutes is not None and not 0 < max_minutes < float("inf"):
        raise UsageError(
            f"--max-minutes: {max_minutes:g} is not a number of minutes above 0; 28 would work"
        )
    if seeds is not None and not 2 <= seeds <= 1000:
        raise UsageError(f"--seeds: {seeds} trainings give no interval; 3 do, 5 a good one")
    scale_of(data, size=scale)
    named = _studies(name)
    console = _console()
    with Workers() as workers, Live(console) as live:
        queue = Queue(
            Session.start(results, device, live, workers.open),
            data,
            seed,
            seeds=seeds,
            again=again,
            force=force,
            scale=scale,
            jobs=jobs,
        )
        entries = queue.entries(named)
        if dry_run:
            print_tables(console, [queued(entries, queue.device)])
            return 0
        # Rendering comes after the last training.
        limit = (
            None
            if max_minutes is None
            else 60 * max_minutes - RENDERING_S - (time.monotonic() - BEGAN)
        )
        try:
            left = queue.run(entries, limit)
        except Interrupted as stop:
            return _interrupted(console, stop.rounds)
    folder = queue.folder
    if any((folder / "records").glob("*.jsonl")):
        written = write(folder)
        chosen = [one for one in written.verdicts if one.study in {study.name for study in named}]
        _print_verdicts(console, chosen)
        console.print(
            f"\n{folder}/report.md and {len(written.figures)} figure files written",
            soft_wrap=True,
            highlight=False,
        )
    if left:
        console.print(
            f"{len(left)} entries of the queue are left; the same command goes on with them",
            highlight=False,
        )
    return 0


@study.command(name="verdict")
def study_verdict(name: str = "all", /, *, results: Path = Path("results")) -> int:
    """Print verdicts from records alone; measures nothing. Exit code 2 where a record is damaged and left out.

    Parameters
    ----------
    name
        A study of `bench study list`, or all.
    results
        Folder with one folder per machine in it.
    """
    from bench.analysis import grade
    from bench.analysis.machines import read_all
    from bench.claims.verdicts import verdicts

    console, named = _console(), _studies(name)
    machines = read_all(results)
    damaged = [error for machine in machines for error in machine.damaged]
    for error in damaged:
        _complain(error)
    for machine in machines:
        if not grade.lines(machine.everything):
            console.print(machine.folder.name, style="bold", highlight=False)
        _print_grade(console, machine.everything, machine.folder.name)
        _print_verdicts(console, verdicts(machine.everything, named))
    return 2 if damaged else 0


def _print_verdicts(console: Any, verdicts: list[Any]) -> None:
    """The findings of each study, then the overview, which is what one wants to see last."""
    from bench.cli.console import print_tables
    from bench.report.tables.verdicts import details, overview

    print_tables(console, [*details(verdicts), *overview(verdicts)])


@app.command
def claim(
    comparison: str,
    /,
    *,
    on: Literal["top1", "throughput", "latency", "memory"],
    results: Path = Path("results"),
) -> int:
    """Hold one comparison against every condition measured or published; exit code 0 only where no decided one is against it.

    A damaged record is named and left out, with exit code 2: the answer then rests on the others alone.

    Parameters
    ----------
    comparison
        "A > B": A is better than B. Names as for `run --models`, with @TAG for one set of weights.
    on
        What is compared; better is a higher top-1 or throughput, a lower latency or memory.
    results
        Folder with one folder per machine in it; the figure goes into its folder `claims`.
    """
    from bench.claims.comparison import HOLDING, answer
    from bench.cli.console import print_tables
    from bench.report.tables.comparison import claim_tables, save

    if not results.is_dir() and results != Path(
        "results"
    ):  # that one need not be there: published rows answer too
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    found = answer(comparison, on, results)
    for error in found.damaged:
        _complain(error)
    console = _console()
    print_tables(console, claim_tables(found))
    console.print(f"\n{save(found, results)} written", soft_wrap=True, highlight=False)
    return 2 if found.damaged else 0 if found.verdict in HOLDING else 1


@app.command
def selfcheck(*, minutes: float = 8.0, device: str = "auto") -> int:
    """Prove on this machine that its numbers can be believed; writes nothing.

    Parameters
    ----------
    minutes
        About how long it may take.
    device
        As for `run`.
    """
    from bench.check.selfcheck import SelfCheck
    from bench.cli.console import print_verdict
    from bench.measure.worker import Workers

    console = _console()
    with Workers() as workers:
        verdict = SelfCheck(minutes, device, workers.open, tell=console.print).run()
    print_verdict(console, verdict)
    return 0 if verdict.believable else 1


@app.command
def match(
    *,
    reference: str,
    families: Names = ("vit", "mixer", "resnet"),
    budget: Budget = "params",
    hold: Literal["tokens", "shape"] | None = None,
    tolerance: float | None = None,
    image_size: int | None = None,
    num_classes: int | None = None,
    device: str = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Find models of other families with the budget of a reference.

    Parameters
    ----------
    reference
        A model; names as for `run --models`.
    families
        From `bench list families`, comma separated.
    budget
        What is equal.
    hold
        tokens: keep the reference's token grid; shape: its width and depth too, the MLP closes the budget.
    tolerance
        Largest relative miss; 0.02, for params+macs 0.05, for latency 0.1.
    image_size
        Side of the images in pixels; the reference's own unless given.
    num_classes
        Outputs of the classifier; the reference's own unless given.
    device
        Where a latency is measured; as for `run`.
    as_json
        Machine-readable, on standard output.
    """
    from dataclasses import asdict

    from bench.cli.console import print_tables
    from bench.cli.listing_tables import matches
    from bench.match.siblings import siblings

    check_shape(image_size, num_classes)
    where = {}
    if budget == "latency":
        from bench.measure.machine import resolve_device

        found_device = resolve_device(device)
        where = {"device": found_device, "policy": DEFAULT_POLICY[found_device.partition(":")[0]]}
    found = siblings(
        reference,
        families,
        budget=budget,
        image_size=image_size,
        num_classes=num_classes,
        tolerance=tolerance,
        hold=hold,
        **where,
    )
    if as_json:
        reference_of = {
            "name": found.reference.name,
            **asdict(found.cost),
            "image_size": found.image_size,
        }
        shown = {
            "reference": reference_of,
            "matches": [asdict(one) for one in found.matches],
            "notes": found.notes,
        }
        print(json.dumps(shown, indent=2))
        return 0
    print_tables(_console(), [matches(found, budget=budget)])
    return 0


@app.command
def report(
    *,
    results: Path = Path("results"),
    family: Names = (),
    where: str = "",
    sort: str = "",
    columns: Names = (),
    format: Literal["console", "markdown", "csv", "latex"] = "console",
    page: bool = True,
    strict: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Render tables, figures and the page from records; measures nothing.

    Parameters
    ----------
    results
        Folder with one folder per machine in it.
    family
        Only these families, comma separated. With this or one of the next three flags files go into each machine's `selection`.
    where
        Only what meets these conditions, such as "params<30M, latency<=20ms and policy=fp32".
    sort
        Order of the rows, the best first: throughput, latency, params, top1 ...; -throughput for the worst first.
    columns
        Only these columns, comma separated, in this order.
    format
        How tables are printed: console, markdown, csv or latex. All are written to files in any case.
    page
        Write report.html, one page for all machines.
    strict
        Exit with 1 where a machine's speeds are not fit to be ranked: its own checks failed or are missing.
    """
    from bench.analysis import grade
    from bench.cli.console import print_tables
    from bench.report import formats
    from bench.report.selection import selection
    from bench.report.write import write_all

    chosen = selection(family=family, where=where, sort=sort, columns=columns)
    reports, between = write_all(results, chosen)
    console, damaged, doubted = _console(), 0, False
    spelled = {"markdown": formats.markdown, "csv": formats.csv_text, "latex": formats.latex}
    for written in reports:
        tables = [*written.tables, *(between if written is reports[-1] else ())]
        trust = grade.worst(written.graded)
        doubted |= trust is not None and not trust.marks
        if format != "console":
            for line in grade.lines(written.graded):
                print(visible(f"{written.summary.machine.name}: {line}"), file=sys.stderr)
            print("\n\n".join(spelled[format](table) for table in tables))
        else:
            if not grade.lines(written.graded):
                console.print(written.summary.machine.name, style="bold", highlight=False)
            _print_grade(console, written.graded, written.summary.machine.name)
            print_tables(console, tables)
            console.print(
                f"\n{written.folder}/report.md and {len(written.figures)} figure files written",
                soft_wrap=True,
                highlight=False,
            )
            for note in written.summary.notes:
                console.print(f"note: {note}", soft_wrap=True, highlight=False)
        for error in written.damaged:
            _complain(error)
        if written.unknown:
            _complain(f"note: {_unlisted(written.unknown)}")
        damaged += len(written.damaged)
    problems = reports[0].summary.imported.problems if reports else []
    for problem in problems:
        _complain(problem)
    damaged += len(problems)
    if page and chosen.whole:
        from bench.report.page import write_page

        at = write_page(results, reports)
        if format == "console":
            console.print(f"{at} written: open it in a browser", soft_wrap=True, highlight=False)
    if strict and doubted:
        _complain("--strict: speeds are not fit to be ranked; each machine's first line says why")
    return 2 if damaged else 1 if strict and doubted else 0


def _unlisted(paths: list[Path]) -> str:
    """Tables that no list of files accounts for."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}: not of this report, and left alone; delete by hand what an earlier version left there"


@app.command(name="import")
def import_(
    file: Path,
    /,
    *,
    source: str | None = None,
    dataset: str | None = None,
    results: Path = Path("results"),
) -> int:
    """Put somebody's published table beside the results, as marked reference rows of every later report.

    Parameters
    ----------
    file
        A CSV file in the columns of timm's result files: accuracies, inference speeds or training speeds.
    source
        Where it comes from, to be shown and cited; the file's name unless given.
    dataset
        What accuracies are of: imagenet, imagenet-real, imagenet-v2, imagenet-a, imagenet-r, imagenet-sketch or a name of
        your own. Needed unless the file is called as timm's are, such as results-imagenet-a.csv.
    results
        Folder of the results; the file is kept in its folder `published`.
    """
    from bench.analysis.published_csv import import_csv

    kept = import_csv(file, results, source, dataset)
    rows = "1 published row" if kept.rows == 1 else f"{kept.rows} published rows"
    _say(f"{rows} kept in {kept.path}: {kept.of}; next: python -m bench report --results {results}")
    if kept.left_out:
        _complain(f"{file}: {kept.left_out}")
    return 0


@app.command
def export(folder: Path, /, *, results: Path = Path("results")) -> int:
    """Write the results as CSV files in the columns of timm's result files.

    Parameters
    ----------
    folder
        Where the files go; one folder per machine where there are several.
    results
        Folder with one folder per machine in it.
    """
    from bench.analysis.machines import read_all
    from bench.exchange.timm_csv import export as exported
    from bench.files.paths import inside

    machines = read_all(results)
    several = len(machines) > 1
    written = []
    for one in machines:
        files = exported(
            one.summary, inside(folder, folder / one.folder.name) if several else folder
        )
        if not files:
            _say(f"{one.folder}: nothing to export, its records are of studies alone")
        written += files
    damaged = [error for one in machines for error in one.damaged]
    for error in damaged:
        _complain(error)
    for path in written:
        _say(f"{path} written")
    if not written:
        raise UsageError(
            f"export: {results} holds neither speeds nor accuracies; `python -m bench run` measures some"
        )
    return 2 if damaged else 0


@app.command
def compare(left: str, right: str, /, *, fail_on_regression: str | None = None) -> int:
    """Show what changed between two sets of records, arm by arm.

    Parameters
    ----------
    left
        A results folder, a machine's folder, or FOLDER@COMMIT.
    right
        What it is compared with; changes are those from left to right, of speeds against a reference arm of their own run.
    fail_on_regression
        Exit with 1 where anything got worse by more than this share of its first value, beyond chance: 5% or 0.05.
    """
    from bench.analysis.changes import compare as compared
    from bench.cli.console import print_tables
    from bench.report.tables.changes import can_tell, changes

    limit = None if fail_on_regression is None else _share(fail_on_regression)
    found = compared(left, right)
    for error in found.damaged:
        _complain(error)
    console = _console()
    console.print(can_tell(found), style="bold", soft_wrap=True, highlight=False)
    print_tables(console, [changes(found, left, right)])
    worse = [] if limit is None else found.regressions(limit)
    if worse:
        names = ", ".join(dict.fromkeys(one.name for one in worse))
        console.print(
            f"\n{len(worse)} got worse by more than {limit:.1%}: {names}",
            soft_wrap=True,
            highlight=False,
        )
    return 2 if found.damaged else 1 if worse else 0


def _share(text: str) -> float:
    """`5%` or `0.05`."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UsageError(f"--fail-on-regression: {text!r} is no share; 5% or 0.05 would be")
    return value


@app.command
def pack(file: Path, /, *, results: Path = Path("results")) -> int:
    """Put all records of a results folder into one file, to be sent to somebody. A damaged one is named and left out.

    Parameters
    ----------
    file
        The file to write, such as mine.zip.
    results
        Folder with one folder per machine in it.
    """
    from bench.exchange.pack import pack as packed

    files, damaged = packed(results, file)
    for error in damaged:
        _complain(error)
    _say(f"{files} files in {file}; whoever gets it checks it with: python -m bench verify {file}")
    return 2 if damaged else 0


@app.command
def verify(file: Path, /) -> int:
    """Check a pack: hashes, schema, counts against the known ones, the sentinel pair and the canary. Executes nothing of it.

    Parameters
    ----------
    file
        A file that `bench pack` made.
    """
    from bench.exchange.pack import verify as verified

    found = verified(file)
    for remark in found.remarks:
        _say(f"note: {remark}")
    for problem in found.problems:
        _complain(f"{file}: {problem}")
    if found.problems:
        _complain(f"{file}: refused for {len(found.problems)} reasons")
        return 1
    _say(
        f"{file}: accepted; {found.records} records of {', '.join(found.machines)}, {found.files} files as they were packed"
    )
    return 0


@app.command
def describe(
    name: str, /, *, image_size: int | None = None, num_classes: int | None = None, depth: int = 2
) -> int:
    """Show one model layer by layer: shape, parameters, MACs and their share.

    Parameters
    ----------
    name
        A model; names as for `run --models`.
    image_size
        Side of the image in pixels; the model's own unless given.
    num_classes
        Outputs of the classifier; the model's own unless given.
    depth
        Levels of modules to show.
    """
    from bench.cli.console import print_layers
    from bench.count.module_tree import describe as layers_of
    from bench.plugins import models

    check_shape(image_size, num_classes)
    if depth < 1:
        raise UsageError(f"--depth: {depth} shows nothing; 1 or more does")
    entry = models.get(name)
    tree = layers_of(
        entry,
        image_size=image_size or entry.image_size,
        num_classes=num_classes or entry.num_classes,
    )
    print_layers(_console(), tree, depth=depth)
    return 0


@app.command
def doctor(*, device: str = "auto", results: Path = Path("results"), seconds: float = 10.0) -> int:
    """Examine this machine: versions, what is missing and how to get it, free disk and memory, other users, noise.

    Parameters
    ----------
    device
        As for `run`.
    results
        Folder whose disk is looked at.
    seconds
        How long the noise is read.
    """
    from bench.check.doctor import examine, verdict
    from bench.cli.console import print_findings

    device, console = RunConfig(device=device).device, _console()  # the first refuses what is none
    findings = print_findings(console, examine(device=device, results=results, seconds=seconds))
    console.print(f"\n{verdict(findings)}")
    return 0 if all(finding.status in ("ok", "note", "missing") for finding in findings) else 1


app.command(
    "bench.cli.visit:visit",
    help="Spend some minutes on this machine as well as they can be spent, and pack what was measured into one file.\n\n"
    "A step that fails, hangs or fills the memory is ended, and the next one begins. The same command goes on where it was.",
)
app.command(
    "bench.cli.visit:unpack",
    help="Lay the records of a pack into a results folder, after checking them as `verify` does; overwrites nothing.",
)


@app.command(name="list")
def list_(
    kind: Kind,
    name: str | None = None,
    /,
    *,
    family: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show what can be asked for.

    Parameters
    ----------
    kind
        models, weights, families, metrics, policies, datasets, recipes, studies, launchers or figures.
    name
        With `weights`: the model whose published weights are shown.
    family
        With `models`: one family only.
    as_json
        Machine-readable, on standard output.
    """
    from bench.cli.catalogue import catalogue

    rows = catalogue(kind, family=family, name=name)
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    from bench.cli.console import print_tables
    from bench.cli.listing_tables import listing

    print_tables(_console(), [listing(f"{len(rows)} {kind}", rows)])
    return 0


def _console() -> Terminal:
    """A terminal's own width; in a file or a pipe wide enough that tables keep their lines."""
    from bench.cli.console import Terminal

    return Terminal() if sys.stdout.isatty() else Terminal(width=160)


def _say(text: str) -> None:
    """One line on standard output, whatever is in it."""
    print(visible(text))


def _complain(what: object) -> None:
    """One line on standard error, whatever is in it."""
    print(f"bench: {visible(' '.join(str(what).split()))}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Bad input is one line and exit code 2."""
    from bench.cli import terminal
    from bench.files.files import unwritable
    from bench.measure import interrupts

    try:
        with interrupts.listening():  # a scheduler's SIGTERM ends a run as Ctrl-C does: finished rounds are kept and said to be
            return (
                app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
                or 0
            )
    except (UsageError, ModelFault, CycloptsError) as error:
        _complain(error)
        return 2
    except OSError as error:
        if interrupts.asked():  # the terminal was closed, and there is none to write to
            return terminal.interrupted()
        lost = terminal.flush()
        if lost or isinstance(error, BrokenPipeError):
            return terminal.lost(lost or error)
        # A full disk, a folder that nobody may write: the user's to mend, and no traceback says more than the name.
        if line := unwritable(error):
            _complain(line)
            return 2
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}; give a path that can be read and written")
        return 2
    except KeyboardInterrupt:
        return terminal.interrupted()
