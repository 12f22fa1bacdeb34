"""Users' own models from the command line.

An edited model is measured again, an error affects only its own model, and settings hold.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.measure.machine import cores
from bench.record.arms import CountArm, SpeedArm
from bench.record.store import Record, load_folder
from tests.program import ROOT, assert_one_line, bench, called

NET = """
from torch import nn
{more}
def build(*, image_size, num_classes):
    stem = nn.Conv2d(3, {width}, 8, 8)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(stem, nn.{activation}(), *pooled, nn.Linear({width}, num_classes))
"""
REGISTERS = """from bench.plugins import Model, models
{net}
models.add(Model(name='{name}', family='mine', build=build))
"""


def net(width: int = 8, activation: str = "ReLU", more: str = "") -> str:
    return NET.format(width=width, activation=activation, more=more)


def registers(name: str, **what: object) -> str:
    return REGISTERS.format(name=name, net=net(**what))  # type: ignore[arg-type]


def records(folder: Path) -> list[Record]:
    found, damaged = load_folder(next(folder.glob("results/*/records")))
    assert not damaged
    return found


def test_an_edited_model_is_measured_anew_and_a_reformatted_one_is_not(tmp_path: Path) -> None:
    """Edit models in all places: a helper, a file of ours, a new file, a plug-in, a package."""
    clone, site, work = tmp_path / "clone", tmp_path / "site", tmp_path / "work"
    for room in ("bench", "models", "plots"):
        shutil.copytree(ROOT / room, clone / room, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (work, site / "plug-1.0.dist-info", site / "package"):
        folder.mkdir(parents=True)
    (site / "plug-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n"
    )
    (site / "plug-1.0.dist-info" / "entry_points.txt").write_text(
        "[convmixer_bench.models]\nplug = plug\n"
    )
    (site / "package" / "__init__.py").write_text("")
    (site / "package" / "nets.py").write_text("from package.blocks import build\n")
    (work / "net.py").write_text("from blocks import build\n")
    edited = {
        "./net.py:build": (work / "blocks.py", net),
        "my_net": (clone / "models" / "my_net.py", lambda **what: registers("my_net", **what)),
        "plugged": (site / "plug.py", lambda **what: registers("plugged", **what)),
        "package.nets:build": (site / "package" / "blocks.py", net),
        "./plain.py:build": (work / "plain.py", net),
    }
    path = f"{clone}:{site}"

    def measured() -> str:
        names = ",".join([*edited, "convmixer_32_2_p8"])
        ended = bench(
            *(
                "run",
                "--models",
                names,
                "--metrics",
                "params",
                "--image-size",
                "32",
                "--num-classes",
                "10",
                "--device",
                "cpu",
            ),
            cwd=work,
            env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            limit=400,
        )
        assert ended.code == 0, ended
        return ended.out

    for file, text in edited.values():
        file.write_text(text())
    assert "6 configurations measured" in measured()
    assert [
        record.arm.source for record in records(work) if record.arm.model == "convmixer_32_2_p8"
    ] == [None]  # type: ignore[union-attr]

    for file, text in edited.values():
        file.write_text(
            '"""Another docstring."""\n\n\n# and a comment\n'
            + text().replace("nn.Conv2d(", "nn.Conv2d(\n        ")
        )
    assert "nothing was measured" in measured()

    for name, (file, text) in edited.items():
        file.write_text(text(activation="GELU") if name == "./plain.py:build" else text(width=16))
    released = clone / "models" / "convmixer.py"
    released.write_text(released.read_text().replace('"gelu": nn.GELU', '"gelu": nn.SiLU'))
    out = measured()
    assert "6 configurations measured" in out
    assert out.count("3.26 k") == 4, out  # 3 * 8 * 8 * 16 + 16, and 16 * 10 + 10
    assert len(records(work)) == 12


FAULTS = """
import os, sys
import torch
from net import build as good
def at_build(num_classes): sys.exit(0)
def ends_its_process(num_classes): os._exit(0)
def interrupts(num_classes): raise KeyboardInterrupt
def raises(num_classes): raise ValueError("a reason")
def gives_a_number(num_classes): return 3
class Ends(torch.nn.Module):
    def forward(self, x): sys.exit(0)
def at_forward(num_classes): return Ends()
"""


def test_a_fault_stays_with_its_arm_and_the_exit_code_says_so(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(net())
    (tmp_path / "faults.py").write_text(FAULTS)
    (tmp_path / "ends.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "torn.py").write_text("def build(:\n")
    names = ("at_build", "ends_its_process", "interrupts", "raises", "gives_a_number", "at_forward")
    asked = ",".join(
        [
            "./ends.py:build",
            "./torn.py:build",
            *(f"./faults.py:{name}" for name in names),
            "./net.py:build",
        ]
    )
    ended = bench(
        "run",
        "--models",
        asked,
        "--metrics",
        "macs",
        "--image-size",
        "32",
        "--device",
        "cpu",
        cwd=tmp_path,
        limit=400,
    )
    assert ended.code == 1, ended
    assert "Traceback" not in ended.text, ended
    errors = {record.arm.model: record.ends[-1].error or "" for record in records(tmp_path)}
    assert errors.pop("./net.py:build") == ""
    said = {
        "./ends.py:build": "ended the program on import: sys.exit(0)",
        "./torn.py:build": "SyntaxError",
        "./faults.py:at_build": "sys.exit(0)",
        "./faults.py:ends_its_process": "died with exit code 0",
        "./faults.py:interrupts": "KeyboardInterrupt",
        "./faults.py:raises": "ValueError: a reason (faults.py, line 8)",
        "./faults.py:gives_a_number": "returned a int; it must return a torch.nn.Module",
        "./faults.py:at_forward": "called sys.exit(0) (faults.py, line 11)",
    }
    assert errors.keys() == said.keys()
    for name, words in said.items():
        assert words in errors[name]


def test_a_wrong_name_stops_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(net())
    ended = called(
        "run",
        "--models",
        "./net.py:build,./net.py:biuld",
        "--metrics",
        "params",
        "--device",
        "cpu",
        cwd=tmp_path,
    )
    assert_one_line(ended, "--models", "./net.py", "nothing called 'biuld'")
    assert not list(tmp_path.glob("results/*/records/*"))


SETS = """
import torch
import net
torch.set_num_threads(1)
torch.backends.cuda.matmul.allow_tf32 = True
torch.set_default_dtype(torch.float64)
class Calls(torch.nn.Module):
    def __init__(self, num_classes, last):
        super().__init__()
        self.net, self.calls, self.last = net.build(image_size=32, num_classes=num_classes), 0, last
    def forward(self, x):
        self.calls += 1
        if self.calls <= self.last:
            torch.set_num_threads(1)
        return self.net(x)
def at_import(num_classes): return net.build(image_size=32, num_classes=num_classes)
def at_build(num_classes):
    torch.set_flush_denormal(True)
    return at_import(num_classes)
def at_first_call(num_classes): return Calls(num_classes, 1)
def at_every_call(num_classes): return Calls(num_classes, 10**9)
"""


def test_settings_that_a_model_changes_are_set_back_or_the_arm_says_so(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(net())
    (tmp_path / "sets.py").write_text(SETS)
    names = ("at_import", "at_build", "at_first_call", "at_every_call")
    ended = bench(
        *(
            "run",
            "--models",
            ",".join(f"./sets.py:{name}" for name in names),
            "--metrics",
            "train_step",
            "--rounds",
            "1",
        ),
        *("--image-size", "32", "--num-classes", "10", "--device", "cpu"),
        cwd=tmp_path,
        limit=400,
    )
    assert ended.code == 1, ended
    found = {
        record.arm.model.partition(":")[2]: record
        for record in records(tmp_path)
        if isinstance(record.arm, SpeedArm)
    }
    assert found["at_every_call"].ends[-1].status == "failed"
    assert "threads" in (found["at_every_call"].ends[-1].error or "")
    for name in names[:3]:
        setup = found[name].runs[-1].setup
        assert found[name].ends[-1].status == "ok", found[name].ends
        assert setup["threads"] == setup["held_threads"] == cores(), setup
        assert (
            setup["held_default_dtype"],
            setup["matmul_tf32"],
            setup["held_flush_denormal"],
        ) == ("float32", False, False)
        assert "default_dtype" in str(setup["set_back"])
    assert "flush_denormal" in str(found["at_build"].runs[-1].setup["set_back"])


ODD = """
from dataclasses import dataclass
import torch
from torch import nn
from net import build as plain
@dataclass
class Output:
    features: torch.Tensor
    logits: torch.Tensor
class Returns(nn.Module):
    def __init__(self, num_classes, what):
        super().__init__()
        self.net, self.what = plain(image_size=32, num_classes=num_classes), what
    def forward(self, x):
        y = self.net(x)
        return self.what(y)
def returns_tuple(num_classes): return Returns(num_classes, lambda y: (y[:, :2], y))
def returns_dict(num_classes): return Returns(num_classes, lambda y: {"aux": y, "logits": y})
def returns_dataclass(num_classes): return Returns(num_classes, lambda y: Output(y[:, None], y))
def returns_nothing(num_classes): return Returns(num_classes, lambda y: {"features": y[:, None]})
def lazy(num_classes):
    return nn.Sequential(nn.LazyConv2d(8, 8, 8), nn.Flatten(), nn.LazyLinear(num_classes))
def double(num_classes): return plain(image_size=32, num_classes=num_classes).double()
def compiled(num_classes): return torch.compile(plain(image_size=32, num_classes=num_classes))
def scripted(num_classes): return torch.jit.script(plain(image_size=32, num_classes=num_classes))
def gray(num_classes):
    return nn.Sequential(nn.Conv2d(1, 8, 8, 8), nn.Flatten(), nn.Linear(128, num_classes))
class Shifted(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = plain(image_size=32, num_classes=num_classes)
    def forward(self, x):
        return self.net(x + torch.zeros(1, 1, 1, 32))
ready = plain(image_size=32, num_classes=10)
"""
WORKS = ("returns_dataclass", "lazy", "ready")
MORE = (*WORKS, "compiled", "returns_tuple", "returns_dict", "double", "scripted")


@pytest.mark.parametrize(
    "works",
    [
        pytest.param(WORKS, id="some"),
        pytest.param(MORE, id="all", marks=pytest.mark.exhaustive),
    ],
)
def test_models_of_all_sorts_work_or_say_what_to_do(works: tuple[str, ...], tmp_path: Path) -> None:
    """One of each kind where not all are asked for: of outputs, of weights, of compilers."""
    (tmp_path / "net.py").write_text(net())
    (tmp_path / "odd.py").write_text(ODD)
    names = [f"./odd.py:{name}" for name in (*works, "returns_nothing", "gray", "Shifted")]
    ended = bench(
        *(
            "run",
            "--models",
            ",".join([*names, "torchvision.models:mobilenet_v2"]),
            "--metrics",
            "params,train_step,latency",
        ),
        *(
            "--policies",
            "bf16",
            "--rounds",
            "1",
            "--image-size",
            "32",
            "--num-classes",
            "10",
            "--device",
            "cpu",
        ),
        cwd=tmp_path,
        limit=500,
    )
    assert ended.code == 1, ended
    assert "Traceback" not in ended.text
    counted = {
        record.arm.model
        for record in records(tmp_path)
        if isinstance(record.arm, CountArm) and record.ends[-1].status == "ok"
    }
    assert counted == {*names, "torchvision.models:mobilenet_v2"}
    failed = {}
    for record in records(tmp_path):
        if isinstance(record.arm, SpeedArm) and record.ends[-1].status != "ok":
            failed[record.arm.model.partition(":")[2], record.arm.mode] = (
                record.ends[-1].error or ""
            )
    refused = {
        (name, mode) for name in ("returns_nothing", "gray") for mode in ("inference", "training")
    }
    assert failed.keys() == refused | {("Shifted", "inference")}
    assert "a dict with features (1, 1, 10)" in failed["returns_nothing", "inference"]
    assert "nn.Conv2d(3, 1, 1)" in failed["gray", "training"]
    assert "--policies bf16_autocast" in failed["Shifted", "inference"]
