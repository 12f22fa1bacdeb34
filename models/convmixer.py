"""ConvMixer ("Patches Are All You Need?", Trockman and Kolter, arXiv 2201.09792).

A patch embedding, then `depth` equal blocks on one grid: a depthwise k x k convolution with a residual around it,
and a 1 x 1 convolution, each followed by the activation and a normalisation. Module names are those of timm's
`convmixer_*`, so published weights load as they are.

Any shape can be spelled: `convmixer_<width>_<depth>[_k<kernel>][_p<patch>][_relu|_gelu]`, defaults k9 p7 gelu.
Parameters: h [d (k^2 + h + 6) + 3 p^2 + C + 3] + C for width h, depth d and C classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from bench.errors import UsageError
from bench.plugins import Model, models

from ._shape import grid

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
        if min(self.width, self.depth, self.kernel, self.patch) < 1:
            raise UsageError(f"--models: {self.name}: width, depth, kernel and patch are at least 1")

    @property
    def name(self) -> str:
        """The full spelling."""
        return f"convmixer_{self.width}_{self.depth}_k{self.kernel}_p{self.patch}_{self.activation}"


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
    return Model(name=name, family="convmixer", build=partial(build, spec), **about)  # type: ignore[arg-type]


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
