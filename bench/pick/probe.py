"""The top-1 of a head on frozen features: how well a backbone's weights suit somebody's images.

A logistic regression is trained on what the classifier of the published weights is given, for
several penalties; the validation split chooses one, and the test split is read once. The heads of
all candidates are trained in parallel. Each outcome is a record of an accuracy, so that it is not
measured again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from torch import Tensor, nn

from bench.datasets._linear import STRENGTHS, Problem
from bench.errors import UsageError
from bench.files.foreign_errors import refusing
from bench.measure import machine
from bench.pick.candidates import Candidate, LeftOut
from bench.pick.draws import Probed
from bench.plan.task import about_of
from bench.plugins import dataset_of, open_data
from bench.record import store
from bench.record.arms import AccuracyArm
from bench.record.arrays import check, read_arrays, write_arrays
from bench.record.schema import EndLine, RoundLine, RunLine, Sample, Scalar
from bench.run.session import Session
from bench.stats.intervals import proportion
from bench.training.evaluate import batches
from bench.training.images.showing import View
from bench.training.images.splits import Part, Splits
from bench.training.images.views import Shown, shown
from bench.training.published import weights, with_weights

TRAINED, CHOSEN, TESTED = 4000, 2000, 5000
"""Most images of each split, drawn by a seed: more move a comparison of backbones little."""
SETTINGS: dict[str, Scalar] = {
    "protocol": 1,
    "head": "multinomial logistic regression on standardised inputs of the classifier",
    "images": f"at most {TRAINED} trained on, {CHOSEN} chosen by, {TESTED} tested",
    "penalties": ", ".join(map("{:g}".format, STRENGTHS)),
}
"""Part of the key of every record: another wording would make another record."""
TUNING = "head on frozen features"
NONE_AT_HAND = "no weights at hand"
HUB_FILE = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """A candidate, the tag of its weights, and their file."""

    candidate: Candidate
    tag: str
    path: Path


def at_hand(
    candidates: Iterable[Candidate], folder: Path | None
) -> tuple[list[AtHand], list[LeftOut]]:
    """Return the candidates whose weights are on this machine; the network is not asked.

    Raises UsageError, naming a file that would work, if there are none of any.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--weights: {folder} is not a folder; give one with .safetensors files")
    ready: list[AtHand] = []
    missing: list[str] = []
    example = ""
    for one in candidates:
        found = _file_of(one, folder)
        if found is None:
            missing.append(one.name)
            example = example or _example(one)
        else:
            ready.append(found)
    if missing and not ready:
        where = f"in {folder} or " if folder else ""
        raise UsageError(
            f"--data: no weights are at hand of {len(missing)} candidates, neither {where}in the "
            f"cache of the Hugging Face Hub; put files such as {example}.safetensors into a folder "
            "and give it with --weights"
        )
    return ready, [LeftOut(NONE_AT_HAND, tuple(missing))] if missing else []


def _example(candidate: Candidate) -> str:
    names = weights(candidate.model)
    return next(iter(names.values()), "NAME.TAG")


def _file_of(candidate: Candidate, folder: Path | None) -> AtHand | None:
    """Return the weights of a candidate that are at hand, its best published ones first."""
    names = weights(candidate.model)
    best = [found.tag for found in candidate.weight_sets]
    for tag in dict.fromkeys([*best, *names]):
        if tag not in names:
            continue
        path = _in_folder(names[tag], folder) or _in_cache(names[tag])
        if path is not None:
            return AtHand(candidate=candidate, tag=tag, path=path)
    return None


def _in_folder(name: str, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    path = folder / f"{name}.safetensors"
    return path if path.is_file() else None


def _in_cache(name: str) -> Path | None:
    import timm

    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.hf_hub_id:
        return None
    found = try_to_load_from_cache(settings.hf_hub_id, HUB_FILE)
    return Path(found) if isinstance(found, str) else None


@dataclass
class Prober:
    """Measures the frozen-feature top-1 of candidates on one data set."""

    data: str
    session: Session
    ready: Sequence[AtHand]
    force: bool = False
    seed: int = 0

    def probe(self, names: Sequence[str]) -> dict[str, Probed]:
        """Return the outcome of every candidate of these names, measured unless it is recorded."""
        wanted = [one for one in self.ready if one.candidate.name in names]
        found: dict[str, Probed] = {}
        open_ones: list[AtHand] = []
        for one in wanted:
            known = None if self.force else self._recorded(one)
            if known is None:
                open_ones.append(one)
            else:
                found[one.candidate.name] = known
        if open_ones:
            found |= self._measure(open_ones)
        return {one.candidate.name: found[one.candidate.name] for one in wanted}

    def _measure(self, open_ones: Sequence[AtHand]) -> dict[str, Probed]:
        """Compute all features, then train the heads in parallel."""
        splits = self._splits()
        outcomes: dict[str, Probed] = {}
        with ThreadPoolExecutor(machine.cores()) as pool:
            heads = []
            for number, one in enumerate(open_ones):
                name = one.candidate.name
                step = self.session.observer.step
                step("features of frozen weights", name, number, len(open_ones), None)
                extracted = self._extract(one, splits)
                heads.append((one, pool.submit(head, extracted, splits.num_classes)))
            for one, future in heads:
                outcomes[one.candidate.name] = self._record(one, splits, future.result())
        return outcomes

    def _splits(self) -> Splits:
        splits: Splits = open_data(self.data)
        if splits.train is None:
            raise UsageError(
                f"--data: {self.data} has a test split alone, and heads need images to train on"
            )
        return Splits(
            name=splits.name,
            train=some(splits.train, TRAINED),
            select=some(splits.select, CHOSEN),
            test=some(splits.test, TESTED),
            num_classes=splits.num_classes,
            mean=splits.mean,
            std=splits.std,
        )

    def _extract(self, one: AtHand, splits: Splits) -> Features:
        """Return the features of all splits. UsageError if the file does not fit the model."""
        entry = one.candidate.model

        def misfit(words: str) -> UsageError:
            return UsageError(
                f"--weights: {one.path} cannot be loaded into {entry.name} ({words}); it must "
                f"contain the weights {weights(entry)[one.tag]}"
            )

        with refusing(misfit):
            model = with_weights(entry, one.tag, file=str(one.path), custom_load=False)
        view = self._shown(one).of(splits)
        device = torch.device(self.session.device)
        extract = Extractor(model.to(device), device, view)
        parts = []
        for part in (splits.train, splits.select, splits.test):
            parts.append((extract(part), part.labels.cpu()))
        return Features(*parts)

    def _shown(self, one: AtHand) -> Shown:
        dataset, _ = dataset_of(self.data)
        size = one.candidate.model.image_size
        return shown(one.candidate.model, dataset, size=size, tag=one.tag)

    def _arm(self, one: AtHand) -> AccuracyArm:
        dataset, argument = dataset_of(self.data)
        known = dataset.identity(argument)
        return AccuracyArm(
            model=one.candidate.name,
            image_size=one.candidate.model.image_size,
            num_classes=dataset.num_classes(argument),
            data=f"{dataset.name}:{known}" if known else dataset.name,
            split="test",
            transform=self._shown(one).key,
            weights=one.tag,
            tuning=TUNING,
        )

    def _recorded(self, one: AtHand) -> Probed | None:
        """Return the outcome in a record; None if there is none."""
        path = store.path_of(self.session.records, self._arm(one), SETTINGS)
        if not path.exists():
            return None
        record = store.load(path)
        check(record)
        for line in reversed(record.rounds):
            arrays = read_arrays(path, line.arrays) if line.arrays is not None else {}
            if "correct" in arrays:
                return probed(arrays["correct"])
        return None

    def _record(self, one: AtHand, splits: Splits, found: HeadResult) -> Probed:
        """Write a record of an outcome, and return it."""
        session, arm = self.session, self._arm(one)
        about = about_of(one.candidate.model, dataset_of(self.data)[0].caveat)
        path = store.create(session.records, arm, SETTINGS, about)
        started = datetime.now(timezone.utc)
        run = f"{started:%Y%m%dT%H%M%S}-{random.SystemRandom().randrange(16**4):04x}"
        store.append(
            path,
            RunLine(
                run=run,
                started=started.isoformat(timespec="seconds"),
                version=session.version,
                commit=session.commit,
                seed=self.seed,
                machine=session.machine,
                fresh=self.force,
            ),
        )
        correct, images = int(found.right.sum()), len(found.right)
        sample = Sample(
            metric="top1",
            unit="share",
            better="higher",
            values=[correct / images],
            detail={
                "correct": correct,
                "images": images,
                "view": self._shown(one).view.text,
                "shown": self._shown(one).text,
                "splits": splits.name,
                "trained_on": len(splits.train),
                "chosen_by": len(splits.select),
                "head_penalty": found.penalty,
                "head_s": found.seconds,
            },
        )
        arrays = write_arrays(path, run, {"correct": found.right})
        store.append(path, RoundLine(run=run, round=1, samples=[sample], arrays=arrays))
        store.append(path, EndLine(run=run, status="ok", metrics=["top1"]))
        return probed(found.right)


def probed(right: Any) -> Probed:
    """Return an outcome by which of the test images were right (n,) bool."""
    answers = [bool(one) for one in right]
    return Probed(right=answers, top1=proportion(sum(answers), len(answers)))


def some(part: Any, most: int) -> Any:
    """Return at most so many images of a split, the same ones in every run."""
    if len(part) <= most:
        return part
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
    return part.subset(order[:most].sort().values)


class Extractor:
    """Computes what the classifier of a model is given."""

    def __init__(self, model: nn.Module, device: torch.device, view: View) -> None:
        self._model, self._device, self._view = model.eval(), device, view
        self._inputs: list[Tensor] = []
        classifier(model).register_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._inputs.append(inputs[0].flatten(1).float().cpu())

    @torch.no_grad()
    def __call__(self, part: Part) -> Tensor:
        """Return the features of a split (images, width)."""
        self._inputs.clear()
        for images, _ in batches(part, self._view, self._device, machine.cores()):
            self._model(images.to(self._device))
        return torch.cat(self._inputs)


def classifier(model: nn.Module) -> nn.Module:
    """Return the last linear layer of a model, or the last 1 x 1 convolution without one.

    Raises UsageError if it has neither.
    """
    layers = [one for one in model.modules() if isinstance(one, nn.Linear)]
    if not layers:
        layers = [one for one in model.modules() if isinstance(one, nn.Conv2d)]  # type: ignore[misc]
    if not layers:
        raise UsageError("--data: a candidate has no linear layer whose input could be probed")
    return layers[-1]


@dataclass(frozen=True)
class Features:
    """Features (n, width) with labels (n,) of each split."""

    train: tuple[Tensor, Tensor]
    select: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class HeadResult:
    """Which test images were right (n,) bool, the chosen penalty, and the seconds it took."""

    right: Any
    penalty: float
    seconds: float


def head(features: Features, classes: int) -> HeadResult:
    """Train a head for every penalty, choose by the validation split, and test that one."""
    began = time.perf_counter()
    inputs, labels = features.train
    std, mean = torch.std_mean(inputs, dim=0, correction=0)
    std = torch.where(std > 0, std, 1.0)

    def rows(values: Tensor) -> Tensor:
        return torch.cat([(values - mean) / std, torch.ones(len(values), 1)], dim=1)

    fits = list(Problem(rows(inputs), labels, classes).path())
    selecting, wanted = rows(features.select[0]), features.select[1]
    right = [int(((selecting @ found).argmax(1) == wanted).sum()) for _, found, _ in fits]
    penalty, chosen, _ = fits[right.index(max(right))]
    test, truth = rows(features.test[0]), features.test[1]
    correct = ((test @ chosen).argmax(1) == truth).numpy().astype(np.bool_)
    return HeadResult(correct, penalty, time.perf_counter() - began)
