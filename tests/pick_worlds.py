"""Worlds whose truth is known, for `bench pick`: candidates, their speeds and weight sets."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.published import Published
from bench.count.cost import Cost
from bench.pick.answer import Answer, answer
from bench.pick.candidates import Candidate
from bench.pick.draws import Evidence
from bench.pick.limits import Limits, Objective
from bench.pick.timed import Timed
from bench.plugins import Model
from bench.record.values import InProcess
from bench.stats.paired import level

LIMIT = 0.060
"""Seconds; true latencies are spread around it."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations of logarithms: between processes, of rounds, and of all models alike."""

    processes: float = 0.04
    rounds: float = 0.05
    drift: float = 0.08


USUAL = Noise()


def candidate(
    name: str, tops: Sequence[float], params: int = 20_000_000, macs: int = 4_000_000_000
) -> Candidate:
    """A candidate with weight sets of these top-1."""
    sets = [
        Published(
            architecture=name,
            tag=f"t{number}",
            image_size=224,
            top1=top,
            epochs=None,
            more_data=False,
            teacher=False,
            source="drawn",
        )
        for number, top in enumerate(sorted(tops, reverse=True))
    ]
    model = Model(name=name, family="drawn", build=lambda **shape: None)
    cost = Cost(params=params, macs=macs, tokens=None)
    return Candidate(model=model, image_size=224, cost=cost, weight_sets=tuple(sets))


def timed(rounds: dict[tuple[str, int], InProcess], policy: str = "fp32") -> Timed:
    """A latency with one value per round."""
    return Timed(policy=policy, rounds={"latency": rounds}, values={"latency": level(rounds)})


@dataclass(frozen=True, kw_only=True)
class World:
    """Candidates with their true latencies in seconds and top-1, and what was measured of them."""

    candidates: list[Candidate]
    latencies: list[float]
    tops: list[float]
    measured: dict[str, Timed]

    def best(self, objective: Objective) -> str:
        """The name of the best candidate within the limit; empty if none is."""
        able = [place for place, latency in enumerate(self.latencies) if latency <= LIMIT]
        if not able:
            return ""
        keys = {place: (-self.tops[place], self.latencies[place]) for place in able}
        if objective == "latency":
            keys = {place: (self.latencies[place], 0.0) for place in able}
        return self.candidates[min(able, key=lambda place: keys[place])].name

    def answer(self, objective: Objective) -> Answer:
        """What `bench pick` says of it."""
        limits = Limits(latency=LIMIT)
        return answer(self.candidates, Evidence(timed=self.measured), limits, objective)


def world(
    draw: random.Random,
    *,
    number: int = 8,
    rounds: int = 12,
    life: int = 3,
    noise: Noise = USUAL,
    blind: bool = False,
) -> World:
    """Draw a world. Processes live for `life` rounds, and are renewed by turns.

    `blind`: the records claim a process of its own for every round, as if the spread between
    processes were noise.
    """
    drifts = [draw.gauss(0, noise.drift) for _ in range(rounds)]
    candidates, latencies, tops, measured = [], [], [], {}
    for place in range(number):
        name = f"model{place}"
        middle = draw.uniform(0.70, 0.82)
        sets = [middle + draw.gauss(0, 0.01) for _ in range(draw.choice((1, 1, 2, 4)))]
        latency = LIMIT * math.exp(draw.uniform(-0.15, 0.15))
        offsets: dict[int, float] = {}
        found: dict[tuple[str, int], InProcess] = {}
        for at in range(rounds):
            process = (at + place) // life
            offset = offsets.setdefault(process, draw.gauss(0, noise.processes))
            value = latency * math.exp(offset + drifts[at] + draw.gauss(0, noise.rounds))
            found["r", at] = InProcess(value, ("r", at if blind else process))
        candidates.append(candidate(name, sets))
        latencies.append(latency)
        tops.append(draw.choice(candidates[-1].tops))
        measured[name] = timed(found)
    return World(candidates=candidates, latencies=latencies, tops=tops, measured=measured)


def one_of_unknown_speed(one: World) -> World:
    """Return the world with a further candidate that was timed in a single process."""
    rounds = {("r", at): InProcess(LIMIT * (1 + 0.01 * at), ("r", 0)) for at in range(3)}
    return World(
        candidates=[*one.candidates, candidate("timm:few_rounds_patch16_224", [0.765])],
        latencies=[*one.latencies, LIMIT],
        tops=[*one.tops, 0.765],
        measured={**one.measured, "timm:few_rounds_patch16_224": timed(rounds)},
    )
