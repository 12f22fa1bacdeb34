"""The thing that is measured: one arm, built and made ready inside its worker."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bench.count import process_guard
from bench.count.macs import MacCounts, count
from bench.count.outputs import AUXILIARY_WEIGHT, heads, logits_of
from bench.count.timed_weights import as_trained
from bench.errors import ModelFault, UsageError
from bench.measure import cpu_placement, memory, process_settings
from bench.measure.gpu import Gpu, gpu_for
from bench.measure.timing import Clock, back_to_back, clock_for, warm_up
from bench.plugins import handwritten, policies
from bench.record.arms import Arm, CountArm, Mode, SpeedArm
from bench.record.schema import Scalar

# Settings that change what a speed sample means; stored in the record and part of its key.
SPEED_SETTINGS: dict[str, Scalar] = {
    "protocol": 4,
    "window_s": 0.15,
    "window": "at least window_s, and a quarter of the slowest call of the run up to 1 s",
    "wake": "untimed calls for an eighth of the window, where one takes at most half of it",
    "warmup_window_s": 0.15,
    "warmup_agree": 0.05,
    "warmup_windows": 8,
    "warmup_cap_s": 1.2,
    "input": "standard normal, on the device",
    "weights": "random; scales and shifts of norms drawn as after training, batch statistics taken from two images",
    "memory": "allocated, with a graph's pool; on a CPU anonymous pages over those before the model was built",
    "clock": "wall, device synchronised: latency after every call, throughput once per window",
}


@dataclass
class Reading:
    """What one window gave: raw values in the metric's unit, details for the record, large arrays for a sidecar."""

    values: list[float]
    detail: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)


@dataclass
class Execution:
    """How a model is run. Policies change it in place, in their order, before the first call.

    `finish` holds what has to happen once everything else is in place, such as capturing a graph: functions from
    what a call does to what it does then.
    """

    model: Callable[..., Tensor]
    inputs: Tensor
    device: str
    mode: Mode = "inference"
    contexts: list[Callable[[], contextlib.AbstractContextManager[Any]]] = field(
        default_factory=list
    )
    finish: list[Callable[[Callable[[], Tensor]], Callable[[], Tensor]]] = field(
        default_factory=list
    )
    scaler: Any = None
    """The gradient scaler of a training in float16."""
    auxiliary: int = 0
    """How many heads a training step found beside the one that is evaluated."""
    classes: int | None = None
    """How many logits an image has; None: as many as come."""

    @contextlib.contextmanager
    def within(self) -> Iterator[None]:
        """The policy's contexts, entered."""
        with contextlib.ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context())
            yield

    def forward(self) -> Tensor:
        """One forward pass within the policy's contexts."""
        with self.within():
            return logits_of(self.model(self.inputs), len(self.inputs), self.classes)

    def heads(self) -> list[Tensor]:
        """The logits of every head in one forward pass, those that are evaluated first."""
        with self.within():
            return heads(self.model(self.inputs), len(self.inputs), self.classes)

    def inference(self) -> Tensor:
        """One forward pass without gradients."""
        with torch.inference_mode():
            return self.forward()


@dataclass
class Subject:
    """What a metric is handed. `execution` is there for speed arms; `build` makes a fresh model for the others."""

    arm: Arm
    device: str
    build: Callable[..., nn.Module]
    """The arm's model with random weights; `build(image_size)` at another size."""
    clock: Clock
    seed: int
    gpu: Gpu | None = None
    execution: Execution | None = None
    call: Callable[[], Any] = field(default_factory=lambda: _not_ready)
    """What is timed of a speed arm: a forward pass or a training step."""
    memory_before: int = 0
    memory_limit: int | None = None
    setup: dict[str, Scalar] = field(default_factory=dict)
    """The times of `prepare`."""
    seconds_per_call: float = 1.0
    """As the latest window left it."""
    replay: Callable[[], Any] | None = None
    """The call captured in a CUDA graph, once somebody asked for it."""
    job: Any = None
    """What the worker was told, for those who keep files."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What probes make once: tensors, and calls that hold some."""
    held: process_guard.Values = field(default_factory=lambda: process_guard.now())
    """The settings of this process that have to hold until the last window."""
    set_back: dict[str, str] = field(default_factory=dict)
    """Settings that the model's code changed while it was imported, built or called first, and that were set back."""
    weights: dict[str, Scalar] = field(default_factory=dict)
    """How many tensors were given values as after a training."""
    kept_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Counts that do not change from window to window."""
    counts: Any = None
    """What a forward pass was found to multiply and to write, once a metric asked for it."""
    progress: Callable[[str], None] = lambda text: None

    def calls_for(self, window: float) -> int:
        """How many calls fill a window, at least one."""
        return max(1, round(window / self.seconds_per_call))

    def back_to_back(self, window: float) -> tuple[int, float]:
        """Calls made back to back for about `window` seconds: how many, and the seconds they took.

        Their speed decides how many the next window takes: windows of one length for all, whatever the warm-up saw.
        """
        calls = self.calls_for(window)
        seconds = back_to_back(self.call, self.clock, calls=calls)
        self.seconds_per_call = max(seconds / calls, 1e-9)
        return calls, seconds

    def wake(self, window: float) -> None:
        """Untimed calls after a sleep, which left cold caches; not where a call is most of a window by itself.

        By time and not by number: else the model with longer calls would be the better rested one.
        """
        if self.execution is not None and self.seconds_per_call <= window / 2:
            back_to_back(self.call, self.clock, calls=self.calls_for(window / 8))


def _not_ready() -> None:
    raise AssertionError("only speed arms that were made ready are executed")


def split_policy(policy: str) -> list[str]:
    """The switches of a policy, each once, in their order of application; unknown or clashing ones are UsageErrors.

    Switches that change nothing (fp32, eager) are left out where others say how the model is run.
    """
    switches = sorted(
        {policies.get(part.strip()) for part in policy.split("+")},
        key=lambda switch: (switch.order, switch.name),
    )
    for left, right in combinations(switches, 2):
        if both := [slot for slot in (left.slot, *left.also) if slot in (right.slot, *right.also)]:
            raise UsageError(
                f"--policies: {policy}: {left.name} and {right.name} both set the {both[0]}; keep one of them"
            )
    return [switch.name for switch in switches if not switch.default] or ["fp32"]


def runnable_policy(policy: str, device: str, *, flag: str) -> str:
    """A policy's one name; UsageError that names the flag where one of its switches does not run on the device."""
    names = split_policy(policy)
    for name in names:
        if reason := policies.get(name).supports(device):
            raise UsageError(f"{flag}: {name} does not run on {device}: {reason}")
    return "+".join(names)


def precision_of(policy: str) -> str:
    """The precision that a policy computes in: fp32 unless a switch says otherwise."""
    return next(
        (
            name.removesuffix("_autocast")
            for name in policy.split("+")
            if policies.get(name).slot == "precision"
        ),
        "fp32",
    )


def prepare(subject: Subject) -> dict[str, Scalar]:
    """Build a speed arm, apply its policy, make the first call and warm up; returns the times for the run line."""
    arm = subject.arm
    assert isinstance(arm, SpeedArm)
    clock = subject.clock
    subject.memory_before = memory.before(subject.device)
    start = clock.now()
    execution = _execution(subject, arm)
    call = _training_step(execution, arm) if arm.mode == "training" else execution.inference
    for finish in execution.finish:
        call = finish(call)
    subject.execution, subject.call = execution, call
    clock.synchronize()
    built = clock.now()
    output = subject.call()
    clock.synchronize()
    first = clock.now()
    subject.set_back |= process_guard.set_back(subject.held)
    check_output(output, arm)
    if subject.device == "cpu":
        cpu_placement.settle()  # now that whatever compiles, compiled
    rules = SPEED_SETTINGS
    warmed = warm_up(
        subject.call,
        clock,
        window=float(rules["warmup_window_s"] or 0),
        agree=float(rules["warmup_agree"] or 0),
        windows=int(rules["warmup_windows"] or 0),
        cap=float(rules["warmup_cap_s"] or 0),
        frequency=subject.gpu.clock if subject.gpu else lambda: None,
    )
    process_guard.check(subject.held, "while it was called again")
    subject.seconds_per_call = max(warmed.medians[-1], 1e-9)
    subject.setup = {
        "build_s": built - start,
        "first_call_s": first - built,
        "warmup_s": clock.now() - first,
        "warmup_windows": len(warmed.medians),
        "steady": warmed.steady,
        "seconds_per_call": subject.seconds_per_call,
        "precision": precision_of(arm.policy),
        **({"handwritten": True} if handwritten(arm.policy) else {}),
        **subject.weights,
        **({"auxiliary_heads": execution.auxiliary} if execution.auxiliary else {}),
        **process_settings.current(),
        **settings_said(subject),
    }
    return subject.setup


def settings_said(subject: Subject) -> dict[str, Scalar]:
    """What holds of the settings that a model's code could change, and what was set back of them, for the record."""
    said: dict[str, Scalar] = {f"held_{name}": value for name, value in subject.held.items()}
    if subject.set_back:
        said["set_back"] = ", ".join(
            f"{name} {values}" for name, values in subject.set_back.items()
        )
    return said


def _execution(subject: Subject, arm: SpeedArm) -> Execution:
    """Model and images on the device, the policy's switches applied."""
    model = _timed_model(subject, arm).to(subject.device)
    generator = torch.Generator().manual_seed(subject.seed)
    inputs = torch.randn(arm.batch_size, 3, arm.image_size, arm.image_size, generator=generator).to(
        subject.device
    )
    execution = Execution(
        model=model, inputs=inputs, device=subject.device, mode=arm.mode, classes=arm.num_classes
    )
    for name in split_policy(arm.policy):
        switch = policies.get(name)
        if arm.mode != "inference" and switch.inference_only:
            raise NotImplementedError(f"{name} is for inference; a {arm.mode} arm cannot use it")
        switch.apply(execution)
    subject.held = process_guard.now()
    return execution


def _timed_model(subject: Subject, arm: SpeedArm) -> nn.Module:
    """The model, with weights as after a training where it is timed; how many images fit does not depend on them.

    Still on the CPU, where it was built: a GPU has seen nothing of it before the first call.
    """
    model = subject.build().train(arm.mode == "training")
    if subject.arm == arm:
        with process_guard.kept(subject.set_back):
            subject.weights = as_trained(model, image_size=arm.image_size, seed=subject.seed)
    return model


def _training_step(execution: Execution, arm: SpeedArm) -> Callable[[], Tensor]:
    """Forward, cross-entropy of every head, backward, AdamW; the labels are fixed and on the device."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(arm.num_classes, (arm.batch_size,), generator=generator).to(
        execution.device
    )
    parameters = [
        parameter for parameter in module_of(execution).parameters() if parameter.requires_grad
    ]
    if not parameters:
        raise ModelFault(
            f"{arm.model} has no parameters to train; leave out the metrics of a training step"
        )
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)
    scaler = execution.scaler

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        logits, *others = execution.heads()
        execution.auxiliary = len(others)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        for other in others:
            loss = loss + AUXILIARY_WEIGHT * nn.functional.cross_entropy(other.float(), labels)
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return logits.detach()

    return step


def capacity_call(subject: Subject, batch: int) -> Callable[[], Tensor]:
    """A forward pass over `batch` images under the arm's policy, built anew: nothing is left of an earlier attempt."""
    assert isinstance(subject.arm, SpeedArm)
    if (
        "torch._dynamo" in sys.modules
    ):  # something was compiled, and PyTorch runs the ninth size of one piece of code eagerly
        torch.compiler.reset()
    arm = msgspec.structs.replace(subject.arm, batch_size=batch, mode="inference")
    execution = _execution(subject, arm)
    call: Callable[[], Tensor] = execution.inference
    for finish in execution.finish:
        call = finish(call)
    return call


def module_of(execution: Execution) -> nn.Module:
    """The model as a module; compiled ones are modules too."""
    assert isinstance(execution.model, nn.Module)
    return execution.model


def check_output(logits: Tensor, arm: SpeedArm) -> None:
    """Raise where the output is not finite logits of the right shape: a speed of wrong results is worth nothing."""
    expected = (arm.batch_size, arm.num_classes)
    if tuple(logits.shape) != expected:
        fits = logits.ndim == 2 and len(logits) == arm.batch_size
        hint = (
            f"; --num-classes {logits.shape[1]} would fit" if fits else "; a classifier is needed"
        )
        raise ModelFault(
            f"{arm.model} gave an output of shape {tuple(logits.shape)}, expected {expected}{hint}"
        )
    if not torch.isfinite(logits).all():
        raise ValueError(f"{arm.model} gave an output with NaN or infinity under {arm.policy}")


def open_subject(
    arm: Arm,
    *,
    device: str,
    seed: int,
    build: Callable[..., nn.Module],
    progress: Callable[[str], None],
) -> Subject:
    """A subject with the right clock; speed arms still have to be prepared."""
    return Subject(
        arm=arm,
        device=device,
        build=build,
        clock=clock_for(device),
        seed=seed,
        gpu=gpu_for(device),
        progress=progress,
    )


def counts_of(subject: Subject) -> MacCounts:
    """The counts of a count arm's model for one image, made once for all metrics."""
    assert isinstance(subject.arm, CountArm)
    if subject.counts is None:
        size = subject.arm.image_size
        subject.counts = count(subject.build().eval(), torch.randn(1, 3, size, size))
    counts: MacCounts = subject.counts
    return counts
