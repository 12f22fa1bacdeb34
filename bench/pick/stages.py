"""How `bench pick` spends its time: a screening of all candidates, then a final of a few.

In the screening every candidate is timed under the first policy. In the final the most promising
ones are timed under an engine, if there is one: it gains more than other policies do, and most on
models that the first policy runs poorly, which may be the best although they are over the limit
there. If time allows, or without an engine, they are timed under several policies, and the best of
each is measured again on fresh rounds. Shares of the time are fixed, so that the same command asks
for the same measurements again, and finds them finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.forecast.round_rules import RENEWING
from bench.pick.answer import Answer, Judged
from bench.pick.limits import Limits
from bench.pick.standing import ROOM
from bench.plugins import policies
from bench.stats import choice

CHOOSING = 0.35
"""Share of the final's rounds in which policies are chosen: a few rounds tell them apart, and most
of the time is for the further processes of the chosen ones."""
SCREENING, SETTING_UP, FINAL = 0.14, 0.22, 0.36
"""Shares of the time budget: rounds of the screening, set-ups before the final, its rounds. The
rest is for the set-ups of the screening, which depend on the candidates."""
LATE = 1.05
"""The final has fewer policies if it would otherwise end after this many times the budget."""
FEWEST_FINALISTS, MOST_FINALISTS = 2, 6
LEAST_PROMISE = 0.02
NOISE, GAIN = 0.05, 0.2
"""Spread of the logarithms of what few rounds get wrong, and of what another policy gains. They
decide on the order of measuring only, as `SAVED` does."""
SAVED = 1.2
"""Another policy is expected to do so many times the multiply-adds per second of the best candidate
under the first. Five models that did 32 to 53 G a second in eager PyTorch on two cores did 56 to 77
in ONNX Runtime."""
USUAL_LATENCY = 0.06
"""Seconds of a call of the finalists, about, unless the limit is lower."""
START_S, CALLS, REFERENCE_CALLS = 1.5, 16, 24
"""A set-up takes so long to start, and about so many calls to be checked and warmed up; before a
model's first one, so many calls give the logits that all its policies are compared with."""
ENGINE_S, COMPILING_S = 8.0, 35.0
"""Seconds that a set-up takes longer if a model is exported to an engine, or compiled."""


@dataclass(frozen=True)
class FinalPlan:
    """The models of the final, the policies that compete in it, and those that time rules out.

    The policy of the screening is in neither if it does not compete again.
    """

    models: tuple[str, ...]
    policies: tuple[str, ...]
    not_tried: tuple[str, ...] = ()


def finalists(found: Answer, *, more_policies: bool) -> list[Judged]:
    """Return the candidates for the final, the most promising first, given the screening.

    A candidate promises as much as it wins draws in which each is somewhat faster than it was: by
    the noise of few rounds, and if there are `more_policies`, by what another one may gain. That is
    the more, the fewer multiply-adds per second it does for now. The second place is then of the
    one that is the best if none gains anything: it is the answer if the others stay over the limit.
    """
    able = [one for one in found.judged if one.timed and _may_be(one, found.limits.latency)]
    promising = _ranked(able, _promises(able, found, more_policies))
    if more_policies and promising:
        sure = _ranked(able, _promises(able, found, False))[:1]
        in_order = [promising[0], *sure, *promising[1:]]
        promising = list({one.candidate.name: one for one in in_order}.values())
    return promising


def _ranked(able: Sequence[Judged], promises: Sequence[float]) -> list[Judged]:
    ranked = sorted(zip(promises, able, strict=True), key=lambda pair: -pair[0])
    return [one for promise, one in ranked if promise >= LEAST_PROMISE]


def _may_be(one: Judged, limit: float | None) -> bool:
    """True if a candidate may still be the best, perhaps under another policy."""
    if one.standing in ("in", "open"):
        return True
    return one.standing == "out" and limit is not None and limit < _latency(one) <= ROOM * limit


def untried(found: Answer, final: FinalPlan | None) -> list[Judged]:
    """Return the candidates that might be the best under a policy that was not tried for them.

    Under the first policy they are over the limit of latency, by less than a policy may gain; time
    was for the finalists alone.
    """
    if final is None:
        return []
    all_policies = {*final.policies, *final.not_tried}
    first = found.likeliest
    least = min(_tops(first)) if first and found.objective == "top1" else 0.0
    out = [
        one
        for one in found.judged
        if one.standing == "out" and one.timed and all_policies - {one.timed.policy}
    ]
    able = [one for one in out if _may_be(one, found.limits.latency) and max(_tops(one)) > least]
    return [one for one in able if one.candidate.name not in final.models]


def _promises(able: Sequence[Judged], found: Answer, more_policies: bool) -> list[float]:
    """Return the share of the draws that each candidate wins."""
    import numpy as np

    if not able:
        return []
    random = np.random.default_rng(0)
    shape = (choice.DRAWS, len(able))
    faster = random.normal(0, NOISE, shape)
    if more_policies:
        gained = random.normal(0, GAIN, shape) + _headroom(able, found)
        faster += np.clip(gained, 0, math.log(ROOM))
    latency = np.log([_latency(one) for one in able]) - faster
    limit = found.limits.latency
    within = np.ones(shape, dtype=bool) if limit is None else latency <= np.log(limit)
    if found.objective == "top1":
        tops = [choice.one_of(_tops(one), random) for one in able]
        keys = [-np.stack(tops, axis=1), latency]
    elif found.objective == "params":
        keys = [np.broadcast_to([float(one.candidate.cost.params) for one in able], shape), latency]
    elif found.objective == "throughput":
        keys = [-np.log([_throughput(one) for one in able]) - faster]
    else:
        keys = [latency]
    return choice.shares_of(choice.winners(within, keys), len(able))


def _headroom(able: Sequence[Judged], found: Answer) -> list[float]:
    """Return the logarithm of what another policy is expected to gain, by candidate."""
    best = SAVED * max(_rate(one) for one in found.judged if one.timed)
    return [max(0.0, math.log(best / _rate(one))) for one in able]


def _rate(one: Judged) -> float:
    """Return the multiply-adds of one image per second of a call."""
    return max(one.candidate.cost.macs, 1) / _latency(one)


def _tops(one: Judged) -> Sequence[float]:
    if one.probed is not None:
        low, high = one.probed.low, one.probed.high
        return (one.probed.value, *(end for end in (low, high) if end is not None))
    return one.candidate.tops or (0.0,)


def _latency(one: Judged) -> float:
    return one.timed.values["latency"].value if one.timed else USUAL_LATENCY


def _throughput(one: Judged) -> float:
    values = one.timed.values if one.timed else {}
    return values["throughput"].value if "throughput" in values else 1 / _latency(one)


def plan_final(
    models: Sequence[str],
    usual: Sequence[str],
    limits: Limits,
    budget: float,
    elapsed: float,
    *,
    all_of_them: bool,
) -> FinalPlan:
    """Return the final: its models and policies, as many as its share of the budget sets up.

    Args:
        models: The candidates for it, the most promising first.
        usual: The policies to choose from, that of the screening first.
        limits: A low limit of latency says that set-ups are quick.
        budget: Seconds for the whole command.
        elapsed: Seconds since it began.
        all_of_them: The user named the policies, so that all are tried.
    """
    call = min(limits.latency or USUAL_LATENCY, USUAL_LATENCY)
    if all_of_them:
        return FinalPlan(tuple(models[: _most(usual, call, budget)]), _by_cost(usual))
    engine = next((policy for policy in usual[1:] if _is_engine(policy)), None)
    chosen = list(usual[:1]) if engine is None else [engine]
    # With an engine, more models are worth more than more policies.
    least = FEWEST_FINALISTS if engine is None else _most(chosen, call, budget)
    for policy in _by_cost([one for one in usual if one not in chosen]):
        if setting_up_s(least, [*chosen, policy], call) <= SETTING_UP * budget:
            chosen.append(policy)
    number = max(least, _most(chosen, call, budget))
    left_s = (LATE - FINAL) * budget - elapsed
    while len(chosen) > 1 and setting_up_s(number, chosen, call) > left_s:
        chosen.pop()
    while number > FEWEST_FINALISTS and setting_up_s(number, chosen, call) > left_s:
        number -= 1
    left = tuple(policy for policy in usual[1:] if policy not in chosen)
    return FinalPlan(tuple(models[:number]), tuple(chosen), left)


def _by_cost(usual: Sequence[str]) -> tuple[str, ...]:
    """Return policies, those that are set up in little time first."""
    return tuple(sorted(usual, key=extra_s))  # stable: the device's order among equal ones


def _most(chosen: Sequence[str], call: float, budget: float) -> int:
    """Return how many models can be set up, and given a second process each when confirmed."""
    eager = START_S + CALLS * call
    again = eager + max(map(extra_s, chosen))
    rounds = FINAL * budget * ((1 - CHOOSING) if len(chosen) > 1 else 1.0)
    renewing = RENEWING * rounds - 2 * eager  # those of the A/A pair
    number = FEWEST_FINALISTS
    while number < MOST_FINALISTS:
        more = number + 1
        if more * again > renewing or setting_up_s(more, chosen, call) > SETTING_UP * budget:
            break
        number = more
    return number


def setting_up_s(models: int, chosen: Sequence[str], call: float) -> float:
    """Return about how long the set-ups of a final take; `call` is a call's seconds."""
    each = START_S + CALLS * call
    choosing = sum(each + extra_s(policy) for policy in chosen)
    confirming = each + max(map(extra_s, chosen)) if len(chosen) > 1 else 0.0
    return models * (choosing + confirming)


def extra_s(policy: str) -> float:
    """Return about how much longer a policy takes to set up than eager execution."""
    if _compiles(policy):
        return COMPILING_S
    return ENGINE_S if _is_engine(policy) else 0.0


def _compiles(policy: str) -> bool:
    return any(name.startswith("compile") for name in policy.split("+"))


def _is_engine(policy: str) -> bool:
    """True if something else than PyTorch runs the model."""
    switches = map(policies.get, policy.split("+"))
    replaced = any(one.slot == "compiler" and not one.default for one in switches)
    return replaced and not _compiles(policy)


def screening_s(calls: Sequence[float], budget: float) -> float:
    """Return about how long the screening takes, given the seconds of a call of each candidate."""
    setting_up = sum(START_S + (REFERENCE_CALLS + CALLS) * call for call in calls)
    return setting_up + SCREENING * budget
