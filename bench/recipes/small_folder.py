"""A few hundred images in folders, from scratch: batches that so few images fill, for all families.

AdamW with warm-up and cosine keeps a transformer from staying at chance. Crops keep a third of the
area or more, since a smaller part of one of few images often misses its subject. For thousands of
images the augmentation of the ImageNet recipes is better.
"""

from bench.plugins.recipe import Recipe, recipes

recipes.add(
    Recipe(
        name="small_folder",
        summary="a few hundred images in folders: AdamW, batches of 32, 60 epochs; one setting for "
        "all families",
        source="this project",
        epochs=60,
        batch_size=32,
        micro_batch=32,
        learning_rate=1e-3,
        weight_decay=0.05,
        clip_norm=1.0,
        schedule=((0.0, 1e-2), (0.1, 1.0), (1.0, 1e-2)),
        decay="cosine",
        label_smoothing=0.1,
        crop_scale=(0.35, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        interpolation="bicubic",
        flip=0.5,
        eval_crop=0.95,
    )
)
