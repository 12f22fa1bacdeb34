"""Is it the patches or the attention? One network whose mixer, stem, stages and norm are swapped and nothing else.

If the strength came from patches, then convolution for attention would change little (within a point of top-1), and a
patch embedding would be no worse than a pyramid of convolutions, whatever mixes the tokens behind it.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies import _factorial

INTEREST = 1.0


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

    alike = (-INTEREST, INTEREST)
    convolution, mlp = {"depthwise": 1.0, "attention": -1.0}, {"mlp": 1.0, "attention": -1.0}
    stem = {"patch": 1.0, "pyramid": -1.0}
    yield finding("mixer: depthwise convolution less attention", alike, True, mixer=convolution)
    yield finding("stem: patch less pyramid", (-INTEREST, inf), True, stem=stem)
    yield finding("mixer: MLP over tokens less attention", alike, False, mixer=mlp)
    yield finding("norm: batch less layer norm", alike, False, norm={"bn": 1.0, "ln": -1.0})
    yield finding(
        "interaction: convolution's gain with patches less with a pyramid",
        alike,
        False,
        mixer=convolution,
        stem=stem,
    )
    yield finding(
        "interaction: convolution's gain with batch less with layer norm",
        alike,
        False,
        mixer=convolution,
        norm={"bn": 1.0, "ln": -1.0},
    )


studies.add(
    Study(
        name="patches_or_attention",
        question="Does the strength come from patches rather than from attention?",
        claims=(1,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
