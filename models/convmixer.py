"""ConvMixer ("Patches Are All You Need?", Trockman and Kolter, arXiv 2201.09792).

A patch embedding is followed by `depth` equal blocks on one grid: a depthwise k x k convolution
with a residual around it, and a 1 x 1 convolution, each followed by the activation and a norm.
Module names are those of timm's `convmixer_*`, so published weights load without conversion.

Any shape can be spelled:

    convmixer_<width>_<depth>[_k<kernel>][_p<patch>][_relu|_gelu][_bn|_ln][_res][_<filters>]

Defaults are k9 p7 gelu bn; `ln` is a layer norm over the channels of each position, `res` also puts
a residual around the 1 x 1 convolution. The depthwise filters may be `fixed` (never trained), begin
as draws from a covariance (`cov`, see _filters.py), or both (`covfixed`). The number of parameters
is h [d (k^2 + h + 6) + 3 p^2 + C + 3] + C for width h, depth d and C classes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from bench.plugins import Family, Model, families, models

from ._filters import Filters, set_filters
from ._norms import norm_of
from ._shape import NUMBER, Counts, check_sizes, grid, usual_depth

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


@dataclass(frozen=True, kw_only=True)
class ConvMixerSpec:
    """The hyperparameters of a ConvMixer."""

    width: int
    depth: int
    kernel: int = 9
    patch: int = 7
    activation: str = "gelu"
    norm: str = "bn"
    pointwise_residual: bool = False
    filters: Filters = "learned"
    """How the depthwise filters start, and whether they are trained."""

    def __post_init__(self) -> None:
        check_sizes(self, "width", "depth", "kernel", "patch")

    @property
    def name(self) -> str:
        """The spelling, with all sizes and whatever else is not the default."""
        name = f"convmixer_{self.width}_{self.depth}_k{self.kernel}_p{self.patch}"
        if self.activation == "relu":
            name += "_relu"
        if self.norm == "ln":
            name += "_ln"
        if self.pointwise_residual:
            name += "_res"
        return name if self.filters == "learned" else f"{name}_{self.filters}"

    @property
    def field(self) -> int:
        """Side of the theoretical receptive field in pixels."""
        return self.patch * (1 + self.depth * (self.kernel - 1))

    def counts(self, image_size: int, num_classes: int) -> Counts:
        """Return parameters and MACs in closed form."""
        h, d, k, p = self.width, self.depth, self.kernel, self.patch
        positions = (image_size // p) ** 2
        params = h * (d * (k * k + h + 6) + 3 * p * p + num_classes + 3) + num_classes
        macs_per_position = d * (h * k * k + h * h) + 3 * h * p * p
        return Counts(params, macs_per_position * positions + h * num_classes, positions)


class Residual(nn.Module):
    """x + fn(x). `drop_path` is timm's attribute for stochastic depth, which training sets."""

    drop_path: nn.Module | None = None

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        branch = self.fn(x)
        return (branch if self.drop_path is None else self.drop_path(branch)) + x


class ConvMixer(nn.Module):
    """Images (batch, 3, size, size) to logits (batch, num_classes), for multiples of the patch."""

    def __init__(self, spec: ConvMixerSpec, *, num_classes: int) -> None:
        super().__init__()
        width, activation = spec.width, ACTIVATIONS[spec.activation]

        def after(convolution: nn.Module) -> nn.Sequential:
            return nn.Sequential(convolution, activation(), norm_of(spec.norm, width))

        def block() -> nn.Sequential:
            spatial = Residual(
                after(nn.Conv2d(width, width, spec.kernel, groups=width, padding="same"))
            )
            pointwise = after(nn.Conv2d(width, width, 1))
            if spec.pointwise_residual:
                return nn.Sequential(spatial, Residual(pointwise))
            return nn.Sequential(spatial, *pointwise)

        self.stem = after(nn.Conv2d(3, width, spec.patch, stride=spec.patch))
        self.blocks = nn.Sequential(*[block() for _ in range(spec.depth)])
        self.head = nn.Linear(width, num_classes)
        set_filters(self.blocks, spec.filters)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map (batch, width, side, side), before it is averaged."""
        return self.blocks(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x).mean(dim=(2, 3)))


def build(spec: ConvMixerSpec, *, image_size: int, num_classes: int) -> ConvMixer:
    """Return a ConvMixer with random weights.

    Raises UsageError if the image is not a whole number of patches.
    """
    grid(image_size, spec.patch, name=spec.name)
    if spec.kernel % 2 == 0:
        # torch warns, at the first call, that an even filter is padded more on one side.
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
    return ConvMixer(spec, num_classes=num_classes)


def entry(name: str, spec: ConvMixerSpec, **about: object) -> Model:
    """Return the registry entry of a shape."""
    return Model(
        name=name,
        family="convmixer",
        build=partial(build, spec),
        shape=spec,
        **about,  # type: ignore[arg-type]
    )


def candidates(
    image_size: int, patches: Sequence[int], *, free_mlp: bool, reachable: Callable[..., bool]
) -> Iterator[tuple[ConvMixerSpec, float]]:
    """Yield shapes with the authors' kernel of 9 and their distance from the published scaling.

    The distance is that of the depth from the usual one at the width. A ConvMixer has no MLP ratio:
    if parameters and MACs are both given, only the patch can close the gap.
    """
    published = [(spec.width, spec.depth) for spec, _ in PUBLISHED.values()]
    for width in range(32, 2049, 32):
        for depth in range(4, 33):
            usual = usual_depth(width, published)
            if usual / 2 <= depth <= usual * 2:
                for patch in patches:
                    yield (
                        ConvMixerSpec(width=width, depth=depth, patch=patch),
                        abs(depth / usual - 1),
                    )


# By name: the shape, and timm's name if timm has it. The last four have no released weights.
PUBLISHED: dict[str, tuple[ConvMixerSpec, str | None]] = {
    "convmixer_1536_20": (
        ConvMixerSpec(width=1536, depth=20, kernel=9, patch=7),
        "convmixer_1536_20",
    ),
    "convmixer_768_32": (
        ConvMixerSpec(width=768, depth=32, kernel=7, patch=7, activation="relu"),
        "convmixer_768_32",
    ),
    "convmixer_1024_20": (
        ConvMixerSpec(width=1024, depth=20, kernel=9, patch=14),
        "convmixer_1024_20_ks9_p14",
    ),
    "convmixer_1024_16": (ConvMixerSpec(width=1024, depth=16, kernel=9, patch=7), None),
    "convmixer_1024_12": (ConvMixerSpec(width=1024, depth=12, kernel=8, patch=7), None),
    "convmixer_512_16": (ConvMixerSpec(width=512, depth=16, kernel=8, patch=7), None),
    "convmixer_512_12": (ConvMixerSpec(width=512, depth=12, kernel=8, patch=7), None),
}
for _name, (_spec, _timm) in PUBLISHED.items():
    models.add(
        entry(
            _name,
            _spec,
            timm_name=_timm,
            summary=f"the paper's; k{_spec.kernel} p{_spec.patch} {_spec.activation}",
        )
    )

models.add(
    entry(
        "convmixer_256_8",
        ConvMixerSpec(width=256, depth=8, kernel=5, patch=2),
        image_size=32,
        num_classes=10,
        summary="the authors' CIFAR-10 model; k5 p2 gelu",
    )
)
models.add(
    entry(
        "convmixer_digits",
        ConvMixerSpec(width=128, depth=4, kernel=3, patch=8),
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters on a 4 x 4 grid",
    )
)

families.add(
    Family(
        name="convmixer",
        candidates=candidates,
        rule="depth nearest to the published ConvMixers'",
        patch={224: 7, 32: 2},
    )
)

SPELLING = re.compile(
    rf"convmixer_{NUMBER}_{NUMBER}(?:_k{NUMBER})?(?:_p{NUMBER})?(?:_(relu|gelu))?(?:_(bn|ln))?(_res)?"
    r"(?:_(fixed|cov|covfixed))?"
)


@models.resolver
def spelled(name: str) -> Model | None:
    """Return the model of a name such as `convmixer_256_8_k5_p2`; None for any other name."""
    if not (match := SPELLING.fullmatch(name)):
        return None
    width, depth, kernel, patch, activation, norm, residual, filters = match.groups()
    spec = ConvMixerSpec(
        width=int(width),
        depth=int(depth),
        kernel=9 if kernel is None else int(kernel),
        patch=7 if patch is None else int(patch),
        activation=activation or "gelu",
        norm=norm or "bn",
        pointwise_residual=residual is not None,
        filters=filters or "learned",  # type: ignore[arg-type]
    )
    return entry(name, spec, summary="spelled by its name")
