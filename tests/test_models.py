"""Every registered model, in tests that a new file joins by itself.

Large models are built on the meta device.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from bench.errors import UsageError
from bench.plugins import Model, models

QUARTET = ["convmixer_digits", "vit_digits", "mixer_digits", "resnet_digits"]


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("num_classes", [None, 7])
def test_every_model_maps_images_to_logits(name: str, num_classes: int | None) -> None:
    entry = models.get(name)
    classes = num_classes or entry.num_classes
    with torch.device("meta"):
        model = entry.build(image_size=entry.image_size, num_classes=classes)
        logits = model(torch.empty(2, 3, entry.image_size, entry.image_size))
    assert logits.shape == (2, classes)


def test_timm_has_what_it_is_said_to_have() -> None:
    """Names are written down, since to ask timm takes seconds at every start."""
    for entry in models.entries():
        said = [*entry.relatives.values(), *([entry.timm_name] if entry.timm_name else [])]
        assert all(map(timm.is_model, said)), entry.name
    shapes = [
        (kind, size) for kind in ("vit", "deit") for size in ("tiny", "small", "base", "large")
    ]
    for kind, size in shapes:
        for patch in (16, 32):
            name = f"{kind}_{size}_patch{patch}_224"
            ours = [entry for entry in models.entries() if entry.timm_name == name]
            assert len(ours) == timm.is_model(name), name


@pytest.mark.parametrize("name", [entry.name for entry in models.entries() if entry.timm_name])
def test_published_names_have_the_parameters_of_their_timm_architecture(name: str) -> None:
    entry = models.get(name)
    with torch.device("meta"):
        ours = entry.build(image_size=entry.image_size, num_classes=1000).state_dict()
        theirs = timm.create_model(entry.timm_name, num_classes=1000).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()
    }


def test_our_convmixer_is_timms() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("convmixer_768_32", num_classes=10).eval()
    for (
        module
    ) in theirs.modules():  # random statistics, so that a norm in the wrong place would show
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours = models.get("convmixer_768_32").build(image_size=224, num_classes=10).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(1, 3, 56, 56)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-5)


def test_the_quartet_has_one_budget() -> None:
    sizes = []
    for name in QUARTET:
        entry = models.get(name)
        sizes.append(
            sum(
                p.numel()
                for p in entry.build(
                    image_size=entry.image_size, num_classes=entry.num_classes
                ).parameters()
            )
        )
    assert max(sizes) / min(sizes) < 1.05
    assert {models.get(name).family for name in QUARTET} == {"convmixer", "vit", "mixer", "resnet"}


def parameters(entry: Model, size: int = 224) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in entry.build(image_size=size, num_classes=10).parameters())


def test_a_convmixer_is_spelled_by_its_name() -> None:
    width, depth, kernel, patch, classes = 48, 3, 5, 4, 10
    expected = width * (depth * (kernel**2 + width + 6) + 3 * patch**2 + classes + 3) + classes
    assert parameters(models.get("convmixer_48_3_k5_p4_relu"), 32) == expected
    assert parameters(models.get("convmixer_1536_20_k9_p7_gelu")) == parameters(
        models.get("convmixer_1536_20")
    )


@pytest.mark.parametrize(
    "name",
    [
        "convmixer_768",
        "convmixer_0_8",
        "vit_s15",
        "timm:nope",
        "os:system",
        "json:dumps",
        "./absent.py:build",
        "",
    ],
)
def test_bad_names_are_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        models.get(name).build(image_size=32, num_classes=10)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--models: ")


@pytest.mark.parametrize("name", ["convmixer_768_32", "vit_s16", "mixer_b16", "vit_digits"])
@pytest.mark.parametrize("size", [5, 225])
def test_sizes_that_are_no_whole_number_of_patches(name: str, size: int) -> None:
    with pytest.raises(UsageError, match=r"--image-size: .* would work"):
        models.get(name).build(image_size=size, num_classes=10)


def test_timm_models_take_other_sizes() -> None:
    for name in ("timm:vit_tiny_patch16_224", "timm:resnet18"):
        with torch.device("meta"):
            model = models.get(name).build(image_size=96, num_classes=3)
            assert model(torch.empty(1, 3, 96, 96)).shape == (1, 3)


USER_NET = """
from torch import nn
import models.own            # the user's package of that name, not ours
def build(*, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3072 * models.own.FACTOR, num_classes))
def wrong():
    return 3
"""


def test_a_users_folder_may_have_its_own_models_and_plots(tmp_path: Path) -> None:
    for room in ("models", "plots"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("")
    (tmp_path / "models" / "own.py").write_text("FACTOR = 1\n")
    (tmp_path / "net.py").write_text(USER_NET)
    arguments = [
        "--models",
        "./net.py:build,convmixer_digits",
        "--device",
        "cpu",
        "--image-size",
        "32",
        "--rounds",
        "1",
    ]
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from bench.cli.app import main; sys.exit(main(sys.argv[1:]))",
            "run",
            *arguments,
            "--metrics",
            "params,latency",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    # 3 * 32 * 32 * 10 + 10: the folder's own model, with the classes of the other one
    assert "30.7 k" in run.stdout
    assert "99.5 k" in run.stdout  # and ours beside it


@pytest.mark.parametrize("name", ["convmixer_768_32", "convmixer_1536_20", "convmixer_1024_20"])
@pytest.mark.parametrize("direction", ["theirs into ours", "ours into theirs"])
def test_state_dicts_go_both_ways_on_real_images(name: str, direction: str) -> None:
    """State dicts load strictly between timm and ours, and the logits of images agree."""
    from bench.plugins import datasets

    entry = models.get(name)
    torch.manual_seed(0)
    ours, theirs = (
        entry.build(image_size=56, num_classes=10).eval(),
        timm.create_model(entry.timm_name, num_classes=10).eval(),
    )
    source, target = (theirs, ours) if direction == "theirs into ours" else (ours, theirs)
    target.load_state_dict(source.state_dict(), strict=True)
    digits = datasets.get("digits").open("").test.images[:2].float() / 255
    images = torch.nn.functional.interpolate(digits, size=56, mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["convmixer_32_2_k8_p4", "convmixer_32_2_k5_p4_relu_ln_res", "convmixer_32_2_k3_p8_ln"]
)
def test_convmixer_variants_train(name: str) -> None:
    entry = models.get(name)
    assert entry.shape.name == name
    model = entry.build(image_size=32, num_classes=10)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert sum(p.numel() for p in model.parameters()) == entry.shape.counts(32, 10).params


def test_residual_around_the_pointwise_convolution() -> None:
    """With zero pointwise weights and identity norms, only the residual passes the input on."""
    model = models.get("convmixer_8_1_k3_p4_res").build(image_size=8, num_classes=10).eval()
    pointwise = model.blocks[0][1].fn
    torch.nn.init.zeros_(pointwise[0].weight)
    torch.nn.init.zeros_(pointwise[0].bias)
    x = torch.randn(1, 8, 2, 2)
    torch.testing.assert_close(model.blocks[0][1](x), x)


def test_filters_from_the_covariance_are_smooth_and_as_large_as_usual() -> None:
    """Neighbouring taps are alike, the more so the deeper the layer; the mean square is usual."""
    covered = [likeness(layer) for layer in depthwise_of("convmixer_256_4_k9_p4_cov")]
    assert covered == sorted(covered)
    assert covered[-1] > 0.6
    for layer in depthwise_of("convmixer_256_4_k9_p4_cov"):
        assert float(layer.weight.detach().square().mean()) == pytest.approx(1 / 243, rel=0.2)
    for layer in depthwise_of("convmixer_256_4_k9_p4"):
        assert abs(likeness(layer)) < 0.05


def likeness(layer: torch.nn.Conv2d) -> float:
    """Return the mean product of neighbouring taps over their mean square."""
    taps = layer.weight.detach()[:, 0]
    return float((taps[:, 1:] * taps[:, :-1]).mean() / taps.square().mean())


@pytest.mark.parametrize(
    ("end", "trained"), [("", 8), ("_cov", 8), ("_fixed", 0), ("_covfixed", 0)]
)
def test_fixed_filters_are_counted_and_never_trained(end: str, trained: int) -> None:
    name = f"convmixer_32_8_k5_p4{end}"
    assert models.get(name).shape.name == name
    layers = depthwise_of(name)
    assert sum(layer.weight.requires_grad for layer in layers) == trained
    assert parameters(models.get(name), 32) == parameters(models.get("convmixer_32_8_k5_p4"), 32)


def depthwise_of(name: str) -> list[torch.nn.Conv2d]:
    torch.manual_seed(0)
    model = models.get(name).build(image_size=32, num_classes=10)
    found = []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1:
            found.append(layer)
    return found
