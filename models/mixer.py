"""MLP-Mixer (arXiv 2105.01601), built by timm.

Any shape can be spelled:

    mixer_<width>_<depth>[_p<patch>][_t<hidden width over tokens>][_m<hidden width over channels>]

Defaults are p16, half the width over tokens and four times the width over channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from bench.plugins import Family, Model, families, models

from ._shape import NUMBER, Counts, check_sizes, grid, linear, mlp_ratios, usual_depth

if TYPE_CHECKING:
    from timm.models.mlp_mixer import MlpMixer

PUBLISHED = ((512, 8), (768, 12), (1024, 24), (1280, 32))


@dataclass(frozen=True, kw_only=True)
class MixerSpec:
    """The hyperparameters of an MLP-Mixer."""

    width: int
    depth: int
    patch: int = 16
    token_hidden: int
    hidden: int

    def __post_init__(self) -> None:
        check_sizes(self, "width", "depth", "patch", "token_hidden", "hidden")

    @property
    def name(self) -> str:
        """The full spelling."""
        return f"mixer_{self.width}_{self.depth}_p{self.patch}_t{self.token_hidden}_m{self.hidden}"

    def counts(self, image_size: int, num_classes: int) -> Counts:
        """Return parameters and MACs in closed form."""
        w, d, t, m = self.width, self.depth, self.token_hidden, self.hidden
        tokens = (image_size // self.patch) ** 2
        block = linear(tokens, t) + linear(t, tokens) + linear(w, m) + linear(m, w) + 4 * w
        params = linear(3 * self.patch**2, w) + d * block + 2 * w + linear(w, num_classes)
        macs = 3 * self.patch**2 * w * tokens + d * 2 * tokens * w * (t + m) + w * num_classes
        return Counts(params, macs, tokens)


def build_spec(spec: MixerSpec, *, image_size: int, num_classes: int) -> MlpMixer:
    """Return a mixer of this shape with random weights; UsageError if the patch does not fit."""
    from timm.models.mlp_mixer import MlpMixer

    grid(image_size, spec.patch, name=spec.name)
    return MlpMixer(
        img_size=image_size,
        patch_size=spec.patch,
        embed_dim=spec.width,
        num_blocks=spec.depth,
        mlp_ratio=(spec.token_hidden / spec.width, spec.hidden / spec.width),
        num_classes=num_classes,
    )


def build_named(name: str, *, image_size: int, num_classes: int, patch: int = 16) -> MlpMixer:
    """Return timm's mixer `name` with random weights; UsageError if the patch does not fit."""
    import timm

    grid(image_size, patch, name=name)
    model = timm.create_model(name, img_size=image_size, num_classes=num_classes)
    return cast("MlpMixer", model)


def candidates(
    image_size: int, patches: Sequence[int], *, free_mlp: bool, reachable: Callable[..., bool]
) -> Iterator[tuple[MixerSpec, float]]:
    """Yield sensible shapes with their distance from the published scaling (0 on it)."""
    ratios = mlp_ratios(free_mlp)
    ends = (min(ratios), max(ratios))
    for width in range(32, 1793, 32):
        usual = usual_depth(width, PUBLISHED)
        for depth in range(max(4, round(usual / 2)), min(32, round(usual * 2)) + 1):
            far = abs(depth / usual - 1)
            for patch in patches:
                shapes = [twin(width, depth, patch, int(width * ratio)) for ratio in ends]
                if not reachable(*shapes):
                    continue
                for ratio in ratios:
                    yield (
                        twin(width, depth, patch, int(width * ratio)),
                        far + abs(ratio / 4 - 1),
                    )


SIZES = {"s": (512, 8), "b": (768, 12), "l": (1024, 24)}
for _patch in (16, 32):
    for _size, (_width, _depth) in SIZES.items():
        _timm = f"mixer_{_size}{_patch}_224"
        models.add(
            Model(
                name=f"mixer_{_size}{_patch}",
                family="mixer",
                build=partial(build_named, _timm, patch=_patch),
                shape=MixerSpec(
                    width=_width,
                    depth=_depth,
                    patch=_patch,
                    token_hidden=_width // 2,
                    hidden=4 * _width,
                ),
                timm_name=_timm,
                summary=f"timm's {_timm}",
            )
        )


def twin(width: int, depth: int, patch: int, hidden: int) -> MixerSpec:
    """Return the mixer of this width, depth, patch and hidden width of the MLP over channels."""
    return MixerSpec(
        width=width, depth=depth, patch=patch, token_hidden=max(1, width // 2), hidden=hidden
    )


families.add(
    Family(
        name="mixer",
        candidates=candidates,
        twin=twin,
        rule="depth and MLP ratio nearest to Mixer-S/B/L/H",
        patch={224: 16, 32: 4},
    )
)

models.add(
    Model(
        name="mixer_digits",
        family="mixer",
        build=partial(
            build_spec, MixerSpec(width=64, depth=3, patch=8, token_hidden=32, hidden=208)
        ),
        shape=MixerSpec(width=64, depth=3, patch=8, token_hidden=32, hidden=208),
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters on a 4 x 4 grid",
    )
)

SPELLING = re.compile(rf"mixer_{NUMBER}_{NUMBER}(?:_p{NUMBER})?(?:_t{NUMBER})?(?:_m{NUMBER})?")


@models.resolver
def spelled(name: str) -> Model | None:
    """Return the model of a name such as `mixer_512_8_p16_t256_m2048`; None for any other name."""
    if not (match := SPELLING.fullmatch(name)):
        return None
    width, depth, patch, token_hidden, hidden = (
        int(group) if group else None for group in match.groups()
    )
    assert width is not None
    assert depth is not None
    spec = MixerSpec(
        width=width,
        depth=depth,
        patch=16 if patch is None else patch,
        token_hidden=width // 2 if token_hidden is None else token_hidden,
        hidden=4 * width if hidden is None else hidden,
    )
    return Model(
        name=name,
        family="mixer",
        build=partial(build_spec, spec),
        shape=spec,
        summary="spelled by its name",
    )
