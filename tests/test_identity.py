"""What a model is: which edits change its identity, and which do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.count import identity
from bench.count.building import build
from bench.count.identity import Use, built
from bench.count.outputs import heads
from bench.plugins import Model, models, sources
from tests.by_hand.released import current


class Net(nn.Module):
    """A small network with one thing of each sort that an edit may change."""

    def __init__(
        self,
        *,
        activation: type[nn.Module] = nn.ReLU,
        padding: str = "zeros",
        drop: float = 0.1,
        std: float = 0.02,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, padding_mode=padding)
        self.act, self.drop, self.head = activation(), nn.Dropout(drop), nn.Linear(8, 10)
        nn.init.normal_(self.head.weight, std=std)
        self.scale: float = 1.0
        self.table = (0.5, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(x)).mean((2, 3)) * self.scale + torch.tensor(self.table).sum()
        return self.head(self.drop(x))


def said(model: nn.Module, use: Use = "inference") -> list[str]:
    return built(model, 16, 10, use)


def made(**changes: object) -> nn.Module:
    identity.seed()
    attributes = {name: changes.pop(name) for name in ("scale", "table") if name in changes}
    model = Net(**changes)  # type: ignore[arg-type]
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize("use", ["inference", "training"])
def test_the_same_model_is_the_same(use: Use) -> None:
    assert said(made(), use) == said(made(), use)


CHANGES: list[dict[str, object]] = [
    {"activation": nn.GELU},
    {"padding": "reflect"},
    {"scale": 2.0},
    {"table": (0.5, 1.5)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_changed_graph_or_constant_is_another_model(change: dict[str, object]) -> None:
    assert said(made(**change)) != said(made())


@pytest.mark.parametrize(
    "change", [{"drop": 0.2}, {"std": 0.021}], ids=lambda change: next(iter(change))
)
def test_what_matters_to_a_training_alone_changes_trainings_alone(
    change: dict[str, object],
) -> None:
    assert said(made(**change)) == said(made())
    assert said(made(**change), "training") != said(made(), "training")


def test_a_backward_pass_of_its_own_is_part_of_a_training() -> None:
    def network(factor: float) -> nn.Module:
        class Scaled(torch.autograd.Function):
            @staticmethod
            def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
                return x.clone()

            @staticmethod
            def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
                return gradient * factor

        class Own(Net):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return Scaled.apply(super().forward(x))  # type: ignore[no-untyped-call, no-any-return]

        identity.seed()
        return Own()

    assert said(network(1.0)) == said(network(2.0))
    assert said(network(1.0), "training") != said(network(2.0), "training")


SOURCE = "import torch\ndef build(num_classes):\n    raise ValueError('no')\n"


def test_where_nothing_can_be_built_the_sources_stand_in(tmp_path: Path) -> None:
    found = []
    # The first one imports what is not imported yet; in a process of its own each would.
    for number, text in enumerate(
        (SOURCE, SOURCE, SOURCE + "# a comment", SOURCE.replace("'no'", "'never'"))
    ):
        file = tmp_path / str(number) / "net.py"
        file.parent.mkdir()
        file.write_text(text)
        models.typed.add(f"{file}:build")
        found.append(
            identity.identify(f"{file}:build", image_size=16, num_classes=10, use="inference")
        )
    found = found[1:]
    assert found[0] == found[1] != found[2]
    assert found[0].startswith("s")


def test_layout_comments_and_docstrings_are_no_part_of_a_source(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text('"""Says this."""\ndef f(a):\n    "and this"\n    return {"x": a}\n')
    other.write_text("# says that\ndef f(\n    a,\n):\n    return {'x': a}\n")
    assert sources.digest(one) == sources.digest(other)
    other.write_text("def f(a): return {'y': a}\n")
    assert sources.digest(one) != sources.digest(other)


def test_models_of_this_release_are_known_by_their_names() -> None:
    """The keys of their committed records contain no source.

    After a change that leaves a file's models the same, run `python -m tests.by_hand.released`; if
    the models differ, give them other names. A new file is not listed until a release: until then,
    its models are identified by what they build, like a user's own.
    """
    listed = json.loads(identity.RELEASED.read_text(encoding="utf-8"))
    assert "vit.py" in listed
    assert listed.items() <= current().items()
    for name in (
        "vit_s16",
        "convmixer_768_32",
        "convmixer_32_2_k3_p4",
        "skeleton_384_12_depthwise",
        "timm:resnet18",
    ):
        assert not identity.needed(models.get(name))
    models.typed.add("torchvision.models:resnet18")
    assert identity.needed(models.get("torchvision.models:resnet18"))


def test_a_model_comes_without_what_policies_decide() -> None:
    def wrapped(*, image_size: int, num_classes: int) -> nn.Module:
        inner = nn.Sequential(
            nn.LazyConv2d(4, 8, 8),
            torch.compile(nn.ReLU()),
            nn.Flatten(),
            nn.LazyLinear(num_classes),
        ).double()
        return nn.DataParallel(inner)

    model = build(Model(name="wrapped", family="mine", build=wrapped), image_size=16, num_classes=5)
    assert [type(one).__name__ for one in model.children()] == [
        "Conv2d",
        "ReLU",
        "Flatten",
        "Linear",
    ]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert (
        sum(parameter.numel() for parameter in model.parameters()) == 4 * 3 * 64 + 4 + 4 * 4 * 5 + 5
    )
    assert model.training


def test_the_logits_are_found() -> None:
    logits, features = torch.zeros(2, 10), torch.zeros(2, 4, 10)
    auxiliary = torch.ones(2, 10)
    for output in (
        (features, logits),
        [logits, features],
        {"x": features, "y": {"logits": logits}},
    ):
        assert [one is logits for one in heads(output, 2, 10)] == [True]
    assert [one is auxiliary for one in heads({"aux": auxiliary, "out": logits}, 2, 10)] == [
        False,
        True,
    ]
    F.cross_entropy(heads(logits, 2, 10)[0], torch.zeros(2, dtype=torch.long))
