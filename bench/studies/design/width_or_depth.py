"""At equal parameters, does a wider ConvMixer converge faster than a deeper one, at more memory and compute?

Parameters grow with width squared times depth: twice the depth at 0.7 of the width. "Faster" is at least a tenth fewer
epochs to the scale's level on select; "more" is a tenth more bytes and seconds.
"""

from collections.abc import Iterator
from math import inf, log

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference

INTEREST = 1.1


def shapes(scale: Scale) -> tuple[str, str]:
    """Wide and deep: half the scale's depth at its width, and its depth at the width that makes them equal."""
    width, depth, kernel, patch = scale.convmixer
    target = _params(width, depth // 2, kernel, patch, scale.classes)
    narrow = min(
        range(8, width, 2),
        key=lambda one: abs(_params(one, depth, kernel, patch, scale.classes) - target),
    )
    return scale.variant(depth=depth // 2), scale.variant(width=narrow)


def _params(width: int, depth: int, kernel: int, patch: int, classes: int) -> int:
    """In the closed form of models/convmixer.py."""
    return width * (depth * (kernel**2 + width + 6) + 3 * patch**2 + classes + 3) + classes


def needs(scale: Scale, device: str) -> list[Need]:
    return scale.trained("a wide and a deep ConvMixer of equal parameters", shapes(scale))


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    wide, deep = shapes(scale)

    def finding(
        what: str, sides: list[list[float]], region: tuple[float, float], primary: bool = True
    ) -> Finding:
        effect = difference(*([log(value) for value in side] for side in sides))
        return Finding(
            what=what, unit="×", region=region, effect=effect, of="trainings", primary=primary
        )

    epochs = [
        evidence.epochs_to(name, scale.data, scale.recipe, scale.level) for name in (wide, deep)
    ]
    memory, seconds = (
        [evidence.details(name, scale.data, scale.recipe, kind) for name in (wide, deep)]
        for kind in ("peak_memory_bytes", "train_s")
    )
    yield finding(
        f"epochs to {scale.level:.0%} on select, wide : deep", epochs, (0.0, 1 / INTEREST)
    )
    yield finding("training memory, wide : deep", memory, (INTEREST, inf))
    yield finding("training time, wide : deep", seconds, (INTEREST, inf), primary=False)
    top1 = [evidence.top1(name, scale.data, scale.recipe) for name in (wide, deep)]
    yield Finding(
        what="top-1, wide less deep",
        unit="points",
        region=(-1.0, 1.0),
        effect=difference(*top1),
        of="trainings",
        primary=False,
    )


studies.add(
    Study(
        name="width_or_depth",
        question="At equal parameters, does a wider ConvMixer converge faster, at more memory and compute?",
        claims=(5,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
