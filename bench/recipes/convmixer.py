"""The ConvMixer authors' own recipes, for ImageNet and for CIFAR-10.

ImageNet: locuslab/convmixer, README and training script; ten GPUs with 64 images each, so a batch
norm saw 64. They trained ConvMixer-768/32 for 300 epochs (`convmixer_imagenet:epochs=300`), the
others for 150. CIFAR-10: locuslab/convmixer-cifar10, README and training script, whose RandAugment
is torchvision's; one GPU, so a batch norm saw the whole batch. AdamW has PyTorch's own epsilon and
decays every parameter there, and no gradient is clipped, unlike in their ImageNet settings.
"""

from dataclasses import replace

from bench.plugins.recipe import TRIANGULAR, Recipe, recipes

IMAGENET = "locuslab/convmixer, README and training script"
CIFAR = "locuslab/convmixer-cifar10, README and training script"

recipes.add(
    Recipe(
        name="convmixer_imagenet",
        summary="the ConvMixer authors' ImageNet settings, 150 epochs",
        source=IMAGENET,
        epochs=150,
        batch_size=640,
        micro_batch=64,
        learning_rate=0.01,
        weight_decay=2e-5,
        epsilon=1e-3,
        clip_norm=1.0,
        schedule=TRIANGULAR,
        label_smoothing=0.1,
        mixup=0.5,
        cutmix=0.5,
        image_size=224,
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip=0.5,
        rand_augment="rand-m9-mstd0.5-inc1",
        erase=0.25,
        eval_crop=0.96,
    )
)

SHORT = Recipe(
    name="convmixer_cifar",
    summary="the ConvMixer authors' CIFAR-10 settings, 25 epochs",
    source=CIFAR,
    epochs=25,
    batch_size=512,
    micro_batch=512,
    learning_rate=0.05,
    weight_decay=0.005,
    decay_vectors=True,
    schedule=TRIANGULAR,
    flip=0.5,
    rand_augment="ra-n2-m12",
)
recipes.add(SHORT)
recipes.add(
    replace(
        SHORT,
        name="convmixer_cifar_100",
        summary="the ConvMixer authors' CIFAR-10 settings, 100 epochs",
        epochs=100,
        jitter=0.2,
        erase=0.2,
    )
)
