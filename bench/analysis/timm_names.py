"""timm's names of released models, under which published values are looked up.

The table lets `bench claim` answer without records and without torch. A model that is not in it,
such as one in a new file, is looked up in the registry, which imports torch. A test compares the
table with the registry.
"""

TIMM_NAMES = {
    "convmixer_1536_20": "convmixer_1536_20",
    "convmixer_768_32": "convmixer_768_32",
    "convmixer_1024_20": "convmixer_1024_20_ks9_p14",
    "mixer_s16": "mixer_s16_224",
    "mixer_b16": "mixer_b16_224",
    "mixer_l16": "mixer_l16_224",
    "mixer_s32": "mixer_s32_224",
    "mixer_b32": "mixer_b32_224",
    "mixer_l32": "mixer_l32_224",
    "resmlp_s12": "resmlp_12_224",
    "resmlp_s24": "resmlp_24_224",
    "resmlp_s36": "resmlp_36_224",
    "resmlp_b24": "resmlp_big_24_224",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "vit_ti16": "vit_tiny_patch16_224",
    "vit_s16": "vit_small_patch16_224",
    "vit_b16": "vit_base_patch16_224",
    "vit_l16": "vit_large_patch16_224",
    "vit_s32": "vit_small_patch32_224",
    "vit_b32": "vit_base_patch32_224",
    "vit_l32": "vit_large_patch32_224",
    "deit_ti16": "deit_tiny_patch16_224",
    "deit_s16": "deit_small_patch16_224",
    "deit_b16": "deit_base_patch16_224",
}
