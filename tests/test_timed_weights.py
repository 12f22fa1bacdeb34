"""Timed weights are like trained ones: no block adds zeros, in any family.

Training and users' own weights are unaffected.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from bench.analysis.summary import summarise
from bench.count.timed_weights import as_trained
from bench.measure.subject import SPEED_SETTINGS, open_subject
from bench.plugins import models
from bench.record import schema, store, values
from bench.record.arms import SpeedArm
from bench.record.schema import About, EndLine, RoundLine, RunLine, Sample

from .conftest import MACHINE
from .program import bench

FAMILIES = (
    "convmixer_digits",
    "vit_digits",
    "mixer_digits",
    "resnet_digits",
    "resmlp_s12",
    "skeleton_64_2_depthwise_p8",
)
OTHERS = (
    *(
        "convnext_atto",
        "convnextv2_atto",
        "eca_nfnet_l0",
        "regnety_002",
        "levit_128s",
        "cait_xxs24_224",
        "poolformer_s12",
    ),
    *(
        "swinv2_cr_tiny_ns_224",
        "gmlp_s16_224",
        "efficientformer_l1",
        "deit3_small_patch16_224",
        "mobilenetv3_small_100",
    ),
)


def silent(model: nn.Module, images: Tensor) -> list[str]:
    """Return layers whose output is (almost) nothing of their input; "logits" for the logits."""
    found = []

    def look(name: str, module: nn.Module) -> None:
        def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if float(output.std()) < 1e-4 * float(inputs[0].std()):
                found.append(name)

        if not list(module.children()) and list(module.parameters()):
            module.register_forward_hook(note)

    for name, module in model.named_modules():
        look(name, module)
    with torch.no_grad():
        logits = model.eval()(images)
    assert torch.isfinite(logits).all()
    assert float(logits.abs().max()) < 6e4, "float16 has nothing larger"
    return [*found, *(["logits"] if float(logits.std()) < 1e-4 else [])]


@pytest.mark.parametrize("name", FAMILIES)
def test_no_layer_of_any_family_is_timed_silent(name: str) -> None:
    def made() -> nn.Module:
        torch.manual_seed(0)
        return models.get(name).build(image_size=32, num_classes=10)

    images = torch.randn(2, 3, 32, 32)
    if name.startswith(("resnet", "mixer", "resmlp")):
        assert silent(made(), images), "else this shows nothing"
    model = made()
    arm = SpeedArm(
        model=name, image_size=32, num_classes=10, policy="fp32", device="cpu", batch_size=2
    )
    one = open_subject(arm, device="cpu", seed=0, build=lambda: model, progress=lambda text: None)
    setup = one.ready()
    assert silent(model, images) == []
    assert (setup["weights_scales"], setup["steady"] is not None) == (
        one.weights["weights_scales"],
        True,
    )
    assert one.weights["weights_statistics"] == sum(
        isinstance(module, nn.BatchNorm2d) for module in model.modules()
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", OTHERS)
def test_no_layer_of_timm_s_architectures_is_timed_silent(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name)
    size = model.default_cfg["input_size"][-1]
    as_trained(model, image_size=size, seed=0)
    # gMLP's gates are drawn near zero, with a shift of 1: not constant, and open.
    assert [
        one for one in silent(model, torch.randn(2, 3, size, size)) if "gate.proj" not in one
    ] == []


def test_the_same_seed_gives_the_same_weights_and_what_was_trained_stays() -> None:
    def made() -> nn.Module:
        torch.manual_seed(0)
        return models.get("resnet_digits").build(image_size=32, num_classes=10)

    one, other, third = made(), made(), made()
    assert as_trained(one, image_size=32, seed=1) == as_trained(other, image_size=32, seed=1)
    as_trained(third, image_size=32, seed=2)
    name = "layer1.0.bn2.weight"
    assert torch.equal(one.state_dict()[name], other.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], third.state_dict()[name])
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    nothing = dict.fromkeys(
        ("weights_scales", "weights_shifts", "weights_zeros", "weights_statistics"), 0
    )
    assert as_trained(one, image_size=32, seed=3) == nothing
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.state_dict().items())


def test_modes_slopes_temperatures_and_frozen_constants_stay() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Dropout())
            self.temperature = nn.Parameter(torch.tensor(14.3))
            self.fixed = nn.Parameter(torch.zeros(4), requires_grad=False)
            self.off = nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            return self.off * self.temperature * self.stem(images).mean((2, 3)) + self.fixed

    model = Own().train()
    model.stem[2].eval()
    found = as_trained(model, image_size=16, seed=0)
    assert found == {
        "weights_scales": 1,
        "weights_shifts": 0,
        "weights_zeros": 0,
        "weights_statistics": 0,
    }
    assert [
        float(one.detach().sum()) for one in (model.temperature, model.fixed, model.stem[1].weight)
    ] == pytest.approx([14.3, 0, 1])
    assert model.off.detach() > 0
    assert [model.training, model.stem[0].training, model.stem[2].training] == [True, True, False]


def test_the_statistics_are_those_of_what_reaches_a_norm() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8),
    )
    as_trained(model, image_size=32, seed=0)
    with torch.no_grad():
        into = model[:4](torch.randn(16, 3, 32, 32))
    torch.testing.assert_close(model[4].running_var, into.var((0, 2, 3)), rtol=0.2, atol=0.0)
    torch.testing.assert_close(model[4].running_mean, into.mean((0, 2, 3)), rtol=0.0, atol=0.1)


def test_a_search_for_the_largest_batch_keeps_what_was_built() -> None:
    model = models.get("resnet_digits").build(image_size=32, num_classes=10)
    arm = SpeedArm(
        model="resnet_digits",
        image_size=32,
        num_classes=10,
        policy="fp32",
        device="cpu",
        batch_size=1,
        mode="capacity",
    )
    one = open_subject(arm, device="cpu", seed=0, build=lambda: model, progress=lambda text: None)
    one.capacity_call(2)()
    assert not model.state_dict()["layer1.0.bn2.weight"].any()


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous pages are read from /proc")
def test_a_run_records_what_was_set_and_its_protocol(tmp_path: Path) -> None:
    """Run a mixer and a ResNet, whose head and last norms start at zero; memory stays low."""
    ended = bench(
        "run",
        "--models",
        "mixer_digits,resnet_digits",
        "--metrics",
        "memory",
        "--rounds",
        "1",
        cwd=tmp_path,
    )
    assert ended.code == 0, ended
    found = {}
    for path in (tmp_path / "results").glob("*/records/*_digits.speed.*.jsonl"):
        one = store.load(path)
        assert one.head.settings == SPEED_SETTINGS
        [(_, sample)] = values.samples(one, "memory")
        assert (sample.detail["counted"], 0.4e6 < sample.values[0] < 16e6) == (
            "anonymous pages",
            True,
        )
        found[one.arm.model] = {
            name: value for name, value in one.runs[0].setup.items() if name.startswith("weights_")
        }
    assert found["mixer_digits"]["weights_zeros"] == 1
    assert (
        found["resnet_digits"]["weights_scales"],
        found["resnet_digits"]["weights_statistics"],
    ) == (12, 12)


def speed(folder: Path, model: str, settings: dict[str, schema.Scalar], started: str) -> None:
    arm = SpeedArm(
        model=model, image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=2
    )
    path = store.create(folder, arm, settings, About(family="vit"))
    store.append(
        path,
        RunLine(run=started, started=started, version="0", commit=None, seed=0, machine=MACHINE),
    )
    sample = Sample(metric="throughput", unit="image/s", better="higher", values=[10.0])
    for number in range(1, 9):
        store.append(path, RoundLine(run=started, round=number, samples=[sample]))
    store.append(path, EndLine(run=started, status="ok", metrics=["throughput"]))


def test_speeds_of_two_protocols_stand_in_no_table_together(tmp_path: Path) -> None:
    earlier = {name: value for name, value in SPEED_SETTINGS.items() if name != "weights"} | {
        "protocol": 3
    }
    for model in ("vit_s16", "mixer_b16", "resnet50"):
        speed(tmp_path, model, earlier, "2026-01-01")
    speed(tmp_path, "vit_s16", SPEED_SETTINGS, "2026-02-01")
    speed(tmp_path, "resnet18", SPEED_SETTINGS, "2026-02-01")
    records, _ = store.load_folder(tmp_path)
    found = summarise(records)
    assert {row.model for row in found.rows} == {"vit_s16", "resnet18"}
    [note] = found.notes
    assert note.startswith(
        "2 speeds were measured by protocol 3, before protocol "
        f"{SPEED_SETTINGS['protocol']} (docs/METHOD.md)"
    )
    assert {
        row.model for row in summarise(one for one in records if one.head.settings == earlier).rows
    } == {
        *("vit_s16", "mixer_b16", "resnet50"),
    }
