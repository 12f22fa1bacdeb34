"""`timm:<name>`: every model of timm."""

from __future__ import annotations

import difflib
from functools import partial

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
    """Return timm's model with random weights, for images of `image_size` pixels (side)."""
    import timm

    sized = {"img_size": image_size} if image_size != default_size(name) else {}
    try:
        return timm.create_model(name, num_classes=num_classes, **sized)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return timm.create_model(name, num_classes=num_classes)  # it takes images of any size


def default_size(name: str) -> int:
    """Return the side of the images that timm's default weights of a model were trained on."""
    import timm

    configuration = timm.get_pretrained_cfg(name)
    return configuration.input_size[-1] if configuration else 224


@models.resolver
def timm_model(name: str) -> Model | None:
    """Return the model of a name such as `timm:regnety_032`; None without that prefix.

    Raises UsageError for an architecture or weights that timm does not have.
    """
    prefix, _, architecture = name.partition(":")
    if prefix != "timm":
        return None
    import timm

    if not timm.is_model(architecture):
        names = timm.list_models()
        close = difflib.get_close_matches(architecture, names, n=1)
        hint = f"`timm.list_models()` lists {len(names)}"
        if close:
            hint = f"did you mean timm:{close[0]}?"
        raise UsageError(f"--models: timm {timm.__version__} has no model {architecture!r}; {hint}")
    try:
        size = default_size(architecture)
    except RuntimeError:  # raised by timm for a tag that does not exist
        plain, _, tag = architecture.partition(".")
        raise UsageError(
            f"--models: timm {timm.__version__} has no weights {tag!r} of {plain}; "
            f"timm:{plain} would work"
        ) from None
    # Another package may have registered the architecture with timm.
    registered_by = timm.models.model_entrypoint(architecture).__module__
    return Model(
        name=name,
        family=FAMILIES.get(architecture.partition("_")[0].rstrip("0123456789"), "other"),
        build=partial(build, architecture),
        image_size=size,
        timm_name=architecture.partition(".")[0],
        users=not registered_by.startswith("timm."),
        summary="timm's own",
    )


@models.suggester
def bare(name: str) -> str | None:
    """Return `timm:NAME` for timm's name without the prefix; None for any other."""
    import timm

    return f"timm:{name}" if timm.is_model(name) else None
