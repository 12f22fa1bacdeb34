"""`bench findings`: the answer of every claim, from records of known truth, as a user sees it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.collections import LineCollection

from bench.analysis.machines import read_all
from bench.analysis.summary import summarise
from bench.claims.answers import ClaimAnswer, answers
from bench.claims.evidence import nothing_measured
from bench.claims.rules import Finding
from bench.claims.scales import CIFAR10, CIFAR10_SMALL, DIGITS, JPEG, SCALES, SMALLEST_FIRST, Scale
from bench.plugins import Study, figures, finding_figures, studies
from bench.record.store import Record
from bench.report.figures import drawings, study_stem
from bench.report.findings.page import line
from bench.report.findings.screen import EFFECT, MOST_LINES, WIDTH, screen
from bench.report.findings.tables import direction, published_table, settling_table
from bench.studies.design import kernel_accuracy
from bench.studies.speed.inference_cost import CONVMIXER, PARAMETERS

from . import synthetic
from .program import assert_one_line, bench, called, snapshot
from .test_figures import check

SMALL = replace(CIFAR10_SMALL, data=JPEG)
LARGE = replace(CIFAR10, data=JPEG)
TITLE = "CIFAR-10 (JPEG), 0.08 M parameters, 6 epochs"
BASE = 70 + 2.3 / 3
BLOCKS = {"_relu": 0.0, "_ln": 0.0, "_res": -3.0}
"""Points of top-1 by block: layer norm makes no difference, where the paper has -1.44."""


def trained(
    scale: Scale, points: dict[str, float], *, seeds: int = 5, spread: float = 0.2, start: int = 0
) -> Iterator[Record]:
    """Yield trainings of models with this top-1, each seed off by up to `spread`."""
    draw = random.Random(start)
    for model, middle in points.items():
        for seed in range(seeds):
            yield synthetic.training(
                model,
                seed,
                middle + draw.uniform(-spread, spread),
                data=scale.data,
                recipe=scale.recipe,
            )


def kernels(scale: Scale, gain: float, **how: float) -> Iterator[Record]:
    """Yield ConvMixers whose top-1 grows by `gain` points from kernel 3 to kernel 9."""
    points = {}
    for kernel in kernel_accuracy.KERNELS:
        points[scale.variant(kernel=kernel)] = 70 + gain * (kernel - 3) / 6
    return trained(scale, points, **how)  # type: ignore[arg-type]


def blocks(scale: Scale) -> Iterator[Record]:
    """Yield other blocks of the network that `kernels` has with kernel 5."""
    points = {scale.variant(more=more): BASE + gain for more, gain in BLOCKS.items()}
    return trained(scale, points, start=3)


def patches(scale: Scale) -> Iterator[Record]:
    """Yield other patches of the same network, whose effect drowns in the seeds."""
    fine, _, coarse = scale.patches
    points = {scale.variant(patch=fine): BASE + 1, scale.variant(patch=coarse): BASE - 3}
    return trained(scale, points, spread=6.0, start=7)


def untrusted() -> list[Record]:
    """Speeds that no check came with."""
    draw = random.Random(1)
    speeds = {"convmixer_1536_20": 1.0, "convmixer_1536_20_k9_p14": 4.0}
    return [
        synthetic.speed(name, synthetic.noisy(draw, at, 0.01, 8)) for name, at in speeds.items()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results: a supported, a contradicted and an open claim, and the digits."""
    home = tmp_path_factory.mktemp("findings")
    records = [*kernels(SMALL, 2.3), *blocks(SMALL), *patches(SMALL), *untrusted()]
    synthetic.write(home / "results" / "small-cpu", [*records, *kernels(DIGITS, -9.0)])
    (home / "docs").mkdir()
    return home


def found(home: Path) -> dict[str, ClaimAnswer]:
    return {one.study.name: one for one in answers(read_all(home / "results"))}


def test_the_first_screen_and_the_page(folder: Path) -> None:
    """As a user starts it; the page comes out the same to the byte a second time."""
    ended = bench("findings", "--out", "docs/findings.md", cwd=folder)
    assert ended.code == 0 and ended.err == "", ended
    lines = ended.out.splitlines()
    shown = lines[: lines.index("")]
    assert len(shown) <= MOST_LINES and max(map(len, shown)) <= WIDTH
    assert f"HOLDS · {TITLE}, small scale only" in shown
    assert any(re.match(r"  Larger kernels make .* 2\.\d \[.*\] points$", one) for one in shown)
    assert f"DOES NOT HOLD · {TITLE}, small scale only" in shown
    text = " ".join(" ".join(shown).split())
    assert f"the data do not decide ({TITLE}, small scale only): " in text
    assert "speeds not trusted: there is no A/A check (Test CPU): " in text
    assert "Hold: 1; do not hold: 1; not known: " in text and "digits" not in text
    before = snapshot(folder / "docs")
    assert set(before) == {"findings.md"} | {
        f"findings_{name}.{kind}" for name in ("effects", "published") for kind in ("png", "svg")
    }
    again = bench("findings", "--out", "docs/findings.md", cwd=folder)
    assert again.code == 0 and snapshot(folder / "docs") == before


def test_a_claims_line_has_all_that_it_may_be_quoted_with(folder: Path) -> None:
    text = line(found(folder)["kernel_accuracy"], folder / "docs" / "findings.md")
    for part in (
        "Convolution kernels of 9 x 9",
        f"{TITLE}, small scale only",
        "top-1 with kernel 9 less kernel 3: 2.",
        "points of top-1 (claimed: above 0.50)",
        "5 seeds",
        "published: 2.27 points of top-1 (CIFAR-10, ",
    ):
        assert part in text
    assert "ImageNet" not in text and "\n" not in text


def test_the_digits_answer_nothing(tmp_path: Path) -> None:
    """They are clearly against the claim here, and are no answer for it."""
    synthetic.write(tmp_path / "results" / "cpu", kernels(DIGITS, -9.0))
    one = found(tmp_path)["kernel_accuracy"]
    assert (one.standing, one.leading, one.deciding) == ("not known", None, [])
    assert "--data cifar10:/path --scale small" in one.missing
    ended = called("findings", "--out", "page.md", cwd=tmp_path)
    assert ended.code == 0 and "Hold: 0; do not hold: 0;" in " ".join(ended.out.split())
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "pipeline" not in page and "All effects" not in page
    assert snapshot(tmp_path).keys() & {"page_effects.png", "page_published.png"} == set()


def test_the_larger_scale_answers_and_the_others_are_counted(tmp_path: Path) -> None:
    results = tmp_path / "results"
    synthetic.write(results / "a", kernels(SMALL, 2.3))
    synthetic.write(results / "b", kernels(LARGE, 2.3, start=1))
    synthetic.write(results / "c", kernels(SMALL, 2.3, start=2))
    one = found(tmp_path)["kernel_accuracy"]
    assert one.chosen is not None and one.chosen.verdict.scale.startswith("CIFAR-10 (JPEG), 0.6 M")
    assert (one.standing, len(one.agreeing), one.opposed) == ("holds", 2, [])
    text = line(one, tmp_path / "page.md")
    assert "2 verdicts elsewhere agree" in text and "small scale" not in text


def test_a_decided_verdict_answers_before_a_larger_one_that_is_not(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "results" / "a", kernels(SMALL, 2.3))
    synthetic.write(tmp_path / "results" / "b", kernels(LARGE, 1.0, spread=8.0))
    one = found(tmp_path)["kernel_accuracy"]
    assert one.standing == "holds" and one.verdict is not None and one.verdict.at is not None
    assert one.verdict.at.size == "small"
    text = line(one, tmp_path / "page.md")
    assert "small scale only" in text and "1 elsewhere undecided" in text


def test_machines_that_contradict_each_other_are_no_answer_for_both(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "results" / "a", kernels(SMALL, 2.3))
    synthetic.write(tmp_path / "results" / "b", kernels(SMALL, -2.3, start=1))
    one = found(tmp_path)["kernel_accuracy"]
    assert one.standing == "differs"
    assert "1 verdict elsewhere contradicts it" in line(one, tmp_path / "page.md")
    assert any(
        one.startswith("HOLDS IN ONE PLACE") for one in screen(list(found(tmp_path).values()))
    )


def test_scales_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "results" / "a", kernels(SMALL, 2.3))
    synthetic.write(tmp_path / "results" / "b", kernels(LARGE, -2.3, start=1))
    one = found(tmp_path)["kernel_accuracy"]
    assert one.standing == "does not hold"
    assert f"contradicts it ({TITLE}" in line(one, tmp_path / "page.md").replace("\\", "")


def test_what_would_settle_an_open_claim(folder: Path) -> None:
    rows = {row[0]: row[1:] for row in settling_table(list(found(folder).values())).rows}
    why, what, command = rows["Larger patches cost ConvMixer accuracy"]
    assert why == "the data do not decide"
    seeds = re.fullmatch(r"about (\d+) seeds instead of 5, (\d+) more training runs, .*", what)
    assert seeds is not None and int(seeds[1]) > 5
    assert int(seeds[2]) == 3 * (int(seeds[1]) - 5)  # three patches
    assert command.endswith(f"--data cifar10:/path --scale small --seeds {seeds[1]}")
    assert rows["Patch 14 is about 4 times as fast as patch 7"][1].startswith("a run that passes")
    assert rows["ConvMixer rivals networks of equal size"][0] == "not measured"


def test_what_would_settle_a_claim_measured_in_part_by_a_run_that_is_not_trusted(
    tmp_path: Path,
) -> None:
    """The reason and its remedy go together: a measured part is measured again, not passed over."""
    names = (CONVMIXER.model, PARAMETERS.model)
    of_the_whole = [synthetic.speed(name, [1.0] * 8) for name in names]
    synthetic.write(tmp_path / "results" / "a", of_the_whole)
    [(why, _, command)] = [
        row[1:] for row in settling_table([found(tmp_path)["inference_cost"]]).rows
    ]
    assert why == "speeds not trusted: there is no A/A check"
    assert command == "python -m bench study run inference_cost --force"


def test_published_stands_beside_measured(folder: Path) -> None:
    rows = {row[0]: row[1:] for row in published_table(list(found(folder).values())).rows}
    theirs = {what: row[3].partition(" ")[0] for what, row in rows.items()}
    assert theirs == {
        "top-1 with kernel 5 less kernel 3": "1.50",
        "top-1 with kernel 7 less kernel 3": "2.11",
        "top-1 with kernel 9 less kernel 3": "2.27",
        "top-1 with patch 2 less patch 4": "2.47",
        "layer norm for batch norm": "-1.44",
        "a residual around the pointwise convolution too": "-1.10",
    }
    assert rows["a residual around the pointwise convolution too"][-1] == "same"
    assert rows["layer norm for batch norm"][-1] == "open"
    assert all(TITLE in row[1] for row in rows.values())


def findings_of(study: Study, scale: Scale) -> list[Finding]:
    return list(study.judge(nothing_measured("cpu"), scale))


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.key)
def test_figures_of_one_data_set_are_not_published_beside_another(scale: Scale) -> None:
    for study in studies.entries():
        if study.trains:
            for finding in findings_of(study, scale):
                if finding.published:
                    data = finding.published.on.partition(",")[0].partition("-1k")[0]
                    assert data.lower().replace("-", "") == scale.name


def test_the_direction_of_an_effect_without_interval_is_open(folder: Path) -> None:
    [finding] = [one.finding for one in found(folder)["kernel_accuracy"].deciding]
    assert direction(finding) == "same"
    assert direction(replace(finding, effect=None, value=2.0)) == "open"
    assert finding.published is not None
    other = replace(finding.published, value=-1.0)
    assert direction(replace(finding, published=other)) == "opposite"


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("page.txt", ("--out: must end in .md", "docs/findings.md would work")),
        ("nowhere/page.md", ("--out: nowhere is not a folder",)),
        ("mine.md", ("--out: mine.md is not a page of this command",)),
        ("link.md", ("link.md is a link to", "outside")),
        ("folder.md", ("folder.md is a folder",)),
    ],
)
def test_nothing_of_anybody_elses_is_replaced(
    folder: Path, out: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "mine.md").write_text("# My notes\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.md").symlink_to(folder / "other.md")
    (tmp_path / "folder.md").mkdir()
    before = snapshot(tmp_path)
    ended = called("findings", "--results", folder / "results", "--out", out, cwd=tmp_path)
    assert_one_line(ended, *words)
    assert snapshot(tmp_path) == before and not (folder / "other.md").exists()


def test_a_picture_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "page_effects.png").symlink_to(tmp_path / "theirs.png")
    ended = called("findings", "--results", folder / "results", "--out", "page.md", cwd=home)
    assert_one_line(ended, "page_effects.png is a link to")
    assert not (tmp_path / "theirs.png").exists() and not (home / "page.md").exists()


def test_the_figures_are_whole(folder: Path) -> None:
    drawn = drawings(finding_figures.get("answers"), list(found(folder).values()))
    assert set(drawn) == {"effects", "published"}
    for figure in drawn.values():
        check(figure)


def test_two_scales_of_one_data_set_have_figures_of_their_own(tmp_path: Path) -> None:
    """The second one used to take the first one's name."""
    synthetic.write(tmp_path / "results" / "a", [*kernels(SMALL, 2.3), *kernels(LARGE, 2.3)])
    one = found(tmp_path)["kernel_accuracy"]
    assert one.chosen is not None
    stems = {study_stem(witness.verdict) for witness in (one.chosen, *one.others)}
    assert stems == {"study_kernel_accuracy_cifar10", "study_kernel_accuracy_cifar10_small"}


@pytest.mark.parametrize("study", studies.entries(), ids=lambda study: study.name)
def test_a_study_says_its_claim_in_a_headline_and_a_sentence(study: Study) -> None:
    assert 0 < len(study.headline) <= WIDTH - EFFECT and not study.headline.endswith(".")
    assert study.claim.endswith(".") and len(study.claim) <= 200


def test_many_decided_claims_still_fit_a_screen(folder: Path) -> None:
    """The open ones are then named by their studies."""
    known, heard = found(folder), list(found(folder).values())
    for place, one in enumerate(heard[:14]):
        like = known["kernel_accuracy" if place % 2 else "block_choices"]
        heard[place] = replace(like, study=one.study)
    shown = screen(heard)
    assert len(shown) <= MOST_LINES and max(map(len, shown)) <= WIDTH
    assert max(map(len, screen(heard, 60))) <= 60
    text = " ".join(shown)
    for one in heard:
        assert (one.study.name if one.standing == "not known" else one.headline) in text


def test_a_study_without_a_claim_is_known_by_its_question() -> None:
    bare = replace(studies.get("kernel_accuracy"), headline="", claim="")
    one = ClaimAnswer(study=bare, chosen=None)
    assert one.headline == one.claim == bare.question
    assert any(bare.question in text for text in screen([one]))


def test_every_scale_has_its_place() -> None:
    assert sorted(SMALLEST_FIRST) == sorted(scale.key for scale in SCALES)
    assert DIGITS.rank < CIFAR10_SMALL.rank < CIFAR10.rank


# Accuracy against speed on the same models


def speeds(scale: Scale, image_size: int, factor: float) -> Iterator[Record]:
    """Yield counts and speeds of the families at an image size."""
    draw = random.Random(image_size)
    for place, (family, model) in enumerate(scale.family.items(), start=1):
        yield synthetic.count(model, 8e4, place * 1e7, image_size)
        for metric, middle in (("throughput", 100.0 * place), ("latency", 0.01 / place)):
            values = synthetic.noisy(draw, factor * middle, 0.02, 12)
            yield synthetic.speed(
                model, values, metric=metric, image_size=image_size, family=family
            )


def families(scale: Scale, study: str = "family_ranking") -> Iterator[Record]:
    """Yield the families' trainings under both recipes; for no study if it has no name."""
    draw = random.Random(5)
    for recipe in scale.recipes.values():
        for place, (family, model) in enumerate(scale.family.items()):
            for seed in range(5):
                yield synthetic.training(
                    model,
                    seed,
                    70 - 3 * place + draw.uniform(-0.5, 0.5),
                    data=scale.data,
                    recipe=recipe,
                    family=family,
                    studies={study: "0" * 12} if study else None,
                )


def test_accuracies_of_a_study_are_drawn_against_speeds_of_the_same_folder(tmp_path: Path) -> None:
    """They used to be left out of every Pareto figure, since only a study asked for them."""
    records = [*families(SMALL), *speeds(SMALL, 32, 1.0), *speeds(SMALL, 224, 0.02)]
    machine = tmp_path / "results" / "cpu"
    synthetic.write(machine, [*records, *synthetic.sound_pair(32)])
    ended = bench("report", "--no-page", cwd=tmp_path)
    assert ended.code == 0, ended
    for metric in ("throughput", "latency", "macs", "params"):
        for end in ("", "_the_authors_optimizer"):
            for kind in ("png", "svg", "pdf"):
                assert (machine / f"families_{metric}_cifar10_small{end}.{kind}").is_file()
    text = (machine / "families_throughput_cifar10_small.svg").read_text(encoding="utf-8")
    assert f"top-1 on {TITLE}" in text and "probability" in text


def test_intervals_stand_on_both_axes_and_costs_are_at_the_accuracys_size() -> None:
    """Speeds at 224 pixels, of another policy at that, are not those of these accuracies."""
    others = list(speeds(SMALL, 224, 0.02))
    records = [*others, *families(SMALL), *speeds(SMALL, 32, 1.0), *synthetic.sound_pair(32)]
    drawn = drawings(figures.get("families"), summarise(records, of_studies=True))
    for figure in drawn.values():
        check(figure)
    figure = drawn["families_throughput_cifar10_small"]
    [axes] = figure.axes
    bars = [one for one in axes.collections if isinstance(one, LineCollection)]
    ways = [path.vertices for one in bars for path in one.get_paths()]
    horizontal = [way for way in ways if way[0][0] < way[-1][0]]
    vertical = [way for way in ways if way[0][1] < way[-1][1]]
    assert len(horizontal) == len(vertical) == len(SMALL.family)
    assert all(90 < way[0][0] < 450 for way in horizontal)
    words = " ".join(one.get_text() for one in axes.texts).split()
    assert "CPU, fp32, batch 2" in " ".join(words)


def test_an_accuracy_is_not_drawn_against_a_speed_at_another_size() -> None:
    """It used to be: a model's first row was taken, whatever its images."""
    entry, trainings = figures.get("pareto_throughput"), list(families(SMALL, study=""))
    assert drawings(entry, summarise([*trainings, *speeds(SMALL, 224, 1.0)])) == {}
    both = [*trainings, *speeds(SMALL, 224, 1.0), *speeds(SMALL, 32, 1.0)]
    assert set(drawings(entry, summarise(both))) == {
        f"pareto_throughput_cifar10{more}" for more in ("", "_2")
    }


@pytest.mark.parametrize(("scale", "number"), [(DIGITS, 0), (SMALL, 4)])
def test_the_digits_families_are_no_comparison(scale: Scale, number: int) -> None:
    records = [*families(scale), *speeds(scale, 32, 1.0)]
    drawn = drawings(figures.get("families"), summarise(records, of_studies=True))
    assert len(drawn) == number * len(scale.recipes)
