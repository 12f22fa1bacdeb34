"""MAC counts: networks counted by hand, known values, and products that cannot be counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.count import einsum
from bench.count.macs import count, torch_macs
from bench.count.operators import cheapest_chain
from bench.errors import Uncountable
from bench.plugins import models
from bench.record.product_names import is_opaque, is_product
from bench.record.store import end_of, load, troubles

from .program import bench, called

# parameters and GMACs at 224 x 224, 1000 classes (shared reference, computed by closed form).
GOLDEN = {
    "convmixer_1536_20": (51_625_960, 51.099),
    "convmixer_768_32": (21_110_248, 20.677),
    "convmixer_1024_20": (24_383_464, 5.949),
    "vit_s16": (22_050_664, 4.599),
    "mixer_b16": (59_880_472, 12.602),
    "resnet50": (25_557_032, 4.089),
    "timm:swin_tiny_patch4_window7_224": (None, 4.491),
    "timm:convnext_tiny": (None, 4.456),
}


class Of(nn.Module):
    """A network of one function of the images (batch, 3, 8, 8) and of weights that it owns."""

    def __init__(self, function: Callable[..., object], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList([torch.rand(shape) for shape in shapes])

    def forward(self, x: Tensor) -> object:
        return self.function(x, *self.weights)


class With(nn.Module):
    """A network of one module, called as `function` says."""

    def __init__(self, module: nn.Module, function: Callable[..., object]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x: Tensor) -> object:
        return self.function(self.module, tokens(x))


def tokens(x: Tensor) -> Tensor:
    """(batch, 16, 12): sixteen patches of 2 x 2 pixels."""
    return F.unfold(x, 2, stride=2).transpose(1, 2)


class ClassToken(nn.Module):
    """A token that all images share, handed to a module by itself: PiT, CaiT, attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.first, self.both = (
            nn.Parameter(torch.rand(1, 1, 12)),
            nn.Linear(12, 12),
            nn.Linear(12, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        shared = self.first(self.token.expand(len(x), -1, -1))
        return self.both(torch.cat([shared, tokens(x)], 1))


class Mine(torch.autograd.Function):
    """A convolution in an autograd function."""

    @staticmethod
    def forward(ctx, x, weight):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight)


class Quiet(torch.autograd.Function):
    """Nothing that counts, in the newer style."""

    @staticmethod
    def forward(x):  # type: ignore[no-untyped-def]
        return x * x.sigmoid()

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs)


@dataclass
class Answer:
    """What some libraries return."""

    logits: Tensor
    hidden: dict[str, Tensor]


def heads(x: Tensor, number: int) -> Tensor:
    return x.unflatten(-1, (number, -1)).transpose(1, 2)


def grouped_queries(x: Tensor) -> Tensor:
    t = tokens(x)
    return F.scaled_dot_product_attention(
        heads(t, 4), heads(t[..., :6], 2), heads(t[..., :6], 2), enable_gqa=True
    )


def mixed_experts(x: Tensor, route: Tensor, experts: Tensor) -> Tensor:
    weight = (x.mean((2, 3)) @ route @ experts).view(-1, 3, 3, 3)
    return F.conv2d(x.reshape(1, -1, 8, 8), weight, padding=1, groups=x.shape[0])


def cells(cell: nn.RNNCellBase, t: Tensor) -> Tensor:
    state = None
    for step in t.unbind(1):
        state = cell(step, state)
    return state[0] if isinstance(state, tuple) else state


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(12, 2, 20, batch_first=True), 2)
ENCODED = 2 * (16 * 12 * 12 * 4 + 2 * 16 * 16 * 12 + 2 * 16 * 12 * 20)
ATTENDED = 16 * 12 * 12 * 4 + 2 * 16 * 16 * 12

# name -> a network on images of 8 pixels, and its multiply-adds for one of them.
BY_HAND: dict[str, tuple[nn.Module, int]] = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1, bias=False), 8 * 8 * 8 * 3 * 9),
    "depthwise": (nn.Conv2d(3, 6, 3, padding="same", groups=3), 8 * 8 * 6 * 9),
    "patches": (nn.Conv2d(3, 5, 2, stride=2), 4 * 4 * 5 * 3 * 4),
    "dilated": (nn.Conv2d(3, 6, 3, dilation=2, padding=2, groups=3), 8 * 8 * 6 * 9),
    "transposed": (nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1), 8 * 8 * 3 * 5 * 16),
    "1-d": (Of(lambda x, w: F.conv1d(x.flatten(2), w, padding="same"), (4, 3, 5)), 64 * 4 * 3 * 5),
    "3-d": (
        Of(lambda x, w: F.conv3d(x[:, None], w, padding=1), (2, 1, 3, 3, 3)),
        3 * 8 * 8 * 2 * 27,
    ),
    "condconv": (Of(mixed_experts, (3, 2), (2, 81)), 3 * 2 + 2 * 81 + 8 * 8 * 3 * 27),
    "unfolded": (Of(lambda x, w: w @ F.unfold(x, 2, stride=2), (5, 12)), 5 * 12 * 16),
    "linear": (nn.Sequential(nn.Flatten(), nn.Linear(192, 7)), 192 * 7),
    "attention": (
        Of(lambda x: F.scaled_dot_product_attention(tokens(x), tokens(x), tokens(x))),
        16 * 16 * 12 * 2,
    ),
    "wide values": (
        Of(
            lambda x: F.scaled_dot_product_attention(
                tokens(x), tokens(x), tokens(x).repeat(1, 1, 2)
            )
        ),
        16 * 16 * (12 + 24),
    ),
    "grouped queries": (Of(grouped_queries), 4 * 16 * 16 * (3 + 3)),
    "causal": (
        Of(
            lambda x: F.scaled_dot_product_attention(
                tokens(x), tokens(x), tokens(x), is_causal=True
            )
        ),
        16 * 16 * 12 * 2,
    ),
    "expanded query": (
        Of(
            lambda x, q: F.scaled_dot_product_attention(
                q.expand(len(x), -1, -1), tokens(x), tokens(x)
            ),
            (1, 1, 12),
        ),
        16 * 24,
    ),
    "class token": (ClassToken(), 12 * 12 + 17 * 12 * 5),
    "multi-head attention": (
        With(nn.MultiheadAttention(12, 2, batch_first=True), lambda m, t: m(t, t, t)),
        ATTENDED,
    ),
    "without its weights": (
        With(
            nn.MultiheadAttention(12, 2, batch_first=True),
            lambda m, t: m(t, t, t, need_weights=False),
        ),
        ATTENDED,
    ),
    "torch's transformer": (With(ENCODER, lambda m, t: m(t)), ENCODED),
    "frozen": (With(ENCODER.requires_grad_(False), lambda m, t: m(t)), ENCODED),
    "lstm": (With(nn.LSTM(12, 5, batch_first=True), lambda m, t: m(t)), 16 * 4 * 5 * (12 + 5)),
    "lstm, two ways": (
        With(nn.LSTM(12, 5, 2, batch_first=True, bidirectional=True), lambda m, t: m(t)),
        16 * 4 * 5 * (17 + 15) * 2,
    ),
    "lstm, projected": (
        With(nn.LSTM(12, 5, proj_size=2, batch_first=True), lambda m, t: m(t)),
        16 * (4 * 5 * (12 + 2) + 2 * 5),
    ),
    "gru": (With(nn.GRU(12, 5, batch_first=True), lambda m, t: m(t)), 16 * 3 * 5 * (12 + 5)),
    "rnn": (
        With(nn.RNN(12, 5, batch_first=True, nonlinearity="relu"), lambda m, t: m(t)),
        16 * 5 * (12 + 5),
    ),
    "lstm by steps": (With(nn.LSTMCell(12, 5), cells), 16 * 4 * 5 * (12 + 5)),
    "gru by steps": (With(nn.GRUCell(12, 5), cells), 16 * 3 * 5 * (12 + 5)),
    "matmul, broadcast": (Of(lambda x, w: w @ tokens(x), (1, 7, 16)), 7 * 16 * 12),
    "matmul of vectors": (Of(lambda x, w: tokens(x) @ w, (12,)), 16 * 12),
    "einsum": (Of(lambda x, w: torch.einsum("bnc,dc->bnd", tokens(x), w), (5, 12)), 16 * 12 * 5),
    "einsum of three": (
        Of(lambda x, w, v: torch.einsum("bnc,cd,de->bne", tokens(x), w, v), (12, 5), (5, 3)),
        16 * (12 * 5 + 5 * 3),
    ),
    "einsum by elements": (Of(lambda x, w: torch.einsum("...c,c->...c", tokens(x), w), (12,)), 0),
    "tensordot": (Of(lambda x, w: torch.tensordot(tokens(x), w, 1), (12, 5)), 16 * 12 * 5),
    "inner": (Of(lambda x, w: torch.inner(tokens(x), w), (5, 12)), 16 * 12 * 5),
    "baddbmm": (Of(lambda x: torch.baddbmm(torch.zeros(1), tokens(x), tokens(x).mT)), 16 * 12 * 16),
    "addmv": (
        Of(
            lambda x, w: torch.stack([torch.addmv(torch.zeros(16), one, w) for one in tokens(x)]),
            (12,),
        ),
        16 * 12,
    ),
    "dot": (Of(lambda x, w: torch.stack([torch.dot(one.flatten(), w) for one in x]), (192,)), 192),
    "multi_dot": (
        Of(
            lambda x, w, v: torch.stack([torch.linalg.multi_dot([t, w, v]) for t in tokens(x)]),
            (12, 2),
            (2, 9),
        ),
        16 * 24 + 16 * 18,
    ),
    "autograd function": (Of(lambda x, w: Mine.apply(x, w), (4, 3, 1, 1)), 64 * 12),
    "autograd function, elements": (
        nn.Sequential(nn.Conv2d(3, 4, 1), Of(lambda x: Quiet.apply(x))),
        64 * 12,
    ),
    "the same by another name": (nn.Sequential(nn.Conv2d(3, 4, 1), Of(Quiet.apply)), 64 * 12),
    "scripted function, elements": (
        nn.Sequential(nn.Conv2d(3, 4, 1), Of(torch.jit.script(swish))),
        64 * 12,
    ),
    "norms": (
        nn.Sequential(
            nn.Conv2d(3, 4, 1),
            nn.BatchNorm2d(4),
            nn.GELU(),
            nn.GroupNorm(2, 4),
            nn.AdaptiveAvgPool2d(1),
        ),
        64 * 12,
    ),
    "elements": (Of(lambda x, w: (tokens(x)[..., None] * w).sum(-2), (12, 5)), 0),
    **{
        mode: (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2, mode=mode)), 64 * 12)
        for mode in ("nearest", "bilinear", "bicubic")
    },
    "antialiased": (
        Of(
            lambda x, w: F.interpolate(F.conv2d(x, w), size=4, mode="bicubic", antialias=True),
            (4, 3, 1, 1),
        ),
        64 * 12,
    ),
    "trilinear": (
        Of(
            lambda x, w: F.interpolate(F.conv2d(x, w)[:, None], scale_factor=2, mode="trilinear"),
            (4, 3, 1, 1),
        ),
        64 * 12,
    ),
    "tuple": (Of(lambda x, w: (F.conv2d(x, w), {"features": x}), (4, 3, 1, 1)), 64 * 12),
    "dataclass": (Of(lambda x, w: Answer(F.conv2d(x, w), {"x": x}), (4, 3, 1, 1)), 64 * 12),
    "data parallel": (nn.DataParallel(nn.Conv2d(3, 4, 1)), 64 * 12),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_networks_that_can_be_counted_by_hand(name: str) -> None:
    """By both counters, for one image and for two."""
    network, macs = BY_HAND[name]
    for batch in (1, 2):
        counted = count(network.eval(), torch.randn(batch, 3, 8, 8))
        assert (counted.traced, counted.check, counted.missed) == (macs * batch, macs * batch, [])
        assert counted.macs == macs * batch


def test_a_sum_over_a_batch_of_products_and_a_projection_by_its_norm() -> None:
    """Products whose number does not double with the batch."""
    added = Of(
        lambda x, w: torch.addbmm(torch.zeros(16, 5), tokens(x), w.expand(len(x), -1, -1)),
        (1, 12, 5),
    )
    assert count(added, torch.randn(2, 3, 8, 8)).macs == 2 * 16 * 12 * 5
    normed = nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(192, 7))
    ).eval()
    assert (
        count(normed, torch.randn(1, 3, 8, 8)).macs == 2 * 192 * 7 + 7
    )  # w times a vector, by another, and the layer itself


def test_deformable_convolution() -> None:
    from torchvision.ops import deform_conv2d

    deformed = Of(
        lambda x, w: deform_conv2d(x, torch.zeros(len(x), 18, 8, 8), w, padding=1), (4, 3, 3, 3)
    )
    assert count(deformed, torch.randn(1, 3, 8, 8)).macs == 64 * 4 * 27


def test_compiled_models_are_counted_as_they_are_before() -> None:
    inner = nn.Conv2d(3, 4, 1)
    for network in (torch.compile(inner), nn.Sequential(torch.compile(inner), nn.ReLU())):
        assert count(network, torch.randn(1, 3, 8, 8)).macs == 64 * 12


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_counts(name: str) -> None:
    parameters, gmacs = GOLDEN[name]
    entry = models.get(name)
    model = entry.build(image_size=224, num_classes=1000)
    if parameters is not None:
        assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    counted = count(model.eval(), torch.randn(1, 3, 224, 224))
    assert counted.macs / 1e9 == pytest.approx(gmacs, abs=6e-4)
    assert counted.missed == []


def by_stages(x: Tensor, w: Tensor) -> Tensor:
    for _ in range(3):
        x = x @ w
    return x


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "fft": (Of(lambda x: torch.fft.fft2(x).real), "aten::fft_fft2"),
    "bilinear": (With(nn.Bilinear(12, 12, 4), lambda m, t: m(t, t)), "aten::bilinear"),
    "distances": (Of(lambda x, w: torch.cdist(tokens(x), w), (5, 12)), "aten::cdist"),
    "an inverse": (Of(lambda x: torch.linalg.inv(x)), "aten::linalg_inv"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_count_is_refused_by_name_by_both_counters(name: str) -> None:
    """`run`, `describe` and `match` agree: each refuses it."""
    network, operator = REFUSED[name]
    images = torch.randn(1, 3, 8, 8)
    for figure in ("macs", "activations"):
        with pytest.raises(Uncountable, match=f"{operator}.* cannot be counted"):
            getattr(count(network, images), figure)
    with pytest.raises(Uncountable, match=r"aten::.* cannot be counted"):
        torch_macs(network, images)


@pytest.mark.parametrize(
    ("network", "operator"),
    [
        (Of(torch.jit.script(by_stages), (8, 8)), "prim::CallFunction"),
        (Of(Mine.apply, (24, 3, 1, 1)), "prim::PythonOp.Mine"),
    ],
    ids=["scripted", "autograd"],
)
def test_products_that_a_trace_does_not_see_are_missed_by_neither_count(
    network: nn.Module, operator: str
) -> None:
    """fvcore cannot look inside, torch's counter can: the count is refused unless they agree."""
    counted = count(network, torch.randn(1, 3, 8, 8))
    with pytest.raises(
        Uncountable, match=rf"fvcore counts 0, torch 4,608; a trace cannot look into {operator}"
    ):
        assert counted.macs
    with pytest.raises(Uncountable, match=rf"products may be missing; .*{operator}"):
        assert counted.activations


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("kind", ["scripted", "quantized"])
def test_models_that_nobody_can_look_into(kind: str) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 7))
    hidden = (
        torch.jit.script(plain)
        if kind == "scripted"
        else torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    )
    for counter in (count, torch_macs):
        with pytest.raises(Uncountable, match=r"torch\.jit\.script|float32"):
            counter(hidden, torch.randn(1, 3, 8, 8))


NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, mixer, num_classes):
        super().__init__()
        self.patches, self.mixer = nn.Conv2d(3, 16, 8, 8), mixer
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = self.mixer(t, t) if isinstance(self.mixer, nn.Bilinear) else self.mixer(t)
        return self.head((t[0] if isinstance(t, tuple) else t).mean(1))


def encoder(num_classes):
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return Net(nn.TransformerEncoder(layer, 2), num_classes)


def lstm(num_classes):
    return Net(nn.LSTM(16, 16, batch_first=True), num_classes)


def bilinear(num_classes):
    return Net(nn.Bilinear(16, 16, 16), num_classes)
"""
STEM, HEAD = 16 * 3 * 64 * 16, 16 * 10


def test_one_count_that_fails_takes_only_itself(tmp_path: Path) -> None:
    """Run three of a user's own models, one with a layer whose products have no formula."""
    (tmp_path / "nets.py").write_text(NETS)
    names = [f"./nets.py:{name}" for name in ("encoder", "lstm", "bilinear")]
    counting = ("--metrics", "params,macs,activations", "--image-size", 32, "--num-classes", 10)
    ended = bench("run", "--models", ",".join(names), *counting, cwd=tmp_path)
    assert ended.code == 1 and "Traceback" not in ended.text, ended
    assert (
        "bilinear: failed: macs, activations: aten::bilinear cannot be counted; "
        "the total would be too small" in ended.out
    ), ended
    assert "1 configuration failed" in ended.out
    records = {
        record.arm.model: record
        for record in map(load, tmp_path.glob("results/*/records/*.count.*.jsonl"))
    }
    values = {
        model: {one.metric: one.values[0] for line in record.rounds for one in line.samples}
        for model, record in records.items()
    }
    encoder = 2 * (16 * 16 * 16 * 4 + 2 * 16 * 16 * 16 + 2 * 16 * 16 * 32)
    assert values["./nets.py:encoder"]["macs"] == STEM + encoder + HEAD
    assert values["./nets.py:lstm"]["macs"] == STEM + 16 * 4 * 16 * 32 + HEAD
    assert values["./nets.py:bilinear"] == {"params": 16 * 193 + 16 * 257 + 170}
    half = records["./nets.py:bilinear"]
    assert [(end.status, end.metrics) for end in half.ends] == [
        ("ok", ["params"]),
        ("failed", ["macs", "activations"]),
    ]
    assert end_of(half, "params").status == "ok"  # type: ignore[union-attr]
    assert [end.metrics for end in troubles(half)] == [["macs", "activations"]]
    again = called(
        "run", "--models", names[2], *counting, cwd=tmp_path
    )  # what is there is not counted again, the rest is
    assert "macs, activations: " in again.out and again.code == 1, again
    assert [line.samples[0].metric for line in load(half.path).rounds] == ["params"]
    assert "bilinear, macs, activations: failed: " in " ".join(again.out.split()), (
        again
    )  # below the table


def test_activations_are_what_the_same_products_write() -> None:
    """For every product that is known to one count: the number of its output elements."""
    for name in ("lstm", "baddbmm", "einsum", "tensordot", "attention", "linear", "transposed"):
        network, _ = BY_HAND[name]
        output = network.eval()(torch.randn(1, 3, 8, 8))
        output = output[0] if isinstance(output, tuple) else output
        assert count(network, torch.randn(1, 3, 8, 8)).activations == output.numel(), name


def test_einsum_as_torch_contracts_it() -> None:
    """Compare random equations of up to four operands, some of size 1, with torch's products."""
    rng = random.Random(0)
    for _ in range(200):
        sizes = {letter: rng.choice([1, 2, 3, 4]) for letter in "abcdef"}
        terms = ["".join(rng.sample("abcdef", rng.randint(1, 4))) for _ in range(rng.randint(1, 4))]
        used = sorted(set("".join(terms)))
        equation = ",".join(terms) + "->" + "".join(rng.sample(used, rng.randint(0, len(used))))
        shapes = [[sizes[letter] for letter in term] for term in terms]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            torch.einsum(equation, *[torch.ones(shape) for shape in shapes])
        assert 2 * einsum.macs(equation, shapes) == counter.get_total_flops(), (equation, shapes)


def test_einsum_along_a_path_and_without_an_arrow() -> None:
    assert (
        einsum.macs("ab,bc,cd->ad", [[2, 3], [3, 5], [5, 7]], [1, 2, 0, 1]) == 3 * 5 * 7 + 2 * 3 * 7
    )
    assert einsum.macs("ab,bc", [[2, 3], [3, 5]]) == 2 * 3 * 5
    assert einsum.macs("...ab,...bc->...ac", [[9, 2, 3], [9, 3, 5]]) == 9 * 2 * 3 * 5


def test_the_cheapest_chain() -> None:
    assert cheapest_chain([2, 3]) == 0
    assert cheapest_chain([10, 100, 5, 50]) == 10 * 100 * 5 + 10 * 5 * 50


@pytest.mark.parametrize(
    "name",
    [
        "_convolution_mode",
        "addbmm",
        "addmv",
        "_scaled_dot_product_flash_attention",
        "mkldnn_rnn_layer",
        "conv_tbc",
    ],
)
def test_names_that_have_to_be_counted(name: str) -> None:
    assert is_product(f"aten::{name}")


@pytest.mark.parametrize(
    "name",
    [
        "add",
        "gelu",
        "mean",
        "softmax",
        "adaptive_avg_pool1d",
        "upsample_trilinear3d",
        "_upsample_bilinear2d_aa",
    ],
)
def test_names_that_need_not_be_counted(name: str) -> None:
    assert not is_product(f"aten::{name}")


def test_operators_of_other_libraries_are_refused_unless_they_are_known() -> None:
    assert is_product("mylib::mix") and is_product("quantized::linear_dynamic")
    assert not is_product("torchvision::roi_align")
    assert is_opaque("prim::PythonOp.Mine") and not is_product("prim::PythonOp.Mine")
