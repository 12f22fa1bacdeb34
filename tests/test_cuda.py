"""What a CUDA device can do wrong, on fake ones.

That is the wrong device, readings that are refused, graphs of graphs, a machine in parts.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from bench.analysis.summary import summarise
from bench.config import RunConfig
from bench.measure import cpu_placement, machine, process_settings, serve
from bench.measure.disturbance import free_memory
from bench.measure.gpu import NvmlGpu, described, gpu_for
from bench.measure.messages import Failure, Job, Window
from bench.measure.subject import SpeedSubject
from bench.measure.timing import Replay, clock_for
from bench.plugins import in_one_launch, metrics
from bench.record import store
from bench.record.arms import SpeedArm
from bench.run.observer import Outcome
from bench.run.runner import Runner
from bench.run.session import Session, ahead_of

from .conftest import MACHINE, FakeWorkers, Silent
from .test_state import FakeNvml


def arm(policy: str = "bf16", **changes: Any) -> SpeedArm:
    what = {
        "model": "convmixer_16_1_k3_p8",
        "image_size": 32,
        "num_classes": 10,
        "device": "cuda",
        "batch_size": 1,
        **changes,
    }
    return SpeedArm(policy=policy, **what)


class FakeCuda:
    """As much of torch.cuda as is asked here: the current device, and where each thing was done."""

    def __init__(self) -> None:
        self.at, self.done = 0, list[tuple[str, int]]()

    def set_device(self, device: str) -> None:
        self.at = torch.device(device).index

    @contextlib.contextmanager
    def device(self, device: str) -> Any:
        before = self.at
        self.set_device(device)
        yield
        self.at = before

    def note(self, what: str) -> None:
        self.done.append((what, self.at))


def test_a_worker_s_device_is_set_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, captures and handwritten kernels use the current device.

    With `--device cuda:1` they were those of cuda:0.
    """
    fake = FakeCuda()
    monkeypatch.setattr(torch.cuda, "set_device", fake.set_device)
    monkeypatch.setattr(cpu_placement, "go_first", lambda: None)
    monkeypatch.setattr(process_settings, "fix", lambda threads: fake.note("settings"))
    monkeypatch.setattr(
        "bench.measure.subject.open_subject",
        lambda *_, **__: fake.note("opened") or SimpleNamespace(),
    )
    serve._open(Job(arm(), "cuda:1", seed=0, threads=1), pipe=None)  # type: ignore[arg-type]
    assert fake.done == [("settings", 1), ("opened", 1)]
    fake.done.clear()
    serve._open(Job(arm(device="cpu"), "cpu", seed=0, threads=1), pipe=None)  # type: ignore[arg-type]
    assert fake.at == 1, "the current CUDA device is none of a CPU's"


class FakeGraphs(FakeCuda):
    """Streams, events and graphs that note the device they were made on."""

    def __init__(self) -> None:
        super().__init__()
        fake = self

        class Graph:
            def pool(self) -> tuple[int, int]:
                return (0, 1)

            def replay(self) -> None:
                fake.note("replay")

        class Stream:
            def __init__(self, device: str) -> None: ...

            def wait_stream(self, other: object) -> None: ...

        class Event:
            def __init__(self, enable_timing: bool) -> None: ...

            def record(self) -> None:
                fake.note("event")

            def elapsed_time(self, other: object) -> float:
                return 2.0

        self.CUDAGraph, self.Stream, self.Event = Graph, Stream, Event

    def current_stream(self, device: str) -> Any:
        return self.Stream(device)

    def stream(self, stream: object) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def graph(self, graph: object) -> Any:
        self.note("capture")
        yield

    def synchronize(self, device: str) -> None: ...


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> FakeGraphs:
    fake = FakeGraphs()
    monkeypatch.setattr(torch, "cuda", fake)
    return fake


def counted(calls: list[int]) -> Callable[[], int]:
    def call() -> int:
        calls.append(1)
        return len(calls)

    return call


def test_a_capture_and_its_events_are_on_the_call_s_device(graphs: FakeGraphs) -> None:
    from bench.measure.timing import CudaClock, capture

    replay = capture(counted([]), "cuda:1")
    CudaClock("cuda:1").timed(replay)
    assert graphs.done == [("capture", 1), ("event", 1), ("replay", 1), ("event", 1)]
    assert graphs.at == 0


def test_every_size_of_a_search_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """After eight graphs of one piece of code PyTorch gives up and runs it eagerly.

    The largest batch was an eager one's.
    """
    from bench.measure.subject import open_subject
    from bench.metrics.largest_batch import attempt
    from bench.plugins import models

    compiled: list[int] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        compiled.extend(one.shape[0] for one in inputs if tuple(one.shape[1:]) == (3, 32, 32))
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda model, mode, dynamic: real(model, dynamic=dynamic, backend=backend)
    )
    build = lambda: models.get("convmixer_16_1_k3_p8").build(image_size=32, num_classes=10)  # noqa: E731
    one = open_subject(
        arm("compile", device="cpu", mode="capacity"),
        device="cpu",
        seed=0,
        build=build,
        progress=lambda text: None,
    )
    sizes = list(range(1, 13))
    assert all(attempt(one, size) for size in sizes)
    assert compiled == sizes


class FakePynvml(FakeNvml):
    """NVML with one device, under one name."""

    def __init__(self, name: str, **reads: Any) -> None:
        super().__init__(nvmlInit=None, nvmlSystemGetDriverVersion="570.1", **reads)
        self.name = name

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        if name != self.name:
            raise self.NVMLError(name)
        return name


@pytest.fixture
def with_uuid(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakePynvml | None], None]:
    """Puts NVML, or none, in place."""
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="ab12")
    )
    return lambda nvml: monkeypatch.setitem(sys.modules, "pynvml", nvml)


def test_the_free_memory_of_a_part_of_a_gpu_is_its_own(
    with_uuid: Callable[[FakePynvml | None], None],
) -> None:
    """The names of parts begin with MIG.

    None was found by GPU-, and the host's memory stood in for the part's.
    """
    info = SimpleNamespace(free=9 << 30)
    with_uuid(FakePynvml("MIG-ab12", nvmlDeviceGetMemoryInfo=info))
    assert free_memory("cuda:0", gpu_for("cuda:0")) == 9 << 30
    with_uuid(FakePynvml("GPU-ab12", nvmlDeviceGetMemoryInfo=info, nvmlDeviceGetMigMode=(0, 0)))
    assert free_memory("cuda:0", gpu_for("cuda:0")) == 9 << 30
    # Where torch names the card and this process has a part of it, nobody says how much is free.
    with_uuid(FakePynvml("GPU-ab12", nvmlDeviceGetMemoryInfo=info, nvmlDeviceGetMigMode=(1, 1)))
    assert free_memory("cuda:0", gpu_for("cuda:0")) is None
    with_uuid(None)
    assert gpu_for("cuda:0") is None
    assert free_memory("cuda:0", None) is None
    assert free_memory("cpu")


def test_a_machine_without_nvidia_smi_is_described(
    with_uuid: Callable[[FakePynvml | None], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Fake GPU")
    with_uuid(FakePynvml("GPU-ab12"))
    assert machine.describe("cuda:0", installation="none").versions["driver"] == "570.1"
    with_uuid(None)
    assert machine.describe("cuda:0", installation="none").versions["driver"] == "unknown"
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 580.2\n")
    program.chmod(0o755)
    assert machine.describe("cuda:0", installation="none").versions["driver"] == "580.2"


def speed_subject(call: Callable[[], object], policy: str) -> SpeedSubject:
    one = SpeedSubject(
        arm=arm(policy), device="cuda:0", build=torch.nn.Identity, clock=clock_for("cuda:0"), seed=0
    )
    one.call = call
    return one


def test_a_policy_s_own_graph_is_replayed_and_not_captured_again(graphs: FakeGraphs) -> None:
    window = 1e-9  # one call
    mine = Replay(graphs.CUDAGraph(), None)
    assert metrics.get("graph_latency").measure(
        speed_subject(mine, "bf16+graph"), window
    ).values == [0.002]
    assert [what for what, _ in graphs.done].count("capture") == 0
    metrics.get("graph_latency").measure(speed_subject(lambda: None, "bf16"), window)
    assert [what for what, _ in graphs.done].count("capture") == 1


def test_the_time_between_a_device_s_events_is_called_a_span(graphs: FakeGraphs) -> None:
    """It holds the gaps in which the device waits for launches.

    A host-bound model's was read as its kernels' time.
    """
    reading = metrics.get("latency").measure(speed_subject(lambda: None, "bf16"), 1e-9)
    assert reading.detail["device_span_s"] == 0.002
    assert set(reading.detail) == {"host_s", "device_span_s"}


@pytest.fixture
def on_cuda(
    monkeypatch: pytest.MonkeyPatch, with_uuid: Callable[[FakePynvml | None], None]
) -> Callable[[FakePynvml | None], None]:
    """Runs plan for a CUDA device that is not there."""
    cuda = msgspec.structs.replace(MACHINE, device="cuda", accelerator="Fake GPU")
    monkeypatch.setattr("bench.measure.machine.resolve_device", lambda device: "cuda:0")
    monkeypatch.setattr("bench.measure.machine.describe", lambda device, installation: cuda)
    return with_uuid


def without_energy(job: Job, window: Window) -> list[float]:
    if window.metric == "energy" and sys.modules["pynvml"] is None:
        raise Failure("unsupported", "this GPU's energy counter cannot be read")
    return [1.0, 2.0]


def run(results: Path, workers: FakeWorkers) -> tuple[Outcome, Silent]:
    """Latency at batch 1, energy and throughput at 8, of one model beside the companions."""
    watch = Silent()
    what = ("latency", "throughput", "energy")
    config = RunConfig(
        models=("vit_digits",),
        device="cuda",
        rounds=6,
        results=results,
        metrics=what,
        batch_sizes=(8,),
    )
    session = Session.start(results, "cuda", watch, workers.open, now=workers.clock.now)
    return Runner(config, session).run(), watch


def asked(workers: FakeWorkers) -> dict[str, int]:
    return dict(Counter(metric for model, _, metric in workers.requests if model == "vit_digits"))


def test_a_metric_that_cannot_be_read_ends_alone_and_is_tried_again_where_more_can_be(
    on_cuda: Callable[[FakePynvml | None], None], tmp_path: Path
) -> None:
    on_cuda(None)
    workers = FakeWorkers(without_energy, setup={"first_call_s": 0.5, "seconds_per_call": 0.01})
    outcome, watch = run(tmp_path, workers)
    assert watch.failures == ["unsupported"]
    assert (outcome.failures, outcome.partial) == (
        {},
        {"vit_digits bf16 b8 energy": "unsupported: this GPU's energy counter cannot be read"},
    )
    assert asked(workers) == {"latency": 6, "throughput": 6, "energy": 1}
    records, _ = store.load_folder(outcome.folder)
    [found] = [
        one
        for one in records
        if isinstance(one.arm, SpeedArm)
        and (one.arm.model, one.arm.batch_size) == ("vit_digits", 8)
    ]
    assert [(end.status, end.metrics) for end in found.ends] == [
        ("unsupported", ["energy"]),
        ("ok", ["throughput"]),
    ]
    assert found.runs[0].setup["gpu_tells"] == "nothing"
    [row] = [row for row in summarise(records).rows if row.model == "vit_digits"]
    assert row.value("throughput") is not None
    assert row.trouble == {
        "energy, batch 8": "unsupported: this GPU's energy counter cannot be read"
    }

    again = FakeWorkers(without_energy)
    assert run(tmp_path, again)[0].measured == 0, "nothing changed: it cannot be read now either"
    on_cuda(FakePynvml("GPU-ab12", nvmlDeviceGetTotalEnergyConsumption=5.0))
    mended = FakeWorkers(without_energy)
    run(tmp_path, mended)
    assert asked(mended) == {"energy": 6}
    last = FakeWorkers(without_energy)
    assert run(tmp_path, last)[0].measured == 0


def test_what_limits_a_gpu_is_in_the_record(
    with_uuid: Callable[[FakePynvml | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakePynvml(
        "GPU-ab12",
        nvmlDeviceGetEnforcedPowerLimit=350_000,
        nvmlDeviceGetPowerManagementDefaultLimit=700_000,
        nvmlDeviceGetMaxClockInfo=1980,
        nvmlDeviceGetTemperature=40,
    )
    with_uuid(nvml)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(uuid="ab12", L2_cache_size=50 << 20),
    )
    assert described("cuda:0", NvmlGpu(nvml, "GPU-ab12")) == {
        "gpu_power_limit_w": 350.0,
        "gpu_power_limit_default_w": 700.0,
        "gpu_clock_max_mhz": 1980.0,
        "gpu_memory_clock_max_mhz": 1980.0,
        "gpu_l2_bytes": 50 << 20,
        "gpu_tells": "temperature_c",
    }
    assert described("cpu", None) == {}


def test_processes_prepare_themselves_while_another_is_warmed_up(
    on_cuda: Callable[[FakePynvml | None], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """On a GPU with processors to spare; none is left over, also where a model breaks."""
    on_cuda(None)
    monkeypatch.setattr("bench.measure.machine.cores", lambda: 8)
    workers = FakeWorkers(
        without_energy, broken={"vit_digits": Failure("failed", "RuntimeError: as it is")}
    )
    run(tmp_path, workers)
    assert workers.most_preparing == 3  # the next two and the one whose turn it is
    assert (workers.preparing, workers.alive) == (0, 0)


def test_none_prepares_itself_where_processors_are_few_or_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for cores in (2, 16, 256):
        monkeypatch.setattr("bench.measure.machine.cores", lambda cores=cores: cores)
        found.append((ahead_of("cpu"), ahead_of("cuda:0")))
    assert found == [(0, 0), (0, 4), (0, 4)]


def test_the_aa_pair_of_a_gpu_runs_as_graphs(
    on_cuda: Callable[[FakePynvml | None], None], tmp_path: Path
) -> None:
    """Its windows then show the GPU, and not how evenly the host launches."""
    on_cuda(None)
    workers = FakeWorkers(without_energy)
    run(tmp_path, workers)
    timed = [job.arm for job in workers.opened if isinstance(job.arm, SpeedArm)]
    policies = {arm.model: arm.policy for arm in timed}
    assert policies == {"vit_digits": "bf16", "vit_s16": "bf16+graph", "deit_s16": "bf16+graph"}


def test_a_policy_in_one_launch() -> None:
    assert in_one_launch("bf16+channels_last", "cuda:0") == "bf16+channels_last+graph"
    assert in_one_launch("bf16+graph", "cuda") == "bf16+graph"
    assert in_one_launch("bf16+compile", "cuda") == "bf16+compile+graph"
    assert in_one_launch("bf16", "cpu") == "bf16"
