"""Can attention have by its initialisation what convolution has by its form?

"Structured Initialization for Vision Transformers" (arXiv 2505.19985): attention that begins as a
convolution of random taps does better on few data, and no worse on many. Two networks differ in
the start of one table alone (models/_mixers.py); a third has the convolution itself. They are
trained on 10, 30 and 100 % of the images for an equal number of steps. On the smallest share, the
start has to gain at least a point of top-1, and to come within a point of the convolution.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import contrast
from bench.studies._near import name_of
from bench.studies._variants import compared, on_share

INTEREST = 1.0
GAINS, AS_WELL = (INTEREST, inf), (-INTEREST, inf)
SHARES = (0.1, 0.3, 1.0)
FEWEST, ALL = SHARES[0], SHARES[-1]


def needs(scale: Scale, device: str) -> list[Need]:
    models = [name_of(scale, mixer) for mixer in ("relative", "impulse", "depthwise")]
    needs: list[Need] = []
    for share in SHARES:
        what = f"attention begun as convolution, on {share:.0%} of the data"
        needs += scale.trained(what, models, on_share(scale, share))
    return needs


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    usual, begun, convolution = (
        name_of(scale, mixer) for mixer in ("relative", "impulse", "depthwise")
    )
    for other, words, region in (
        (usual, "attention begun as usual", GAINS),
        (convolution, "convolution", AS_WELL),
    ):
        for share in SHARES:
            recipe = on_share(scale, share)
            yield compared(
                evidence,
                scale,
                f"attention begun as convolution less {words}, {share:.0%} of the data",
                begun,
                other,
                region,
                recipes=(recipe, recipe),
                primary=share == FEWEST,
            )

    def top1(model: str, share: float) -> list[float]:
        return evidence.top1(model, scale.data, on_share(scale, share))

    few = [(1.0, top1(begun, FEWEST)), (-1.0, top1(usual, FEWEST))]
    many = [(-1.0, top1(begun, ALL)), (1.0, top1(usual, ALL))]
    yield Finding(
        what=f"what that start gains on {FEWEST:.0%} less on all of the data",
        unit="points",
        region=GAINS,
        effect=contrast([*few, *many]),
        of="trainings",
        primary=False,
    )


studies.add(
    Study(
        name="bias_by_initialisation",
        question="On few data, can attention have by its initialisation what convolution has by "
        "its form?",
        headline="Attention can start out as convolution",
        claim="With a tenth of the training pictures, attention that is initialised to look "
        "like convolution gains at least a point over its usual start and comes within a "
        "point of convolution.",
        claims=(20,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
