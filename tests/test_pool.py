"""`bench pool`: machines side by side and never mixed, on which A is faster, what is left out."""

from __future__ import annotations

import random
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest

from bench.claims.per_machine import per_machine
from bench.exchange.pool import read_pool
from bench.record.store import Record
from bench.report.pool.machines import questions, ranks_of, shared_models, side_by_side
from bench.stats.formatting import interval
from bench.stats.paired import paired_ratio

from . import synthetic
from .bad_packs import unchecked
from .pool_worlds import SPEEDS, packed, records
from .program import assert_one_line, bench, called

QUICK = {**SPEEDS, "resnet50": 18.0}
"""A machine on which the ResNet is the faster one."""
EQUAL = {**SPEEDS, "resnet50": 13.0}


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four machines: slower, faster, equal, and one that nothing may be ranked on."""
    folder = tmp_path_factory.mktemp("pool") / "packs"
    packed(folder, "a-slower", records("a-slower"))
    packed(folder, "b-faster", records("b-faster", QUICK))
    packed(folder, "c-equal", records("c-equal", EQUAL, spread=0.02))
    packed(folder, "d-unchecked", records("d-unchecked", QUICK, pair=False))
    return folder


def words(text: str) -> str:
    return " ".join(text.split())


def test_each_machine_answers_for_itself(packs: Path) -> None:
    """By the real command: the answer first, each ratio with its interval, who takes no part."""
    ended = bench(
        "pool", packs, "--claim", "resnet50 > vit_s16", cwd=packs.parent, env={"COLUMNS": "80"}
    )
    assert ended.code == 0 and ended.err == "", ended
    first, *_ = ended.out.split("\nfaster on")
    assert words(first) == (
        "resnet50 is faster than vit_s16 on 1 of 3 machines, slower on 1 (throughput)"
    )
    said = words(ended.out)
    assert "faster on: b-faster slower on: a-slower can't tell: c-equal" in said
    assert "takes no part: d-unchecked (unchecked: there is no A/A check)" in said
    table = {line.split()[0]: words(line) for line in ended.out.splitlines() if line[1:2] == "-"}
    assert table["b-faster"].startswith("b-faster 1.38 [1.3")
    assert table["b-faster"].endswith("] faster")
    assert table["d-unchecked"].endswith("] no part")
    assert max(map(len, ended.out.splitlines())) <= 80


def test_ratios_are_those_of_each_machine_alone(packs: Path, tmp_path: Path) -> None:
    together = {
        one.machine: one
        for one in per_machine(
            "resnet50", "vit_s16", "throughput", read_pool(packs).summaries
        ).machines
    }
    for name, answer in together.items():
        alone = tmp_path / name
        alone.mkdir()
        shutil.copy(packs / f"{name}.zip", alone)
        [machine] = read_pool(alone).machines
        rows = {row.model: row for row in machine.summary.rows}
        [quantity] = rows["vit_s16"].fair
        ratio = paired_ratio(rows["resnet50"].fair[quantity], rows["vit_s16"].fair[quantity])
        [compared] = answer.compared
        assert compared.condition.ratio == ratio
        assert interval(ratio)


def test_a_lower_latency_is_faster(tmp_path: Path) -> None:
    packed(tmp_path / "p", "m", records("m", {"one": 0.1, "other": 0.2}, metric="latency"))
    folder = read_pool(tmp_path / "p")
    answer = per_machine("one", "other", "latency", folder.summaries)
    assert [machine.word for machine in answer.machines] == ["faster"]
    [(question, machines)] = questions(folder.summaries).items()
    ranks = ranks_of(machines[0], question.quantity)
    assert {key[0]: str(rank) for key, rank in ranks.items()} == {"one": "1", "other": "2"}


def test_many_comparisons_are_corrected_together(tmp_path: Path) -> None:
    """A machine whose interval just misses 1 is decided alone, and not among ten others."""
    close = records("m0", {"one": 13.0, "other": 13.03}, spread=0.0025)
    packed(tmp_path / "alone", "m0", close)
    packed(tmp_path / "many", "m0", close)
    for number in range(1, 9):
        equal = records(f"m{number}", {"one": 13.0, "other": 13.0}, spread=0.02)
        packed(tmp_path / "many", f"m{number}", equal)
    found = []
    for folder in ("alone", "many"):
        summaries = read_pool(tmp_path / folder).summaries
        found.append(per_machine("other", "one", "throughput", summaries).machines[0])
    alone, among = (machine.compared[0] for machine in found)
    assert alone.condition.ratio == among.condition.ratio
    assert (alone.condition.ratio.low or 0) > 1
    assert (alone.outcome, among.outcome) == ("faster", "can't tell")


def test_machines_stand_side_by_side_with_ranks_of_their_own(packs: Path) -> None:
    pool = read_pool(packs)
    names = [machine.name for machine in pool.machines]
    assert names == ["a-slower", "b-faster", "c-equal", "d-unchecked"]
    [(question, machines)] = questions(pool.summaries).items()
    models = shared_models(machines)
    [table] = side_by_side(question, machines, pool.summaries, models=models, width=200)
    assert table.headers == [
        "model",
        *("m1 img/s", "m1 rank of 3", "m2 img/s", "m2 rank of 3"),
        *("m3 img/s", "m3 rank of 3", "m4 img/s"),
    ]
    rows = {row[0].text: row for row in table.cells}
    assert [rows[model][2].text for model in SPEEDS] == ["1", "2", "3"]
    assert [rows[model][4].text for model in SPEEDS] == ["2", "1", "3"]
    assert [rows[model][6].text for model in SPEEDS] == ["1–2", "1–2", "3"]
    assert any("m4 has no ranks: unchecked" in note for note in table.notes)
    # A value is that of its machine: none lies between two of them.
    for model, row in rows.items():
        for place, truth in ((1, SPEEDS), (3, QUICK), (7, QUICK)):
            assert row[place].value == pytest.approx(truth[model], rel=0.01)
    narrow = list(side_by_side(question, machines, pool.summaries, models=models, width=80))
    assert [len(table.columns) for table in narrow] == [5, 4]


def with_pair(name: str, first: list[float], second: list[float]) -> list[Record]:
    """Records of a machine on which the ResNet is faster, with these values of its A/A pair."""
    found = records(name, QUICK, pair=False)
    for model, values in (("vit_s16", first), ("deit_s16", second)):
        pair = synthetic.speed(model, values, policy="channels_last", role="sentinel")
        pair.runs = [
            msgspec.structs.replace(run, machine=found[0].runs[0].machine) for run in pair.runs
        ]
        found.append(pair)
    return found


def test_a_machine_graded_do_not_use_is_shown_and_takes_no_part(tmp_path: Path) -> None:
    draw = random.Random(2)
    noise = [synthetic.noisy(draw, 10.0, 0.5, 8) for _ in range(2)]
    packed(tmp_path / "packs", "wide", with_pair("wide", *noise))
    packed(tmp_path / "packs", "good", records("good"))
    ended = called("pool", "packs", "--claim", "resnet50 > vit_s16", cwd=tmp_path)
    assert ended.code == 0, ended
    assert "takes no part: wide (do not use: differences below" in words(ended.out)
    assert "of 1 machine, slower on 1" in words(ended.out)
    shown = words(called("pool", "packs", cwd=tmp_path).out)
    assert "m2 img/s" in shown and "m2 rank" not in shown
    assert "m2 has no ranks: do not use" in shown


def test_a_pack_that_verify_refuses_for_its_machine_is_left_out(tmp_path: Path) -> None:
    """An A/A pair that is 8 % off: what `verify` refuses, no pool has."""
    steady = [10.0, 10.01] * 4
    off = [1.08 * value for value in steady]
    packed(tmp_path / "packs", "good", records("good"))
    synthetic.write(tmp_path / "source" / "bad", with_pair("bad", steady, off))
    unchecked(tmp_path / "source", tmp_path / "packs" / "bad.zip")
    assert called("verify", "packs/bad.zip", cwd=tmp_path).code == 1
    ended = called("pool", "packs", "--claim", "resnet50 > vit_s16", cwd=tmp_path)
    assert ended.code == 2 and "packs/bad.zip: left out: bad: the A/A pair" in ended.err
    assert "of 1 machine, slower on 1" in words(ended.out)


# Packs


def test_packs_that_fail_are_named_and_left_out(packs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    shutil.copytree(packs, folder)
    (folder / "text.zip").write_text("no pack")
    (folder / "ignored.txt").write_text("no pack either")
    with zipfile.ZipFile(folder / "b-faster.zip", "a") as archive:
        archive.writestr("b-faster/visit/steps.ndjson", "{}\n")
    ended = bench("pool", folder, "--claim", "resnet50 > vit_s16", cwd=tmp_path)
    assert ended.code == 2, ended
    lines = ended.err.splitlines()
    assert len(lines) == 2 and all(line.startswith("bench: ") for line in lines), ended
    assert "b-faster.zip: left out: b-faster/visit/steps.ndjson: in the pack and not in" in lines[0]
    assert "text.zip is not a pack" in lines[1]
    assert "b-faster" not in ended.out and "on none of 2 machines" in words(ended.out)


def test_parts_of_one_machine_are_put_together_and_conflicts_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    whole = records("one")
    packed(folder, "one", whole[:2], file="part1")
    packed(folder, "one", whole[1:], file="part2")
    pool = read_pool(folder)
    [machine] = pool.machines
    assert (pool.packs, pool.left_out, list(machine.packs)) == (2, [], ["part1.zip", "part2.zip"])
    assert {row.model for row in machine.summary.rows} >= set(SPEEDS)
    [quantity] = machine.summary.rows[0].fair
    assert all(len(row.fair[quantity]) == 12 for row in machine.summary.rows[:3])
    packed(folder, "one", records("one", QUICK, seed=1), file="part3")
    pool = read_pool(folder)
    assert pool.packs == 2 and len(pool.left_out) == 1
    assert "part3.zip: left out: one/records/" in str(pool.left_out[0])
    assert "is another record in part" in str(pool.left_out[0])


def test_a_record_that_went_on_counts_whichever_pack_comes_first(tmp_path: Path) -> None:
    """As `unpack` has it: the longer version of a record."""
    for short, long in (("a", "b"), ("b", "a")):
        folder = tmp_path / f"{short}{long}"
        packed(folder, "one", records("one"), file=long)
        source = tmp_path / f"{folder.name}_sources" / long
        cut = shutil.copytree(source, tmp_path / f"{folder.name}_cut")
        for path in cut.glob("one/records/*.speed.*.jsonl"):
            path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:8]))
        unchecked(cut, folder / f"{short}.zip")
        pool = read_pool(folder)
        assert (pool.packs, pool.left_out) == (2, [])
        [machine] = pool.machines
        by_model = {row.model: row for row in machine.summary.rows}
        [quantity] = by_model["mixer_b16"].fair
        assert len(by_model["mixer_b16"].fair[quantity]) == 12


def test_two_machines_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    packed(folder, "box", records("box", {"one": 1.0, "other": 2.0}), file="mine")
    theirs = records("elsewhere", {"third": 1.0, "fourth": 2.0})
    packed(folder, "box", theirs, file="theirs")
    pool = read_pool(folder)
    assert [machine.name for machine in pool.machines] == ["box"]
    [error] = pool.left_out
    assert "theirs.zip: left out: its box is another machine than that of mine.zip" in str(error)


def test_one_machine_in_two_folders_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    packed(folder, "first", records("same"))
    packed(folder, "second", records("same", QUICK))
    ended = called("pool", folder, cwd=tmp_path)
    assert "note: second is the same machine as first, in another folder" in words(ended.out)


def test_a_folder_without_packs_and_a_claim_of_nobody_are_one_line(
    packs: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    cases = {
        ("nowhere",): "nowhere is not a folder",
        ("empty",): "contains no pack",
        (packs, "--claim", "resnet5O > vit_s16"): "'resnet5O'; did you mean resnet50?",
        (packs, "--claim", "resnet50"): "--claim: 'resnet50' is not a comparison",
        (packs, "--claim", "resnet50 > resnet50"): "names resnet50 twice",
        (packs, "--on", "top1"): "--on",
        (packs, "--on", "latency"): "--on: is for a comparison; add --claim",
        (packs, "--claim", ""): "--claim: '' is not a comparison",
    }
    for arguments, phrase in cases.items():
        assert_one_line(called("pool", *arguments, cwd=tmp_path), phrase)


def test_all_shows_what_one_machine_measured(tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    packed(folder, "one", records("one", {**SPEEDS, "only_here": 3.0}))
    packed(folder, "two", records("two"))
    brief = called("pool", folder, cwd=tmp_path)
    assert "only_here" not in brief.out and "1 model that only one machine timed" in brief.out
    assert "only_here" in called("pool", folder, "--all", cwd=tmp_path).out
