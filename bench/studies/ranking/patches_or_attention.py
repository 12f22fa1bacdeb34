"""Is it the patches or the attention? One network whose mixer, stem, stages and norm are swapped.

If the strength comes from patches, then replacing attention by convolution changes little (within a
point of top-1), and a patch embedding is no worse than a pyramid of convolutions, whatever mixes
the tokens after it.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies import _factorial

INTEREST = 1.0
ALIKE, NO_WORSE = (-INTEREST, INTEREST), (-INTEREST, inf)


def needs(scale: Scale, device: str) -> list[Need]:
    return _factorial.needs(scale)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    def finding(
        what: str, region: tuple[float, float], primary: bool, **weights: dict[str, float]
    ) -> Finding:
        effect = _factorial.effect(evidence, scale, weights)
        return Finding(
            what=what, unit="points", region=region, effect=effect, of="trainings", primary=primary
        )

    convolution = {"depthwise": 1.0, "attention": -1.0}
    mlp = {"mlp": 1.0, "attention": -1.0}
    stem = {"patch": 1.0, "pyramid": -1.0}
    norm = {"bn": 1.0, "ln": -1.0}
    yield finding("mixer: depthwise convolution less attention", ALIKE, True, mixer=convolution)
    yield finding("stem: patch less pyramid", NO_WORSE, True, stem=stem)
    yield finding("mixer: MLP over tokens less attention", ALIKE, False, mixer=mlp)
    yield finding("norm: batch less layer norm", ALIKE, False, norm=norm)
    what = "interaction: convolution's gain with patches less with a pyramid"
    yield finding(what, ALIKE, False, mixer=convolution, stem=stem)
    what = "interaction: convolution's gain with batch less with layer norm"
    yield finding(what, ALIKE, False, mixer=convolution, norm=norm)


studies.add(
    Study(
        name="patches_or_attention",
        question="Does the strength come from patches rather than from attention?",
        headline="The strength is the patches, not attention",
        claim="Cutting the picture into patches is what counts: a convolution in place of "
        "attention changes accuracy by less than a point, and patches do no worse "
        "than stepwise downsampling.",
        claims=(1,),
        paper="abstract",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
