"""Published weights: the tags that there are, and a model with them."""

from __future__ import annotations

from typing import Any

from torch import nn

from bench.plugins import Model

CLASSES = 1000


def weights(entry: Model) -> dict[str, str]:
    """Return the published weights of a model that classify ImageNet-1k: timm's full name by tag.

    Tags of other timm names for the same graph start with that name's word: `deit.fb_in1k` for
    vit_s16.
    """
    import timm

    found: dict[str, str] = {}
    own = {"": entry.timm_name} if entry.timm_name else {}
    for word, architecture in (own | entry.relatives).items():
        for name in timm.list_pretrained(f"{architecture}.*"):
            if timm.get_pretrained_cfg(name).num_classes == CLASSES:
                tag = name.partition(".")[2]
                found[f"{word}.{tag}" if word else tag] = name
    return found


def with_weights(entry: Model, tag: str, **overlay: Any) -> nn.Module:
    """Return the model with published weights, at its own image size.

    `overlay` replaces fields of timm's pretrained configuration: `file="x.safetensors"` loads the
    weights from disk.
    """
    import timm

    source = timm.create_model(
        weights(entry)[tag], pretrained=True, pretrained_cfg_overlay=overlay or None
    )
    model = entry.build(image_size=entry.image_size, num_classes=CLASSES)
    model.load_state_dict(source.state_dict(), strict=True)
    return model.eval()
