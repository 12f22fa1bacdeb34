"""The digits recipes: about a quarter of a minute per small model on two cores, or a few seconds.

The triangular schedule is the ConvMixer authors'. The rate is ours: with their CIFAR rate (0.05)
and their ImageNet epsilon (1e-3), a small transformer stays at chance on these images, and a level
that one family cannot reach would say nothing about the pipeline.
"""

from dataclasses import replace

from bench.plugins.recipe import TRIANGULAR, Recipe, recipes

DIGITS = Recipe(
    name="digits",
    summary="AdamW, triangular schedule, small random affine; one setting for all families",
    source="this project",
    epochs=60,
    batch_size=64,
    micro_batch=64,
    learning_rate=4e-3,
    weight_decay=0.05,
    clip_norm=1.0,
    schedule=TRIANGULAR,
    label_smoothing=0.1,
    rotate=10.0,
    shift=0.08,
    scale=0.1,
)
recipes.add(DIGITS)
recipes.add(
    replace(
        DIGITS,
        name="digits_small",
        summary="the same in a twelfth of the epochs: seconds per training run, for the pipeline "
        "of the studies",
        epochs=5,
    )
)
