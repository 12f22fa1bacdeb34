"""The identity of a study: a hash of what it asks, not of the file that asks it.

A study declares which runs it needs, and the text, unit, region, kind of observation and weight
(primary or not) of every finding. A comment, another line break or another module changes none of
that; another region or scale does. Runs record the hash, and a verdict whose data were measured for
another question carries a star.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from bench.claims.evidence import nothing_measured
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study
from bench.plugins.recipe import recipes


def hash_of(study: Study, scale: Scale | None, device: str) -> str:
    """Return twelve hex digits over what a study asks; see `declared`."""
    return hashlib.sha256(json.dumps(declared(study, scale, device)).encode()).hexdigest()[:12]


def declared(study: Study, scale: Scale | None, device: str) -> dict[str, Any]:
    """Return what a study asks on a kind of device (cpu, cuda or mps), at a scale if it trains.

    The path of a data set is not part of the question, nor is the order of needs and findings. The
    number of seeds is: pass the scale as declared, without the number given by `--seeds`.
    """
    scale = scale and replace(scale, data=scale.name)
    findings = study.judge(nothing_measured(device), scale)
    return {
        "decisive": scale is None or scale.decisive,
        "needs": sorted(set(map(_settings, study.needs(scale, device)))),
        "findings": sorted(map(_finding, findings)),
    }


def _settings(need: Need) -> str:
    """Return the settings of a run as text, without its title and its place in the queue."""
    recipe = need.settings.get("recipe")
    spelled = {"recipe": recipes.get(recipe).name} if recipe else {}  # changed fields, sorted
    return json.dumps(need.settings | spelled, sort_keys=True)


def _finding(finding: Finding) -> str:
    """Return what a finding declares as text."""
    region = list(map(float, finding.region))
    return json.dumps([finding.what, finding.unit, region, finding.of, finding.primary])


def same_question(recorded: str, current: str) -> bool:
    """True if a hash in a record stands for the question that `current` is the hash of."""
    seen: set[str] = set()
    waiting = [recorded]
    while waiting:
        this = waiting.pop()
        if this not in seen:
            seen.add(this)
            waiting += FORMER.get(this, "").split()
    return current in seen


FORMER = {
    "5aafbb3a4d08": "b0a980c5e1c5 f9249d66a791 eca6db01e430 54c7afe65923",  # block_choices
    "7de7341824f6": "502a326f4b0d 756b314191a0 2ec5d2aad5a6 a224e6383f34",  # data_scaling
    "6adb0728ef7e": "10e352b66ba9 2ce84983ef25 7c5ad5361af4 f32b8d54062a",  # depth_and_patch
    "8f4d0c0a17e1": "ed3773175ad8 88f636710469 a157f5123771 09e919bb61f0",  # family_ranking
    "2e179d38c597": "4815d7ccd1fc 86ad96504f0d b294fde3aaba",  # inference_cost
    "988a850598d5": "58048dc483bf 4ed164742fd8 b7b1658f992b 784f41c8183b",  # isotropic_or_staged
    "32688ce8ec5d": "fa59a6546507 b35237e7cf1a ac91c94e5f95 58ac9beb695b",  # kernel_accuracy
    "afc3a83a1027": "227e94e2ea3d 0ac596737b5c",  # kernel_speed
    "abdcde8d5f0f": "4954f1cd6ab5 76dcdbab7143 af508db3505f 7d7ae80b1509",  # patch_accuracy
    "ca9869c07ebe": "e83224801494 de1f171c0092 e44acb434c9a 35832ad271b3",  # patch_scaling
    "362d31c1471f": "c7b1be381b28 e04441b4b0b4 5b6ee9591d4d",  # patch_speed
    "543fbbc24a6e": "bac7603676db e21306290efa 10239480b7a4 64d3aea6a968",  # patches_or_attention
    # Before the intervals of policy_effects accounted for processes.
    "637e40fca4fc": "f168a937b9d8 aa00e3a88e48 f53eae2eb8a6",  # policy_effects
    "0840b5b28084": "f168a937b9d8 aa00e3a88e48 f53eae2eb8a6",  # policy_effects
    "493a448d2748": "023ec6a8af5d 533c4e44024f 528528ec3f78 c8261720cc28",  # ranking_stability
    "2f90e29c3caa": "63b50a832790 b299586a3b31 c9f213c72ffc c9629733333a",  # receptive_field
    "2bcc2d63640d": "645f108a191b e421d3408fed 9f3eeaf669cd f44fbf6c794a",  # recipe_ingredients
    "f0e1e33004ab": "054915c91cf7 0b5724baa662",  # resolution_cost
    "2603c8e9bd89": "35fe483894cf 545ecd9e23bd d640eef41f34 a19a475539f5",  # tuning
    "4aab22829422": "3cdcc953a992 f0bb404982fb 63e3c6794ca8 d63b42e1f11c",  # width_or_depth
    # Before their findings said "on the validation split" instead of "on select".
    "3cdcc953a992": "e210435833ac",  # width_or_depth digits
    "f0bb404982fb": "e418e81381ce",  # width_or_depth cifar10
    "63e3c6794ca8": "255f68870b38",  # width_or_depth cifar10_small
    "d63b42e1f11c": "213b93f0d3b4",  # width_or_depth imagenet
    "ed3773175ad8": "cf248dbc02ae",  # family_ranking digits
    "88f636710469": "35d4e31c8a55",  # family_ranking cifar10
    "a157f5123771": "a6e6f583af89",  # family_ranking cifar10_small
    "09e919bb61f0": "a3283b4495a6",  # family_ranking imagenet
}
"""Former hashes found in records, and the hashes of the questions that each stands for.

Records used to carry a hash of the study's file, which stands for the study's question at each
scale or on each kind of device. If you only reword a finding, add the old hash of its question with
the new one (`python -m tests.by_hand.questions` prints both). If you change what is asked, add
nothing: verdicts on older data are then marked.
"""
