"""What the phases of one run share: what was asked for, the run's identity, and its tallies."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

from bench.config import RunConfig
from bench.measure.gpu import described
from bench.record.schema import Scalar
from bench.run.observer import Ledger, Observer
from bench.run.parallel import JobPool
from bench.run.rounds.elimination import Race
from bench.run.session import Session


@dataclass
class RunContext:
    """One run of a session. `until` is a time on the session's clock."""

    config: RunConfig
    session: Session
    studies: dict[str, str] = field(default_factory=dict)
    """The studies that the run is made for, each with the hash of its question."""
    until: float | None = None
    """No arm is begun after this time."""
    pool: JobPool | None = None
    """The pool that this run is one job of; None if it has the machine to itself."""
    ledger: Ledger = field(default_factory=Ledger)
    failures: dict[str, str] = field(default_factory=dict)
    """Why arms failed, by label."""
    partial: dict[str, str] = field(default_factory=dict)
    """Why metrics failed of arms that gave others, by label."""
    left: int = 0
    """Arms left for the next call."""
    jobs: int = 1
    """Training runs at a time; each gets its share of the processors."""
    race: Race | None = None
    """By which arms leave the rounds early."""
    cache: str = ""
    """Folder of the compilers' caches; each arm has its own in it."""

    def __post_init__(self) -> None:
        started = datetime.now(timezone.utc)
        self.run_id = f"{started:%Y%m%dT%H%M%S}-{random.SystemRandom().randrange(16**4):04x}"
        self.started = started.isoformat(timespec="seconds")

    @property
    def observer(self) -> Observer:
        """The session's observer."""
        return self.session.observer

    @cached_property
    def setup(self) -> dict[str, Scalar]:
        """Conditions for every run line of this run: limits of the GPU, and of workers' memory.

        Read when they are first needed: planning a run asks no driver.
        """
        setup = described(self.session.device, self.session.gpu)
        if self.config.worker_memory is not None:
            setup["worker_memory_gb"] = self.config.worker_memory
        return setup

    @property
    def too_late(self) -> bool:
        """True if no further arm is to be begun."""
        return self.until is not None and self.session.now() > self.until
