"""`bench doctor`: every check has its remedy, and noise is distinguished from quiet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bench.check import doctor
from bench.check.doctor import CheckResult, Status, examine, noise, verdict
from bench.cli.app import main


def test_this_machine_is_examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["doctor", "--device", "cpu", "--results", str(tmp_path / "none"), "--seconds", "0.5"]
    )
    shown = capsys.readouterr().out
    for what in ("Python", "torch", "timm", "disk for results", "device", "free memory", "noise"):
        assert what in shown
    assert code == ("not fit for speeds" in shown)  # beside much else it is not, and says so
    assert not (tmp_path / "none").exists()


def test_what_is_missing_has_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ray" else real(name)
    )
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    found = {one.what: one for one in examine(device="cpu", results=tmp_path, seconds=0.3)}
    assert (found["ray"].status, found["ray"].remedy) == (
        "missing",
        "pip install 'convmixer-bench[scale]'",
    )
    assert found["C++ compiler"].status == "missing"
    assert "fixed" not in verdict(list(found.values()))


def test_a_package_that_does_not_import_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor.importlib.import_module

    def broken(name: str) -> object:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    found = list(examine(device="cpu", results=tmp_path, seconds=0.3))
    [wrong] = [one for one in found if one.status == "wrong"]
    assert wrong.what == "torchvision" and "nms does not exist" in wrong.found
    assert "fixed: torchvision" in verdict(found)


def test_noise_is_told_from_quiet() -> None:
    """On a clock of our own: every call takes the same, or every third one twice as long."""
    assert noise("cpu", 2.0, _clock([1.0])).found.startswith("quiet")
    assert noise("cpu", 2.0, _clock([1.0] * 40 + [2.0] * 40)).found.startswith("noisy")


@pytest.mark.parametrize(
    ("status", "says"),
    [("ok", "ready to measure"), ("note", "usable, but noisy"), ("unfit", "not fit for speeds")],
)
def test_a_noisy_machine_is_not_called_ready(status: Status, says: str) -> None:
    """A machine with a spread of 282 % was called "ready to measure"."""
    assert verdict(
        [CheckResult("torch", "ok", "2.6"), CheckResult("noise", status, "")]
    ).startswith(says)


def test_a_reading_of_100_per_cent_is_unfit() -> None:
    assert noise("cpu", 2.0, _clock([1.0] * 40 + [2.0] * 40)).status == "unfit"


def _clock(steps: list[float]):  # type: ignore[no-untyped-def]
    state = {"now": 0.0, "at": 0}

    def now() -> float:
        state["now"] += 0.01 * steps[int(state["at"]) % len(steps)]
        state["at"] += 1
        return state["now"]

    return now


@pytest.mark.parametrize(
    "arguments",
    [["--seconds", "0"], ["--seconds", "nan"], ["--device", "tpu"], ["--device", "cuda:99"]],
)
def test_bad_flags_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and arguments[0] in error
