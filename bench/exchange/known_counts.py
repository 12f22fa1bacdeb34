"""Known parameters and GMACs, at 224 x 224 pixels and 1000 classes; multiply-adds without norms.

They are those of timm's and the authors' models, counted by two independent tools; the closed forms
agree (tests/test_models.py). The records of other people must say the same about these models.
"""

GOLDEN: dict[str, tuple[int, float]] = {
    "convmixer_1536_20": (51_625_960, 51.099),
    "convmixer_768_32": (21_110_248, 20.677),
    "convmixer_1024_20": (24_383_464, 5.949),
    "vit_s16": (22_050_664, 4.599),
    "deit_s16": (22_050_664, 4.599),
    "mixer_b16": (59_880_472, 12.602),
    "resnet50": (25_557_032, 4.089),
}
TOLERANCE_GMACS = 0.0006
"""Half of the last known digit."""
