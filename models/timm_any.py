"""`timm:<name>`: everything that timm can build."""

from __future__ import annotations

import difflib
from functools import partial

import timm
from torch import nn

from bench.errors import UsageError
from bench.plugins import Model, models

FAMILIES = {
    "convmixer": "convmixer",
    "vit": "vit",
    "deit": "vit",
    "mixer": "mixer",
    "resmlp": "mixer",
    "resnet": "resnet",
}


def build(name: str, *, image_size: int, num_classes: int) -> nn.Module:
    """timm's model with random weights; models that fix their image size at building get `img_size`."""
    sized = {"img_size": image_size} if image_size != default_size(name) else {}
    try:
        return timm.create_model(name, num_classes=num_classes, **sized)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return timm.create_model(name, num_classes=num_classes)  # a network that takes any size


def default_size(name: str) -> int:
    """The side of the images that timm's default weights of this model were trained on."""
    configuration = timm.get_pretrained_cfg(name)
    return configuration.input_size[-1] if configuration else 224


@models.resolver
def timm_model(name: str) -> Model | None:
    """Any architecture of timm, `timm:regnety_032`."""
    prefix, _, architecture = name.partition(":")
    if prefix != "timm":
        return None
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=1)
        hint = (
            f"; did you mean timm:{close[0]}?"
            if close
            else f"; `timm.list_models()` lists {len(timm.list_models())}"
        )
        raise UsageError(f"--models: timm {timm.__version__} has no model {architecture!r}{hint}")
    try:
        size = default_size(architecture)
    except RuntimeError:  # timm's word for a tag that does not exist
        plain, _, tag = architecture.partition(".")
        raise UsageError(
            f"--models: timm {timm.__version__} has no weights {tag!r} of {plain}; timm:{plain} would work"
        ) from None
    return Model(
        name=name,
        family=FAMILIES.get(architecture.partition("_")[0].rstrip("0123456789"), "other"),
        build=partial(build, architecture),
        image_size=size,
        timm_name=architecture.partition(".")[0],
        users=not timm.models.model_entrypoint(architecture).__module__.startswith(
            "timm."
        ),  # registered by somebody else's package
        summary="timm's own",
    )
