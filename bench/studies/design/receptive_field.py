"""Does a patch embedding widen the effective receptive field?

The controlled skeleton with a convolutional mixer has a patch stem or a pyramid stem, everything
else being equal. The radius that contains half of the gradient's mass is compared over seeds,
before and after training. "Widens" is by at least a tenth. The families' own fields are shown as
well, as shares of what the canvas allows.
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
    """Return the skeletons with a patch stem and with a pyramid stem."""
    patch = name_of(scale, (mixer, "patch", "iso", "ln"))
    return patch, name_of(scale, (mixer, "pyramid", "iso", "ln"))


def needs(scale: Scale, device: str) -> list[Need]:
    models: list[str] = []
    for mixer in MIXERS:
        models += stems(scale, mixer)
    models += scale.family.values()
    return scale.trained("effective receptive fields", models, metrics=("top1", "receptive_field"))


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    for mixer in MIXERS:
        patch, pyramid = stems(scale, mixer)
        for when in ("after", "before"):
            effect = difference(
                _log_radii(evidence, scale, patch, when),
                _log_radii(evidence, scale, pyramid, when),
            )
            yield Finding(
                what=f"radius of half the mass {when} training, patch stem : pyramid stem, {mixer}",
                unit="×",
                region=WIDER,
                effect=effect,
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
            note=_note(evidence, scale, name),
        )


def _note(evidence: Evidence, scale: Scale, model: str) -> str:
    """Return the share on a canvas twice as wide, whether the field is saturated, and its limit."""
    wider = middle(evidence.fields(model, scale.data, scale.recipe, "after", "share50", canvas=2))
    saturated = any(evidence.fields(model, scale.data, scale.recipe, "after", "saturated"))
    theory = evidence.theoretical_field(model, scale.data, scale.recipe)
    parts = [
        f"{wider:.2f} on a canvas twice as wide" if wider is not None else "",
        "saturated at its own size" if saturated else "",
    ]
    parts.append(f"theoretical field {theory:.0f} pixels" if theory else "")
    return ", ".join(filter(None, parts))


def _log_radii(evidence: Evidence, scale: Scale, model: str, when: str) -> list[float]:
    return list(map(log, evidence.fields(model, scale.data, scale.recipe, when, "r50")))


studies.add(
    Study(
        name="receptive_field",
        question="Does a patch embedding widen the effective receptive field?",
        headline="Patches widen what each feature sees",
        claim="Cutting the picture into patches at once, instead of downsampling stepwise, "
        "makes the region that a trained feature depends on at least a tenth wider.",
        claims=(11,),
        paper="design",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
