"""ConvMixer ("Patches Are All You Need?", Trockman and Kolter, arXiv 2201.09792).

A patch embedding, then `depth` equal blocks on one grid: a depthwise k x k convolution with a residual around it,
and a 1 x 1 convolution, each followed by the activation and a normalisation. Module names are those of timm's
`convmixer_*`, so published weights load as they are.

Any shape can be spelled: `convmixer_<width>_<depth>[_k<kernel>][_p<patch>][_relu|_gelu]`, defaults k9 p7 gelu.
Parameters: h [d (k^2 + h + 6) + 3 p^2 + C + 3] + C for width h, depth d and C classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from bench.plugins import Family, Model, families, models

from ._shape import Counts, at_least_one, grid, usual_depth

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The hyperparameters of a ConvMixer."""

    width: int
    depth: int
    kernel: int = 9
    patch: int = 7
    activation: str = "gelu"

    def __post_init__(self) -> None:
        at_least_one(self, "width", "depth", "kernel", "patch")

    @property
    def name(self) -> str:
        """The full spelling."""
        activation = "" if self.activation == "gelu" else f"_{self.activation}"
        return f"convmixer_{self.width}_{self.depth}_k{self.kernel}_p{self.patch}{activation}"

    def counts(self, image_size: int, num_classes: int) -> Counts:
        """In closed form."""
        h, d, k, p = self.width, self.depth, self.kernel, self.patch
        positions = (image_size // p) ** 2
        params = h * (d * (k * k + h + 6) + 3 * p * p + num_classes + 3) + num_classes
        return Counts(params, d * (h * k * k + h * h) * positions + 3 * h * p * p * positions + h * num_classes, positions)


class Residual(nn.Module):
    """x + fn(x)."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


class ConvMixer(nn.Module):
    """Images (batch, 3, size, size) to logits (batch, num_classes); `size` is any multiple of the patch."""

    def __init__(self, spec: Spec, *, num_classes: int) -> None:
        super().__init__()
        width, activation = spec.width, ACTIVATIONS[spec.activation]

        def after(convolution: nn.Module) -> nn.Sequential:
            return nn.Sequential(convolution, activation(), nn.BatchNorm2d(width))

        self.stem = after(nn.Conv2d(3, width, spec.patch, stride=spec.patch))
        self.blocks = nn.Sequential(
            *[
                nn.Sequential(
                    Residual(after(nn.Conv2d(width, width, spec.kernel, groups=width, padding="same"))),
                    *after(nn.Conv2d(width, width, 1)),
                )
                for _ in range(spec.depth)
            ]
        )
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.head(x.mean(dim=(2, 3)))


def build(spec: Spec, *, image_size: int, num_classes: int) -> ConvMixer:
    """A ConvMixer with random weights; UsageError where the image is not a whole number of patches."""
    grid(image_size, spec.patch, name=spec.name)
    return ConvMixer(spec, num_classes=num_classes)


def entry(name: str, spec: Spec, **about: object) -> Model:
    """The registry entry of one shape."""
    return Model(name=name, family="convmixer", build=partial(build, spec), shape=spec, **about)  # type: ignore[arg-type]


def candidates(image_size: int, patches: Sequence[int], *, free_mlp: bool) -> Iterator[tuple[Spec, float]]:
    """Shapes with the authors' kernel of 9, each with its distance from the published depths at its width.

    A ConvMixer has no MLP ratio: where parameters and MACs are both given, the patch alone can close the gap.
    """
    published = [(spec.width, spec.depth) for spec, _ in PUBLISHED.values()]
    for width in range(32, 2049, 32):
        for depth in range(4, 33):
            usual = usual_depth(width, published)
            if usual / 2 <= depth <= usual * 2:
                for patch in patches:
                    yield Spec(width=width, depth=depth, patch=patch), abs(depth / usual - 1)


PUBLISHED = {
    "convmixer_1536_20": (Spec(width=1536, depth=20, kernel=9, patch=7), "convmixer_1536_20"),
    "convmixer_768_32": (Spec(width=768, depth=32, kernel=7, patch=7, activation="relu"), "convmixer_768_32"),
    "convmixer_1024_20": (Spec(width=1024, depth=20, kernel=9, patch=14), "convmixer_1024_20_ks9_p14"),
}
for _name, (_spec, _timm) in PUBLISHED.items():
    models.add(entry(_name, _spec, timm_name=_timm, summary=f"published; k{_spec.kernel} p{_spec.patch} {_spec.activation}"))

models.add(
    entry(
        "convmixer_256_8",
        Spec(width=256, depth=8, kernel=5, patch=2),
        image_size=32,
        num_classes=10,
        summary="the authors' CIFAR-10 model; k5 p2 gelu",
    )
)
models.add(
    entry(
        "convmixer_digits",
        Spec(width=128, depth=4, kernel=3, patch=8),
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters on a 4 x 4 grid",
    )
)

families.add(Family(name="convmixer", candidates=candidates, rule="depth nearest to the published ConvMixers'", patch={224: 7, 32: 2}))

SPELLING = re.compile(r"convmixer_(\d+)_(\d+)(?:_k(\d+))?(?:_p(\d+))?(?:_(relu|gelu))?")


@models.resolver
def spelled(name: str) -> Model | None:
    """`convmixer_256_8_k5_p2` and the like."""
    if not (match := SPELLING.fullmatch(name)):
        return None
    width, depth, kernel, patch, activation = match.groups()
    spec = Spec(
        width=int(width),
        depth=int(depth),
        kernel=int(kernel or 9),
        patch=int(patch or 7),
        activation=activation or "gelu",
    )
    return entry(name, spec, summary="spelled by its name")
