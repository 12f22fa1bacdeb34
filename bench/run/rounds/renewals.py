"""When an arm gets a new process, so that its interval contains the spread between processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from bench.forecast.round_rules import FIRST_LOOK, LIFE, SENTINEL_EVERY, SHORTEST
from bench.run.arm_run import ArmRun
from bench.run.observer import Ledger
from bench.run.rounds.pairing import Pairing
from bench.run.rounds.time_account import LEAST_S, TimeAccount
from bench.stats.intervals import ROUNDS_FOR_INTERVAL
from bench.stats.reference import SENTINEL


class Renewals:
    """Renews the processes of one series of rounds, by turns."""

    def __init__(
        self,
        arm_runs: list[ArmRun],
        pairing: Pairing,
        account: TimeAccount,
        ledger: Ledger,
        open_arm: Callable[[ArmRun], bool],
    ) -> None:
        self._arm_runs = arm_runs
        self._pairing = pairing
        self._account = account
        self._ledger = ledger
        self._open_arm = open_arm
        self._renewed: Counter[ArmRun] = Counter()
        """New processes in this series."""
        self._age: Counter[ArmRun] = Counter()
        """Rounds of the current process."""
        self._first_lives = dict(self._shares())

    def count_round(self, arm_run: ArmRun) -> None:
        """Count a round of an arm's current process."""
        self._age[arm_run] += 1

    def renew(self, measured: Collection[ArmRun]) -> None:
        """Start new processes for the arms whose turn it is, of those that are still `measured`."""
        for arm_run in self._arm_runs:
            takes_part = arm_run.alive and arm_run.role != "probe" and arm_run in measured
            if takes_part and self._is_due(arm_run):
                self._start_process(arm_run)

    def _start_process(self, arm_run: ArmRun) -> None:
        before = self._account.now()
        arm_run.close()
        self._open_arm(arm_run)
        self._renewed[arm_run] += 1
        self._age[arm_run] = 0
        seconds = self._account.now() - before
        self._account.renewed_s += seconds
        self._ledger.add("renewing", seconds)

    def _is_due(self, arm_run: ArmRun) -> bool:
        """True if a process has had its rounds, and a new one is affordable and has rounds left."""
        if self._account.expected_rounds() < FIRST_LOOK:
            return False  # there will be no interval
        life = self._life(arm_run)
        if not self._renewed[arm_run]:
            life = max(1, round(life * self._first_lives[arm_run]))
        return (
            self._age[arm_run] >= life
            and self._account.pays_renewal(arm_run.renewal_s)
            and self._account.rounds_after(arm_run.renewal_s) >= 1
        )

    def _life(self, arm_run: ArmRun) -> int:
        """Return the number of rounds that each process of an arm is for."""
        cost = arm_run.renewal_s / max(self._account.round_s(arm_run), LEAST_S)
        best = max(SHORTEST, math.ceil(LIFE * math.sqrt(cost)))
        rounds = self._account.expected_rounds()
        if arm_run.role == "sentinel":
            rounds = max(min(rounds, ROUNDS_FOR_INTERVAL), rounds / SENTINEL_EVERY)
        return max(1, min(best, math.ceil(rounds / arm_run.processes_needed)))

    def _shares(self) -> Iterator[tuple[ArmRun, float]]:
        """Yield each arm with the share of a life after which its first process goes.

        A reference has a whole life, the others a half, a quarter, three quarters and so on. So the
        two sides of a comparison are renewed by turns: each process meets several of the other
        side's, and the spread between processes is known better.
        """
        number = 0
        for arm_run in self._arm_runs:
            if self._is_reference(arm_run):
                yield arm_run, 1.0
            else:
                number += 1
                yield arm_run, van_der_corput(number)

    def _is_reference(self, arm_run: ArmRun) -> bool:
        first_of_aa_pair = arm_run.role == "sentinel" and arm_run.arm.model == SENTINEL[0]
        return first_of_aa_pair or self._pairing.partner(arm_run) is arm_run


def van_der_corput(number: int) -> float:
    """Return 1/2, 1/4, 3/4, 1/8 and so on: the binary digits of a number, mirrored at the point."""
    share, part = 0.0, 0.5
    while number:
        share, part, number = share + part * (number & 1), part / 2, number >> 1
    return share
