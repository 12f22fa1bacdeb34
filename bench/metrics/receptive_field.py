"""Effective receptive field of a model before and after training, at two image sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.count.effective_field import IMAGES, field_of, gradient_map
from bench.measure.messages import images_of
from bench.measure.subject import AccuracySubject
from bench.plugins import Metric, Reading, metrics, models, open_data
from bench.training import checkpoint
from bench.training.evaluate import EvaluationImages, view_of
from bench.training.images.augment import normalised
from bench.training.images.files import Files
from bench.training.images.splits import Split, Splits
from bench.training.surgery import in_size


def measure(subject: AccuracySubject, window: float) -> Reading:
    """Return the radius that holds half of the gradient's mass after training, in pixels.

    `detail` has the values before and after training for both image sizes; the gradient maps are
    stored next to the record. The images are the first of the validation split, because the test
    split is read for accuracies only.
    """
    from bench.training.session import recipe_of  # imports timm, which takes seconds

    arm, job = subject.arm, subject.job
    if arm.recipe is None:
        raise NotImplementedError(
            "receptive_field compares a model before and after training; add --recipe"
        )
    assert job is not None and job.folder is not None
    path = Files(Path(job.folder), job.stem).weights
    if not path.exists():
        raise NotImplementedError(
            f"the trained weights are no longer in {path.parent}; train again with --force"
        )
    weights, _ = checkpoint.load(path)
    splits = open_data(images_of(arm, job))
    recipe, device = recipe_of(arm), torch.device(subject.device)
    found: dict[str, dict[str, object]] = {}
    maps: dict[str, object] = {}
    for canvas in (arm.image_size, 2 * arm.image_size):
        try:
            untrained = subject.build(canvas)
            trained = in_size(weights, subject.build, canvas, name=arm.model)
        except (NotImplementedError, ValueError):
            continue  # this family can be built at one image size only
        images = shown(splits, view_of(recipe, splits, arm.image_size), canvas).to(device)
        for when, model in (("before", untrained), ("after", trained)):
            gradients = gradient_map(model.to(device), images)
            found[f"{when}_{canvas}"] = dict(field_of(gradients).values)
            maps[f"field_{when}_{canvas}"] = gradients.cpu().numpy()
            subject.progress(f"field {when} training on {canvas} pixels")
    theory = getattr(models.get(arm.model).shape, "field", None)
    return Reading(
        [float(str(found[f"after_{arm.image_size}"]["r50"]))],
        {"theoretical": theory, "images": IMAGES, **found},
        maps,
    )


def shown(splits: Splits, view: object, canvas: int) -> Tensor:
    """Return the first validation images as a model sees them, (n, 3, canvas, canvas)."""
    part = splits.select.subset(torch.arange(min(IMAGES, len(splits.select))))
    if isinstance(part, Split):
        images = normalised(part.images, splits.mean, splits.std)
    else:
        reader = EvaluationImages(part, view)  # type: ignore[arg-type]
        images = torch.stack([reader[at][0] for at in range(len(part))])
    return (
        images
        if images.shape[-1] == canvas
        else F.interpolate(images, size=canvas, mode="bilinear", align_corners=False)
    )


metrics.add(
    Metric(
        name="receptive_field",
        unit="pixel",
        better="none",
        arm="accuracy",
        measure=measure,
        on_request=True,
        summary="effective receptive field: radius of half the gradient's mass after training",
    )
)
