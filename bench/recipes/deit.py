"""Recipes for transformers: DeiT's for ImageNet, and one after it for CIFAR-10 in 25 epochs.

DeiT (arXiv 2012.12877, table 9): AdamW at 5e-4 per 512 images, five epochs of warm-up, cosine. We
omit its repeated augmentation. The CIFAR recipe is ours, with rate, decay, warm-up and epsilon in
DeiT's proportions; it does not mix images, since 25 epochs are too few for that.
"""

from bench.plugins.recipe import Recipe, recipes

recipes.add(
    Recipe(
        name="deit_imagenet",
        summary="DeiT's ImageNet settings, 300 epochs",
        source="arXiv 2012.12877, table 9, without repeated augmentation",
        epochs=300,
        batch_size=1024,
        micro_batch=256,
        learning_rate=1e-3,
        weight_decay=0.05,
        schedule=((0.0, 1e-3), (5 / 300, 1.0), (1.0, 1e-2)),
        decay="cosine",
        label_smoothing=0.1,
        mixup=0.8,
        cutmix=1.0,
        drop_path=0.1,
        image_size=224,
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        interpolation="bicubic",
        flip=0.5,
        rand_augment="rand-m9-mstd0.5-inc1",
        erase=0.25,
        eval_crop=0.875,
    )
)

recipes.add(
    Recipe(
        name="deit_cifar",
        summary="a transformer-friendly recipe at the cost of convmixer_cifar, 25 epochs",
        source="this project, after arXiv 2012.12877",
        epochs=25,
        batch_size=512,
        micro_batch=512,
        learning_rate=1e-3,
        weight_decay=0.05,
        clip_norm=1.0,
        schedule=((0.0, 1e-3), (0.1, 1.0), (1.0, 1e-2)),
        decay="cosine",
        label_smoothing=0.1,
        drop_path=0.1,
        flip=0.5,
        rand_augment="ra-n2-m12",
    )
)
