"""`bench pick`: the best backbone within limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bench.analysis import grade
from bench.analysis.published_csv import imported
from bench.cli import BEGAN
from bench.cli.console import (
    Live,
    Terminal,
    counted,
    may_be_ranked,
    print_interrupted,
    print_tables,
    print_words,
)
from bench.cli.options import DeviceFlag, ResultsFlag
from bench.cli.run import measured_before
from bench.cli.tables.pick import candidates_table, headline, left_out_lines, short_list
from bench.config import (
    COMMAND,
    HOW,
    HOW_LONG,
    SECONDS,
    WHAT,
    WHERE,
    Names,
    Plain,
    RunConfig,
    Switch,
    check_batch_sizes,
    check_shape,
)
from bench.devices import kind_of
from bench.errors import UsageError
from bench.measure.machine import resolve_device
from bench.measure.worker import Workers
from bench.plugins import alternatives, dataset_of, not_installed
from bench.plugins.switches import BEST
from bench.run.observer import Interrupted
from bench.run.session import Session
from bench.stats.formatting import duration

if TYPE_CHECKING:  # imports torch
    from bench.analysis.rows import Summary
    from bench.pick.answer import Answer
    from bench.pick.candidates import Candidate, Field, LeftOut
    from bench.pick.limits import Limits
    from bench.pick.probe import AtHand
    from bench.pick.search import Probe, Question, Search
    from bench.pick.stages import FinalPlan


@dataclass(frozen=True, kw_only=True)
class PickConfig:
    """Flags of `bench pick`."""

    max_latency: Annotated[str | None, Plain, WHAT] = None
    """Most time of a call at batch 1, such as 60ms."""
    max_params: Annotated[str | None, Plain, WHAT] = None
    """Most parameters, such as 30M."""
    max_macs: Annotated[str | None, Plain, WHAT] = None
    """Most multiply-adds per image, such as 5G."""
    max_memory: Annotated[str | None, Plain, WHAT] = None
    """Most memory of a forward pass, such as 2GB."""
    min_top1: Annotated[str | None, Plain, WHAT] = None
    """Least published ImageNet-1k top-1, such as 79%; weight sets below it do not count."""
    objective: Annotated[
        Literal["top1", "latency", "throughput", "params"] | None,
        Parameter(name="--for", show_default=False),
        WHAT,
    ] = None
    """What is best within the limits; defaults to the highest top-1, and to the lowest latency if
    --min-top1 is the only limit."""
    candidates: Annotated[Names, WHAT] = ()
    """Models to choose from, comma separated; defaults to every architecture with a published top-1
    in this project's table."""
    more_data: Annotated[Switch, WHAT] = False
    """Count weight sets with more data or a teacher next to those of ImageNet-1k alone."""
    data: Annotated[str | None, Plain, WHAT] = None
    """Data set, such as folder:/path: the top-1 of heads on frozen features takes the place of the
    published one. The weights have to be at hand."""
    weights: Annotated[Path | None, Plain, WHAT] = None
    """Folder of weights for --data, in files named as timm names weights, such as
    resnet50.a1_in1k.safetensors; those in the cache of the Hugging Face Hub are found without."""
    policies: Annotated[Names, HOW] = ()
    """How to execute the models, comma separated, the first one for all of them; defaults to the
    device's usual one, and for the best few to as many further ones as --time-budget sets up."""
    device: Annotated[DeviceFlag, WHERE] = "auto"
    batch_size: Annotated[int | None, Plain, HOW] = None
    """Images per call for throughput and memory; latency is always at 1."""
    image_size: Annotated[int | None, Plain, HOW] = None
    """Side of the images in pixels; defaults to each model's own."""
    time_budget: Annotated[float, SECONDS, HOW_LONG] = 265.0
    """Time for the whole command, about: seconds, or with a unit, such as 10m."""
    results: Annotated[ResultsFlag, WHERE] = Path("results")
    seed: Annotated[int, HOW] = 0
    """Seed of the order of rounds and the inputs."""
    force: Annotated[Switch, HOW] = False
    """Measure again what is already finished."""
    dry_run: Annotated[Switch, HOW_LONG] = False
    """Show the candidates and a forecast; measure nothing."""

    def check(self) -> Limits:
        """Return the limits; UsageError, naming the flag, for a value that makes no sense."""
        from bench.pick.limits import limits_of

        limits = limits_of(
            latency=self.max_latency,
            memory=self.max_memory,
            params=self.max_params,
            macs=self.max_macs,
            top1=self.min_top1,
        )
        if not 0 < self.time_budget < math.inf:
            raise UsageError(
                f"--time-budget: must be a number of seconds above 0, got {self.time_budget:g}; "
                "265 would work"
            )
        RunConfig(device=self.device)
        check_batch_sizes(() if self.batch_size is None else (self.batch_size,))
        check_shape(self.image_size, None)
        if self.weights is not None and self.data is None:
            raise UsageError("--weights: for which images? add --data folder:/path")
        if self.data is not None and self.min_top1 is not None:
            raise UsageError(
                "--min-top1: limits the published top-1, and --data puts a measured one in its "
                "place; drop one of them"
            )
        return limits


def pick(*, config: Annotated[PickConfig, Parameter(name="*")] = PickConfig()) -> int:
    """Find the best backbone under limits of speed, size and top-1.

    Candidates that miss a limit by their counts or published top-1 are left out; the others are
    timed in interleaved rounds, which those leave early that cannot be the best. Exit with 1 if
    none of those is within the limits, with 2 if none is left to time.
    """
    limits = config.check()
    console = Terminal.on_stdout()
    with Workers() as workers:
        from bench.pick.search import Search

        device = resolve_device(config.device)
        choice = _choice(config, limits, device)
        if config.dry_run:
            return _dry_run(console, config, choice, device)
        for line in left_out_lines(choice.left_out):
            print_words(console, line)
        try:
            with Live(console) as live:
                session = Session.start(config.results, config.device, live, workers.open)
                probe = _probe(config, choice, session)
                search = Search(choice.question, session, BEGAN, probe=probe)
                found = search.run()
        except Interrupted as stop:
            return print_interrupted(console, stop.rounds)
    return _print(console, search, found, choice.left_out)


@dataclass(frozen=True)
class Choice:
    """What is to be measured, the candidates left out, and with --data the weights at hand."""

    question: Question
    left_out: list[LeftOut]
    ready: list[AtHand]


def _choice(config: PickConfig, limits: Limits, device: str) -> Choice:
    """Return what to measure. UsageError if no candidate is left, or no weights are at hand."""
    from bench.pick.search import Question

    if config.data is not None:
        dataset, argument = dataset_of(config.data)
        dataset.check(argument)
    policies = _policies(config, kind_of(device).name)
    field = _candidates(config, limits)
    candidates, left_out = field.candidates, list(field.left_out)
    ready: list[AtHand] = []
    if config.data is not None and candidates:
        ready, missing = _at_hand(config, candidates)
        candidates = [one.candidate for one in ready]
        left_out += missing
    if limits.latency is not None and candidates:
        candidates, too_slow = _able(candidates, limits.latency, device, policies)
        left_out += too_slow
    if not candidates:
        reasons = "; ".join(left_out_lines(left_out))
        raise UsageError(f"pick: no candidate is left to measure: {reasons}")
    question = Question(
        candidates=candidates,
        limits=limits,
        objective=config.objective or limits.objective,
        policies=policies,
        all_policies=bool(config.policies),
        image_size=config.image_size,
        batch_size=config.batch_size,
        budget=config.time_budget,
        seed=config.seed,
        force=config.force,
    )
    return Choice(question, left_out, ready)


def _policies(config: PickConfig, kind: str) -> list[str]:
    """Return the policies, that of the screening first. UsageError if one does not run here."""
    found: dict[str, None] = {}
    for policy in config.policies or (kind_of(kind).policy, BEST):
        found |= dict.fromkeys(alternatives(policy, kind, flag="--policies"))
    return list(found)


def _able(
    candidates: list[Candidate], limit: float, device: str, policies: list[str]
) -> tuple[list[Candidate], list[LeftOut]]:
    """Return the candidates that this device could run within a limit, and the others."""
    from bench.pick.candidates import too_much_work
    from bench.pick.search import most_rate

    rate = most_rate(device, policies)
    if rate is None:
        return candidates, []
    able, too_slow = too_much_work(candidates, limit, rate)
    return able, [too_slow] if too_slow else []


def _at_hand(config: PickConfig, candidates: list[Candidate]) -> tuple[list[AtHand], list[LeftOut]]:
    """Return the candidates with weights at hand, and the others."""
    from bench.pick.probe import at_hand

    if config.image_size is not None:
        raise UsageError(
            "--image-size: with --data, images are shown as the weights were trained; drop it"
        )
    return at_hand(candidates, config.weights)


def _probe(config: PickConfig, choice: Choice, session: Session) -> Probe | None:
    """Return the measuring of frozen features for --data; None without it."""
    if config.data is None:
        return None
    from bench.pick.probe import Prober

    return Prober(
        data=config.data,
        session=session,
        ready=choice.ready,
        force=config.force,
        seed=config.seed,
    ).probe


def _candidates(config: PickConfig, limits: Limits) -> Field:
    from bench.pick.candidates import default_names, field_of

    added = imported(config.results).accuracies if config.results.is_dir() else ()
    wanted = config.objective or limits.objective
    return field_of(
        config.candidates or default_names(),
        limits,
        image_size=config.image_size,
        imported=added,
        more_data=config.more_data,
        by_published=config.data is None,
        needs_published=config.data is None and (wanted == "top1" or limits.top1 is not None),
    )


def _dry_run(console: Terminal, config: PickConfig, choice: Choice, device: str) -> int:
    """Print the candidates, and about how long measuring them would take."""
    from bench.forecast.past import Past
    from bench.pick.stages import screening_s
    from bench.plan.forecast import rate_now

    question = choice.question
    print_tables(console, [candidates_table(question.candidates, choice.left_out)])
    past = Past()
    session = measured_before(config.results, config.device, console)
    if session is not None:
        past = Past.read(session.folder, session.machine.fingerprint)
    rate, calls = rate_now(device), []
    for one in question.candidates:
        known = past.per_image(one.name, one.image_size, question.policies[0])
        calls.append(one.cost.macs / rate() if known is None else known)
    seconds = screening_s(calls, config.time_budget)
    print_words(
        console,
        f"\nscreening all of them under {question.policies[0]} takes about {duration(seconds)}, "
        f"the whole command about {duration(max(seconds, config.time_budget))} (--time-budget); "
        f"policies for the best few, as time allows: {', '.join(question.policies)}",
    )
    return 0


def _print(console: Terminal, search: Search, found: Answer, left_out: list[LeftOut]) -> int:
    """Print the answer and return the exit code."""
    session = search.session
    results = str(session.results)
    console.print()
    print_answer(console, found, search.summary(), left_out, search.final, results)
    for reason in not_installed(session.kind) if not search.question.all_policies else ():
        print_words(console, f"not tried: {reason}", "dim")
    records = sum(len(outcome.records) for outcome in search.outcomes)
    console.print_line(
        f"\n{counted(records, 'record')} in {session.records} · next: {COMMAND} report "
        f"--results {results}"
    )
    return int(found.none > 0.5)


def print_answer(
    console: Terminal,
    found: Answer,
    summary: Summary | None,
    left_out: Sequence[LeftOut],
    final: FinalPlan | None,
    results: str,
) -> None:
    """Print the answer in a line and as a table; a grade that forbids ranking comes first.

    `summary` has the speeds that the answer rests on; None: they are not graded.
    """
    trust = [] if summary is None else grade.lines(summary)
    ranked = summary is None or may_be_ranked(summary)
    if not ranked:
        for line in trust:
            print_words(console, line, "bold")
        print_words(console, "take no answer from these speeds; so far it would be:")
    print_words(console, headline(found), "bold" if ranked else "")
    if ranked:
        for line in trust:
            print_words(console, line)
    print_tables(console, [short_list(found, left_out, final, results)])
