"""The controlled skeleton: a network whose token mixer, stem, stages and norm can be exchanged.

It answers the question in the paper's title: is it the patches, or what mixes them? The block is
MetaFormer's (arXiv 2111.11418, baselines in 2210.13452): x + mixer(norm(x)), then x + mlp(norm(x)),
on maps of shape (batch, width, side, side). Width, depth, grid, head and positional embedding stay
the same; the hidden width of the MLP makes up for the different costs of mixers, and
`bench match --hold shape` solves for it.

Any combination can be spelled:

    skeleton_<width>_<depth>_<mixer>[_<stem>][_<stages>][_<norm>][_p<patch>][_m<hidden>]
            [_h<heads>][_nopos][_<pixels>]

    mixer     attention, relative (attention with a learned bias for each offset), impulse (the
              same, begun as a convolution), mlp (over tokens), depthwise (7 x 7), pooling (3 x 3),
              random (fixed when built), none
    stem      patch: one convolution with side and stride p;
              pyramid: 3 x 3 convolutions of stride 2, p a power of two
    stages    iso: one grid;
              staged: four grids, each half the last, with widths 1/4, 1/2, 1 and 2 times <width>
    norm      bn: batch norm; ln: layer norm over the channels of each position
    nopos     without the positional embedding
    pixels    across: the pixels of every image change places, all images in the same way;
              within: only inside each window of p x p pixels, each window in its own way

Defaults are patch, iso, ln, p16, m four times the width, heads 32 wide, and images as they are. In
a staged network, p is the stride of the third stage, so that most blocks work on the same grid as
in the isotropic network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from bench.plugins import Family, Model, families, models

from . import _mixers
from ._mixers import ATTENTIONS, MIXERS
from ._norms import norm_of
from ._shape import NUMBER, Counts, check_sizes, grid, linear

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
    heads: int | None = None
    """Attention heads of every stage; None for heads 32 wide."""
    positions: bool = True
    """False for a network without the positional embedding."""
    pixels: str = ""
    """Which pixels change places before the stem: `within` windows, `across` the image, or none."""

    def __post_init__(self) -> None:
        check_sizes(self, "width", "depth", "patch", "hidden")
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
        if self.mixer in ATTENTIONS and self.heads is None and self.width % 32:
            raise UsageError(
                f"--models: {self.name}: attention heads are 32 wide, so the width must be a "
                f"multiple of 32, got {self.width}; _h4 at the end makes four heads of any width"
            )
        if self.heads is not None:
            self._check_heads(self.heads)

    def _check_heads(self, heads: int) -> None:
        """Raise UsageError if the mixer has no heads, or if they do not divide a stage's width."""
        if self.mixer not in ATTENTIONS:
            raise UsageError(
                f"--models: {self.name}: only {', '.join(ATTENTIONS)} have heads, so _h{heads} "
                f"means nothing with {self.mixer}"
            )
        for width, *_ in self.layout():
            if heads < 1 or width % heads:
                raise UsageError(
                    f"--models: {self.name}: a width of {width} cannot be divided into {heads} "
                    "heads; a divisor such as 4 would work"
                )

    @property
    def name(self) -> str:
        """The full spelling."""
        factors = f"{self.mixer}_{self.stem}_{self.stages}_{self.norm}"
        name = f"skeleton_{self.width}_{self.depth}_{factors}_p{self.patch}_m{self.hidden}"
        if self.heads is not None:
            name += f"_h{self.heads}"
        if not self.positions:
            name += "_nopos"
        return name + (f"_{self.pixels}" if self.pixels else "")

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
        params += width * side * side if self.positions else 0
        for number, (width, depth, stride, hidden) in enumerate(layout):
            if number:
                before = layout[number - 1][0]
                params += 4 * before * width + width
                macs += 4 * before * width * (image_size // stride) ** 2
            side = image_size // stride
            tokens = side * side
            mixer_params, mixer_macs = _mixers.counts(self.mixer, width, side, self.heads)
            norms = 2 * width * (1 if self.mixer == "none" else 2)
            params += depth * (mixer_params + linear(width, hidden) + linear(hidden, width) + norms)
            macs += depth * (mixer_macs + 2 * tokens * width * hidden)
        last = layout[-1][0]
        return Counts(
            params + 2 * last + linear(last, num_classes),
            macs + last * num_classes,
            (image_size // self.patch) ** 2,
        )


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


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)); without a mixer, the second step alone.

    `drop_path1` and `drop_path2` are timm's attributes for stochastic depth, which training sets.
    """

    drop_path1: nn.Module | None = None
    drop_path2: nn.Module | None = None

    def __init__(self, spec: SkeletonSpec, width: int, hidden: int, side: int) -> None:
        super().__init__()
        mixing = spec.mixer != "none"
        self.norm1 = norm_of(spec.norm, width) if mixing else None
        self.mixer = _mixers.make(spec.mixer, width, side, spec.heads) if mixing else None
        self.norm2 = norm_of(spec.norm, width)
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
            norm_of(spec.norm, outputs),
            nn.GELU(),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, width, 1))


class Shuffled(nn.Module):
    """Images (batch, 3, size, size) with their pixels in other places, the same for all images.

    `window` is the side of the windows that no pixel leaves, each with its own permutation.
    """

    places: Tensor

    def __init__(self, size: int, window: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)  # one permutation for all seeds of training
        across = size // window
        places = torch.arange(size * size).reshape(across, window, across, window)
        windows = places.transpose(1, 2).reshape(across * across, window * window)
        for number, pixels in enumerate(windows.clone()):
            windows[number] = pixels[torch.randperm(len(pixels), generator=draw)]
        shuffled = windows.reshape(across, across, window, window).transpose(1, 2).reshape(-1)
        self.register_buffer("places", shuffled, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)[:, :, self.places].reshape(x.shape)


def shuffle_of(spec: SkeletonSpec, image_size: int) -> nn.Module:
    """Return what changes the places of pixels; an identity if nothing does."""
    if not spec.pixels:
        return nn.Identity()
    return Shuffled(image_size, spec.patch if spec.pixels == "within" else image_size)


class Skeleton(nn.Module):
    """Images (batch, 3, size, size) to logits (batch, num_classes), for one size of images."""

    def __init__(self, spec: SkeletonSpec, *, image_size: int, num_classes: int) -> None:
        super().__init__()
        layout = spec.layout()
        width, _, stride, _ = layout[0]
        side = image_size // stride
        self.shuffle = shuffle_of(spec, image_size)
        self.stem = make_stem(spec, stride, width)
        self.position: nn.Parameter | None = None
        if spec.positions:
            self.position = nn.Parameter(torch.zeros(1, width, side, side))
            nn.init.trunc_normal_(self.position, std=0.02)
        layers: list[nn.Module] = []
        for number, (width, depth, stride, hidden) in enumerate(layout):
            if number:
                layers.append(nn.Conv2d(layout[number - 1][0], width, 2, stride=2))
            layers += [Block(spec, width, hidden, image_size // stride) for _ in range(depth)]
        self.blocks = nn.Sequential(*layers)
        self.norm = norm_of(spec.norm, width)
        self.head = nn.Linear(width, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map (batch, width, side, side), before it is averaged."""
        x = self.stem(self.shuffle(x))
        return self.norm(self.blocks(x if self.position is None else x + self.position))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x).mean(dim=(2, 3)))


def build(spec: SkeletonSpec, *, image_size: int, num_classes: int) -> Skeleton:
    """Return a skeleton with random weights.

    Raises UsageError if the image is not a whole number of cells of the coarsest grid.
    """
    grid(image_size, spec.layout()[-1][2], name=spec.name)
    return Skeleton(spec, image_size=image_size, num_classes=num_classes)


SPELLING = re.compile(
    rf"skeleton_{NUMBER}_{NUMBER}_({'|'.join(MIXERS)}|none)"
    rf"(?:_(patch|pyramid))?(?:_(iso|staged))?(?:_(bn|ln))?(?:_p{NUMBER})?(?:_m{NUMBER})?"
    rf"(?:_h{NUMBER})?(_nopos)?(?:_(within|across))?"
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
    width, depth, mixer, stem, stages, norm, patch, hidden, heads, nopos, pixels = match.groups()
    spec = SkeletonSpec(
        width=int(width),
        depth=int(depth),
        mixer=mixer,
        stem=stem or "patch",
        stages=stages or "iso",
        norm=norm or "ln",
        patch=16 if patch is None else int(patch),
        hidden=4 * int(width) if hidden is None else int(hidden),
        heads=None if heads is None else int(heads),
        positions=nopos is None,
        pixels=pixels or "",
    )
    return entry(name, spec, summary="spelled by its name")
