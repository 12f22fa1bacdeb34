"""CIFAR-10 for networks of a tenth of a million parameters on a processor's core: a few minutes a training.

So few epochs leave no time to overfit: flips and small shifts are all the augmentation there is. The triangular shape is the
ConvMixer authors'; rate and weight decay are ours, chosen on the select split for all four families together.
"""

from bench.training.recipe import TRIANGULAR, Recipe, recipes

recipes.add(
    Recipe(
        name="cifar_small",
        summary="small networks, five epochs of flips and shifts; one setting for all families",
        source="this project",
        epochs=5,
        batch_size=128,
        micro_batch=128,
        learning_rate=4e-3,
        weight_decay=0.05,
        clip_norm=1.0,
        schedule=TRIANGULAR,
        label_smoothing=0.1,
        flip=0.5,
        shift=0.06,
    )
)
