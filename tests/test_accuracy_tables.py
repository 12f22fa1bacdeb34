"""Accuracy tables from records alone.

Seeds are grouped, protocols kept apart, failures named, and two sets of weights compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.stats import t

from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.analysis.weights import find, rows_of, spelled
from bench.errors import UsageError
from bench.plugins import figures
from bench.record import store
from bench.record.arms import AccuracyArm
from bench.record.arrays import write_arrays
from bench.record.reading import read_folder
from bench.record.schema import About, EndLine, RoundLine, RunLine, Sample
from bench.record.store import load_folder
from bench.report.figures import drawings
from bench.report.table import Table
from bench.report.tables.accuracies import accuracy, training_cost, views
from bench.report.tables.weights import compare
from bench.stats import lr_search
from bench.stats.intervals import mcnemar, mean_of_seeds

from . import synthetic
from .conftest import MACHINE
from .program import bench


def write(
    folder: Path,
    model: str,
    correct: int,
    *,
    images: int = 200,
    status: Any = "ok",
    commonest: float = 0.1,
    spread: Any = None,
    **changes: Any,
) -> Path:
    """One accuracy record: the first `correct` images right, and a curve that rises to that."""
    common: dict[str, Any] = {
        "model": model,
        "image_size": 32,
        "num_classes": 10,
        "data": "digits",
        "split": "test",
        "transform": "crop 1",
    }
    recipe = {
        "recipe": "digits",
        "recipe_hash": "abc",
        "tuning": "as is",
        "equalise": "epochs",
        "policy": "fp32",
        "seed": 0,
    }
    arm = AccuracyArm(**(common | recipe | changes))
    path = store.create(
        folder / "records", arm, {"protocol": 2}, About(family=model.partition("_")[0])
    )
    store.append(
        path,
        RunLine(run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE),
    )
    if status == "ok":
        detail: dict[str, Any] = {
            "correct": correct,
            "images": images,
            "top5_correct": images,
            "split": "as it is",
        }
        detail |= {
            "train_s": 10.0,
            "epochs": 20.0,
            "steps": 400,
            "images_per_s": 2560.0,
            "peak_memory_bytes": 5e7,
        }
        detail["commonest_class"] = commonest
        if spread:
            detail["spread"] = spread
        right = np.arange(images) < correct
        steps = np.arange(20, 401, 20)
        arrays = {
            "correct": right,
            "select_step": steps,
            "select_seconds": steps / 40,
            "learning_rate": np.ones(400),
        }
        arrays |= {"select_top1": correct / images * steps / 400, "loss": 1 / (1 + np.arange(400))}
        sample = Sample(
            metric="top1", unit="share", better="higher", values=[correct / images], detail=detail
        )
        store.append(
            path,
            RoundLine(run="r1", round=1, samples=[sample], arrays=write_arrays(path, "r1", arrays)),
        )
    store.append(
        path,
        EndLine(
            run="r1",
            status=status,
            metrics=["top1"],
            error=None if status == "ok" else "the loss was nan at step 7",
        ),
    )
    return path


def curves(path: Path, looks: int, steps: int = 400) -> None:
    """Replace the arrays of a record by curves of another length."""
    several, each = np.arange(looks), np.random.default_rng(0).random(steps)
    arrays = {"loss": each, "learning_rate": each, "select_step": several}
    write_arrays(
        path, "r1", arrays | {"select_seconds": several, "select_top1": several / (2 * looks)}
    )


def summary(folder: Path) -> Summary:
    records, damaged = load_folder(folder / "records")
    assert not damaged
    return summarise(records)


def by_title(tables: list[Table], words: str) -> Table:
    [found] = [table for table in tables if words in table.title]
    return found


def test_seeds_with_other_evaluations_have_no_mean_with_the_first(tmp_path: Path) -> None:
    """A training run of a million steps, or of many evaluations, does not take minutes to draw."""
    for seed, evaluations in enumerate((20, 20, 5)):
        path = write(tmp_path, "vit_digits", 150, seed=seed)
        curves(path, evaluations)
    drawn = figures.get("learning_curves").draw(summary(tmp_path))
    [axes] = next(one for name, one in drawn.items() if name.startswith("curves_epochs")).axes
    assert [line.get_label() for line in axes.lines] == ["vit_digits (2 of 3 seeds)"]
    curves(path, 20_000)
    assert "more than 10,000 evaluations" in str(read_folder(tmp_path / "records")[1][0])
    for path in (tmp_path / "records").glob("*.jsonl"):
        curves(path, 5, steps=1_000_000)
    [axes] = figures.get("schedules").draw(summary(tmp_path))["schedules"].axes
    assert all(len(line.get_xdata()) <= 2_000 for line in axes.lines)


def test_seeds_are_put_together_with_students_interval(tmp_path: Path) -> None:
    values = [180, 190, 184]
    for seed, correct in enumerate(values):
        write(tmp_path, "vit_a", correct, seed=seed)
    write(tmp_path, "mixer_b", 150)
    [table] = accuracy(summary(tmp_path))
    assert [row[0] for row in table.rows] == ["vit_a", "mixer_b"]
    shares = [value / 2 for value in values]
    half = t.ppf(0.975, 2) * np.std(shares, ddof=1) / np.sqrt(3)
    mean = np.mean(shares)
    assert table.rows[0][3] == f"{mean:.1f} [{mean - half:.1f}, {min(100, mean + half):.1f}]"
    assert table.rows[0][5] == "3"
    assert any("Student's t" in note for note in table.notes)
    assert mean_of_seeds([0.5]).low is None


def test_protocols_never_share_a_table(tmp_path: Path) -> None:
    write(tmp_path, "vit_a", 180)
    write(tmp_path, "vit_a", 181, recipe="other", recipe_hash="def")
    write(tmp_path, "vit_a", 182, recipe_hash="ghi")
    write(tmp_path, "vit_a", 183, tuning=lr_search.PROTOCOL, learning_rate=0.001)
    write(tmp_path, "vit_a", 184, equalise="macs", epochs=31.5)
    write(tmp_path, "vit_a", 185, data="cifar10")
    write(
        tmp_path,
        "vit_a",
        186,
        recipe=None,
        recipe_hash=None,
        tuning=None,
        equalise=None,
        policy=None,
        seed=None,
        weights="in1k",
    )
    tables = list(accuracy(summary(tmp_path)))
    assert len(tables) == 7
    assert all(len(table.rows) == 1 for table in tables)
    assert "rate" in by_title(tables, "learning rate").headers
    assert "epochs" in by_title(tables, "equal macs").headers


def test_a_search_tells_where_its_choice_lies_and_its_trials_are_no_rows(tmp_path: Path) -> None:
    for rate, correct in ((0.001, 100), (0.002, 120), (0.004, 170)):
        write(tmp_path, "vit_a", correct, split="select", tuning="trial", learning_rate=rate)
    write(
        tmp_path, "vit_a", 0, split="select", tuning="trial", learning_rate=0.008, status="diverged"
    )
    write(tmp_path, "vit_a", 175, tuning=lr_search.PROTOCOL, learning_rate=0.004)
    write(tmp_path, "mixer_b", 175, tuning=lr_search.PROTOCOL, learning_rate=0.004)
    write(tmp_path, "mixer_b", 175, split="select", tuning="trial", learning_rate=0.004)
    [table] = accuracy(summary(tmp_path))
    assert len(table.rows) == 2
    assert (
        "vit_a: rate 0.004 chosen on the validation split from 4 between 0.001 and 0.008, "
        "1 of which diverged or failed" in table.notes
    )
    assert any(
        note.startswith("mixer_b") and note.endswith("it is on the edge of those tried")
        for note in table.notes
    )


def test_diverged_and_at_chance_are_rows_with_that_status(tmp_path: Path) -> None:
    write(tmp_path, "vit_a", 24)
    write(tmp_path, "mixer_b", 0, status="diverged")
    write(tmp_path, "mixer_b", 180, seed=1)
    write(tmp_path, "resnet_c", 0, status="diverged")
    [table] = accuracy(summary(tmp_path))
    cells = {row[0]: row[3] for row in table.rows}
    assert cells["vit_a"].endswith("(at chance)")
    assert cells["mixer_b"].endswith("(1 diverged)")
    assert cells["resnet_c"] == "diverged"
    assert "resnet_c seed 0: diverged: the loss was nan at step 7" in table.notes
    assert any(note.startswith("vit_a seed 0: at chance") for note in table.notes)


def test_always_the_commonest_class_is_at_chance_too(tmp_path: Path) -> None:
    write(tmp_path, "vit_a", 180, commonest=0.9)
    [table] = accuracy(summary(tmp_path))
    assert table.rows[0][3].endswith("(at chance)")
    assert any(
        "always answering the most frequent of 10 classes, with 90.0% of the test images" in note
        for note in table.notes
    )


def test_what_it_costs_to_come_to_an_accuracy(tmp_path: Path) -> None:
    """The curve rises evenly to 90 % over 20 epochs of 1280 images.

    Half of the images are right after 5/9 of them.
    """
    write(tmp_path, "vit_a", 180)
    [table] = training_cost(summary(tmp_path))
    assert [row[1] for row in table.rows] == ["50%", "70%", "80%", "90%"]
    assert table.rows[0][2:4] == ["12.0", "6.00"]
    assert table.rows[-1][2:4] == ["20.0", "10.0"]
    assert any("another, worse training" in note for note in table.notes)


def test_other_views_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    none = {
        "recipe": None,
        "recipe_hash": None,
        "tuning": None,
        "equalise": None,
        "policy": None,
        "seed": None,
    }
    write(
        tmp_path,
        "vit_a",
        180,
        weights="in1k",
        spread={"crop 1, bicubic, 32 px": 0.91, "crop 0.9, bicubic, 32 px": 0.88},
        **none,
    )
    [table] = views(summary(tmp_path))
    assert table.rows == [["vit_a@in1k", "90.00", "88.00", "91.00", "3.00"]]


def test_two_views_of_the_same_weights_are_two_rows_and_no_seeds(tmp_path: Path) -> None:
    none = {
        "recipe": None,
        "recipe_hash": None,
        "tuning": None,
        "equalise": None,
        "policy": None,
        "seed": None,
    }
    for transform, size, correct in (
        ("crop 1", 224, 100),
        ("crop 0.9", 224, 120),
        ("crop 0.9", 288, 140),
    ):
        write(
            tmp_path, "vit_a", correct, weights="in1k", transform=transform, image_size=size, **none
        )
    write(tmp_path, "vit_b", 90, weights="in1k", **none)
    [table] = accuracy(summary(tmp_path))
    names = [
        "vit_a@in1k at 288 px, crop 0.9",
        "vit_a@in1k at 224 px, crop 0.9",
        "vit_a@in1k at 224 px, crop 1",
        "vit_b@in1k",
    ]
    assert [line[0] for line in table.rows] == names
    assert [line[-1] for line in table.rows] == [
        f"{correct} / 200" for correct in (140, 120, 100, 90)
    ]


def test_figures_of_trainings_are_drawn(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, "vit_a", 180 + seed, seed=seed)
        write(tmp_path, "mixer_b", 120 + seed, seed=seed)
    found = summary(tmp_path)
    assert set(drawings(figures.get("learning_curves"), found)) == {
        "curves_epochs_digits_digits",
        "curves_seconds_digits_digits",
    }
    assert set(drawings(figures.get("schedules"), found)) == {"schedules"}


# Two sets of weights


def test_mcnemar_is_the_binomial_test_of_the_disagreements() -> None:
    left, right = (
        [True] * 50 + [False] * 20 + [True] * 130,
        [False] * 50 + [True] * 20 + [True] * 130,
    )
    found = mcnemar(left, right)
    assert (found.only_left, found.only_right) == (50, 20)
    assert found.p == pytest.approx(0.000437, abs=2e-5)
    assert found.difference.value == pytest.approx(0.15)
    assert found.difference.low is not None and found.difference.low > 0.07
    assert mcnemar([True, False], [True, False]).p == 1.0


def test_two_sets_of_weights_are_compared_and_called_that(tmp_path: Path) -> None:
    folder = tmp_path / "machine"
    write(folder, "vit_a", 180)
    write(folder, "vit_a", 150, seed=1)
    write(folder, "mixer_b", 178)
    write(folder, "mixer_b", 100, images=150, data="folder:/x")
    rows, _ = rows_of(tmp_path, None)
    table = compare(find("vit_a@seed=0", rows), find("vit_a@seed=1", rows))
    assert [row[2] for row in table.rows] == ["30", "0"]
    assert "they differ at 5 %" in table.notes[0]
    assert "not two architectures" in table.notes[1]
    close = compare(
        find("vit_a@seed=0", rows), find("mixer_b@seed=0", rows_of(tmp_path, "digits")[0])
    )
    assert "statistically tied" in close.notes[0]
    with pytest.raises(
        UsageError, match=r"'vit_a' means 2 sets of weights; name one by its key: vit_a@seed=0 \("
    ):
        find("vit_a", rows)
    with pytest.raises(UsageError, match="no evaluated weights 'vit_z'; there are"):
        find("vit_z", rows)
    [other] = rows_of(tmp_path, "folder:/x")[0]
    with pytest.raises(UsageError, match="was tested on digits and mixer_b@seed=0 on folder:/x"):
        compare(find("vit_a@seed=0", rows), other)
    assert spelled(other) == "mixer_b@seed=0"


def test_a_damaged_file_of_answers_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "machine", "vit_a", 180)
    write(tmp_path / "machine", "mixer_b", 170)
    [sidecar] = path.parent.glob(f"{path.stem}*.npz")
    sidecar.write_bytes(sidecar.read_bytes()[:100])
    rows, [damaged] = rows_of(tmp_path, None)
    assert [spelled(row) for row in rows] == ["mixer_b@seed=0"]
    assert path.name in str(damaged) and "npz: cannot be read" in str(damaged)


@pytest.mark.parametrize("file", [3, {"left_out": 3}, {"stored_as": [1]}, {"entry": []}])
def test_what_was_taken_of_a_file_is_checked_before_it_is_shown(file: Any) -> None:
    detail = {"correct": 1, "images": 2, "file": file}
    with pytest.raises(ValueError, match="file"):
        Sample(metric="top1", unit="share", better="higher", values=[0.5], detail=detail)


def test_trainings_outlive_an_update_of_the_system_and_hide_no_speeds() -> None:
    """A training counts in every state of its machine; its time is that of one state."""
    made = [
        synthetic.training("vit_s16", seed, 50.0, data="digits", recipe="digits_small")
        for seed in (0, 1)
    ]
    later = msgspec.structs.replace(MACHINE, versions={"torch": "2.15.0"})
    made[1].runs = [
        msgspec.structs.replace(run, machine=later, started="2030-01-01") for run in made[1].runs
    ]
    summary = summarise([synthetic.speed("vit_s16", [10.0] * 8), *made])
    assert [row.model for row in summary.rows] == ["vit_s16"]
    assert summary.machine.versions == MACHINE.versions
    assert [row.top1.value for row in summary.accuracies if row.top1] == [0.5, 0.5]
    assert [row.says("train_s") for row in summary.accuracies] == [10.0, None]
    assert any("different versions" in note and "2.15.0" in note for note in summary.notes)
    [table] = accuracy(summary)
    assert any("no times" in note for note in table.notes)


def test_a_training_is_not_repeated_in_another_state_of_the_machine(tmp_path: Path) -> None:
    """How threads wait is part of the state; a training is found all the same."""
    asked = ("run", "--models", "vit_digits", "--metrics", "top1", "--data", "digits")
    asked = (*asked, "--recipe", "digits_small:epochs=1")
    first = bench(*asked, cwd=tmp_path)
    assert first.code == 0, first
    again = bench(*asked, cwd=tmp_path, env={"OMP_WAIT_POLICY": "passive"})
    assert again.code == 0, again
    assert "nothing to measure" in again.text, again
