"""The controlled skeleton: a network whose token mixer, stem, stages and norm can be exchanged.

It answers the question in the paper's title: is it the patches, or what mixes them? The block is
MetaFormer's (arXiv 2111.11418, baselines in 2210.13452): x + mixer(norm(x)), then x + mlp(norm(x)),
on maps of shape (batch, width, side, side). Width, depth, grid, head and positional embedding stay
the same; the hidden width of the MLP makes up for the different costs of mixers, and
`bench match --hold shape` solves for it.

Any combination can be spelled:

    skeleton_<width>_<depth>_<mixer>[_<stem>][_<stages>][_<norm>][_p<patch>][_m<hidden>]

    mixer     attention, mlp (over tokens), depthwise (7 x 7), pooling (3 x 3),
              random (fixed when built), none
    stem      patch: one convolution with side and stride p;
              pyramid: 3 x 3 convolutions of stride 2, p a power of two
    stages    iso: one grid;
              staged: four grids, each half the last, with widths 1/4, 1/2, 1 and 2 times <width>
    norm      bn: batch norm; ln: layer norm over the channels of each position

Defaults are patch, iso, ln, p16, and m four times the width. In a staged network, p is the stride
of the third stage, so that most blocks work on the same grid as in the isotropic network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import UsageError
from bench.plugins import Family, Model, families, models

from ._shape import Counts, at_least_one, grid, linear

NORMS: dict[str, type[nn.Module]] = {"bn": nn.BatchNorm2d, "ln": LayerNorm2d}
STAGE_DEPTHS = (1, 1, 3, 1)
"""Blocks of six per stage: the proportions of PoolFormer's and ConvNeXt's small models."""
STAGE_WIDTHS = (0.25, 0.5, 1.0, 2.0)
"""Width of each stage as a share of the network's width."""


@dataclass(frozen=True, kw_only=True)
class SkeletonSpec:
    """The factors of a skeleton.

    `hidden` is the hidden width of the MLP at `width`; in a staged network, it scales with the
    width of each stage.
    """

    width: int
    depth: int
    mixer: str
    stem: str = "patch"
    stages: str = "iso"
    norm: str = "ln"
    patch: int = 16
    hidden: int

    def __post_init__(self) -> None:
        at_least_one(self, "width", "depth", "patch", "hidden")
        if self.stem == "pyramid" and self.patch & (self.patch - 1):
            raise UsageError(
                f"--models: {self.name}: the patch of a pyramid stem must be a power of two, "
                f"got {self.patch}"
            )
        if self.stages == "staged" and (self.width % 32 or self.patch % 4 or self.depth % 6):
            raise UsageError(
                f"--models: {self.name}: four stages need a width that is a multiple of 32, a "
                "depth of 6 and a patch of 4"
            )
        if self.mixer == "attention" and self.width % 32:
            raise UsageError(
                f"--models: {self.name}: attention heads are 32 wide, so the width must be a "
                f"multiple of 32, got {self.width}"
            )

    @property
    def name(self) -> str:
        """The full spelling."""
        factors = f"{self.mixer}_{self.stem}_{self.stages}_{self.norm}"
        return f"skeleton_{self.width}_{self.depth}_{factors}_p{self.patch}_m{self.hidden}"

    def layout(self) -> list[tuple[int, int, int, int]]:
        """Return, per stage, width, depth, stride over the image and hidden width of the MLP."""
        if self.stages == "iso":
            return [(self.width, self.depth, self.patch, self.hidden)]
        layout = []
        stride = self.patch // 4
        for share, blocks in zip(STAGE_WIDTHS, STAGE_DEPTHS, strict=True):
            width, hidden = int(self.width * share), max(1, round(self.hidden * share))
            layout.append((width, self.depth * blocks // 6, stride, hidden))
            stride *= 2
        return layout

    def counts(self, image_size: int, num_classes: int) -> Counts:
        """Return parameters and MACs in closed form; the random mixer's matrix is no parameter."""
        layout = self.layout()
        width, _, stride, _ = layout[0]
        side = image_size // stride
        params, macs = _stem_counts(self.stem, stride, width, image_size)
        params += width * side * side  # positional embedding
        for number, (width, depth, stride, hidden) in enumerate(layout):
            if number:
                before = layout[number - 1][0]
                params += 4 * before * width + width
                macs += 4 * before * width * (image_size // stride) ** 2
            tokens = (image_size // stride) ** 2
            mixer_params, mixer_macs = _mixer_counts(self.mixer, width, tokens)
            norms = 2 * width * (1 if self.mixer == "none" else 2)
            params += depth * (mixer_params + linear(width, hidden) + linear(hidden, width) + norms)
            macs += depth * (mixer_macs + 2 * tokens * width * hidden)
        last = layout[-1][0]
        return Counts(
            params + 2 * last + linear(last, num_classes),
            macs + last * num_classes,
            (image_size // self.patch) ** 2,
        )


def _mixer_counts(mixer: str, width: int, tokens: int) -> tuple[int, int]:
    """Return the parameters and MACs of one mixer."""
    if mixer == "attention":
        params = linear(width, 3 * width) + linear(width, width)
        return params, tokens * 4 * width * width + 2 * tokens * tokens * width
    if mixer == "mlp":
        hidden = token_hidden(tokens)
        return linear(tokens, hidden) + linear(hidden, tokens), 2 * tokens * hidden * width
    if mixer == "depthwise":
        return width * 49 + width, width * 49 * tokens
    return 0, tokens * tokens * width if mixer == "random" else 0


def _stem_counts(stem: str, stride: int, width: int, image_size: int) -> tuple[int, int]:
    """Return the parameters and MACs of a stem."""
    if stem == "patch":
        positions = (image_size // stride) ** 2
        return linear(3 * stride * stride, width), 3 * stride * stride * width * positions
    params = macs = 0
    inputs, side = 3, image_size
    for outputs in pyramid_widths(stride, width):
        side //= 2
        params += 9 * inputs * outputs + outputs + 2 * outputs
        macs += 9 * inputs * outputs * side * side
        inputs = outputs
    return params + linear(inputs, width), macs + inputs * width * side * side


def pyramid_widths(stride: int, width: int) -> list[int]:
    """Return the widths of the stride-2 convolutions, which double up to half the network's."""
    steps = int(math.log2(stride))
    return [max(8, width // 2 ** (steps - step)) for step in range(steps)]


def token_hidden(tokens: int) -> int:
    """Return the hidden width of the MLP over tokens: half their number, at most 256."""
    return min(max(1, tokens // 2), 256)


class Attention(nn.Module):
    """Self-attention over the positions of a map with heads 32 wide; one head if it is narrower."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.heads = max(1, width // 32)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, side = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        heads = self.qkv(tokens).reshape(batch, -1, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        projected = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected.transpose(1, 2).reshape(batch, width, height, side)


class TokenMlp(nn.Module):
    """Two linear layers over the positions, the same for every channel."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        tokens = side * side
        self.fc1 = nn.Linear(tokens, token_hidden(tokens))
        self.fc2 = nn.Linear(token_hidden(tokens), tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.flatten(2)))).reshape(x.shape)


class Pooling(nn.Module):
    """PoolFormer's mixer: the mean of the neighbourhood minus the position itself."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) - x


class RandomMixing(nn.Module):
    """RandFormer's mixer: a random matrix whose rows sum to one, drawn once and never trained."""

    matrix: Tensor

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.softmax(torch.rand(side * side, side * side), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x.flatten(2), self.matrix.T).reshape(x.shape)


def depthwise(width: int, side: int) -> nn.Module:
    """Return a 7 x 7 convolution of each channel by itself."""
    return nn.Conv2d(width, width, 7, padding=3, groups=width)


MIXERS: dict[str, Callable[[int, int], nn.Module]] = {
    "attention": Attention,
    "mlp": TokenMlp,
    "depthwise": depthwise,
    "pooling": Pooling,
    "random": RandomMixing,
}


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)); without a mixer, the second step alone.

    `drop_path1` and `drop_path2` are timm's attributes for stochastic depth, which training sets.
    """

    drop_path1: nn.Module | None = None
    drop_path2: nn.Module | None = None

    def __init__(self, spec: SkeletonSpec, width: int, hidden: int, side: int) -> None:
        super().__init__()
        mixing = spec.mixer != "none"
        self.norm1 = NORMS[spec.norm](width) if mixing else None
        self.mixer = MIXERS[spec.mixer](width, side) if mixing else None
        self.norm2 = NORMS[spec.norm](width)
        self.mlp = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.mixer is not None and self.norm1 is not None:
            x = x + _kept(self.mixer(self.norm1(x)), self.drop_path1)
        return x + _kept(self.mlp(self.norm2(x)), self.drop_path2)


def _kept(branch: Tensor, drop_path: nn.Module | None) -> Tensor:
    return branch if drop_path is None else drop_path(branch)


def make_stem(spec: SkeletonSpec, stride: int, width: int) -> nn.Module:
    """Return the layers from images to the first grid."""
    if spec.stem == "patch":
        return nn.Conv2d(3, width, stride, stride=stride)
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in pyramid_widths(stride, width):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
            NORMS[spec.norm](outputs),
            nn.GELU(),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, width, 1))


class Skeleton(nn.Module):
    """Images (batch, 3, size, size) to logits (batch, num_classes), for one size of images."""

    def __init__(self, spec: SkeletonSpec, *, image_size: int, num_classes: int) -> None:
        super().__init__()
        layout = spec.layout()
        width, _, stride, _ = layout[0]
        self.stem = make_stem(spec, stride, width)
        self.position = nn.Parameter(
            torch.zeros(1, width, image_size // stride, image_size // stride)
        )
        nn.init.trunc_normal_(self.position, std=0.02)
        layers: list[nn.Module] = []
        for number, (width, depth, stride, hidden) in enumerate(layout):
            if number:
                layers.append(nn.Conv2d(layout[number - 1][0], width, 2, stride=2))
            layers += [Block(spec, width, hidden, image_size // stride) for _ in range(depth)]
        self.blocks = nn.Sequential(*layers)
        self.norm = NORMS[spec.norm](width)
        self.head = nn.Linear(width, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map (batch, width, side, side), before it is averaged."""
        return self.norm(self.blocks(self.stem(x) + self.position))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x).mean(dim=(2, 3)))


def build(spec: SkeletonSpec, *, image_size: int, num_classes: int) -> Skeleton:
    """Return a skeleton with random weights.

    Raises UsageError if the image is not a whole number of cells of the coarsest grid.
    """
    grid(image_size, spec.layout()[-1][2], name=spec.name)
    return Skeleton(spec, image_size=image_size, num_classes=num_classes)


SPELLING = re.compile(
    r"skeleton_(\d+)_(\d+)_(attention|mlp|depthwise|pooling|random|none)"
    r"(?:_(patch|pyramid))?(?:_(iso|staged))?(?:_(bn|ln))?(?:_p(\d+))?(?:_m(\d+))?"
)


def entry(name: str, spec: SkeletonSpec, **about: object) -> Model:
    """Return the registry entry of a skeleton."""
    return Model(
        name=name,
        family="skeleton",
        build=partial(build, spec),
        shape=spec,
        **about,  # type: ignore[arg-type]
    )


for _mixer in (*MIXERS, "none"):
    _spec = SkeletonSpec(width=384, depth=12, mixer=_mixer, hidden=1536)
    models.add(
        entry(
            f"skeleton_384_12_{_mixer}",
            _spec,
            summary="the controlled skeleton at ViT-S's width, depth and grid",
        )
    )


def _twin(mixer: str) -> Callable[..., SkeletonSpec]:
    return lambda width, depth, patch, hidden: SkeletonSpec(
        width=width, depth=depth, mixer=mixer, patch=patch, hidden=hidden
    )


for _mixer in (*MIXERS, "none"):
    families.add(
        Family(
            name=f"skeleton_{_mixer}",
            twin=_twin(_mixer),
            rule="the reference's width, depth and grid",
        )
    )


@models.resolver
def spelled(name: str) -> Model | None:
    """Return the model of a name such as `skeleton_384_12_depthwise_pyramid_bn`, else None."""
    if not (match := SPELLING.fullmatch(name)):
        return None
    width, depth, mixer, stem, stages, norm, patch, hidden = match.groups()
    spec = SkeletonSpec(
        width=int(width),
        depth=int(depth),
        mixer=mixer,
        stem=stem or "patch",
        stages=stages or "iso",
        norm=norm or "ln",
        patch=16 if patch is None else int(patch),
        hidden=4 * int(width) if hidden is None else int(hidden),
    )
    return entry(name, spec, summary="spelled by its name")
