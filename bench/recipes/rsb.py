"""ResNet strikes back A3 (arXiv 2110.00476, table 2): 100 epochs at 160 pixels, tested at 224."""

from bench.plugins.recipe import Recipe, recipes

recipes.add(
    Recipe(
        name="rsb_a3_imagenet",
        summary="ResNet strikes back A3: LAMB, binary cross-entropy, 100 epochs at 160 pixels",
        source="arXiv 2110.00476, table 2",
        epochs=100,
        batch_size=2048,
        micro_batch=512,
        optimizer="lamb",
        learning_rate=8e-3,
        weight_decay=0.02,
        epsilon=1e-6,
        schedule=((0.0, 1e-2), (0.05, 1.0), (1.0, 1e-4)),
        decay="cosine",
        loss="binary_cross_entropy",
        mixup=0.1,
        cutmix=1.0,
        image_size=160,
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        interpolation="bicubic",
        flip=0.5,
        rand_augment="rand-m6-mstd0.5-inc1",
        eval_crop=0.95,
    )
)
