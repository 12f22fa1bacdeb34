"""One's own model in a paper: its name, its image size, the time it needs, LaTeX, one figure."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text

import bench as package
from bench.analysis.machines import read_all
from bench.claims.comparison import answer
from bench.config import RunConfig
from bench.errors import UsageError
from bench.forecast.budget import too_short
from bench.forecast.forecast import CostLine, Pace, Want
from bench.forecast.past import Past
from bench.plan.own_models import fitted, names_for, sizing_notes
from bench.plugins import Model, models
from bench.record import store
from bench.record.arms import SpeedArm
from bench.record.names import give, names_in
from bench.record.schema import NameLine
from bench.record.store import Record, load_folder
from bench.report.formats import latex
from bench.report.write import WHOLE, tables_of

from . import synthetic
from .conftest import speed_record
from .program import ROOT, Ended, assert_one_line, bench, called
from .test_own_models import net

NAME = "Ours_2 & co"
FOR_TERMINALS = re.compile(r"(?<![-\w])--[a-z]|python -m|`|docs/|\.py\b")
"""Flags, commands, pages of the documentation and files, which no reader of a paper has."""


def records(folder: Path) -> list[Record]:
    found, damaged = load_folder(next(folder.glob("results/*/records")))
    assert not damaged
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Ended]]:
    """An own model beside one that is made for 32 pixels, in too little time."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "ours.py").write_text(net())
    ended = bench(
        *("run", "--models", "vit_digits,./ours.py:build", "--name", NAME),
        *("--metrics", "params,throughput", "--time-budget", "2", "--device", "cpu"),
        cwd=folder,
    )
    assert ended.code == 0, ended
    yield folder, ended


def test_own_models_take_the_size_and_classes_of_the_others(ran: tuple[Path, Ended]) -> None:
    folder, ended = ran
    said = "./ours.py:build: 32 pixels and 10 classes, like the other models"
    assert said in " ".join(ended.out.split())
    for record in records(folder):
        if record.arm.model == "./ours.py:build":
            assert (record.arm.image_size, record.arm.num_classes) == (32, 10)
    assert ended.out.count("Efficiency · ") == 1 and "× vit_digits" in ended.out


def test_a_run_says_before_it_begins_that_its_time_is_too_short(ran: tuple[Path, Ended]) -> None:
    text = " ".join(ran[1].out.split())
    warning = r"warning: --time-budget: 2 s are too few for intervals, which take 6 rounds and 3 "
    warning += r"processes per configuration; --time-budget \d+ would do"
    [found] = re.finditer(warning, text)
    assert found.start() < text.index("round 1/")


def test_reports_show_the_names_and_records_keep_the_models(ran: tuple[Path, Ended]) -> None:
    folder, ended = ran
    assert NAME in ended.out
    assert "./ours.py:build" in {record.arm.model for record in records(folder)}
    reported = bench("report", cwd=folder)
    assert reported.code == 0, reported
    machine = next(folder.glob("results/*/report.md")).parent
    [table] = machine.glob("tables/efficiency*.tex")
    tex = table.read_text(encoding="utf-8")
    assert r"Ours\_2 \& co" in tex and "ours.py" not in tex
    assert "stopped by a limit on time" in tex and not FOR_TERMINALS.search(tex), tex
    assert f"{NAME}," in table.with_suffix(".csv").read_text(encoding="utf-8")
    report = (machine / "report.md").read_text(encoding="utf-8")
    assert "| Ours_2 &amp; co " in report and "Ours_2 &amp; co is ./ours.py:build" in report
    for spelled in (NAME, "./ours.py:build"):
        chosen = called("report", "--where", f"model={spelled}", cwd=folder)
        assert chosen.code == 0 and NAME in chosen.out and "vit_digits" not in chosen.out, chosen
    page = (folder / "results" / "report.html").read_text(encoding="utf-8")
    assert '"model":"Ours_2 \\u0026 co"' in page and '"spec":"./ours.py:build"' in page


def test_a_finished_model_can_be_renamed_and_gets_its_own_name_back(
    ran: tuple[Path, Ended],
) -> None:
    folder, _ = ran
    before = {record.path: record.rounds for record in records(folder)}
    asked = ("run", "--models", "vit_digits,./ours.py:build")
    settings = ("--metrics", "params", "--device", "cpu")
    renamed = called(*asked, *settings, "--name", "Better=./ours.py:build", cwd=folder)
    assert renamed.code == 0 and "nothing to measure" in renamed.out, renamed
    assert "Better" in renamed.out and NAME not in renamed.out
    back = called(*asked, *settings, "--name", "./ours.py:build=./ours.py:build", cwd=folder)
    assert back.code == 0 and "Better" not in back.out and "./ours.py:build" in back.out, back
    assert {record.path: record.rounds for record in records(folder)} == before


def test_figures_show_the_name(tmp_path: Path) -> None:
    draw = random.Random(0)
    records = [
        synthetic.speed(name, synthetic.noisy(draw, at, 0.01, 8), policy=policy)
        for name in ("./ours.py:build", "vit_s16")
        for policy, at in (("fp32", 10.0), ("channels_last", 12.0))
    ]
    for record in records[:2]:
        record.names.append(NameLine(name=NAME, given="2026-01-01T00:00:00"))
    synthetic.write(tmp_path / "results" / "cpu", records)
    figure = package.report(tmp_path / "results").figure("policies")
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert NAME in texts and "./ours.py:build" not in texts


# Names


def own(name: str) -> Model:
    return Model(name=name, family="user", build=lambda: None, users=True)


NAMED = [(own("./a.py:build"), None), (models.get("vit_s16"), None), (own("b:Net"), None)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("Ours", "Theirs"), {"./a.py:build": "Ours", "b:Net": "Theirs"}),
        (("Ours=b:Net",), {"b:Net": "Ours"}),
        (("Ours=b:Net", "First"), {"b:Net": "Ours", "./a.py:build": "First"}),
        (("ViT-S/16=vit_s16",), {"vit_s16": "ViT-S/16"}),
        (("b:Net=b:Net",), {"b:Net": "b:Net"}),
    ],
)
def test_names_go_to_own_models_in_their_order_or_to_the_one_named(
    given: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert names_for(RunConfig(name=given), NAMED) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("Ours",), "1 name for 2 of your own models (./a.py:build, b:Net)"),
        (("a", "b", "c"), "3 names for 2 of your own models"),
        (("Ours=c:Net",), "Ours=c:Net names c:Net, which is no model of this run; there are"),
        (("Ours=b:Net", "Ours=./a.py:build"), "Ours is given to"),
        (("Ours=b:Net", "Mine=b:Net"), "b:Net has two names, Ours and Mine"),
        (("vit_b16=b:Net",), "vit_b16 is the name of another model"),
        (("a\x1b[31m=b:Net",), "1 to 60 printable characters, got 'a\\x1b[31m'"),
        (("=b:Net",), "1 to 60 printable characters, got ''"),
        (("x" * 61 + "=b:Net",), "1 to 60 printable characters"),
    ],
)
def test_a_name_that_tells_nothing_apart_is_refused(given: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=r"^--name: ") as caught:
        names_for(RunConfig(name=given), NAMED)
    assert words in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_name_without_an_own_model_is_one_line(tmp_path: Path) -> None:
    ended = called("run", "--models", "vit_s16", "--name", "Ours", "--device", "cpu", cwd=tmp_path)
    assert_one_line(ended, "--name", 'write "Ours=MODEL"')
    assert not list(tmp_path.glob("results/*/records/*"))


def test_two_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """A later run, or a pack of somebody's, may give a name that is taken."""
    paths = [speed_record(tmp_path, name, [1.0]) for name in ("./a.py:n", "./b.py:n", "vit_s16")]
    give(paths[:2], {"./a.py:n": "Ours", "./b.py:n": "Ours"}, "2026-01-01T00:00:00")
    expected = {"./a.py:n": "Ours (./a.py:n)", "./b.py:n": "Ours (./b.py:n)"}
    assert names_in(map(store.load, paths)) == expected
    give(paths[:1], {"./a.py:n": "vit_s16"}, "2026-01-02T00:00:00")
    found = names_in(map(store.load, paths))
    assert found == {"./a.py:n": "vit_s16 (./a.py:n)", "./b.py:n": "Ours"}


def test_a_name_is_added_once_and_behind_a_torn_line(tmp_path: Path) -> None:
    path = speed_record(tmp_path, "./a.py:n", [1.0])
    path.write_bytes(path.read_bytes() + b'{"type":"ro')
    for _ in range(2):
        give([path], {"./a.py:n": "Ours"}, "2026-01-01T00:00:00")
    record = store.load(path)
    assert [line.name for line in record.names] == ["Ours"] and not record.torn
    store.append(path, NameLine(name="Later", given="2026-01-02T00:00:00"))
    assert names_in([store.load(path)]) == {"./a.py:n": "Later"}


# Image sizes


def test_own_models_are_fitted_to_others_that_agree_and_to_the_data() -> None:
    digits, vit, mine = models.get("vit_digits"), models.get("vit_s16"), own("./a.py:build")
    config = RunConfig()

    def sizes(config: RunConfig, *found: Model) -> list[int]:
        return [model.image_size for model, _ in fitted(config, [(one, None) for one in found])]

    assert sizes(config, digits, mine) == [32, 32]
    assert sizes(config, digits, vit, mine) == [32, 224, 224]
    assert sizes(config, mine) == [224]
    assert sizes(replace(config, data="digits"), mine) == [32]
    differ = [(one, None) for one in (digits, vit, mine)]
    [said] = sizing_notes(config, fitted(config, differ))
    assert said.startswith("no ratios between image sizes: 32 pixels for vit_digits; 224 pixels")
    assert list(sizing_notes(replace(config, image_size=(64,)), differ)) == []
    assert list(sizing_notes(config, [(digits, None), (vit, None)])) == []


# The time budget


def line(model: str, policy: str = "fp32", *, renewal: float, each_round: float) -> CostLine:
    arm = SpeedArm(
        model=model,
        image_size=224,
        num_classes=1000,
        policy=policy,
        device="cpu",
        batch_size=1,
    )
    want = Want(arm, (Pace("latency"),), {})
    return CostLine(want, "test", renewal=renewal, each_round=each_round)


def test_a_budget_is_too_short_below_six_rounds_and_two_processes() -> None:
    lines = [line("a", renewal=3.0, each_round=1.0), line("b", renewal=3.0, each_round=1.0)]
    spent = Past().habits.spent
    # Two more processes take half of the budget at most: 4 x 3 s, and six rounds of 2 s beside.
    enough = max(6 * 2 * spent + 6, 12)
    assert too_short(RunConfig(time_budget=enough + 0.1), lines, Past()) is None
    text = too_short(RunConfig(time_budget=enough - 0.1), lines, Past())
    assert text is not None and "--time-budget 30 would do" in text
    assert too_short(RunConfig(), lines, Past()) is None
    assert too_short(RunConfig(time_budget=1.0, rounds=3), lines, Past()) is None
    assert too_short(RunConfig(time_budget=1.0), [], Past()) is None


def test_a_choice_of_policies_takes_longer() -> None:
    lines = [line("a", policy, renewal=3.0, each_round=1.0) for policy in ("fp32", "bf16")]
    one = too_short(RunConfig(time_budget=1.0), lines[:1], Past())
    both = too_short(RunConfig(time_budget=1.0), lines, Past())
    assert one is not None and both is not None
    proposed = [int(re.findall(r"--time-budget (\d+)", text)[0]) for text in (one, both)]
    assert proposed[1] > 2 * proposed[0]


def test_a_dry_run_says_it_too(tmp_path: Path) -> None:
    asked = ("run", "--models", "vit_s16,convmixer_768_32", "--device", "cpu", "--dry-run")
    ended = called(*asked, "--time-budget", "5", cwd=tmp_path)
    assert ended.code == 0 and "warning: --time-budget: 5 s are too few" in ended.out, ended
    assert "warning" not in called(*asked, "--time-budget", "3600", cwd=tmp_path).out


# LaTeX


def test_no_table_of_the_committed_records_speaks_of_terminals_in_a_paper() -> None:
    spoken = set()
    for machine in read_all(ROOT / "results"):
        for table in tables_of(WHOLE, machine):
            assert not FOR_TERMINALS.search(latex(table)), latex(table)
            spoken.update(filter(FOR_TERMINALS.search, table.notes))
    assert len(spoken) > 3, "the notes at a terminal still have them"


# One figure


def test_one_figure_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    machine = ROOT / "results" / "amd-epyc-2t-e074"
    ended = bench(
        *("report", "--results", machine, "--figure", "pareto_throughput_imagenet_published"),
        *("--out", "fig.pdf"),
        cwd=tmp_path,
    )
    assert ended.code == 0 and ended.out == "fig.pdf written\n", ended
    assert (tmp_path / "fig.pdf").read_bytes().startswith(b"%PDF")
    assert [path.name for path in tmp_path.iterdir()] == ["fig.pdf"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--figure", "paretto_latency"), ("--figure", "did you mean pareto_latency?", "roofline")),
        (("--figure", "layers"), ("--figure", "cannot be drawn", "run --metrics layer_time")),
        (("--figure", "pareto_latency"), ("--figure", "2 figures", "pareto_latency_digits")),
        (("--figure", "roofline_99"), ("--figure", "no 'roofline_99', but roofline_224_fp32")),
        (("--figure", "roofline", "--out", "fig.gif"), ("--out", ".pdf, .png, .svg")),
        (("--figure", "roofline", "--out", "no/fig.pdf"), ("--out", "no is not a folder")),
        (("--out", "fig.pdf"), ("--out", "add --figure")),
    ],
)
def test_a_figure_that_is_not_there_says_why(
    given: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    machine = ROOT / "results" / "amd-epyc-2t-e074"
    out = () if "--out" in given else ("--out", "fig.png")
    ended = called("report", "--results", machine, *given, *out, cwd=tmp_path)
    assert_one_line(ended, *words)
    assert not list(tmp_path.iterdir())


def test_a_figure_without_a_file_or_of_several_machines_asks(tmp_path: Path) -> None:
    asked = ("report", "--results", ROOT / "results", "--figure", "verdicts")
    assert_one_line(called(*asked, cwd=tmp_path), "--figure", "add --out verdicts.pdf")
    ended = called(*asked, "--out", "fig.svg", cwd=tmp_path)
    assert_one_line(ended, "machines have verdicts; name one by its folder", "--results")


def test_a_notebook_gets_the_same_figure() -> None:
    figure = package.report(ROOT / "results" / "amd-epyc-2t-e074").figure("scaling")
    assert figure.axes and figure._repr_png_().startswith(b"\x89PNG")


def test_a_claim_finds_a_model_by_its_name_and_by_its_own(tmp_path: Path) -> None:
    path = speed_record(tmp_path / "results" / "cpu" / "records", "./ours.py:build", [2.0] * 6)
    speed_record(path.parent, "vit_s16", [1.0] * 6)
    give([path], {"./ours.py:build": "Ours"}, "2026-01-01T00:00:00")
    for name in ("Ours", "./ours.py:build"):
        found = answer(f"{name} > vit_s16", "throughput", tmp_path / "results")
        assert [one.ratio.value for one in found.conditions] == [pytest.approx(2.0)]
