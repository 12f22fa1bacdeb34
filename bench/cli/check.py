"""`bench doctor` and `selfcheck`: whether this machine can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.check.doctor import examine, verdict
from bench.cli.console import Terminal, print_findings, print_verdict
from bench.cli.options import Device, Results
from bench.config import RunConfig
from bench.measure.worker import Workers


def doctor(
    *,
    device: Device = "auto",
    results: Annotated[
        Results, Parameter(help="Results folder; the space on its disk is checked.")
    ] = Path("results"),
    seconds: float = 10.0,
) -> int:
    """Examine this machine: versions, what is missing and how to get it, free disk and memory, other users, noise.

    Parameters
    ----------
    seconds
        How long the noise is read.
    """

    device, console = (
        RunConfig(device=device).device,
        Terminal.on_stdout(),
    )  # the first refuses what is none
    findings = print_findings(console, examine(device=device, results=results, seconds=seconds))
    console.print(f"\n{verdict(findings)}")
    return 0 if all(finding.status in ("ok", "note", "missing") for finding in findings) else 1


def selfcheck(*, minutes: float = 8.0, device: Device = "auto") -> int:
    """Prove on this machine that its numbers can be believed; writes nothing.

    Parameters
    ----------
    minutes
        About how long it may take.
    """
    from bench.check.selfcheck import SelfCheck

    console = Terminal.on_stdout()
    with Workers() as workers:
        verdict = SelfCheck(minutes, device, workers.open, tell=console.print).run()
    print_verdict(console, verdict)
    return 0 if verdict.believable else 1
