"""Policies by name: a policy is one switch or several, combined as `bf16+channels_last`."""

from __future__ import annotations

from itertools import chain, combinations

from bench.devices import kind_of
from bench.errors import UsageError
from bench.plugins.kinds import Policy, policies

BEST = "best"
"""Stands for several policies, of which the fastest is chosen for each model."""


def split_policy(policy: str) -> list[str]:
    """Return the names of a policy's switches, each once, in the order in which they are applied.

    Switches that change nothing (fp32, eager) are dropped if there are others.

    Raises:
        UsageError: for an unknown switch, or two switches that set the same thing.
    """
    switches = sorted(
        {policies.get(part.strip()) for part in policy.split("+")},
        key=lambda switch: (switch.order, switch.name),
    )
    for left, right in combinations(switches, 2):
        shared = [slot for slot in _slots(left) if slot in _slots(right)]
        if shared:
            raise UsageError(
                f"--policies: {policy}: {left.name} and {right.name} both set the {shared[0]}; "
                "keep one of them"
            )
    return [switch.name for switch in switches if not switch.default] or ["fp32"]


def _slots(switch: Policy) -> tuple[str, ...]:
    return (switch.slot, *switch.also)


def runnable_policy(policy: str, device: str, *, flag: str) -> str:
    """Return the canonical name of a policy that runs on `device`.

    Raises:
        UsageError: naming `flag`, if one of the switches does not run there.
    """
    names = split_policy(policy)
    for switch in map(policies.get, names):
        reason = switch.supports(device)
        if reason:
            raise UsageError(f"{flag}: {switch.name} does not run on {device}: {reason}")
        if switch.needs and not set(switch.needs) & set(names):
            whole = [f"{switch.name}+{other}" for other in switch.needs]
            raise UsageError(f"{flag}: {policy}: {switch.name} is a part of {' or '.join(whole)}")
    return "+".join(names)


def check_data(policy: str, data: str | None, *, flag: str) -> None:
    """Raise UsageError if a switch of a policy needs pictures and there is no data set."""
    for switch in map(policies.get, policy.split("+")):
        if switch.needs_data and data is None:
            raise UsageError(
                f"{flag}: {switch.name} takes its ranges from pictures, never from random inputs; "
                "add --data, such as --data digits"
            )


def alternatives(asked: str, device: str, *, flag: str) -> list[str]:
    """Return the canonical names of the policies that a device runs of those asked for.

    `best` stands for the device's usual ones, and `bf16+best` for these in bfloat16; those are
    left out that a missing package or another switch rules out.

    Raises:
        UsageError: naming `flag`, if a policy does not run there, or none of the best does.
    """
    parts = [part.strip() for part in asked.split("+")]
    if BEST not in parts:
        return [runnable_policy(asked, device, flag=flag)]
    more = [part for part in parts if part != BEST]
    takes = {policies.get(part).slot for part in more}
    found, refused = [], None
    for policy in kind_of(device).best_policies:
        usual = [name for name in policy.split("+") if policies.get(name).slot not in takes]
        try:
            found.append(runnable_policy("+".join([*more, *usual]), device, flag=flag))
        except UsageError as error:
            refused = error
    if not found and refused is not None:
        raise refused
    return list(dict.fromkeys(found))


def not_installed(device: str) -> list[str]:
    """Return, of each of a device's best policies that cannot run here, the reason."""
    reasons = []
    for policy in kind_of(device).best_policies:
        for name in policy.split("+"):
            if reason := policies.get(name).supports(device):
                reasons.append(f"{name}: {reason}")
    return reasons


def in_one_launch(policy: str, device: str) -> str:
    """Return the policy with all launches of a call in one graph, where a device has graphs."""
    graph = policies.get("graph")
    switches = map(policies.get, policy.split("+"))
    taken = chain.from_iterable(map(_slots, switches))
    if graph.supports(device) is not None or graph.slot in taken:
        return policy
    return "+".join(split_policy(f"{policy}+{graph.name}"))


def precision_of(policy: str) -> str:
    """Return the precision that a policy computes in: fp32 unless a switch sets another one."""
    for name in policy.split("+"):
        if policies.get(name).slot == "precision":
            return name.removesuffix("_autocast")
    return "fp32"


def handwritten(policy: str) -> bool:
    """True if a policy uses handwritten kernels, which exist for some models only."""
    return any(policies.get(name).handwritten for name in policy.split("+"))


def for_every_model(policy: str) -> str:
    """Return the policy without its handwritten switches."""
    general = [name for name in policy.split("+") if not policies.get(name).handwritten]
    return "+".join(general) or "fp32"
