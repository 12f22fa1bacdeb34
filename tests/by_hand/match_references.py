"""Match 42 references, in parameters and in parameters and MACs at once, and count the misses.

    python -m tests.by_hand.match_references [FAMILIES]

The references are this project's and timm's, each matched with vit, mixer and resnet (or the
families given). A line per reference and budget; at the end how many references have a family that
misses, and how many of those misses have a remedy. A reference that cannot be matched at all is
named with its reason. Expect a few minutes on one core: models are counted on the meta device, no
weights are allocated.
"""

from __future__ import annotations

import sys
import time
import warnings

from bench.errors import UsageError
from bench.match.siblings import in_words, siblings

OURS = (
    "convmixer_768_32 convmixer_1024_20 convmixer_1536_20 convmixer_512_12 convmixer_256_8 "
    "vit_ti16 vit_s16 vit_s32 vit_b16 mixer_s16 mixer_b16 mixer_b32 "
    "resnet18 resnet50 resnet101 skeleton_384_12_depthwise"
)
TIMM = (
    "resmlp_12_224 vit_small_patch16_224 deit3_small_patch16_224 vit_small_patch14_dinov2 "
    "cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 swin_tiny_patch4_window7_224 "
    "convnext_tiny convnext_atto tf_efficientnetv2_s efficientnet_b0 efficientnet_b3 "
    "mobilenetv3_small_100 mobilenetv3_large_100 regnety_032 poolformer_s12 densenet121 "
    "inception_v3 gmlp_s16_224 convmixer_1024_20_ks9_p14 nfnet_f0 vgg11 "
    "hiera_tiny_224 mobilevit_s edgenext_small"
)


def main(families: list[str]) -> None:
    """Print every match and the totals."""
    missed, remedied, failed = set(), 0, []
    misses = 0
    for reference in [*OURS.split(), *(f"timm:{name}" for name in TIMM.split())]:
        for budget in ("params", "params+macs"):
            before = time.monotonic()
            try:
                found = siblings(
                    reference, families, budget=budget, image_size=None, tolerance=None, hold=None
                )  # type: ignore[arg-type]
            except UsageError as error:
                failed.append(reference)
                print(f"{reference} {budget}: {error}", flush=True)
                continue
            short = [one for one in found.matches if not one.within]
            missed |= {reference} if short else set()
            misses += len(short)
            remedied += sum(one.remedy is not None for one in short)
            print(
                f"{reference} {budget}, {found.image_size} px, {time.monotonic() - before:.1f} s",
                flush=True,
            )
            for one in found.matches:
                remedy = (
                    f"; {one.remedy.freedom}: {one.remedy.name} ({in_words(one.remedy.misses)})"
                    if one.remedy
                    else ""
                )
                print(
                    f"    {'ok  ' if one.within else 'MISS'} {one.name} "
                    f"{in_words(one.misses)}{remedy}"
                )
            for family, reason in found.left_out.items():
                print(f"    {family} left out: {reason}")
    print(
        f"{len(missed)} references miss somewhere: {misses} misses, {remedied} with a remedy; "
        f"{len(failed)} could not be matched {failed}"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1].split(",") if len(sys.argv) > 1 else ["vit", "mixer", "resnet"])
