"""Vision transformers (arXiv 2010.11929) and DeiT (arXiv 2012.12877), built by timm.

`deit_s16` is the same graph as `vit_s16` under another name; only the published weights differ.

Any shape can be spelled: `vit_<width>_<depth>[_p<patch>][_h<heads>][_m<hidden width of the MLP>]`.
Defaults are p16, heads 64 wide (32 if 64 does not divide the width), and an MLP four times as wide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from bench.errors import UsageError
from bench.plugins import Family, Model, families, models

from ._shape import NUMBER, Counts, check_sizes, grid, linear, mlp_ratios, usual_depth

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

PUBLISHED = ((192, 12), (384, 12), (768, 12), (1024, 24), (1280, 32))


@dataclass(frozen=True, kw_only=True)
class TransformerSpec:
    """The hyperparameters of a vision transformer with a class token and learned positions."""

    width: int
    depth: int
    patch: int = 16
    heads: int
    hidden: int

    def __post_init__(self) -> None:
        check_sizes(self, "width", "depth", "patch", "heads", "hidden")
        if self.width % self.heads:
            raise UsageError(
                f"--models: {self.name}: the width {self.width} is not a multiple of its "
                f"{self.heads} heads"
            )

    @property
    def name(self) -> str:
        """The full spelling."""
        return f"vit_{self.width}_{self.depth}_p{self.patch}_h{self.heads}_m{self.hidden}"

    def counts(self, image_size: int, num_classes: int) -> Counts:
        """Return parameters and MACs in closed form."""
        w, d, m = self.width, self.depth, self.hidden
        patches = (image_size // self.patch) ** 2
        tokens = patches + 1
        embedding = linear(3 * self.patch**2, w) + w + tokens * w
        block = linear(w, 3 * w) + linear(w, w) + linear(w, m) + linear(m, w) + 4 * w
        params = embedding + d * block + 2 * w + linear(w, num_classes)
        block_macs = tokens * (4 * w * w + 2 * w * m) + 2 * tokens * tokens * w
        macs = 3 * self.patch**2 * w * patches + d * block_macs + w * num_classes
        return Counts(params, macs, patches)


def build_spec(spec: TransformerSpec, *, image_size: int, num_classes: int) -> VisionTransformer:
    """Return a transformer with random weights; UsageError if the patch does not fit."""
    from timm.models.vision_transformer import VisionTransformer

    grid(image_size, spec.patch, name=spec.name)
    return VisionTransformer(
        img_size=image_size,
        patch_size=spec.patch,
        embed_dim=spec.width,
        depth=spec.depth,
        num_heads=spec.heads,
        mlp_ratio=spec.hidden / spec.width,
        num_classes=num_classes,
    )


def build_named(
    name: str, *, image_size: int, num_classes: int, patch: int = 16
) -> VisionTransformer:
    """Return timm's `name` with random weights; UsageError if the patch does not fit."""
    import timm

    grid(image_size, patch, name=name)
    model = timm.create_model(name, img_size=image_size, num_classes=num_classes)
    return cast("VisionTransformer", model)


def candidates(
    image_size: int, patches: Sequence[int], *, free_mlp: bool, reachable: Callable[..., bool]
) -> Iterator[tuple[TransformerSpec, float]]:
    """Yield sensible shapes with their distance from the published scaling (0 on it).

    Heads are 64 wide (32 if 64 does not divide the width). The MLP is about four times as wide as
    the model, unless `free_mlp`.
    """
    ratios = mlp_ratios(free_mlp)
    ends = (min(ratios), max(ratios))
    for width in range(32, 1793, 32):
        head = 64 if width % 64 == 0 else 32
        usual = usual_depth(width, PUBLISHED)
        for depth in range(max(4, round(usual / 2)), min(32, round(usual * 2)) + 1):
            far = abs(depth / usual - 1) + (0.0 if head == 64 else 0.1)
            for patch in patches:
                shapes = [twin(width, depth, patch, int(width * ratio)) for ratio in ends]
                if not reachable(*shapes):
                    continue
                for ratio in ratios:
                    yield (
                        twin(width, depth, patch, int(width * ratio)),
                        far + abs(ratio / 4 - 1),
                    )


SIZES = {
    "ti": ("tiny", 192, 12),
    "s": ("small", 384, 12),
    "b": ("base", 768, 12),
    "l": ("large", 1024, 24),
}
OF_TIMM = {
    "vit": ("ti16", "s16", "s32", "b16", "b32", "l16", "l32"),
    "deit": ("ti16", "s16", "b16"),
}
"""The sizes that timm has."""


def _add_named(kind: str, size: str, patch: int) -> None:
    """Register a published size, built by timm, or from its shape if timm lacks it (vit_ti32)."""
    word, width, depth = SIZES[size]
    shape = TransformerSpec(
        width=width, depth=depth, patch=patch, heads=width // 64, hidden=4 * width
    )
    timm_name = f"{kind}_{word}_patch{patch}_224"
    known = f"{size}{patch}" in OF_TIMM[kind]
    other = "vit" if kind == "deit" else "deit"
    relative = f"{other}_{word}_patch{patch}_224"
    models.add(
        Model(
            name=f"{kind}_{size}{patch}",
            family="vit",
            build=partial(build_named, timm_name, patch=patch)
            if known
            else partial(build_spec, shape),
            shape=shape,
            timm_name=timm_name if known else None,
            relatives={other: relative} if f"{size}{patch}" in OF_TIMM[other] else {},
            summary=f"timm's {timm_name}"
            if known
            else "timm has no such size; built from its shape",
        )
    )


for _patch in (16, 32):
    for _size in SIZES:
        _add_named("vit", _size, _patch)
for _size in ("ti", "s", "b"):
    _add_named("deit", _size, 16)


def twin(width: int, depth: int, patch: int, hidden: int) -> TransformerSpec:
    """Return the transformer of this width, depth, patch and hidden width of the MLP."""
    return TransformerSpec(
        width=width,
        depth=depth,
        patch=patch,
        heads=max(1, width // (64 if width % 64 == 0 else 32)),
        hidden=hidden,
    )


families.add(
    Family(
        name="vit",
        candidates=candidates,
        twin=twin,
        rule="depth and MLP ratio nearest to ViT-Ti/S/B/L/H",
        patch={224: 16, 32: 4},
    )
)

models.add(
    Model(
        name="vit_digits",
        family="vit",
        build=partial(build_spec, TransformerSpec(width=48, depth=3, patch=8, heads=3, hidden=204)),
        shape=TransformerSpec(width=48, depth=3, patch=8, heads=3, hidden=204),
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters on a 4 x 4 grid",
    )
)

SPELLING = re.compile(rf"vit_{NUMBER}_{NUMBER}(?:_p{NUMBER})?(?:_h{NUMBER})?(?:_m{NUMBER})?")


@models.resolver
def spelled(name: str) -> Model | None:
    """Return the model of a name such as `vit_384_12_p16_h6_m1536`; None for any other name."""
    if not (match := SPELLING.fullmatch(name)):
        return None
    width, depth, patch, heads, hidden = (int(group) if group else None for group in match.groups())
    assert width is not None
    assert depth is not None
    usual = max(1, width // 64 if width % 64 == 0 else width // 32)
    spec = TransformerSpec(
        width=width,
        depth=depth,
        patch=16 if patch is None else patch,
        heads=usual if heads is None else heads,
        hidden=4 * width if hidden is None else hidden,
    )
    return Model(
        name=name,
        family="vit",
        build=partial(build_spec, spec),
        shape=spec,
        summary="spelled by its name",
    )
