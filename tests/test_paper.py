"""`bench paper`: the paper's claims on one screen, from records of known truth."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.machines import read_all
from bench.claims.answers import answers
from bench.claims.scales import CIFAR10, CIFAR10_SMALL, IMAGENET, JPEG
from bench.plugins import studies
from bench.report.findings.paper import RUN, paper_screen
from bench.report.findings.screen import WIDTH
from bench.report.findings.settling import better, settling

from . import synthetic
from .program import ROOT, bench
from .test_findings import DIGITS, SMALL, blocks, found, kernels, patches, untrusted

MOST_LINES = 45


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supported, a contradicted and two open claims; the digits, which answer none."""
    folder = tmp_path_factory.mktemp("paper")
    records = [*kernels(SMALL, 2.3), *blocks(SMALL), *patches(SMALL), *untrusted()]
    synthetic.write(folder / "results" / "small-cpu", [*records, *kernels(DIGITS, -9.0)])
    return folder


def test_one_screen_with_verdict_effect_scale_and_command(home: Path) -> None:
    ended = bench("paper", cwd=home)
    assert ended.code == 0 and ended.err == "", ended
    lines = ended.out.splitlines()
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= WIDTH
    text = " ".join(ended.out.split())
    claims = sum(bool(study.paper) for study in studies.entries())
    assert f"makes {claims} claims that are tested here. Hold: 1; do not hold: 1;" in text
    scale = "CIFAR-10 (JPEG), 0.08 M parameters, 6 epochs, small scale only"
    assert f"HOLDS · {scale} Larger kernels make ConvMixer more accurate 2." in text
    assert f"DOES NOT HOLD · {scale} GELU can go" in text
    assert "NOT KNOWN · the data do not decide · " in text
    assert "NOT KNOWN · speeds not trusted: there is no A/A check · Test CPU" in text
    assert "published: 2.27 points of top-1 (CIFAR-10, the paper's network and training)" in text
    assert "results · kernel_accuracy --data cifar10:/path --scale authors" in text
    assert "results · patch_speed --force" in text
    assert lines[-1].startswith(RUN)
    for others in ("filters need not be learned", "Multiply-adds do not predict"):
        assert others not in text


def test_the_studies_say_where_the_paper_makes_their_claim() -> None:
    papers = {study.name for study in studies.entries() if study.paper}
    assert papers >= {"family_ranking", "inference_cost", "patch_speed", "width_or_depth"}
    assert papers.isdisjoint({"filters_learned", "mixer_needed", "policy_effects", "data_scaling"})
    assert all(studies.get(name).claims for name in papers)


def test_what_would_settle_it_better(home: Path) -> None:
    by_name = found(home)
    decided = by_name["kernel_accuracy"]
    assert better(decided) == f"{RUN}kernel_accuracy --data cifar10:/path --scale authors"
    open_claim = by_name["patch_accuracy"]
    assert better(open_claim) == settling(open_claim)[1]
    bare = by_name["tuning"]
    assert better(bare) == bare.missing


def test_the_next_larger_scale() -> None:
    assert replace(CIFAR10_SMALL, data=JPEG).larger == replace(CIFAR10, data=JPEG)
    assert replace(CIFAR10, data=JPEG).larger == replace(IMAGENET, data="imagenet:/path")
    assert IMAGENET.larger is None


def test_a_decided_speed_is_asked_of_the_other_kind_of_machine(tmp_path: Path) -> None:
    """On a CPU it is decided, so a GPU would say more."""
    wobble = [1.0, 1.002, 0.998, 1.001, 0.999, 1.0, 1.001, 0.999]
    speeds = {"convmixer_1536_20": 10.0, "convmixer_1536_20_k9_p14": 40.0}
    records = [
        *synthetic.sound_pair(),
        *(synthetic.speed(name, [at * w for w in wobble]) for name, at in speeds.items()),
    ]
    synthetic.write(tmp_path / "results" / "cpu", records)
    one = found(tmp_path)["patch_speed"]
    if one.standing == "not known":
        pytest.fail(f"the speeds decide nothing: {one.verdict}")
    assert better(one) == f"{RUN}patch_speed --device cuda"


def test_the_committed_records_fit_on_a_screen() -> None:
    found_here = answers(read_all(ROOT / "results"))
    lines = paper_screen(found_here)
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    commands = re.findall(r"^    (?:abstract|design|results|ablations) · (\w+)", text, re.M)
    assert sorted(commands) == sorted(one.study.name for one in found_here if one.study.paper)
