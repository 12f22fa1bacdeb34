"""Does a wider ConvMixer converge faster than a deeper one, at more memory and compute?

Both have equal parameters, which grow with width squared times depth: twice the depth at 0.7 of the
width. "Faster" is at least a tenth fewer epochs to the scale's level on the validation split;
"more" is at least a tenth more bytes and seconds.
"""

from collections.abc import Iterator
from math import inf, log

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference
from bench.studies._variants import compared

INTEREST = 1.1
FEWER, MORE = (0.0, 1 / INTEREST), (INTEREST, inf)


def shapes(scale: Scale) -> tuple[str, str]:
    """Return a wide and a deep ConvMixer of equal parameters.

    The wide one has half the scale's depth at its width, the deep one its depth at a smaller width.
    """
    width, depth, kernel, patch = scale.convmixer
    target = _params(width, depth // 2, kernel, patch, scale.classes)

    def error(narrower: int) -> int:
        return abs(_params(narrower, depth, kernel, patch, scale.classes) - target)

    narrow = min(range(8, width, 2), key=error)
    return scale.variant(depth=depth // 2), scale.variant(width=narrow)


def _params(width: int, depth: int, kernel: int, patch: int, classes: int) -> int:
    """Return the parameters of a ConvMixer, by the closed form in models/convmixer.py."""
    return width * (depth * (kernel**2 + width + 6) + 3 * patch**2 + classes + 3) + classes


def needs(scale: Scale, device: str) -> list[Need]:
    return scale.trained("a wide and a deep ConvMixer of equal parameters", shapes(scale))


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    wide, deep = shapes(scale)

    def epochs(name: str) -> list[float]:
        return evidence.epochs_to(name, scale.data, scale.recipe, scale.level)

    def memory(name: str) -> list[float]:
        return evidence.details(name, scale.data, scale.recipe, "peak_memory_bytes")

    def seconds(name: str) -> list[float]:
        return evidence.details(name, scale.data, scale.recipe, "train_s")

    what = f"epochs to {scale.level:.0%} on the validation split, wide : deep"
    yield _ratio(what, epochs(wide), epochs(deep), FEWER)
    yield _ratio("training memory, wide : deep", memory(wide), memory(deep), MORE)
    what = "training time, wide : deep"
    yield _ratio(what, seconds(wide), seconds(deep), MORE, primary=False)
    what = "top-1, wide less deep"
    yield compared(evidence, scale, what, wide, deep, (-1.0, 1.0), primary=False)


def _ratio(
    what: str,
    wide: list[float],
    deep: list[float],
    region: tuple[float, float],
    *,
    primary: bool = True,
) -> Finding:
    """Return the finding about the ratio of two lists of values, one per seed."""
    effect = difference(list(map(log, wide)), list(map(log, deep)))
    return Finding(
        what=what, unit="×", region=region, effect=effect, of="trainings", primary=primary
    )


studies.add(
    Study(
        name="width_or_depth",
        question="At equal parameters, does a wider ConvMixer converge faster, "
        "at more memory and compute?",
        headline="Wider ConvMixers learn faster but take more",
        claim="Of two ConvMixers with equal numbers of parameters, the wider and shallower "
        "one learns in at least a tenth fewer epochs and takes at least a tenth more "
        "memory.",
        claims=(5,),
        paper="results",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
