"""One new file of every kind of plug-in, and a copy of the project that has them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bench.plugins import datasets, figures, metrics, models, policies, studies
from bench.plugins.recipe import recipes
from bench.plugins.registry import Registry

from .program import ROOT

MODEL = '''
"""A small convolution, and an architecture that timm publishes weights of."""

import timm
from torch import nn

from bench.plugins import Model, models


def build(*, image_size: int, num_classes: int) -> nn.Module:
    stem = [nn.Conv2d(3, 8, 8, 8), nn.GELU()]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))


def published(*, image_size: int, num_classes: int) -> nn.Module:
    return timm.create_model("resnet18", num_classes=num_classes)


models.add(Model(name="newcomer", family="newcomers", build=build, image_size=16, num_classes=10))
models.add(Model(name="newcomer_timm", family="newcomers", build=published, timm_name="resnet18"))
'''
METRIC = '''
"""One metric of every kind of arm."""

from bench.plugins import Metric, metrics
from bench.measure.subject import Reading, Subject


def measure(subject: Subject, window: float) -> Reading:
    return Reading([42.0])


for arm in ("count", "speed", "accuracy", "probe"):
    name = f"newcomer_{arm}"
    metrics.add(Metric(name=name, unit="bit", better="higher", arm=arm, measure=measure))
'''
POLICY = '''
"""A switch that changes nothing, and a precision."""

import torch

from bench.plugins import Policy, policies
from bench.measure.subject import Execution, module_of


def nothing(execution: Execution) -> None:
    """Leave everything as it is."""


def double(execution: Execution) -> None:
    """Cast to 64 bits."""
    module_of(execution).to(torch.float64)
    execution.inputs = execution.inputs.to(torch.float64)


policies.add(Policy(name="newcomer", apply=nothing, order=35, slot="newcomers"))
policies.add(Policy(name="newcomer64", apply=double, order=10, slot="precision"))
'''
DATASET = '''
"""Sixty images of noise in ten classes."""

import torch

from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits, by_file_order


def load(argument: str) -> Splits:
    seeded = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 16, 16), generator=seeded, dtype=torch.uint8)
    return by_file_order(images, torch.arange(60) % 10, train=0.6, select=0.2, num_classes=10)


datasets.add(
    Dataset(
        name="newcomer",
        open=load,
        num_classes=lambda argument: 10,
        image_size=16,
        recipe="newcomer",
    )
)
'''
RECIPE = '''
"""A few steps."""

from bench.plugins.recipe import TRIANGULAR, Recipe, recipes

recipes.add(
    Recipe(
        name="newcomer",
        epochs=1,
        batch_size=8,
        micro_batch=8,
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule=TRIANGULAR,
    )
)
'''
STUDY = '''
"""Is the newcomer faster than a small ConvMixer?"""

from collections.abc import Iterator

from bench.claims.evidence import Evidence, Speed
from bench.plugins import Need, Study, studies
from bench.studies._timed import ratio, timed
from bench.claims.rules import Finding


def needs(scale: None, device: str) -> list[Need]:
    return [timed("throughput of both", ["newcomer", "convmixer_digits"], device)]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    one, other = Speed("newcomer", 16), Speed("convmixer_digits", 32)
    yield ratio(evidence, "images/s, newcomer : ConvMixer", one, other, (1.0, float("inf")))


studies.add(
    Study(
        name="newcomer",
        question="Is it faster?",
        headline="The newcomer is faster",
        claim="The newcomer classifies more images a second than ConvMixer.",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
'''
FIGURE = '''
"""An empty figure."""

from matplotlib.figure import Figure as Drawing

from bench.plugins import Figure, figures
from bench.analysis.summary import Summary


def draw(summary: Summary) -> Drawing:
    return Drawing()


figures.add(Figure(name="newcomer", draw=draw))
'''
ROOMS: list[tuple[Registry[Any], str]] = [
    (models, MODEL),
    (metrics, METRIC),
    (policies, POLICY),
    (datasets, DATASET),
    (recipes, RECIPE),
    (studies, STUDY),
    (figures, FIGURE),
]
FILES = {f"{registry.room.replace('.', '/')}/newcomer.py": text for registry, text in ROOMS}


def copied(folder: Path, files: dict[str, str]) -> Path:
    """A copy of the project in an empty folder, with some files added."""
    without = shutil.ignore_patterns(
        "__pycache__", ".*", "results", "results-*", "*.egg-info", "build"
    )
    shutil.copytree(ROOT, folder, ignore=without, dirs_exist_ok=True)
    for name, text in files.items():
        assert not (folder / name).exists()
        (folder / name).write_text(text.lstrip("\n"), encoding="utf-8")
    return folder
