"""The precisions that policies name, for readers of records: no plug-in is asked.

`bench.plugins.precision_of` asks the switches themselves, and refuses a policy that is not
installed; a record may come from a machine that had other switches.
"""

from __future__ import annotations

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of one number, by the precision that a policy names."""


def precision_in_name(policy: str) -> str:
    """Return the precision that a policy computes in, by its name: fp32 unless it names another."""
    for switch in policy.split("+"):
        precision = switch.removesuffix("_autocast")
        if precision in BYTES:
            return precision
    return "fp32"
