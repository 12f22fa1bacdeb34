"""Accuracy arms as Ray tasks: on the machines of a cluster, or in the processes of a local one.

A task asks for one GPU where the run is on CUDA, else for all processors of a machine, so that a training has what it
would have alone. A worker that is lost is Ray's to replace; the training then goes on from its checkpoint.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.errors import UsageError, one_line
from bench.measure import cpu_placement, interrupts, machine
from bench.plugins import Arrived, Launcher, launchers

RETRIES = 3
"""How often a task begins anew after its worker was lost."""
REACHING_S = 5.0
ANSWERING_S = 60.0
"""Seconds until something listens at a cluster's address, and until it has answered as Ray does (which imports Ray first)."""
JOINING = (
    "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
)


def spread(config: RunConfig, keys: list[str]) -> Iterator[Arrived]:
    """Each arm as it is finished, by one task a key. Raises UsageError where there is no Ray or no cluster."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "--launcher: ray is not installed; pip install 'convmixer-bench[scale]' would do that"
        )
    import ray

    cuda = machine.resolve_device(config.device).startswith("cuda")
    wanted: dict[str, Any] = {"num_gpus": 1} if cuda else {"num_cpus": machine.cores()}
    joined = not ray.is_initialized()
    if joined:
        _join(ray, config.address)
    try:
        from bench.launchers._one import measure

        shared = replace(
            config,
            results=config.results.resolve(),
            checkpoint=config.checkpoint and config.checkpoint.resolve(),
        )
        remote = ray.remote(max_retries=RETRIES, **wanted)(measure)
        home: dict[str, Any] = {
            "folder": os.getcwd(),
            "installation": machine.installation(config.results),
            "niceness": cpu_placement.niceness(),
        }
        open_ones = {
            remote.options(name=f"bench {key}").remote(shared, key, **home): key for key in keys
        }
        while open_ones:
            [ready], _ = ray.wait(list(open_ones), num_returns=1)
            key = open_ones.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                yield Arrived(key, "", failure=f"failed: {one_line(error.cause or error, 300)}")
            except ray.exceptions.RayError as error:
                yield Arrived(
                    key,
                    "",
                    failure=f"failed: its workers were lost {RETRIES + 1} times: {one_line(error, 200)}",
                )
    finally:
        if joined:
            ray.shutdown()


def _join(ray: Any, address: str | None) -> None:
    """Join a cluster, or begin a local one; UsageError where there is none at the address."""
    # Ray's workers import this project from where it lies here; on other machines it has to be installed.
    paths = os.pathsep.join(
        [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    quiet = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": {"PYTHONPATH": paths}},
    }
    # What Ray will do by itself in a later version, and warns about until then: tasks without a GPU still see them.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is not None:
        reach(address)
    try:
        with interrupts.kept():  # Ray would have SIGTERM end this process without a word
            if address is None:
                ray.init(
                    address="local", num_cpus=machine.cores(), include_dashboard=False, **quiet
                )
            else:
                ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise UsageError(
                f"--launcher: Ray could not begin here ({one_line(error)}); --launcher local needs none"
            ) from None
        raise UsageError(
            f"--address: no Ray cluster at {address} ({one_line(error)}); `ray start --head` begins one"
        ) from None


def reach(address: str) -> None:
    """UsageError unless a cluster answers: `ray.init` would wait for minutes, silent and deaf to Ctrl-C."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    wrong = f"--address: no Ray cluster at {address}"
    if port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACHING_S).close()
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"{wrong} ({one_line(error)}); `ray start --head` begins one, and prints its address"
            ) from None
    command = [sys.executable, "-c", JOINING, address]
    try:
        joined = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWERING_S,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{wrong}: something listens there, and did not answer as Ray does within {ANSWERING_S:.0f} s; "
            "`ray start --head` prints the address to give"
        ) from None
    if joined.returncode:
        said = joined.stderr.strip().splitlines() or ["it said nothing"]
        raise UsageError(
            f"{wrong} ({said[-1][:120]}); `ray start --head` begins one, and prints its address"
        )


launchers.add(
    Launcher(
        name="ray", spread=spread, summary="trainings and evaluations as Ray tasks (extra [scale])"
    )
)
