"""ResNet (arXiv 1512.03385), built by timm.

Any shape can be spelled: `resnet_<width>_<blocks>-<blocks>-...[_basic|_bottleneck][_s7|_s3]`. The
width is that of the first stage, is even, and doubles with every stage. Stem s7 is a 7 x 7
convolution of stride 2 followed by pooling; s3 is a 3 x 3 convolution of stride 1 without pooling,
for images of 32 pixels. Defaults are bottleneck and s7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from torch import nn

from bench.errors import UsageError
from bench.plugins import Family, Model, families, models

from ._shape import NUMBER, Counts, check_sizes

if TYPE_CHECKING:
    from timm.models.resnet import ResNet

BLOCKS = ("basic", "bottleneck")


@dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """The hyperparameters of a residual network. `stem` is the side of its first filter, 7 or 3."""

    width: int
    blocks: tuple[int, ...]
    block: str = "bottleneck"
    stem: int = 7

    def __post_init__(self) -> None:
        check_sizes(self, "width", "fewest_blocks", "most_blocks")
        if self.width % 2:
            raise UsageError(f"--models: {self.name}: the width must be even, got {self.width}")
        if len(self.blocks) > 4:
            raise UsageError(
                f"--models: {self.name}: must have at most 4 stages, got {len(self.blocks)}"
            )

    @property
    def name(self) -> str:
        """The full spelling."""
        return f"resnet_{self.width}_{'-'.join(map(str, self.blocks))}_{self.block}_s{self.stem}"

    @property
    def fewest_blocks(self) -> int:
        """The number of blocks of the shortest stage."""
        return min(self.blocks)

    @property
    def most_blocks(self) -> int:
        """The number of blocks of the longest stage."""
        return max(self.blocks)

    @property
    def channels(self) -> tuple[int, ...]:
        """The inner width of each stage."""
        return tuple(self.width * 2**stage for stage in range(len(self.blocks)))

    def counts(self, image_size: int, num_classes: int) -> Counts:
        """Return parameters and MACs in closed form, with a norm after every convolution."""
        params = macs = 0
        side, width_in = image_size, 3

        def convolution(outputs: int, kernel: int, stride: int, inputs: int, at: int) -> int:
            """Add a convolution and its norm; return the side of the output."""
            nonlocal params, macs
            after = -(-at // stride)
            params += inputs * outputs * kernel**2 + 2 * outputs
            macs += inputs * outputs * kernel**2 * after**2
            return after

        side = convolution(self.width, self.stem, 2 if self.stem == 7 else 1, width_in, side)
        if self.stem == 7:
            side = -(-side // 2)  # pooling
        width_in = self.width
        for stage, (blocks, inner) in enumerate(zip(self.blocks, self.channels, strict=True)):
            outer = inner * (4 if self.block == "bottleneck" else 1)
            for number in range(blocks):
                stride = 2 if number == 0 and stage > 0 else 1
                if width_in != outer or stride != 1:
                    convolution(outer, 1, stride, width_in, side)
                if self.block == "bottleneck":
                    convolution(inner, 1, 1, width_in, side)
                    side = convolution(inner, 3, stride, inner, side)
                    convolution(outer, 1, 1, inner, side)
                else:
                    side = convolution(inner, 3, stride, width_in, side)
                    convolution(outer, 3, 1, inner, side)
                width_in = outer
        return Counts(params + width_in * num_classes + num_classes, macs + width_in * num_classes)


def small_stem(model: ResNet, width: int) -> ResNet:
    """Replace the stem, in place, by a 3 x 3 convolution of stride 1 without pooling."""
    model.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def build_spec(spec: ResNetSpec, *, image_size: int, num_classes: int) -> ResNet:
    """Return a residual network of this shape with random weights; it takes any image size."""
    from timm.models.resnet import BasicBlock, Bottleneck, ResNet

    # timm's plain stem is always 64 wide. The deep one is 2 x stem_width; ours replaces it.
    model = ResNet(
        BasicBlock if spec.block == "basic" else Bottleneck,
        spec.blocks,
        num_classes=num_classes,
        stem_type="deep",
        stem_width=spec.width // 2,
        channels=spec.channels,
    )
    if spec.stem == 3:
        return small_stem(model, spec.width)
    model.conv1 = nn.Conv2d(3, spec.width, 7, stride=2, padding=3, bias=False)
    return model


def build_named(name: str, *, image_size: int, num_classes: int) -> ResNet:
    """Return timm's residual network `name` with random weights; it takes any image size."""
    import timm

    return cast("ResNet", timm.create_model(name, num_classes=num_classes))


# The stages of ResNet-18, 34/50, 101 and 152; as a second choice, those between and below them.
PATTERNS = ((2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3))
OTHERS = ((1, 1, 1, 1), *((3, 4, third, 3) for third in range(7, 36) if third != 23))


def candidates(
    image_size: int, patches: Sequence[int], *, free_mlp: bool, reachable: Callable[..., bool]
) -> Iterator[tuple[ResNetSpec, float]]:
    """Yield stage patterns at every even width, with their distance from the published width, 64.

    Images below 64 pixels get the small stem. There is neither a patch nor an MLP to choose.
    """
    stem = 3 if image_size < 64 else 7
    for block in BLOCKS:
        for pattern in (*PATTERNS, *OTHERS):
            for width in range(8, 257, 2):
                far = abs(width / 64 - 1) + (0.0 if pattern in PATTERNS else 0.5)
                yield ResNetSpec(width=width, blocks=pattern, block=block, stem=stem), far


for _name, _blocks, _block in (
    ("resnet18", (2, 2, 2, 2), "basic"),
    ("resnet34", (3, 4, 6, 3), "basic"),
    ("resnet50", (3, 4, 6, 3), "bottleneck"),
    ("resnet101", (3, 4, 23, 3), "bottleneck"),
    ("resnet152", (3, 8, 36, 3), "bottleneck"),
):
    models.add(
        Model(
            name=_name,
            family="resnet",
            build=partial(build_named, _name),
            shape=ResNetSpec(width=64, blocks=_blocks, block=_block),
            timm_name=_name,
            summary=f"timm's {_name}",
        )
    )

families.add(
    Family(
        name="resnet",
        candidates=candidates,
        rule="ResNet-18/34/50/101/152's stages, width nearest to 64",
    )
)


def build_digits(*, image_size: int, num_classes: int) -> ResNet:
    """Return a network of four basic blocks on the small stem, with the quartet's budget."""
    from timm.models.resnet import BasicBlock, ResNet

    channels = (8, 16, 48, 62)
    model = ResNet(
        BasicBlock,
        (1, 1, 1, 1),
        num_classes=num_classes,
        stem_type="deep",
        stem_width=4,
        channels=channels,
    )
    return small_stem(model, channels[0])


models.add(
    Model(
        name="resnet_digits",
        family="resnet",
        build=build_digits,
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters",
    )
)

SPELLING = re.compile(
    rf"resnet_{NUMBER}_([0-9]{{1,9}}(?:-[0-9]{{1,9}}){{0,9}})(?:_(basic|bottleneck))?(?:_s([37]))?"
)


@models.resolver
def spelled(name: str) -> Model | None:
    """Return the model of a name such as `resnet_64_3-4-6-3_bottleneck_s7`; None for any other."""
    if not (match := SPELLING.fullmatch(name)):
        return None
    width, blocks, block, stem = match.groups()
    spec = ResNetSpec(
        width=int(width),
        blocks=tuple(map(int, blocks.split("-"))),
        block=block or "bottleneck",
        stem=int(stem or 7),
    )
    return Model(
        name=name,
        family="resnet",
        build=partial(build_spec, spec),
        shape=spec,
        summary="spelled by its name",
    )
