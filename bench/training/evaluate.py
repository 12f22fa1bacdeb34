"""Evaluate published weights on an image folder, as timm's own validation does: its transform, its crop, its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.data import create_dataset, create_transform, resolve_data_config
from torch import nn
from torch.utils.data import DataLoader

from bench.errors import UsageError
from bench.plugins import Model, models
from bench.record import AccuracyArm

CLASSES = 1000


@dataclass(frozen=True)
class Evaluation:
    """`correct` (n,) bool in the folder's order; `top5_correct` is a count."""

    correct: torch.Tensor
    top5_correct: int


def validation_folder(argument: str) -> Path:
    """The folder with one sub-folder per class under an ImageNet root; UsageError where there is none."""
    root = Path(argument)
    if not argument or not root.is_dir():
        raise UsageError(f"--data imagenet:{argument}: {argument or 'an empty path'} is not a folder; give the one that holds val/")
    folder = next((root / name for name in ("validation", "val") if (root / name).is_dir()), root)
    found = sum(1 for path in folder.iterdir() if path.is_dir())
    if found != CLASSES:
        raise UsageError(f"--data imagenet:{argument}: {folder} has {found} class folders; ImageNet has {CLASSES}, named by WordNet id")
    return folder


def weights(entry: Model) -> dict[str, str]:
    """Published weights of an architecture that classify ImageNet-1k: tag to timm's full name.

    Tags of another timm name for the same graph carry its word in front: `deit.fb_in1k` for vit_s16.
    """
    found: dict[str, str] = {}
    own = {"": entry.timm_name} if entry.timm_name else {}
    for word, architecture in (own | entry.relatives).items():
        for name in timm.list_pretrained(f"{architecture}.*"):
            if timm.get_pretrained_cfg(name).num_classes == CLASSES:
                found[f"{word}.{name.partition('.')[2]}" if word else name.partition(".")[2]] = name
    return found


def published(entry: Model, tag: str, **overlay: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The model with its published weights, and timm's data settings for them.

    `overlay` replaces fields of timm's pretrained configuration (`file="x.safetensors"` loads from disk).
    """
    source = timm.create_model(weights(entry)[tag], pretrained=True, pretrained_cfg_overlay=overlay or None)
    model = entry.build(image_size=entry.image_size, num_classes=CLASSES)
    model.load_state_dict(source.state_dict(), strict=True)
    return model.eval(), resolve_data_config({}, model=source)


@torch.inference_mode()
def evaluate_weights(
    arm: AccuracyArm, argument: str, *, device: str, progress: Callable[[str], None], batch_size: int = 64, **overlay: Any
) -> Evaluation:
    """Top-1 and top-5 of `arm.weights` on every image of the validation folder."""
    assert arm.weights is not None
    model, settings = published(models.get(arm.model), arm.weights, **overlay)
    model.to(device)
    dataset = create_dataset("", root=str(validation_folder(argument)), split="validation", search_split=False)
    dataset.transform = create_transform(**settings, is_training=False)
    hits: list[np.ndarray] = []
    for number, (images, labels) in enumerate(loader := DataLoader(dataset, batch_size=batch_size, num_workers=2), start=1):
        best = model(images.to(device)).topk(5, dim=1).indices.cpu()
        hits.append((best == labels[:, None]).numpy())
        progress(f"evaluating, batch {number} of {len(loader)}")
    correct = np.concatenate(hits)
    return Evaluation(torch.from_numpy(correct[:, 0].copy()), int(correct.any(axis=1).sum()))
