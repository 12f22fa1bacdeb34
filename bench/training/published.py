"""Published weights: which there are, and a model with them."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from bench.plugins import Model

CLASSES = 1000


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


def with_weights(entry: Model, tag: str, **overlay: Any) -> nn.Module:
    """The model with its published weights, at its own image size.

    `overlay` replaces fields of timm's pretrained configuration (`file="x.safetensors"` loads from disk).
    """
    source = timm.create_model(
        weights(entry)[tag], pretrained=True, pretrained_cfg_overlay=overlay or None
    )
    model = entry.build(image_size=entry.image_size, num_classes=CLASSES)
    model.load_state_dict(source.state_dict(), strict=True)
    return model.eval()
