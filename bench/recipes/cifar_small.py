"""CIFAR-10 for networks of under a tenth of a million parameters: six minutes on a core.

So few epochs leave no time to overfit, so flips are the only augmentation; batches are small, since
a transformer needs many steps. The triangular schedule is the ConvMixer authors', the rest is ours.
"""

from bench.plugins.recipe import TRIANGULAR, Recipe, recipes

recipes.add(
    Recipe(
        name="cifar_small",
        summary="small networks: six epochs, batches of 64, flips; one setting for all families",
        source="this project",
        epochs=6,
        batch_size=64,
        micro_batch=64,
        learning_rate=3e-3,
        weight_decay=0.05,
        clip_norm=1.0,
        schedule=TRIANGULAR,
        label_smoothing=0.1,
        flip=0.5,
    )
)
