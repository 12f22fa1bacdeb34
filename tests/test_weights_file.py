"""Weights files as other programs save them: the right entry is taken, no code is executed."""

from __future__ import annotations

import argparse
import datetime
import io
import os
import pathlib
import pickle
import random
import subprocess
import time
import zipfile
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.utils import CheckpointSaver

from bench.errors import UsageError
from bench.training import checkpoint
from bench.training.weights_file import (
    StoredView,
    WeightsMetadata,
    metadata_of,
    stand_in,
    unpickled,
    weights_from,
)


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    found: dict[str, torch.Tensor] = timm.create_model("test_resnet", num_classes=10).state_dict()
    return found


STATE = state()
PLAIN = {
    "args": argparse.Namespace(
        lr=0.1, where=pathlib.Path("/data"), nested=argparse.Namespace(a=[1, 2])
    ),
    "epoch": np.int64(3),
    "metric": np.float64(3.5),
    "array": np.arange(3),
    "when": datetime.datetime(2024, 1, 2),
    "table": defaultdict(list, {"a": [1]}),
    "last": deque([1, 2], maxlen=3),
    "names": {"a", "b"},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0)}},
        "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}],
    },
}
"""What trainings keep beside weights."""


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("content", "entry", "others"),
    [
        (STATE, None, ()),
        (
            OrderedDict(
                (name, torch.nn.Parameter(one) if one.is_floating_point() else one)
                for name, one in STATE.items()
            ),
            None,
            (),
        ),
        ({"net": STATE, "acc": 93.0, "epoch": 3}, "net", ()),
        ({"model_state_dict": STATE} | PLAIN, "model_state_dict", ()),
        ({"model": STATE, "model_ema": STATE} | PLAIN, "model_ema", ("model",)),
        (
            {"state_dict": STATE, "state_dict_ema": STATE, "arch": "x"},
            "state_dict_ema",
            ("state_dict",),
        ),
        (
            {"state_dict": STATE, "hyper_parameters": {"a": 1}, "pytorch-lightning_version": "2.0"},
            "state_dict",
            (),
        ),
        ({"my_own_word": STATE, "step": 3}, "my_own_word", ()),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_the_entry_that_is_taken(
    content: Any, entry: str | None, others: tuple[str, ...], legacy: bool, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "it.pth", _use_new_zipfile_serialization=not legacy)
    found = weights_from(tmp_path / "it.pth")
    assert (found.entry, found.others, found.says) == (entry, others, WeightsMetadata())
    assert found.tensors.keys() == STATE.keys()
    assert all(torch.equal(one, STATE[name]) for name, one in found.tensors.items())


def test_a_checkpoint_of_timms_own_saver(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    saver = CheckpointSaver(
        model,
        optimizer,
        args=argparse.Namespace(model="x", lr=0.1),
        checkpoint_dir=tmp_path,
        recovery_dir=tmp_path,
    )
    saver.save_checkpoint(0, metric=12.0)
    found = weights_from(tmp_path / "last.pth.tar")
    assert found.entry == "state_dict"
    assert found.tensors.keys() == STATE.keys()


def test_an_entry_is_chosen_by_name_or_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "it.pth"
    torch.save(
        {"state_dict": STATE, "state_dict_ema": {name: one + 1 for name, one in STATE.items()}},
        path,
    )
    assert torch.equal(weights_from(path, "state_dict").tensors["bn1.bias"], STATE["bn1.bias"])
    with pytest.raises(
        UsageError, match="no weights in an entry 'ema'; it has state_dict, state_dict_ema"
    ):
        weights_from(path, "ema")
    torch.save({"student": STATE, "teacher": STATE}, path)
    with pytest.raises(
        UsageError, match="has weights in student, teacher; choose with --checkpoint-key student"
    ):
        weights_from(path)
    torch.save(STATE, path)
    with pytest.raises(UsageError, match="its weights are in no entry; drop the flag"):
        weights_from(path, "state_dict")


def test_files_that_are_no_weights_are_refused_in_words(tmp_path: Path) -> None:
    def refused(name: str, content: Any, words: str) -> None:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(UsageError, match=words) as caught:
            weights_from(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused("none.pth", None, "is not a file")
    refused("text.pth", b"hello", "is refused: only tensors in plain containers are read")
    refused("text.safetensors", b"hello", "not a complete safetensors file .*; save it again")
    refused(
        "other.pth",
        {"lr": torch.ones(1), "step": 3},
        r"contains no state dict; .* it has lr \(Tensor\), step \(int\)",
    )
    refused("list.pth", [torch.ones(1)], "it has a list")
    refused(
        "whole.pth",
        timm.create_model("test_resnet"),
        r"it contains timm\.models\.\w+\.ResNet; save model\.state_dict\(\)",
    )
    refused("sparse.pth", {"weight": torch.ones(2, 2).to_sparse()}, "contains no state dict")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pth"))
    refused("script.pth", None, "a TorchScript archive is a program")
    squeezed, plain = tmp_path / "squeezed.pth", tmp_path / "plain.pth"
    torch.save({"weight": torch.zeros(100_000)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.namelist():
            new.writestr(one, old.read(one))
    refused("squeezed.pth", None, "is compressed")


def test_what_our_own_files_say(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    view = {
        "crop": 0.9,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
    }
    checkpoint.save(
        path, STATE, {"model": "vit_digits", "image_size": 32, "view": view, "recipe": "digits"}
    )
    expected = WeightsMetadata(
        "vit_digits", 32, StoredView(0.9, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    )
    assert metadata_of(path) == weights_from(path).says == expected
    for wrong in (
        {"model": 3},
        {"view": view | {"crop": 7}},
        {"view": view | {"std": [0, 1, 1]}},
        {"image_size": -1},
        {"view": "x"},
    ):
        checkpoint.save(path, {"weight": torch.ones(1)}, wrong)
        with pytest.raises(UsageError, match=r"the metadata of .* is damaged"):
            weights_from(path)
    save_file(STATE, tmp_path / "hub.safetensors", metadata={"format": "pt"})
    assert weights_from(tmp_path / "hub.safetensors").says == WeightsMetadata()


# What runs nothing


class Calls:
    """A pickle of this calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.what = (function, arguments)

    def __reduce__(self) -> Any:
        return self.what


def evil(mark: Path) -> dict[str, Any]:
    """Things that leave a mark when they are rebuilt."""
    line = f"open({str(mark)!r}, 'w').close()"
    args = argparse.Namespace(fine=1, bad=Calls(os.system, f"touch {mark}"))
    numpy_reconstruct: Any = np.array([1]).__reduce__()[0]
    return {
        "system": Calls(os.system, f"touch {mark}"),
        "eval": Calls(eval, line),
        "exec": Calls(exec, line),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "method": Calls(Path.write_text, mark, "executed"),
        "popen": Calls(subprocess.Popen, ["touch", str(mark)]),
        "namespace": args,
        "in a path": Calls(pathlib.PosixPath, Calls(os.system, f"touch {mark}")),
        "in numpy": Calls(numpy_reconstruct, Calls(eval, line), (0,), b"b"),
        "rebuilt": Calls(
            torch._tensor._rebuild_from_type_v2, os.system, torch.Tensor, (f"touch {mark}",), None
        ),
        "rebuilt by eval": Calls(
            torch._tensor._rebuild_from_type_v2, eval, torch.Tensor, (line,), None
        ),
        "parameter": Calls(
            torch._utils._rebuild_parameter_with_state, Calls(eval, line), False, OrderedDict(), {}
        ),
        "load": Calls(torch.load, str(mark.with_suffix(".inner")), "cpu"),
        "compile": Calls(torch.hub.load, "x/y", "z"),
    }


@pytest.mark.parametrize("way", ["pickle", "torch", "legacy", "beside weights"])
@pytest.mark.parametrize("name", list(evil(Path("x"))))
def test_a_malicious_pickle_executes_nothing_and_is_refused(
    name: str, way: str, tmp_path: Path
) -> None:
    path, mark = tmp_path / "bad.pth", tmp_path / "mark"
    bad = evil(mark)[name]
    if way == "pickle":
        path.write_bytes(pickle.dumps(bad))
    else:
        content = {"state_dict": STATE, "more": bad} if way == "beside weights" else bad
        torch.save(content, path, _use_new_zipfile_serialization=way != "legacy")
    with pytest.raises(
        UsageError, match=r"is refused: only tensors in plain containers are read"
    ) as caught:
        weights_from(path)
    assert not mark.exists()
    assert "\n" not in str(caught.value)


def test_names_that_are_let_through_stand_for_nothing(tmp_path: Path) -> None:
    """The names are classes of ours, and the result contains none of the real ones."""
    before = torch.serialization.get_safe_globals()
    torch.save(PLAIN, tmp_path / "plain.pth")
    found = unpickled(tmp_path / "plain.pth")
    assert type(found["args"]).__module__ == "argparse"
    assert not isinstance(found["args"], argparse.Namespace)
    assert not isinstance(found["array"], np.ndarray)
    assert vars(found["args"]) == {}
    assert found["table"] == {"a": [1]}
    assert found["last"] == [1, 2]
    for name in (
        "os.system",
        "builtins.eval",
        "builtins.getattr",
        "pathlib.Path.write_text",
        "argparse.ArgumentParser",
        "numpy.load",
        "x",
    ):
        assert stand_in(name) is None, name
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    """600 files with other bytes in them: read, or refused; nothing else."""
    draw, path = random.Random(0), tmp_path / "it.pth"
    whole = []
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save(
            {"state_dict": {"weight": torch.ones(3), "bias": torch.ones(1)}} | PLAIN,
            buffer,
            _use_new_zipfile_serialization=zipped,
        )
        whole.append(buffer.getvalue())
    for _ in range(600):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(content))
            content[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        path.write_bytes(content[: draw.choice((len(content), draw.randrange(len(content))))])
        try:
            weights_from(path)
        except UsageError as error:
            assert "\n" not in str(error)


def test_a_long_name_in_a_file_keeps_nobody_busy(tmp_path: Path) -> None:
    """torch searches its own message for patterns, which took minutes for 100,000 characters."""
    (tmp_path / "long.pt").write_bytes(b"\x80\x02cbuiltins\n" + b"a" * 100_000 + b"\n.")
    began = time.process_time()
    with pytest.raises(UsageError, match=r"long\.pt is refused"):
        weights_from(tmp_path / "long.pt")
    assert time.process_time() - began < 5
