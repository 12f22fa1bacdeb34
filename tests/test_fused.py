"""The handwritten kernels against float64, and the models lowered to them.

They are interpreted where there is no GPU.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import UsageError
from bench.measure.subject import Execution, open_subject
from bench.plugins import models, open_data, policies, split_policy
from bench.plugins.registry import ROOT
from bench.record.arms import SpeedArm

pytest.importorskip("triton", reason="Triton comes with PyTorch for CUDA, on Linux alone")

from bench.fused import launch
from bench.fused.lowering import on_kernels
from bench.fused.modules import Fused

# Far below zero the short GELU divides by infinity, which is what is meant; NumPy, by which the
# interpreter computes, warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp2")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
BATCHES, SHAPES = 3, 8
"""Groups of random shapes and how many each has, for each kernel."""
MARGIN = 64


def poisoned(
    generator: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype, *, empty: bool = False
) -> tuple[Tensor, Tensor]:
    """A tensor in the middle of NaNs, and the whole; `empty` ones are NaN themselves."""
    size = int(torch.Size(shape).numel())
    whole = torch.full((size + 2 * MARGIN,), float("nan"), dtype=dtype, device=DEVICE)
    inner = whole[MARGIN : MARGIN + size].view(shape)
    if not empty:
        inner.copy_(torch.randn(shape, generator=generator))
    return inner, whole


def untouched(whole: Tensor) -> bool:
    return bool(whole[:MARGIN].isnan().all() and whole[-MARGIN:].isnan().all())


def finishes(generator: torch.Generator, channels: int, activation: str) -> launch.Finish:
    return launch.Finish(
        *(poisoned(generator, (channels,), torch.float32)[0] for _ in range(3)), activation
    )


def finished(total: Tensor, finish: launch.Finish, residual: Tensor | None) -> Tensor:
    """In float64, channels last."""
    total = total + finish.bias.double()
    total = {"": lambda x: x, "relu": F.relu, "gelu": F.gelu}[finish.activation](total)
    total = total * finish.scale.double() + finish.shift.double()
    return total if residual is None else total + residual.double()


def error(made: Tensor, expected: Tensor) -> float:
    return float((made.double() - expected).norm() / expected.norm())


def drawn(seed: int) -> Iterator[tuple[random.Random, torch.Generator, torch.dtype, str, bool]]:
    for number in range(SHAPES):
        choose = random.Random(f"{seed} {number}")
        generator = torch.Generator().manual_seed(choose.randrange(2**31))
        yield (
            choose,
            generator,
            choose.choice(list(TOLERANCE)),
            choose.choice(["", "relu", "gelu"]),
            choose.random() < 0.5,
        )


@pytest.mark.parametrize("seed", range(BATCHES))
def test_the_depthwise_kernel_at_random_shapes(seed: int) -> None:
    for choose, generator, dtype, activation, with_residual in drawn(seed):
        kernel = choose.choice([3, 4, 5, 6, 7, 8, 9, 9, 11, 13, 15])
        # The interpreter's time is that of filter taps and programs: large filters meet small maps.
        side = 11 if kernel < 8 else 6
        shape = (
            choose.randint(1, 2),
            choose.randint(1, side),
            choose.randint(1, side),
            choose.choice([1, 3, 8, 17, 24, 24]),
        )
        x, _ = poisoned(generator, shape, dtype)
        weight, _ = poisoned(generator, (kernel, kernel, shape[-1]), torch.float32)
        residual = poisoned(generator, shape, dtype)[0] if with_residual else None
        finish = finishes(generator, shape[-1], activation)
        out, whole = poisoned(generator, shape, dtype, empty=True)
        blocks = {
            "ROWS": choose.choice([4, 8, 16]),
            "COLUMNS": choose.choice([4, 8]),
            "CHANNELS": choose.choice([16, 32]),
        }
        made = launch.depthwise(x, weight, finish, residual=residual, out=out, blocks=blocks)
        images, filters = x.double().permute(0, 3, 1, 2), weight.double().permute(2, 0, 1)[:, None]
        before, after = (kernel - 1) // 2, kernel // 2
        total = F.conv2d(
            F.pad(images, (before, after, before, after)), filters, groups=shape[-1]
        ).permute(0, 2, 3, 1)
        told = (
            f"kernel {kernel}, {shape}, {dtype}, {activation}, residual {with_residual}, {blocks}"
        )
        assert made.data_ptr() == out.data_ptr()
        assert error(made, finished(total, finish, residual)) < TOLERANCE[dtype], told
        assert untouched(whole), told


@pytest.mark.parametrize("seed", range(BATCHES))
def test_the_product_kernel_at_random_shapes(seed: int) -> None:
    for choose, generator, dtype, activation, with_residual in drawn(seed):
        rows, inputs, outputs = (
            choose.randint(1, 150),
            choose.randint(1, 150),
            choose.randint(1, 150),
        )
        x, _ = poisoned(generator, (rows, inputs), dtype)
        weight, _ = poisoned(generator, (outputs, inputs), dtype)
        residual = poisoned(generator, (rows, outputs), dtype)[0] if with_residual else None
        finish = finishes(generator, outputs, activation)
        out, whole = poisoned(generator, (rows, outputs), dtype, empty=True)
        blocks = {name: choose.choice([16, 32, 64]) for name in ("ROWS", "OUTPUTS", "INPUTS")} | {
            "GROUP": choose.choice([1, 3, 8])
        }
        launch.product(x, weight, finish, residual=residual, out=out, blocks=blocks)
        sizes = f"{rows} x {inputs} x {outputs}"
        told = f"{sizes}, {dtype}, {activation}, residual {with_residual}, {blocks}"
        assert (
            error(out, finished(x.double() @ weight.double().T, finish, residual))
            < TOLERANCE[dtype]
        ), told
        assert untouched(whole), told


HALF = {dtype: TOLERANCE[dtype] for dtype in launch.HALF}


@pytest.mark.parametrize("seed", range(BATCHES))
def test_the_planar_depthwise_kernel_at_random_shapes(seed: int) -> None:
    for choose, generator, _, activation, with_residual in drawn(seed):
        dtype = choose.choice(list(HALF))
        kernel = choose.choice([3, 4, 5, 6, 7, 8, 9, 9, 11, 13, 15])
        shape = (
            choose.randint(1, 5),
            choose.choice([1, 3, 8]),
            choose.choice([1, 7, 14, 16, 31, 32]),
            choose.choice([1, 7, 14, 16, 31, 32]),
        )
        x, _ = poisoned(generator, shape, dtype)
        weight = poisoned(generator, (kernel, kernel, shape[1]), torch.float32)[0].to(dtype)
        residual = poisoned(generator, shape, dtype)[0] if with_residual else None
        finish = finishes(generator, shape[1], activation)
        out, whole = poisoned(generator, shape, dtype, empty=True)
        blocks = {
            "LINES": choose.choice([32, 64, 128]),
            "IMAGES_FIRST": choose.choice([False, True]),
            "STAGES": 1,
        }
        bands = launch.band_matrices(weight, shape[-1])
        launch.planar_depthwise(x, bands, finish, residual=residual, out=out, blocks=blocks)
        before, after = (kernel - 1) // 2, kernel // 2
        total = F.conv2d(
            F.pad(x.double(), (before, after, before, after)),
            weight.double().permute(2, 0, 1)[:, None],
            groups=shape[1],
        )
        added = None if residual is None else residual.permute(0, 2, 3, 1)
        expected = finished(total.permute(0, 2, 3, 1), finish, added).permute(0, 3, 1, 2)
        told = (
            f"kernel {kernel}, {shape}, {dtype}, {activation}, residual {with_residual}, {blocks}"
        )
        assert error(out, expected) < TOLERANCE[dtype], told
        assert untouched(whole), told


@pytest.mark.parametrize("seed", range(BATCHES))
def test_the_planar_product_kernel_at_random_shapes(seed: int) -> None:
    for choose, generator, _, activation, with_residual in drawn(seed):
        dtype = choose.choice(list(HALF))
        images, inputs, outputs, positions = (choose.randint(1, most) for most in (3, 99, 99, 150))
        x, _ = poisoned(generator, (images, inputs, positions), dtype)
        weight, _ = poisoned(generator, (outputs, inputs), dtype)
        shape = (images, outputs, positions)
        residual = poisoned(generator, shape, dtype)[0] if with_residual else None
        finish = finishes(generator, outputs, activation)
        out, whole = poisoned(generator, shape, dtype, empty=True)
        blocks = {size: choose.choice([16, 32, 64]) for size in ("OUTPUTS", "POSITIONS", "INPUTS")}
        launch.planar_product(x, weight, finish, residual=residual, out=out, blocks=blocks)
        added = None if residual is None else residual.transpose(1, 2)
        total = (weight.double() @ x.double()).transpose(1, 2)
        told = f"{shape} from {inputs}, {dtype}, {activation}, residual {with_residual}, {blocks}"
        expected = finished(total, finish, added).transpose(1, 2)
        assert error(out, expected) < TOLERANCE[dtype], told
        assert untouched(whole), told


def test_the_short_gelu_is_within_its_stated_error() -> None:
    """As the residual of nothing: a product with the identity, over the whole range of float16."""
    values = torch.linspace(-12, 12, 4096, device=DEVICE).half().view(1, 1, -1)
    one = torch.ones(1, device=DEVICE)
    finish = launch.Finish(0 * one, one, 0 * one, "gelu")
    made = launch.planar_product(values, one.half().view(1, 1), finish).double()
    expected = F.gelu(values.double())
    rounding = expected.abs() * 2.0**-11 + 2.0**-24
    assert bool(((made - expected).abs() <= 2.6e-5 + rounding).all())


def built(name: str, *, image_size: int, num_classes: int = 10) -> nn.Module:
    """A model whose batch norms have something to do."""
    torch.manual_seed(0)
    model = models.get(name).build(image_size=image_size, num_classes=num_classes).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model.to(DEVICE)


RUNS = {
    "convmixer_digits": 16,
    "convmixer_24_2_k8_p4_res": 32,
    "convmixer_16_2_k15_p4_relu": 20,
    "convmixer_16_2_k5_p4_relu_ln": 32,
    "timm:convmixer_768_32": 14,
    "skeleton_32_2_depthwise_p8_m64": 32,
    "skeleton_32_2_depthwise_bn_p8_m64": 32,
    "skeleton_32_6_depthwise_staged_p8_m64": 32,
}


WHOLE = pytest.param("timm:convmixer_768_32", marks=pytest.mark.exhaustive)
"""32 blocks in the interpreter take a minute; the others have every kind of block."""


@pytest.mark.parametrize("name", [WHOLE if name == WHOLE.values[0] else name for name in RUNS])
def test_a_lowered_model_is_the_same_function(name: str) -> None:
    model = built(name, image_size=RUNS[name])
    images = torch.randn(2, 3, RUNS[name], RUNS[name], device=DEVICE)
    with torch.inference_mode():
        made = on_kernels(model)(images)
        assert error(made, model.double()(images.double())) < 1e-5


IN_FLOAT16 = (
    "convmixer_24_2_k8_p4_res",
    "convmixer_16_2_k5_p4_relu_ln",
    "skeleton_32_2_depthwise_bn_p8_m64",
)
"""Both families, both activations, both norms, a residual more."""


@pytest.mark.parametrize("name", IN_FLOAT16)
def test_a_model_lowered_in_float16_is_as_near_as_pytorchs_own(name: str) -> None:
    """Both are held against float64 with the weights that float16 leaves. (Not bfloat16, to which
    the interpreter cuts off instead of rounding; test_gpu.py has that.)"""
    model = built(name, image_size=RUNS[name]).half()
    images = torch.randn(2, 3, RUNS[name], RUNS[name], device=DEVICE).half()
    with torch.inference_mode():
        ours, theirs = on_kernels(model)(images), model(images)
        expected = model.double()(images.double())
        assert error(ours, expected) < 1.5 * error(theirs, expected) + 1e-3


def test_every_convolution_is_in_a_kernel_and_every_norm_of_a_convmixer_too() -> None:
    lowered = on_kernels(built("convmixer_digits", image_size=32))
    kinds = {type(module) for module in lowered.modules()}
    assert not kinds & {nn.Conv2d, nn.BatchNorm2d, nn.GELU}
    assert sum(isinstance(module, Fused) for module in lowered.modules()) == 1 + 2 * 4


REFUSED = {
    "vit_digits": "PatchEmbed",
    "mixer_digits": "PatchEmbed",
    "resnet_digits": r"conv1, Conv2d\(3, 8, kernel_size=\(3, 3\)",
    "skeleton_32_2_pooling_p8_m64": "avg_pool2d",
    "skeleton_32_2_depthwise_pyramid_p8_m64": r"stem\.0, Conv2d",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_run_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(NotImplementedError, match=f"fused: no kernel for {REFUSED[name]}"):
        on_kernels(built(name, image_size=32))


def test_what_the_kernels_cannot_run_is_refused_with_the_reason() -> None:
    finish = launch.Finish(*(torch.ones(8, device=DEVICE) for _ in range(3)), "")
    x = torch.ones(1, 4, 4, 8, device=DEVICE)
    with pytest.raises(NotImplementedError, match="side 17; the kernel supports 3 to 15"):
        launch.depthwise(x, torch.ones(17, 17, 8, device=DEVICE), finish)
    with pytest.raises(NotImplementedError, match="float64"):
        launch.depthwise(x.double(), torch.ones(3, 3, 8, device=DEVICE).double(), finish)
    with pytest.raises(NotImplementedError, match="a residual of"):
        launch.depthwise(x, torch.ones(3, 3, 8, device=DEVICE), finish, residual=x[:, :1, :1])
    with pytest.raises(NotImplementedError, match="side 1; "):
        launch.depthwise(x, torch.ones(1, 1, 8, device=DEVICE), finish)
    large = torch.ones(1, 8, 4, 33, device=DEVICE).half()
    bands = launch.band_matrices(torch.ones(3, 3, 8, device=DEVICE).half(), 33)
    with pytest.raises(NotImplementedError, match="expected at most 32 x 32 in a 16-bit type"):
        launch.planar_depthwise(large, bands, finish)
    with pytest.raises(NotImplementedError, match=r"planar maps in torch\.float32"):
        launch.planar_product(torch.ones(1, 8, 4, device=DEVICE), torch.ones(8, 8), finish)


def prepared(name: str, policy: str, model: nn.Module, *, image_size: int) -> Execution:
    """A policy's execution of a model, as a worker makes it, for two images."""
    arm = SpeedArm(
        model=name,
        image_size=image_size,
        num_classes=10,
        policy=policy,
        device=DEVICE,
        batch_size=2,
    )
    one = open_subject(arm, device=DEVICE, seed=0, build=lambda: model, progress=lambda text: None)
    one.ready()
    assert one.execution is not None
    return one.execution


def learned(name: str) -> nn.Module:
    """A model that has seen some digits: untrained, it decides for one class whatever it sees."""
    splits = open_data("digits")
    torch.manual_seed(0)
    model = models.get(name).build(image_size=32, num_classes=10).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        batch = slice(16 * step, 16 * step + 16)
        nn.functional.cross_entropy(
            model(shown(splits.train.images[batch])), splits.train.labels[batch].to(DEVICE)
        ).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def shown(images: Tensor) -> Tensor:
    return images.to(DEVICE).float() / 127.5 - 1


@pytest.mark.exhaustive  # over a minute in the interpreter
@pytest.mark.parametrize("name", ["convmixer_digits", "skeleton_32_2_depthwise_p8_m64"])
def test_top1_decisions_on_the_digits_are_eagers(name: str) -> None:
    """By their outputs in test_a_lowered_model_is_the_same_function, too."""
    model = learned(name)
    images = shown(open_data("digits").test.images[:80])
    with torch.inference_mode():
        eager = model(images)
    assert len(eager.argmax(1).unique()) > 5
    with torch.inference_mode():
        assert torch.equal(on_kernels(model)(images[:6]).argmax(1), eager[:6].argmax(1))
    if DEVICE == "cpu":
        return
    fused = prepared(name, "fused", copy.deepcopy(model), image_size=32)
    found = []
    for pair in images.split(2):  # what is captured is for two images
        fused.inputs.copy_(pair)
        found.append(fused.inference().clone())
    assert torch.equal(torch.cat(found).argmax(1), eager.argmax(1))


PUBLISHED = [
    pytest.param("convmixer_768_32", marks=pytest.mark.exhaustive),
    pytest.param("convmixer_1536_20", marks=pytest.mark.exhaustive),
    "convmixer_1024_20",
]
"""The quick one has the others' kind of block, the fewest blocks and the largest patch."""


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_policy_gives_a_published_convmixers_logits() -> None:
    """Of one: every run compares the model that it times with float32."""
    name = "convmixer_1024_20"
    model = built(name, image_size=56)
    fused = prepared(name, "fused", copy.deepcopy(model), image_size=56)
    with torch.inference_mode():  # in float64: cuDNN's float32 convolutions are TF32 by default
        expected = model.double()(fused.inputs.double())
    assert error(fused.inference(), expected) < 1e-5


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_kernels_give_the_published_convmixers_logits(name: str) -> None:
    """ReLU, and filters of other sides: test_a_lowered_model_is_the_same_function."""
    model = built(name, image_size=28)
    images = torch.randn(1, 3, 28, 28, device=DEVICE)
    with torch.inference_mode():
        expected = model(images)
        assert error(on_kernels(model)(images), expected.double()) < 1e-5


def test_the_policy_refuses_other_families_and_combinations() -> None:
    with pytest.raises(NotImplementedError, match="fused: no kernel for PatchEmbed"):
        prepared("vit_digits", "fused", built("vit_digits", image_size=32), image_size=32)
    for other in ("compile", "channels_last", "fold_bn", "graph"):
        with pytest.raises(
            UsageError, match=f"{other} and fused both set the|fused and {other} both set the"
        ):
            split_policy(f"fused+{other}")
    assert split_policy("fused+bf16") == ["bf16", "fused"]
    for device in ("cpu", "mps"):
        assert "NVIDIA" in (policies.get("fused").supports(device) or "")


def test_the_limits_in_the_docs_are_the_formulas() -> None:
    """Of an H200: 4.8 TB/s, 989 TFLOPS bfloat16, 67 TFLOPS float32 (docs/fused.md)."""
    text = (ROOT / "docs" / "fused.md").read_text(encoding="utf-8")
    lines = (
        text.partition("<!-- limits -->")[2]
        .partition("<!-- /limits -->")[0]
        .strip()
        .splitlines()[2:]
    )
    assert [line.split()[1] for line in lines] == [
        "convmixer_1536_20",
        "convmixer_768_32",
        "convmixer_1024_20",
    ]
    for line in lines:
        name, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        shape = models.get(name).shape
        side = 224 // shape.patch
        values = side**2 * shape.width
        memory = 4 * values / 4.8e12
        on_lanes = shape.kernel**2 * values / 33.5e12
        in_bands = shape.kernel * side * values / 494.5e12
        channels = shape.width * values / 494.5e12
        spatial = max(min(on_lanes, in_bands), memory)
        blocks = shape.depth * (spatial + max(channels, memory))
        micro = [f"{1e6 * step:.2f}" for step in (on_lanes, in_bands, channels, memory)]
        assert figures == [*micro, f"{1e6 * blocks:.0f}", f"{1 / blocks:,.0f}"]
