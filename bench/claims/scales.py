"""The scales at which studies that train can be asked: data, models and recipes.

Equal parameters means within 2 % of the family's ConvMixer (a test builds and counts the models).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.devices import kind_of
from bench.errors import UsageError
from bench.plugins import Need

JPEG = "cifar10:jpeg"
"""The name in records of the known folder of CIFAR-10 (bench/datasets/cifar.py)."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Data, models and recipes of one size.

    `family` has a model of equal parameters for each family, `half` is a ConvMixer with half of
    them. `recipes` are those under which rankings are compared, the usual one first. `convmixer` is
    the width, depth, kernel and patch that variants start from; `skeleton` is the width, depth and
    patch of the controlled network, and the hidden width of the MLP in its first cell. `level` is
    the top-1 on the validation split to which epochs are counted. `decisive` is true if accuracies
    at this scale say something about architectures.
    """

    data: str
    size: Literal["small", "authors"] = "authors"
    """Which scale of its data set this is."""
    label: str
    image_size: tuple[int, ...] = ()
    """Side of the images in pixels; empty for each model's own."""
    family: dict[str, str]
    classes: int = 10
    half: str
    recipes: dict[str, str]
    seeds: int
    replicates: int
    """Seeds of the factorial, whose many cells repeat each other's effects."""
    convmixer: tuple[int, int, int, int]
    patches: tuple[int, ...]
    skeleton: tuple[int, int, int, int]
    near: int | None = None
    """The controlled network's patch where its grid needs neighbourhoods; the usual one if None."""
    level: float
    decisive: bool = True
    policy: str | None = None
    """The policy of training runs; None for the device's usual one."""
    full: str
    """A recipe with every ingredient that the paper's ablation removes one by one."""
    switches: dict[str, str] = field(default_factory=dict)
    """What that study removes from it, as changed fields."""
    spread: float
    """Standard deviation of top-1 between seeds in points, assumed until there are records."""

    @property
    def name(self) -> str:
        """The data set without its path."""
        return self.data.partition(":")[0]

    @property
    def key(self) -> str:
        """The data set, and which of its scales if it is not the authors'."""
        return self.name if self.size == "authors" else f"{self.name}_{self.size}"

    @property
    def rank(self) -> int:
        """The place of the scale among all, from the smallest."""
        return SMALLEST_FIRST.index(self.key)

    @property
    def larger(self) -> Scale | None:
        """The next larger scale, on the same images if it has them; None if this is the largest."""
        if self.rank + 1 == len(SMALLEST_FIRST):
            return None
        key = SMALLEST_FIRST[self.rank + 1]
        [scale] = [one for one in SCALES if one.key == key]
        return replace(scale, data=self.data if scale.name == self.name else f"{scale.name}:/path")

    @property
    def caveat(self) -> str:
        """What a verdict at this scale does not say, in a few words; empty if it has no limit."""
        return "small scale only" if self.size == "small" else ""

    @property
    def title(self) -> str:
        """The label, with what is known about the images."""
        if self.data != JPEG:
            return self.label
        return self.label.replace("CIFAR-10", "CIFAR-10 (JPEG)", 1)

    @property
    def asked(self) -> str:
        """The flags that name the scale; a folder of known images may be anywhere."""
        data = f"{self.name}:/path" if self.data == JPEG else self.data
        return f"--data {data}" + (f" --scale {self.size}" if len(scales_of(self.data)) > 1 else "")

    def has(self, recipe: str) -> bool:
        """True if training runs under a recipe belong to this scale, whatever its fields."""
        own = (*self.recipes.values(), self.full)
        return without_changes(recipe) in map(without_changes, own)

    @property
    def recipe(self) -> str:
        """The usual recipe."""
        return next(iter(self.recipes.values()))

    def variant(
        self, *, width: int = 0, depth: int = 0, kernel: int = 0, patch: int = 0, more: str = ""
    ) -> str:
        """Return the name of a ConvMixer that differs from the scale's in what is given."""
        w, d, k, p = self.convmixer
        return f"convmixer_{width or w}_{depth or d}_k{kernel or k}_p{patch or p}{more}"

    def changed(self, changes: str) -> str:
        """Return the usual recipe with changed fields."""
        return f"{self.recipe}:{changes}"

    def training(self, models: Iterable[str], recipe: str = "") -> dict[str, Any]:
        """Return the settings of a run that trains every model under one recipe."""
        return {
            "models": tuple(dict.fromkeys(models)),
            "metrics": ("top1",),
            "data": self.data,
            "recipe": recipe or self.recipe,
            "image_size": self.image_size,
            **({"train_policy": self.policy} if self.policy else {}),
        }

    def trained(
        self, what: str, models: Iterable[str], recipe: str = "", seeds: int = 0, **more: Any
    ) -> list[Need]:
        """Return the needs of every model under one recipe, one for each seed.

        The first two seeds give an interval and are worth more than those that narrow it. `more`
        are further fields of `bench.config.RunConfig`.
        """
        settings = self.training(models, recipe)
        needs = []
        for seed in range(seeds or self.seeds):
            need = Need(
                what=f"{what}, seed {seed}",
                settings={**settings, "seed": seed, **more},
                worth=1.0 if seed < 2 else 0.5,
            )
            needs.append(need)
        return needs


def without_changes(recipe: str) -> str:
    """Return the name of a recipe without the fields that were changed."""
    return recipe.partition(":")[0]


AUTHORS = "clip_norm=none:decay_vectors=true:learning_rate=0.05:weight_decay=0.005"
"""The ConvMixer authors' CIFAR-10 optimizer, as changed fields of a recipe."""
SWITCHES = {
    "no RandAugment": "rand_augment=none",
    "no random scaling": "crop_scale=1-1",
    "no clipping": "clip_norm=none",
    "no mixup": "mixup=0",
}
"""What the paper's ablation removes from a recipe for photographs."""

DIGITS = Scale(
    data="digits",
    label="digits, 0.1 M parameters",
    image_size=(32,),
    family={
        "convmixer": "convmixer_digits",
        "vit": "vit_digits",
        "mixer": "mixer_digits",
        "resnet": "resnet_digits",
    },
    half="convmixer_84_4_k3_p8",
    # The authors' CIFAR-10 optimizer is known to leave small transformers at chance.
    recipes={"small": "digits_small", "the authors' optimizer": f"digits_small:{AUTHORS}"},
    seeds=3,
    replicates=2,
    convmixer=(64, 4, 5, 4),
    patches=(4, 8, 16),
    skeleton=(64, 6, 8, 128),
    level=0.5,
    spread=2.2,  # of the committed records
    decisive=False,
    full="digits_small",
    switches={
        "no augmentation": "rotate=0:shift=0",
        "no random scaling": "scale=0",
        "no clipping": "clip_norm=none",
        "no label smoothing": "label_smoothing=0",
    },
)
CIFAR10 = Scale(
    data="cifar10",
    label="CIFAR-10, 0.6 M parameters",
    image_size=(32,),
    family={
        "convmixer": "convmixer_256_8",
        "vit": "vit_64_12_p4_h1_m240",
        "mixer": "mixer_96_7_p4_t48_m408",
        "resnet": "resnet_10_3-4-6-3_bottleneck_s3",
    },
    half="convmixer_176_8_k5_p2",
    recipes={"convmixer_cifar": "convmixer_cifar", "deit_cifar": "deit_cifar"},
    seeds=5,
    replicates=5,
    convmixer=(256, 8, 5, 2),
    patches=(1, 2, 4),
    skeleton=(128, 6, 4, 512),
    level=0.8,
    spread=0.2,  # a guess: twice that of ImageNet
    full="convmixer_cifar:clip_norm=1:crop_scale=0.75-1:mixup=0.5",
    switches=SWITCHES,
)
CIFAR10_SMALL = Scale(
    data="cifar10",
    size="small",
    label="CIFAR-10, 0.08 M parameters, 6 epochs",
    image_size=(32,),
    # Found by `bench match --reference convmixer_96_6_k5_p4 --image-size 32 --num-classes 10`.
    family={
        "convmixer": "convmixer_96_6_k5_p4",
        "vit": "vit_32_6_p4_h1_m128",
        "mixer": "mixer_32_8_p4_t16_m112",
        "resnet": "resnet_8_1-1-1-1_basic_s3",
    },
    half="convmixer_64_6_k5_p4",
    recipes={"cifar_small": "cifar_small", "the authors' optimizer": f"cifar_small:{AUTHORS}"},
    seeds=3,
    replicates=2,
    convmixer=(96, 6, 5, 4),
    patches=(2, 4, 8),
    skeleton=(32, 6, 8, 160),
    near=4,
    level=0.5,
    spread=0.8,  # of the first five pairs of seeds
    policy="fp32+channels_last",
    full="cifar_small:crop_scale=0.75-1:mixup=0.5:rand_augment=ra-n2-m12",
    switches=SWITCHES,
)
IMAGENET = Scale(
    data="imagenet",
    label="ImageNet-1k, 21 M parameters",
    classes=1000,
    family={
        "convmixer": "convmixer_768_32",
        "vit": "vit_384_12_p16_h6_m1440",
        "mixer": "mixer_544_8_p16_t272_m2176",
        "resnet": "resnet_58_3-4-6-3_bottleneck_s7",
    },
    half="convmixer_528_32_k7_p7_relu",
    recipes={
        "convmixer_imagenet": "convmixer_imagenet",
        "deit_imagenet": "deit_imagenet",
        "rsb_a3_imagenet": "rsb_a3_imagenet",
    },
    seeds=3,
    replicates=3,
    convmixer=(768, 32, 7, 7),
    patches=(7, 14),
    skeleton=(384, 12, 16, 1536),
    level=0.7,
    # Picard (arXiv 2109.08203): 0.5 points between the best and the worst of 50 seeds, which are
    # 4.5 standard deviations apart on average.
    spread=0.11,
    full="convmixer_imagenet",
    switches={**SWITCHES, "no mixup": "mixup=0:cutmix=0"},
)
SCALES = (DIGITS, CIFAR10, CIFAR10_SMALL, IMAGENET)
SMALLEST_FIRST = ("digits", "cifar10_small", "cifar10", "imagenet")
"""The keys of the scales by what their verdicts say about: data first, then networks."""


def scales_of(data: str) -> list[Scale]:
    """Return the scales of the data set of `--data`; none if studies have none for it."""
    name = data.partition(":")[0]
    return [replace(scale, data=data) for scale in SCALES if scale.name == name]


def scale_of(
    data: str, seeds: int | None = None, size: str | None = None, device: str = "cpu"
) -> Scale:
    """Return the scale of `--data` and `--scale`, by default the one that fits the device.

    `seeds` replaces its number of seeds.

    Raises UsageError if studies have no such scale.
    """
    known = scales_of(data)
    if not known:
        names = ", ".join(dict.fromkeys(scale.name for scale in SCALES))
        raise UsageError(
            f"--data: studies have no scale for {data!r}; there are {names} (imagenet:/path)"
        )
    sizes: dict[str, Scale] = {scale.size: scale for scale in known}
    if size is not None and size not in sizes:
        raise UsageError(f"--scale: {data} has no scale {size}; it has {' and '.join(sizes)}")
    usual = kind_of(device).study_scale
    scale = sizes[size or (usual if usual in sizes else "authors")]
    return scale if seeds is None else replace(scale, seeds=seeds, replicates=seeds)
