"""Accuracy arms as Ray tasks, on the machines of a cluster or in processes of a local one.

A task asks for one GPU if the run is on CUDA, else for all processors of a machine, so that a
training has what it would have alone. Ray replaces a worker that is lost; the training then goes on
from its checkpoint.
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
from bench.devices import CUDA, kind_of
from bench.errors import UsageError, one_line
from bench.measure import cpu_placement, interrupts, machine
from bench.plugins import Arrived, Launcher, launchers

RETRIES = 3
"""Restarts of a task whose worker was lost."""
CONNECT_S = 5.0
"""Seconds until something has to accept a connection at a cluster's address."""
ANSWER_S = 60.0
"""Seconds until it has to answer as Ray does, the import of Ray included."""
JOINING = (
    "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
)


def spread(config: RunConfig, keys: list[str]) -> Iterator[Arrived]:
    """Measure the arms of `keys` by one task each, and yield each as it is finished.

    UsageError if Ray is not installed, or if there is no cluster at `--address`.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "--launcher: ray is not installed; pip install 'convmixer-bench[scale]' installs it"
        )
    import ray

    joined = not ray.is_initialized()
    if joined:
        _join(ray, config.address)
    try:
        yield from _finished(ray, _submit(ray, config, keys))
    finally:
        if joined:
            ray.shutdown()


def _submit(ray: Any, config: RunConfig, keys: list[str]) -> dict[Any, str]:
    """Submit one task per key; returns the keys by Ray's reference to the result."""
    from bench.launchers._one import measure

    cuda = kind_of(machine.resolve_device(config.device)) is CUDA
    needs: dict[str, Any] = {"num_gpus": 1} if cuda else {"num_cpus": machine.cores()}
    shared = replace(
        config,
        results=config.results.resolve(),
        checkpoint=config.checkpoint and config.checkpoint.resolve(),
    )
    remote = ray.remote(max_retries=RETRIES, **needs)(measure)
    home: dict[str, Any] = {
        "folder": os.getcwd(),
        "installation": machine.installation(config.results),
        "niceness": cpu_placement.niceness(),
    }
    tasks: dict[Any, str] = {}
    for key in keys:
        tasks[remote.options(name=f"bench {key}").remote(shared, key, **home)] = key
    return tasks


def _finished(ray: Any, tasks: dict[Any, str]) -> Iterator[Arrived]:
    """Yield each task's result as it is finished, or why there is none."""
    while tasks:
        [ready], _ = ray.wait(list(tasks), num_returns=1)
        key = tasks.pop(ready)
        try:
            yield ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            yield Arrived(key, "", failure=f"failed: {one_line(error.cause or error, 300)}")
        except ray.exceptions.RayError as error:
            lost = f"its workers were lost {RETRIES + 1} times: {one_line(error, 200)}"
            yield Arrived(key, "", failure=f"failed: {lost}")


def _join(ray: Any, address: str | None) -> None:
    """Join the cluster at an address, or start a local one. UsageError if that fails."""
    # Ray's workers import this project from this checkout; other machines need it installed.
    project = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [project, os.environ.get("PYTHONPATH")]))
    quiet = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": {"PYTHONPATH": paths}},
    }
    # The default of a later version, which Ray warns about until then: tasks that asked for no GPU
    # still see the GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        where = {"address": "local", "num_cpus": machine.cores(), "include_dashboard": False}
    else:
        reach(address)
        where = {"address": address}
    try:
        with interrupts.kept():  # Ray's handler would end this process on SIGTERM without a word
            ray.init(**where, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise UsageError(
                f"--launcher: Ray could not start here ({one_line(error)}); --launcher local "
                "works without Ray"
            ) from None
        raise UsageError(
            f"--address: no Ray cluster at {address} ({one_line(error)}); `ray start --head` "
            "starts one"
        ) from None


def reach(address: str) -> None:
    """UsageError unless a cluster answers at an address.

    `ray.init` would wait for minutes without a word, and ignore Ctrl-C.
    """
    wrong = f"--address: no Ray cluster at {address}"
    _connect(address, wrong)
    command = [sys.executable, "-c", JOINING, address]
    try:
        joined = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_S,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{wrong}: something listens there, but did not answer as Ray does within "
            f"{ANSWER_S:.0f} s; `ray start --head` prints the address to give"
        ) from None
    if joined.returncode:
        output = joined.stderr.strip().splitlines() or ["it said nothing"]
        raise UsageError(
            f"{wrong} ({output[-1][:120]}); `ray start --head` starts one, and prints its address"
        )


def _connect(address: str, wrong: str) -> None:
    """UsageError, beginning with `wrong`, if nothing accepts connections at an address's port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"{wrong} ({one_line(error)}); `ray start --head` starts one, and prints its address"
        ) from None


launchers.add(
    Launcher(name="ray", spread=spread, summary="training and evaluation as Ray tasks ([scale])")
)
