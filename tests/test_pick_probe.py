"""`bench pick --data`: heads on frozen features of weights at hand, each outcome a record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from bench.analysis.machines import read
from bench.errors import UsageError
from bench.pick import probe
from bench.pick.answer import answer
from bench.pick.candidates import Candidate, field_of
from bench.pick.draws import Evidence
from bench.pick.limits import Limits
from bench.pick.probe import Features, Prober, at_hand, classifier, head, probed
from bench.report.tables.accuracies import accuracy
from bench.run.session import Session

from .conftest import FakeWorkers, Silent
from .pick_worlds import candidate, timed
from .program import assert_one_line, called
from .test_pick import rounds, speeds

TAG = "resnet18.a1_in1k"


def pictures(folder: Path) -> Path:
    """Red and blue pictures, with some noise: a head on any features tells them apart."""
    draw = np.random.default_rng(0)
    for split, number in (("train", 24), ("val", 12)):
        for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            place = folder / split / name
            place.mkdir(parents=True)
            for at in range(number):
                noise = draw.integers(-20, 20, (16, 16, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{at}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of one candidate, in a file named as timm names them."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(timm.create_model("resnet18").state_dict(), folder / f"{TAG}.safetensors")
    return folder


def candidates(*names: str) -> list[Candidate]:
    found = field_of(names, Limits(latency=1.0), by_published=False, needs_published=False)
    return found.candidates


def test_weights_are_found_by_timms_name_and_what_is_missing_is_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "try_to_load_from_cache", lambda name, file: None)
    ready, missing = at_hand(candidates("resnet18", "vit_ti16"), weights)
    assert [(one.candidate.name, one.tag) for one in ready] == [("resnet18", "a1_in1k")]
    assert [one.names for one in missing] == [("vit_ti16",)]
    with pytest.raises(UsageError, match="no weights are at hand of 1 candidates"):
        at_hand(candidates("resnet18"), tmp_path)
    cached = tmp_path / "model.safetensors"
    monkeypatch.setattr(probe, "try_to_load_from_cache", lambda name, file: str(cached))
    ready, missing = at_hand(candidates("resnet18"), None)
    assert ready[0].path == cached and not missing


def test_a_probe_is_a_record_and_is_not_measured_again(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"folder:{pictures(tmp_path / 'images')}"
    session = Session.start(tmp_path / "results", "cpu", Silent(), FakeWorkers(speeds).open)
    ready, _ = at_hand(candidates("resnet18"), weights)
    prober = Prober(data=data, session=session, ready=ready)
    found = prober.probe(["resnet18"])["resnet18"]
    assert len(found.right) == 24 and found.top1.value > 0.9

    def refuse(*arguments: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(probe, "head", refuse)
    again = prober.probe(["resnet18"])["resnet18"]
    assert again == found
    [table] = accuracy(read(session.folder).summary)
    assert "head on frozen features" in table.title
    assert table.rows[0][0] == "resnet18@a1_in1k"


def test_weights_of_another_model_are_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "resnet34.a1_in1k.safetensors").write_bytes(
        (weights / f"{TAG}.safetensors").read_bytes()
    )
    session = Session.start(tmp_path / "results", "cpu", Silent(), FakeWorkers(speeds).open)
    ready, _ = at_hand(candidates("resnet34"), tmp_path)
    data = f"folder:{pictures(tmp_path / 'images')}"
    with pytest.raises(UsageError, match="cannot be loaded into resnet34"):
        Prober(data=data, session=session, ready=ready).probe(["resnet34"])


def test_the_penalty_is_chosen_on_the_validation_split_alone() -> None:
    """Test labels that are all wrong change the outcome, and not the penalty."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 2
    inputs = torch.randn(120, 8, generator=draw) + 2 * labels[:, None]
    train, select = (inputs[:80], labels[:80]), (inputs[80:100], labels[80:100])
    right = head(Features(train, select, (inputs[100:], labels[100:])), 2)
    wrong = head(Features(train, select, (inputs[100:], 1 - labels[100:])), 2)
    assert right.penalty == wrong.penalty
    assert right.right.mean() == 1 - wrong.right.mean() and right.right.mean() > 0.9


def test_the_classifier_is_the_last_linear_layer() -> None:
    model = timm.create_model("resnet18")
    assert classifier(model) is model.fc
    with pytest.raises(UsageError, match="no linear layer"):
        classifier(nn.Sequential(nn.ReLU()))


def test_a_probe_takes_the_place_of_published_top1() -> None:
    both = [candidate("better", []), candidate("worse", [])]
    evidence = Evidence(
        timed={one.name: timed(rounds(0.03)) for one in both},
        probed={
            "better": probed([True] * 90 + [False] * 10),
            "worse": probed([True] * 60 + [False] * 40),
        },
    )
    found = answer(both, evidence, Limits(latency=0.06), "top1")
    assert found.by_probe and found.likeliest is not None
    assert found.likeliest.candidate.name == "better"
    assert found.likeliest.best is not None and found.likeliest.best > 0.99


def test_the_command_says_what_is_missing_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "try_to_load_from_cache", lambda name, file: None)
    data = f"folder:{pictures(tmp_path / 'images')}"
    flags = ("--max-latency", "1s", "--candidates", "resnet18", "--device", "cpu")
    ended = called("pick", *flags, "--data", data, cwd=tmp_path)
    assert_one_line(ended, "--data: no weights are at hand", f"{TAG}.safetensors", "--weights")
    ended = called("pick", *flags, "--data", data, "--weights", "nowhere", cwd=tmp_path)
    assert_one_line(ended, "--weights: nowhere is not a folder")
