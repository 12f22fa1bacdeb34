"""The layer tree: parts add up to the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.app import main
from bench.count.cost import cost_of
from bench.count.module_tree import Layer, describe
from bench.plugins import models

from .program import called


def leaves(layer: Layer) -> list[Layer]:
    return (
        [leaf for child in layer.children for leaf in leaves(child)] if layer.children else [layer]
    )


@pytest.mark.parametrize(
    "name",
    [
        "convmixer_digits",
        "resnet_digits",
        "mixer_digits",
        "vit_digits",
        "skeleton_64_6_depthwise_p8",
    ],
)
def test_the_root_is_the_whole_and_convolutions_are_not_lost(name: str) -> None:
    entry = models.get(name)
    tree, cost = (
        describe(entry, image_size=32, num_classes=10).root,
        cost_of(entry, image_size=32, num_classes=10),
    )
    assert (tree.params, tree.macs) == (cost.params, cost.macs)
    inside = sum(child.macs for child in tree.children)
    assert 0.99 * cost.macs <= inside <= cost.macs
    assert sum(leaf.macs for leaf in leaves(tree)) <= cost.macs


def test_a_depthwise_layer_by_hand() -> None:
    tree = describe(models.get("convmixer_digits"), image_size=32, num_classes=10).root
    depthwise = next(
        leaf for leaf in leaves(tree) if leaf.kind == "Conv2d" and leaf.params == 128 * 9 + 128
    )
    assert depthwise.macs == 128 * 9 * 16
    assert depthwise.shapes == ((128, 4, 4),)


NETS = """
import numpy
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, kind, num_classes):
        super().__init__()
        self.kind = kind
        second = nn.Sequential(nn.Conv2d(4, 8, 2, 2), nn.ReLU())
        self.steps = nn.ModuleList([nn.Conv2d(3, 4, 2, 2), second])
        self.shifts = nn.ParameterList([torch.zeros(8, 1, 1), torch.zeros(8, 1, 1)])
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.steps[0](x)
        for step in self.steps[1]:
            x = step(x)
        x = (x + self.shifts[0] + self.shifts[1]).mean((2, 3))
        if self.kind == "branch" and x.sum() > 1e9:
            return x
        if self.kind == "numpy":
            x = x * float(numpy.asarray(x.detach()).max() > 0)
        if self.kind == "broken":
            raise KeyError("the weights")
        y = self.head(x)
        return {"tuple": (y, x), "dict": {"logits": y, "more": [x]}}.get(self.kind, y)


def plain(num_classes):
    return Net("plain", num_classes)


def item(num_classes):
    rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
    return nn.Sequential(Net("plain", num_classes), nn.Dropout(rates[1]))


def branch(num_classes):
    return Net("branch", num_classes)


def with_numpy(num_classes):
    return Net("numpy", num_classes)


def broken(num_classes):
    return Net("broken", num_classes)


def a_tuple(num_classes):
    return Net("tuple", num_classes)


def a_dict(num_classes):
    return Net("dict", num_classes)


def unknown(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), Squares(num_classes))


class Squares(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.pairs = nn.Bilinear(4, 4, num_classes)

    def forward(self, x):
        return self.pairs(x, x)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(name: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What `describe` says of one of them."""
    assert (
        main(
            [
                "describe",
                f"./nets.py:{name}",
                "--image-size",
                "8",
                "--num-classes",
                "5",
                "--depth",
                "3",
            ]
        )
        == code
    )
    found = capsys.readouterr()
    return found.out if code == 0 else found.err


def test_a_constructor_that_reads_a_value_is_built_on_the_cpu_and_says_so(nets: Path) -> None:
    ended = called("describe", "./nets.py:item", "--image-size", 8, "--num-classes", 5, cwd=nets)
    assert ended.code == 0 and "Traceback" not in ended.text, ended
    assert (
        "built and run on the CPU, since tensors on the meta device have no values: "
        "RuntimeError: Tensor.item()" in ended.out
    ), ended
    assert "(nets.py, line 36)" in ended.out, ended


@pytest.mark.parametrize("name", ["branch", "with_numpy"])
def test_a_forward_pass_that_reads_values_runs_on_the_cpu(
    name: str, nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shown("plain", capsys)
    assert "on the CPU" not in whole
    found = shown(name, capsys)
    assert "built and run on the CPU" in found
    assert found.splitlines()[1:7] == whole.splitlines()[1:7]


def test_containers_without_a_forward_are_the_sums_of_their_children(nets: Path) -> None:
    root = describe(models.get("./nets.py:plain"), image_size=8, num_classes=5).root
    steps, shifts, head = root.children
    first, second = 16 * 4 * 3 * 4, 4 * 8 * 4 * 4
    assert (steps.macs, steps.shapes, [child.macs for child in steps.children]) == (
        first + second,
        (),
        [first, second],
    )
    assert (shifts.params, shifts.macs) == (16, 0)
    assert root.macs == first + second + head.macs == first + second + 40


@pytest.mark.parametrize("name", ["a_tuple", "a_dict"])
def test_outputs_of_several_tensors_show_all_shapes(
    name: str, nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(name, capsys).splitlines()[0].startswith(f"./nets.py:{name} Net  5, 8  ")


def test_a_model_that_fails_is_one_line_that_says_where(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = shown("broken", capsys, code=2)
    assert line.splitlines() == [
        "bench: ./nets.py:broken: cannot be built and run on one image of 8 pixels: "
        "KeyError: 'the weights' (nets.py, line 26)"
    ]


def test_where_a_product_has_no_count_no_macs_are_shown(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = shown("unknown", capsys)
    assert "857 params" in found and " MACs  " not in found and "%" not in found
    assert "no MACs: aten::_trilinear could not be counted" in found
