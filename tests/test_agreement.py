"""What is timed is what is right: every timed process is compared with float32 eager execution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.config import RunConfig
from bench.errors import UsageError, WrongOutput
from bench.measure.messages import Failure, Job
from bench.measure.subject import SpeedSubject, agreement, module_of, open_subject
from bench.measure.subject.check_images import check_images, drawn
from bench.plugins import policies
from bench.record.arms import SpeedArm
from bench.record.schema import EndLine
from bench.record.store import Record, load_folder
from bench.record.values import per_round
from bench.run.lifecycle import Lifecycle
from bench.training.images.splits import Pictures

from . import wrong_policies
from .pictures import Named, make_folder
from .program import bench
from .test_record import speed_record

MODELS = ("convmixer_digits", "vit_digits")


def records(folder: Path) -> list[Record]:
    found, damaged = load_folder(next(folder.glob("results/*/records")))
    assert not damaged
    return [record for record in found if isinstance(record.arm, SpeedArm)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, int]]:
    """A run of all planted policies next to honest ones."""
    folder = tmp_path_factory.mktemp("agreement")
    site = wrong_policies.install(folder / "site")
    ended = bench(
        "run",
        "--models",
        ",".join(MODELS),
        "--policies",
        ",".join(("fp32", "bf16", *wrong_policies.NAMES)),
        *("--rounds", "1", "--batch-sizes", "3", "--metrics", "throughput", "--device", "cpu"),
        "--notes",
        cwd=folder,
        env={"PYTHONPATH": f"{Path(__file__).parent.parent}:{site}"},
        limit=600,
    )
    yield folder, ended.text, ended.code


def test_policies_that_compute_something_else_end_as_wrong(ran: tuple[Path, str, int]) -> None:
    folder, text, code = ran
    assert code == 1, text
    ends = {}
    for record in records(folder):
        assert isinstance(record.arm, SpeedArm)
        if record.arm.model in MODELS:
            ends[record.arm.model, record.arm.policy] = record.ends[-1]
    for model in MODELS:
        for policy in wrong_policies.NAMES:
            end = ends[model, policy]
            assert end.status == "wrong", (model, policy, end)
            assert "of their spread between images" in (end.error or "")
        for policy in ("fp32", "bf16"):
            assert ends[model, policy].status == "ok", (model, policy, ends[model, policy])
    assert "wrong: returns_last does not compute what the model does in float32" in text


def test_the_record_says_how_far_each_process_agrees(ran: tuple[Path, str, int]) -> None:
    folder, text, _ = ran
    for record in records(folder):
        setup = record.runs[0].setup
        if record.ends[-1].status == "wrong" or record.arm.mode != "inference":
            continue
        assert setup["agreement"] == "float32 eager"
        assert setup["agreement_images"] == 64
        assert float(setup["agreement_error"] or 0) <= float(setup["agreement_tolerance"] or 0)
        assert float(setup["agreement_top1"] or 0) > 0.8
    assert "what was timed computes the model: its logits differ" in " ".join(text.split())


def test_rounds_of_a_run_that_ended_as_wrong_count_nowhere(tmp_path: Path) -> None:
    from bench.record import store

    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    assert len(per_round(store.load(path).latest(), "throughput")) == 2
    store.append(path, EndLine(run="r1", status="wrong", metrics=["throughput"], error="off by 2"))
    assert per_round(store.load(path).latest(), "throughput") == {}


def subject_of(
    build: Callable[..., nn.Module], tmp_path: Path, *, policy: str = "fp32", batch: int = 3
) -> SpeedSubject:
    """A subject in this process, with its reference made."""
    arm = SpeedArm(
        model="net",
        policy=policy,
        device="cpu",
        batch_size=batch,
        image_size=32,
        num_classes=10,
        mode="inference",
    )
    job = Job(arm, "cpu", 0, 1, reference=str(tmp_path / "net.logits"), thorough=True)
    subject = open_subject(
        arm, device="cpu", seed=0, build=build, progress=lambda text: None, job=job
    )
    assert isinstance(subject, SpeedSubject)
    subject.make_reference()
    return subject


def small(image_size: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.GELU()]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


@pytest.mark.parametrize("batch", [1, 3, 64, 100, 128])
def test_all_images_are_compared_at_every_batch_size(tmp_path: Path, batch: int) -> None:
    says = subject_of(small, tmp_path, batch=batch).ready()
    assert says["agreement_images"] == 64
    assert float(says["agreement_error"] or 0) < 1e-5


def test_the_timed_images_are_as_before(tmp_path: Path) -> None:
    subject = subject_of(small, tmp_path)
    subject.ready()
    assert subject.execution is not None
    assert torch.equal(subject.execution.inputs, subject._images(subject.arm))


def test_a_model_that_differs_between_processes_is_compared_with_itself(tmp_path: Path) -> None:
    """Its weights do not follow from the seed, so the reference of the other process is not its."""

    def unseeded(image_size: int | None = None) -> nn.Module:
        model = small()
        with torch.no_grad():
            model[0].weight.copy_(torch.randn(8, 3, 4, 4, generator=generator))  # type: ignore[union-attr]
        return model

    generator = torch.Generator().manual_seed(1)
    says = subject_of(unseeded, tmp_path).ready()
    assert says["agreement_images"] == agreement.FEWEST
    assert float(says["agreement_error"] or 0) < 1e-5


def test_a_model_with_noise_of_its_own_is_not_called_wrong(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def __init__(self, image_size: int | None = None) -> None:
            super().__init__()
            self.model = small()

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.model(images)
            return logits + torch.rand_like(logits)

    says = subject_of(Noisy, tmp_path).ready()
    assert "two evaluations of the model in float32 differ" in str(says["agreement"])
    assert "agreement_error" not in says


def test_a_model_that_ignores_its_images_is_not_checked(tmp_path: Path) -> None:
    class Deaf(nn.Module):
        def __init__(self, image_size: int | None = None) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, images: Tensor) -> Tensor:
            return self.scale * torch.arange(10.0).expand(len(images), 10)

    says = subject_of(Deaf, tmp_path).ready()
    assert says["agreement"] == "not checked: the model's logits hardly depend on the image"


def test_where_no_reference_can_be_made_the_record_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = SpeedArm(
        model="net",
        policy="fp32",
        device="cpu",
        batch_size=1,
        image_size=32,
        num_classes=10,
    )

    class Poor:
        def make_reference(self) -> None:
            raise Failure("oom", "20 GB for the images")

        def close(self) -> None:
            pass

    context: Any = SimpleNamespace(
        race=None,
        config=RunConfig(),
        observer=SimpleNamespace(step=lambda *_: None),
        session=SimpleNamespace(references=set(), open_worker=lambda job: Poor()),
    )
    monkeypatch.setattr("bench.files.temporary.folder", lambda: tmp_path)
    monkeypatch.setattr(Lifecycle, "_job", lambda self, arm_run: Job(arm, "cpu", 0, 1))
    lifecycle = Lifecycle(context)
    task: Any = SimpleNamespace(arm=arm, seed=0)
    run: Any = SimpleNamespace(arm=arm, task=task)
    lifecycle._make_reference(run)
    job = Job(arm, "cpu", 0, 1, reference=lifecycle._reference(task))
    subject = open_subject(
        arm, device="cpu", seed=0, build=small, progress=lambda text: None, job=job
    )
    reason = "the model in float32 could not be evaluated: oom: 20 GB for the images"
    assert subject.ready()["agreement"] == f"not checked: {reason}"


@pytest.mark.exhaustive
def test_a_model_without_a_reference_is_not_checked_and_says_why(tmp_path: Path) -> None:
    """It fits with one image, and not with the eight that its reference is made of."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\n"
        "class Large(nn.Sequential):\n"
        "    def forward(self, images):\n"
        "        if len(images) > 4:\n"
        '            raise MemoryError("20 GB for the images")\n'
        "        return super().forward(images)\n\n\n"
        "def large(num_classes=10):\n"
        "    pool = nn.AdaptiveAvgPool2d(2)\n"
        "    return Large(pool, nn.Flatten(), nn.Linear(12, num_classes))\n",
        encoding="utf-8",
    )
    ended = bench(
        *("run", "--models", "./net.py:large", "--metrics", "latency", "--rounds", "1"),
        *("--image-size", "32", "--device", "cpu"),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended
    reason = "the model in float32 could not be evaluated: oom: MemoryError: 20 GB"
    [record] = [one for one in records(tmp_path) if one.arm.model == "./net.py:large"]
    assert str(record.runs[0].setup["agreement"]).startswith(f"not checked: {reason}"), record.runs
    said = " ".join(ended.text.split())
    assert f"agreement with float32 eager execution not checked: {reason}" in said


def test_pictures_of_the_data_are_whole_and_normalised_wherever_they_lie(tmp_path: Path) -> None:
    """In memory or in files, by the same code as pictures for quantisation."""
    from bench.plugins import open_data

    images, source = check_images("digits", 48, seed=0)
    assert source == "the first of the test split of digits" and images.shape == (64, 3, 48, 48)
    splits = open_data("digits")
    assert torch.equal(images, splits.test.subset(torch.arange(64)).shown(splits.whole(48)))
    folder = make_folder(tmp_path, {"train": 3, "val": 3}, classes=2, side=300)
    images, _ = check_images(f"folder:{folder}", 32, seed=0)
    assert images.shape == (6, 3, 32, 32) and images.isfinite().all()
    unreadable = Pictures(Named("val_{}.JPEG"), torch.arange(2), torch.zeros(2))
    with pytest.raises(UsageError, match="none of 2 images can be read: nothing is there"):
        unreadable.shown(splits.whole(32))


def test_a_wrong_output_in_a_later_process_is_found_on_fewer_images(tmp_path: Path) -> None:
    subject = subject_of(small, tmp_path)
    assert subject.job is not None
    subject.job = replace(subject.job, thorough=False)
    assert subject.ready()["agreement_images"] == 6, "two calls of three images"
    subject.known = agreement.Reference.load(str(subject.job.reference))
    assert subject.execution is not None
    with torch.no_grad():
        module_of(subject.execution)[0].weight.mul_(1.1)  # type: ignore[index]
    with pytest.raises(WrongOutput, match=r"logits are off by 0\.\d+"):
        subject._agrees()


def test_the_error_is_relative_to_what_differs_between_images() -> None:
    expected = torch.tensor([[100.0, 101.0], [101.0, 100.0]])
    stuck = expected.mean(0).expand(2, 2)
    found = agreement.compared(stuck, expected, expected)
    assert found.error == pytest.approx(1.0)
    same = agreement.compared(expected, expected, expected)
    assert (same.error, same.top1) == (0.0, 1.0) and same.cosine == pytest.approx(1.0)
    constant = torch.ones(2, 2)
    assert agreement.compared(constant, constant, constant).error == float("inf")


def test_logits_that_are_not_numbers_agree_with_nothing() -> None:
    expected = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    broken = expected.clone()
    broken[1, 0] = float("nan")
    found = agreement.compared(broken, expected, expected)
    with pytest.raises(WrongOutput):
        agreement.verify(
            found, agreement.Reference(expected, expected, 0, 0.0, "drawn"), policy="fp32"
        )


def test_drawn_images_have_structure_and_differ() -> None:
    images = drawn(8, 32, seed=0)
    assert torch.equal(images, drawn(8, 32, seed=0))
    assert images.std(dim=(1, 2, 3)).allclose(torch.ones(8))
    means = images.mean(dim=(2, 3))
    assert means.std() > 0.3, "images differ in colour and brightness"
    neighbours = (images[..., 1:] - images[..., :-1]).square().mean()
    assert neighbours < 1, "noise would give 2"


def test_precisions_state_their_tolerance() -> None:
    stated = {name: agreement.tolerance(name) for name in ("fp32", "bf16", "fp16", "tf32")}
    assert stated["fp32"] == agreement.tolerance("channels_last") == agreement.TOLERANCE
    assert stated["fp32"] < stated["fp16"] == stated["tf32"] < stated["bf16"] < 1
    assert agreement.tolerance("bf16+channels_last") == stated["bf16"]
    assert policies.get("bf16_autocast").tolerance == policies.get("bf16").tolerance
