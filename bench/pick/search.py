"""Measure the candidates of `bench pick` in two runs, and answer from the records.

Both are runs like any other: their records stay, a second call finds what is finished, and reports
show it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.config import RunConfig
from bench.devices import CPU, kind_of
from bench.pick.answer import Answer, Judged, answer
from bench.pick.candidates import Candidate
from bench.pick.draws import Evidence, Probed
from bench.pick.limits import Limits, Objective
from bench.pick.race import CandidateRace
from bench.pick.stages import CHOOSING, FINAL, SCREENING, FinalPlan, finalists, plan_final
from bench.pick.standing import ROOM
from bench.pick.timed import Timed, had, timed_of, trouble_of
from bench.plugins import precision_of
from bench.record.store import Record
from bench.run.observer import Outcome
from bench.run.runner import Runner
from bench.run.session import Session

Probe = Callable[[Sequence[str]], dict[str, Probed]]
"""Measures the frozen-feature top-1 of candidates by name."""
SPARE = 1.5
"""How many times faster than its best product a device may be: some convolutions save products."""
PRODUCTS, TRIES = 10, 4
"""Products whose time is taken together, and how often; the best counts."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: the best of some candidates, within limits, under one of some policies.

    `policies` begin with the one of the screening; with `all_policies` all are tried, however long
    that takes. `budget` are seconds for the whole command.
    """

    candidates: Sequence[Candidate]
    limits: Limits
    objective: Objective
    policies: Sequence[str]
    all_policies: bool = False
    image_size: int | None = None
    batch_size: int | None = None
    budget: float
    seed: int = 0
    force: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the answer needs."""
        names = ["latency"]
        if self.objective == "throughput":
            names.append("throughput")
        if self.limits.memory is not None:
            names.append("memory")
        return tuple(names)

    @property
    def names(self) -> list[str]:
        """The names of the candidates."""
        return [one.name for one in self.candidates]

    def screening(self, base: RunConfig) -> RunConfig:
        """Return the run of all candidates under the first policy."""
        return self.config(base, self.names, self.policies[:1], SCREENING)

    def config(
        self, base: RunConfig, names: Sequence[str], policies: Sequence[str], share: float
    ) -> RunConfig:
        """Return a run of some candidates; `base` has the device and the results folder."""
        batch = self.batch_size or kind_of(base.device).study_batch_size
        return RunConfig(
            models=tuple(names),
            metrics=self.metrics,
            policies=tuple(policies),
            batch_sizes=(batch,),
            image_size=() if self.image_size is None else (self.image_size,),
            device=base.device,
            results=base.results,
            time_budget=share * self.budget,
            seed=self.seed,
            force=self.force,
        )


@dataclass
class Search:
    """The runs that answer a question, which was asked at the time `began` of the session."""

    question: Question
    session: Session
    began: float
    probe: Probe | None = None
    """Measures the top-1 of heads on frozen features, in place of the published one."""
    probed: dict[str, Probed] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    """The runs so far."""
    final: FinalPlan | None = None
    """The final; None before it, and if no candidate is left for it."""

    def run(self) -> Answer:
        """Measure what is not finished, and answer.

        Raises Interrupted on Ctrl-C, UsageError on bad input.
        """
        question = self.question
        first = question.policies[0]
        self._note(f"screening {len(question.candidates)} candidates under {first}")
        room = ROOM if len(question.policies) > 1 else 1.0
        self._measure(question.screening(self.base), self._race(question.names, room))
        found = self.answer()
        if self.probe is not None:
            self.probed = self.probe([one.candidate.name for one in found.judged if one.may_win])
            found = self.answer()
        names = [one.candidate.name for one in self._finalists(found)]
        if not names or self._had_final(found):
            return found
        self.final = final = self._plan_final(names)
        self._note(f"final of {', '.join(final.models)} under {', '.join(final.policies)}")
        config = question.config(self.base, final.models, final.policies, FINAL)
        self._measure(config, replace(self._race(final.models, 1.0), choosing=CHOOSING))
        return self.answer()

    @property
    def base(self) -> RunConfig:
        """The device and the results folder of all runs."""
        return RunConfig(device=self.session.device, results=self.session.results)

    def answer(self) -> Answer:
        """Return the answer from the records that there are now."""
        question, summary = self.question, self.summary()
        first = question.policies[0]
        timed: dict[str, Timed] = {}
        failures: dict[str, str] = {}
        for one in question.candidates if summary is not None else ():
            assert summary is not None
            if (found := timed_of(summary, one, first)) is not None:
                timed[one.name] = found
            elif trouble := trouble_of(summary, one, first):
                failures[one.name] = trouble
        evidence = Evidence(timed=timed, failures=failures, probed=self.probed)
        return answer(question.candidates, evidence, question.limits, question.objective)

    def summary(self) -> Summary | None:
        """Return this machine's records in its present state; None without any."""
        records = self._records()
        return summarise(records) if records else None

    def _records(self) -> list[Record]:
        fingerprint = self.session.machine.fingerprint
        mine = [record.within(fingerprint) for record in self.session.load_records().values()]
        return [record for record in mine if record.runs]

    def _had_final(self, found: Answer) -> bool:
        """True if the answer is settled, and its model was in a final as long as this one."""
        first = found.likeliest
        if first is None or not found.settled:
            return False
        config = self.question.config(self.base, [first.candidate.name], (), FINAL)
        assert config.time_budget is not None
        enough = partial(had, seconds=config.time_budget, rounds=config.most_rounds)
        return any(enough(record, first.candidate) for record in self._records())

    def _finalists(self, found: Answer) -> list[Judged]:
        return finalists(found, more_policies=len(self.question.policies) > 1)

    def _plan_final(self, names: Sequence[str]) -> FinalPlan:
        question = self.question
        return plan_final(
            names,
            question.policies,
            question.limits,
            question.budget,
            self.session.now() - self.began,
            all_of_them=question.all_policies,
        )

    def _race(self, names: Sequence[str], room: float) -> CandidateRace:
        question = self.question
        racing = [one for one in question.candidates if one.name in names]
        return CandidateRace(racing, question.limits, question.objective, room=room)

    def _measure(self, config: RunConfig, race: CandidateRace) -> None:
        self.outcomes.append(Runner(config, self.session, race=race).run())

    def _note(self, text: str) -> None:
        self.session.observer.note(text)


def most_rate(device: str, policies: Sequence[str]) -> float | None:
    """Return more multiply-adds per second than a device does under some policies.

    That is `SPARE` times the best of a few products. None where it is not known: on other devices
    than a CPU, and in other precisions than that of its product.
    """
    kind = kind_of(device)
    usual = precision_of(kind.policy)
    if kind is not CPU or any(precision_of(policy) != usual for policy in policies):
        return None
    return SPARE * max(product_rate(device) for _ in range(TRIES))


def product_rate(device: str) -> float:
    """Return the multiply-adds per second of matrix products on all processors.

    It is measured on one of them, in processor time: other programs take time from a product, and
    several threads wait for each other then, which says nothing of what the processors can do.
    """
    import torch

    side, threads = kind_of(device).rate_side, torch.get_num_threads()
    left = torch.randn(side, side)
    torch.set_num_threads(1)
    try:
        (left @ left).sum().item()
        began = time.process_time()
        for _ in range(PRODUCTS):
            product = left @ left
        product.sum().item()
        spent = time.process_time() - began
    finally:
        torch.set_num_threads(threads)
    return threads * PRODUCTS * side**3 / spent
