"""The device, machine and results folder of one command, looked up once for all of its runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.config import RunConfig
from bench.devices import CUDA, kind_of
from bench.errors import UsageError
from bench.files.files import beside, sweep_folder
from bench.files.paths import inside
from bench.measure import machine as machines
from bench.measure.disturbance import free_memory
from bench.measure.gpu import Gpu, gpu_for
from bench.measure.messages import Job, Worker
from bench.record import store
from bench.record.schema import Machine
from bench.record.store import Record
from bench.run.observer import Observer
from bench.training.images.files import Files


@dataclass(frozen=True, kw_only=True)
class Session:
    """One command. The caller owns the observer and the workers, and closes them."""

    observer: Observer
    open_worker: Callable[[Job], Worker]
    device: str
    """A torch device, such as `cuda:0`."""
    gpu: Gpu | None
    machine: Machine
    results: Path
    version: str
    commit: str | None
    now: Callable[[], float] = time.monotonic
    free: Callable[[str, Gpu | None], int | None] = free_memory
    """Free bytes of the device's memory; None where they cannot be read."""
    ahead: int = 0
    """Number of processes that prepare themselves while another one is warmed up."""
    references: set[str] = field(default_factory=set)
    """Files of float32 logits that were made by this command, or could not be."""

    @classmethod
    def start(
        cls,
        results: Path,
        device: str,
        observer: Observer,
        open_worker: Callable[[Job], Worker],
        *,
        now: Callable[[], float] = time.monotonic,
        free: Callable[[str, Gpu | None], int | None] = free_memory,
    ) -> Session:
        """Return the session of a command with `--results` and `--device`.

        Makes the results folder. UsageError if that cannot be written to, or if this machine has
        no such device.
        """
        device = machines.resolve_device(RunConfig(device=device).device)
        gpu = gpu_for(device)
        results = writable_folder(results)
        session = cls(
            observer=observer,
            open_worker=open_worker,
            device=device,
            gpu=gpu,
            machine=machines.describe(device, installation=machines.installation(results)),
            results=results,
            version=machines.project_version(),
            commit=machines.commit(),
            now=now,
            free=free,
            ahead=ahead_of(device),
        )
        for folder in (session.records, *Files.folders(session.folder)):
            inside(results, folder)
        sweep_folder(session.records)
        return session

    @property
    def kind(self) -> str:
        """The kind of device by its name: cpu, cuda or mps."""
        return kind_of(self.device).name

    @property
    def folder(self) -> Path:
        """This machine's folder in the results."""
        return self.results / self.machine.name

    @property
    def records(self) -> Path:
        """The folder of this machine's records."""
        return self.folder / "records"

    def load_records(self) -> dict[str, Record]:
        """Return this machine's records by key. Raises DamagedRecord."""
        records, damaged = store.load_folder(self.records)
        if damaged:
            raise damaged[0]
        return {record.head.key: record for record in records}


CORES_AHEAD = 4
"""Processors for each process that prepares itself while another one is warmed up."""
AHEAD = 4


def ahead_of(device: str) -> int:
    """Return how many processes may prepare themselves beside the one that is warmed up.

    They need processors only, and none on a CPU, which is what is measured there. On an H200 with
    16 cores a process for an eager model took 3.3 s to open, half of it for this.
    """
    if kind_of(device) is not CUDA:
        return 0
    return min(AHEAD, machines.cores() // CORES_AHEAD)


def writable_folder(path: Path) -> Path:
    """Return a folder, made if need be. UsageError if it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        sweep_folder(path)
        probe = beside(path / "probe")
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise UsageError(
            f"--results: {path} is a file, or lies below one; a folder is needed, such as results"
        ) from None
    except OSError as error:
        raise UsageError(
            f"--results: {path} cannot be written to ({error.strerror}); give a folder that can"
        ) from None
    return path
