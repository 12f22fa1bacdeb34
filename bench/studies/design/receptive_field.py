"""Does a patch embedding widen the effective receptive field?

The controlled skeleton with a convolutional mixer, patch stem against pyramid stem, everything else equal: the radius
that holds half of the gradient's mass, before and after training, over seeds. "Widens" is by at least a tenth. The
families' own fields stand beside it, as shares of what the canvas allows.
"""

from collections.abc import Iterator
from math import inf, log

from bench.claims.evidence import Evidence, middle
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference
from bench.studies._factorial import name_of

WIDER = (1.1, inf)
MIXERS = ("depthwise", "attention")


def stems(scale: Scale, mixer: str) -> tuple[str, str]:
    """The skeletons with a patch and with a pyramid stem."""
    patch, pyramid = (name_of(scale, (mixer, stem, "iso", "ln")) for stem in ("patch", "pyramid"))
    return patch, pyramid


def needs(scale: Scale, device: str) -> list[Need]:
    models = [*(name for mixer in MIXERS for name in stems(scale, mixer)), *scale.family.values()]
    return scale.trained("effective receptive fields", models, metrics=("top1", "receptive_field"))


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    for mixer in MIXERS:
        for when in ("after", "before"):
            sides = [
                [log(value) for value in _radii(evidence, scale, name, when)]
                for name in stems(scale, mixer)
            ]
            yield Finding(
                what=f"radius of half the mass {when} training, patch stem : pyramid stem, {mixer}",
                unit="×",
                region=WIDER,
                effect=difference(*sides),
                of="trainings",
                primary=(mixer, when) == ("depthwise", "after"),
            )
    for family, name in scale.family.items():
        shares = evidence.fields(name, scale.data, scale.recipe, "after", "share50")
        yield Finding(
            what=f"{family}: radius of half the mass after training, share of an even field's",
            unit="share",
            region=(0.5, inf),
            effect=None,
            value=middle(shares),
            primary=False,
            note=_beside(evidence, scale, name),
        )


def _beside(evidence: Evidence, scale: Scale, model: str) -> str:
    """The same on a canvas twice as wide, what the architecture could see at most, and whether the canvas ends it."""
    wider = middle(evidence.fields(model, scale.data, scale.recipe, "after", "share50", canvas=2))
    saturated = any(evidence.fields(model, scale.data, scale.recipe, "after", "saturated"))
    theory = evidence.theoretical_field(model, scale.data, scale.recipe)
    parts = [
        f"{wider:.2f} on a canvas twice as wide" if wider is not None else "",
        "saturated at its own size" if saturated else "",
    ]
    parts.append(f"theoretical field {theory:.0f} pixels" if theory else "")
    return ", ".join(part for part in parts if part)


def _radii(evidence: Evidence, scale: Scale, model: str, when: str) -> list[float]:
    return evidence.fields(model, scale.data, scale.recipe, when, "r50")


studies.add(
    Study(
        name="receptive_field",
        question="Does a patch embedding widen the effective receptive field?",
        claims=(11,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
