"""Weights are loaded into a model without their names' prefixes; a misfit is named in one line."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch import Tensor, nn

from bench.errors import UsageError
from bench.training.fitting import load_weights


def build(classes: int = 10) -> nn.Module:
    model: nn.Module = timm.create_model("test_resnet", num_classes=classes)
    return model


torch.manual_seed(0)
STATE = build().state_dict()
HEAD = ("fc.",)


def named(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: one for name, one in STATE.items()}


def split() -> dict[str, Tensor]:
    return {
        ("head." if name.startswith(HEAD) else "backbone.") + name: one
        for name, one in STATE.items()
    }


@pytest.mark.parametrize(
    ("weights", "removed"),
    [
        (STATE, ()),
        (named("module."), ("module.",)),
        (named("_orig_mod."), ("_orig_mod.",)),
        (named("module._orig_mod."), ("_orig_mod.", "module.")),
        (named("_orig_mod.module."), ("_orig_mod.", "module.")),
        (named("model."), ("model.",)),
        (named("model._orig_mod.module.net."), ("_orig_mod.", "model.module.net.")),
        (
            {name.replace("layer1.0.", "layer1.0._orig_mod."): one for name, one in STATE.items()},
            ("_orig_mod.",),
        ),
        (split(), ("backbone.", "head.")),
        ({f"module.{name}": one for name, one in split().items()}, ("backbone.", "head.")),
    ],
)
def test_what_stands_in_front_goes(weights: dict[str, Tensor], removed: tuple[str, ...]) -> None:
    model = build()
    found = load_weights(model, weights, where="it")
    assert (found.removed, found.left_out) == (removed, ())
    assert all(torch.equal(one, STATE[name]) for name, one in model.state_dict().items())


def test_other_kinds_of_numbers_and_missing_counters() -> None:
    model = build()
    load_weights(
        model,
        {name: one.half() if one.is_floating_point() else one for name, one in STATE.items()},
        where="it",
    )
    assert torch.equal(model.state_dict()["fc.weight"], STATE["fc.weight"].half().float())
    load_weights(
        build(),
        {name: one for name, one in STATE.items() if "num_batches_tracked" not in name},
        where="it",
    )


def test_what_is_not_the_models_is_left_out_by_name_or_chosen() -> None:
    found = load_weights(build(), named("model.") | {"criterion.weight": torch.ones(3)}, where="it")
    assert found.left_out == ("criterion.weight",)
    both = named("student.") | {f"teacher.{name}": one * 2 for name, one in STATE.items()}
    with pytest.raises(
        UsageError,
        match=re.escape("under 'student.', 'teacher.'; choose with --checkpoint-key /student."),
    ):
        load_weights(build(), both, where="it")
    model = build()
    assert len(load_weights(model, both, where="it", prefix="teacher.").left_out) == len(STATE)
    assert torch.equal(model.state_dict()["fc.weight"], STATE["fc.weight"] * 2)


FIRST = next(iter(STATE))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({name: one for name, one in STATE.items() if name != FIRST}, f"it lacks {FIRST}"),
        (
            {f"module.{name}": one for name, one in STATE.items() if name != FIRST},
            f"it lacks {FIRST}",
        ),
        (STATE | {"extra": torch.ones(1)}, "it also has extra"),
        (
            STATE | {FIRST: torch.ones(1)},
            f"the shape differs for {FIRST}: {FIRST} is 1, the model's ",
        ),
        (build(7).state_dict(), "weights for 7 classes, and the data has 10"),
        (
            timm.create_model("test_vit", num_classes=10).state_dict(),
            "no name in it is the model's",
        ),
        (
            STATE | {"fc.bias": STATE["fc.bias"].int()},
            r"fc.bias of type torch.int32 cannot stand for torch.float32",
        ),
        (
            STATE | {"fc.bias": STATE["fc.bias"] * torch.nan},
            "values that are NaN or infinite in fc.bias",
        ),
        (
            STATE | {"fc.bias": STATE["fc.bias"] + torch.inf},
            "values that are NaN or infinite in fc.bias",
        ),
        (
            STATE | {"bn1.running_mean": STATE["bn1.running_mean"] * torch.nan},
            "in bn1.running_mean",
        ),
        (STATE | {f"_orig_mod.{FIRST}": STATE[FIRST]}, "with and without '_orig_mod.'"),
    ],
)
def test_what_does_not_fit_is_one_line(weights: dict[str, Tensor], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_weights(build(), weights, where="it.pth")
    assert "it.pth" in str(caught.value)
    assert "\n" not in str(caught.value)
