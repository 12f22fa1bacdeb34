"""Kinds of device: what their strings are, where they are told apart, and what a new one takes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import devices
from bench.config import RunConfig
from bench.devices import CPU, CUDA, KINDS, MPS, kind_of
from bench.errors import UsageError
from bench.measure.machine import resolve_device
from bench.metrics.probes import WORKLOADS
from bench.plugins import policies, split_policy
from bench.plugins.registry import ROOT
from bench.studies.speed import engine_reverses, policy_effects

from .layers import Tree
from .program import assert_one_line, bench, environment

TREE = Tree(ROOT)


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("cpu", CPU),
        ("cuda", CUDA),
        ("cuda:0", CUDA),
        ("cuda:12", CUDA),
        ("mps", MPS),
        ("mps:0", MPS),
    ],
)
def test_a_device_is_of_a_kind(device: str, kind: devices.DeviceKind) -> None:
    assert kind_of(device) is kind


@pytest.mark.parametrize("device", ["", "tpu", "tpu:0", "CUDA", "cudart", ":0", "auto"])
def test_what_is_no_device_is_of_none(device: str) -> None:
    with pytest.raises(ValueError, match="there are cpu, cuda, mps"):
        kind_of(device)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_a_flag_may_name_a_device(device: str) -> None:
    assert devices.checked(device) == device == RunConfig(device=device).device


@pytest.mark.parametrize(
    "device",
    ["", "tpu", "cpu:0", "mps:1", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "auto:0", "cpu "],
)
def test_a_flag_that_names_none_is_refused_alike(device: str) -> None:
    expected = f"--device: must be auto, cpu, cuda, cuda:N or mps, got {device!r}"
    for check in (devices.checked, resolve_device, lambda device: RunConfig(device=device)):
        with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
            check(device)


def test_every_command_refuses_an_unknown_device_in_one_line(tmp_path: Path) -> None:
    """Those two passed it on until a table had no entry for it."""
    match = ("match", "--reference", "vit_digits", "--families", "mixer", "--budget", "latency")
    for command in (match, ("selfcheck", "--minutes", "1")):
        ended = bench(*command, "--device", "tpu", cwd=tmp_path)
        assert_one_line(ended, "--device: must be auto, cpu, cuda, cuda:N or mps, got 'tpu'")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_entry_is_usable(kind: devices.DeviceKind) -> None:
    assert KINDS[kind.name] is kind
    for policy in (kind.policy, kind.training_policy, *kind.best_policies):
        assert "+".join(split_policy(policy)) == policy
    assert kind.policy in kind.best_policies
    assert not any(policies.get(name).inference_only for name in kind.training_policy.split("+"))
    assert kind.batch_sizes == tuple(sorted(set(kind.batch_sizes)))
    numbers = (kind.evaluation_batch_size, kind.selfcheck_batch_size, *kind.batch_sizes)
    assert min(*numbers, kind.study_batch_size, kind.noise_side, kind.rate_side) > 0


def test_tables_next_to_what_uses_them_have_every_kind() -> None:
    assert WORKLOADS.keys() == policy_effects.SWITCHES.keys() == KINDS.keys()
    assert engine_reverses.ENGINES.keys() == KINDS.keys()


# Where kinds are told apart

PLACES = {
    "bench/ab/description.py": "runs where this project is not installed",
    "bench/ab/server.py": "runs where this project is not installed",
    "bench/check/doctor.py": "the driver, and other users of the GPU",
    "bench/cli/tables/forecast.py": "hours are called GPU hours",
    "bench/cli/visit.py": "the device of a visit",
    "bench/count/process_guard.py": "settings of PyTorch that a model must not change",
    "bench/launchers/ray.py": "what a task asks of Ray",
    "bench/measure/gpu.py": "readings by NVML",
    "bench/measure/machine.py": "whether the machine has one, its name and its versions",
    "bench/measure/memory.py": "memory of the device",
    "bench/measure/process_settings.py": "the current device, and its limit of memory",
    "bench/measure/timing.py": "the clock: how to wait for the device",
    "bench/metrics/largest_batch.py": "memory kept by the allocator",
    "bench/metrics/probes.py": "WORKLOADS: the sizes of the probes",
    "bench/pick/search.py": "what a CPU can do at most rules candidates out",
    "bench/plugins/kinds.py": "cuda_only, for plug-ins",
    "bench/engines/onnx_runtime.py": "the provider of a device, and its stream",
    "bench/engines/tensor_rt.py": "an engine for NVIDIA GPUs",
    "bench/policies/fused.py": "handwritten kernels",
    "bench/policies/openvino.py": "an engine for CPUs",
    "bench/policies/ort.py": "an engine with a package of its own for CUDA",
    "bench/policies/tensorrt.py": "an engine for NVIDIA GPUs",
    "bench/report/findings/settling.py": "the kinds of machines that a claim is to be asked on",
    "bench/run/session.py": "processes that prepare themselves ahead",
    "bench/studies/speed/engine_reverses.py": "ENGINES: the policies that the study compares",
    "bench/studies/speed/policy_effects.py": "SWITCHES: the policies that the study compares",
    "bench/training/images/loader.py": "pinned memory",
    "bench/training/loop.py": "DistributedDataParallel",
    "bench/training/processes.py": "torchrun's device and backend",
    "bench/training/seeding.py": "the generator of the device",
    "bench/visit/steps.py": "the steps of a visit",
}
"""What a new kind of device needs besides its entry: each file that treats one kind unlike others.
Elsewhere a kind is asked for what `DeviceKind` says of it. Kernels for CUDA (`bench/fused/`) are
not among them."""
WORDS = ("cuda", "mps")


def told_apart(source: str) -> Iterator[int]:
    """Yield the lines that name a kind of device, or a part of PyTorch for one; not docstrings.

    "cpu" alone is no such line: what is not the CPU may be of any other kind.
    """
    tree = ast.parse(source)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            named = node.attr in WORDS
        elif isinstance(node, ast.Name):
            named = node.id in ("CPU", "CUDA", "MPS")
        else:
            named = _text(node).partition(":")[0] in WORDS and node not in docstrings
        if named:
            yield getattr(node, "lineno", 0)


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_kinds_are_told_apart_in_known_places_only() -> None:
    found = set()
    for file in TREE.files:
        if file.is_relative_to("bench/fused") or file == Path("bench/devices.py"):
            continue
        if any(told_apart((ROOT / file).read_text(encoding="utf-8"))):
            found.add(file.as_posix())
    unknown, gone = sorted(found - PLACES.keys()), sorted(PLACES.keys() - found)
    assert not unknown, "ask DeviceKind what the code needs to know, or say in PLACES what it does"
    assert not gone, "these no longer tell kinds apart; remove them from PLACES"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('if device == "cuda":\n    pass', [1]),
        ('x = device.startswith("cuda")', [1]),
        ('SIDES = {\n    "cpu": 1,\n    "mps": 2,\n}', [3]),
        ('f"cuda:{rank}"', [1]),
        ("import torch\ntorch.mps.synchronize()", [2]),
        ("kind_of(device) is CUDA", [1]),
        ('"""cuda"""\n\n\ndef f():\n    """mps"""', []),
        ('help = "auto, cpu or cuda"\nif device == "cpu":\n    pass', []),
    ],
)
def test_a_place_is_found(source: str, lines: list[int]) -> None:
    assert list(told_apart(source)) == lines


def test_device_strings_are_not_cut_up_elsewhere() -> None:
    cuts = re.compile(r"\b(device|wanted)\.(partition|rpartition|split|startswith)\(")
    found = set()
    for file in TREE.files:
        if cuts.search((ROOT / file).read_text(encoding="utf-8")):
            found.add(file.as_posix())
    assert found == {"bench/devices.py", "bench/measure/machine.py"}  # machine: the device's number


# A new kind

NEW_KIND = """
from dataclasses import replace
from bench import devices
XPU = replace(devices.MPS, name="xpu", is_numbered=True, policy="bf16", batch_sizes=(4, 8),
              best_policies=("bf16", "bf16+channels_last"), training_policy="channels_last")
devices.KINDS["xpu"] = XPU

import msgspec
from bench.config import RunConfig
from bench.claims.questions import hash_of
from bench.claims.scales import scale_of
from bench.errors import UsageError
from bench.measure.timing import clock_for
from bench.metrics.probes import workload_for
from bench.plan import plan
from bench.plugins import studies
from bench.record.arms import Arm

try:
    RunConfig(device="tpu")
except UsageError as error:
    print(error)
for chosen in ((), ("best",)):
    config = RunConfig(models=("vit_digits",), device="xpu:1", policies=chosen, data="digits")
    made = plan.make(config, device="xpu:1")
    along = plan.companions(config, made.tasks, "xpu")
    tasks = [*made.tasks, *along, *made.accuracies(lambda task: None)]
    for task in tasks:
        assert msgspec.json.decode(msgspec.json.encode(task.arm), type=Arm) == task.arm
    arms = [task.arm for task in tasks]
    print(sorted({arm.policy for arm in arms if getattr(arm, "batch_size", None)}),
          sorted({arm.batch_size for arm in arms if hasattr(arm, "batch_size")}),
          {arm.policy for arm in arms if getattr(arm, "recipe", None)},
          {arm.device for arm in arms if hasattr(arm, "device")})
missing = []
for study in studies.entries():
    try:
        hash_of(study, scale_of("cifar10", device="xpu") if study.trains else None, "xpu")
    except KeyError as error:
        missing.append((study.name, str(error)))
print(missing)
for unknown in (clock_for, workload_for):
    try:
        unknown("xpu:1")
    except NotImplementedError as error:
        print(error)
"""
PLANNED = """\
--device: must be auto, cpu, cuda, cuda:N, mps, xpu or xpu:N, got 'tpu'
['bf16'] [1, 4, 8] {'channels_last'} {'xpu'}
['bf16', 'bf16+channels_last'] [1, 4, 8] {'channels_last'} {'xpu'}
[('engine_reverses', "'xpu'"), ('policy_effects', "'xpu'")]
there is no clock that waits for xpu devices
the probes have no sizes for xpu
"""


def test_a_new_kind_is_one_entry_until_it_is_measured() -> None:
    """Flags, plans, records and studies know it from its entry alone; what has to be written for it
    says so, and no clock of another kind times it."""
    command = [sys.executable, "-c", NEW_KIND]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout, done.returncode) == (PLANNED, 0), done.stderr[-2000:]
