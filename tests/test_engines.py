"""Engines as policies: same function, the precision that was asked for, present images."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.cli.app import main
from bench.config import RunConfig
from bench.engines.calibration import PICTURES, Calibration, calibration
from bench.engines.deferred import Deferred
from bench.engines.kept import digest, kept
from bench.engines.no_telemetry import imported
from bench.engines.precision import Product, checked
from bench.errors import UsageError
from bench.measure.serve import EXPORTS
from bench.measure.subject import Execution
from bench.plan import plan
from bench.plan.wish import Wish
from bench.plugins import datasets, models, policies, split_policy
from bench.plugins.switches import alternatives, not_installed, runnable_policy
from bench.record.arms import AccuracyArm, SpeedArm
from bench.record.reading import read_below

from .program import ROOT, bench, environment

ENGINES = ("ort", "openvino")
INSTALLED = [name for name in ENGINES if policies.get(name).supports("cpu") is None]
needs_engines = pytest.mark.skipif(len(INSTALLED) < 2, reason="needs the extras onnx and openvino")


def in_this_process(test: Any) -> Any:
    """Mark a test that loads engines into pytest's own process: run by `pytest -m exhaustive`.

    Engines have threads of their own; once a process of the whole suite ended without a word after
    these. By default engines run as users have them, in the workers of `bench run`.
    """
    return pytest.mark.exhaustive(needs_engines(test))


# The exporter uses what PyTorch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
TOLERANCE = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.25}
"""Largest error of the logits as a share of the largest logit."""


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


def execution(policy: str, model: nn.Module, batch: int = 2, **more: object) -> Execution:
    images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made = Execution(model=copy.deepcopy(model).eval(), inputs=images, device="cpu", **more)  # type: ignore[arg-type]
    for name in split_policy(policy):
        policies.get(name).apply(made)
    return made


def call_of(made: Execution) -> Callable[[], Tensor]:
    return made.finished(made.inference)


def small(name: str = "convmixer_digits") -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = models.get(name).build(image_size=32, num_classes=10)
    return model.eval()


def off(logits: Tensor, expected: Tensor) -> float:
    return float((logits.float() - expected.detach()).abs().max() / expected.detach().abs().max())


@in_this_process
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["convmixer_digits", "vit_digits"])
def test_an_engine_computes_the_same_function(engine: str, name: str) -> None:
    """Of the images that are there at each call; earlier logits stay as they were."""
    model = small(name)
    made = execution(engine, model, classes=10)
    call = call_of(made)
    first, expected = call(), model(made.inputs).detach()
    kept_first = first.clone()
    assert off(first, expected) < TOLERANCE["fp32"]
    made.inputs.copy_(torch.randn_like(made.inputs))
    second = call()
    assert off(second, model(made.inputs).detach()) < TOLERANCE["fp32"]
    assert torch.equal(first, kept_first), "a call must not change the logits of an earlier one"
    assert isinstance(made.model, Deferred)
    more = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        logits = made.model(more)
    assert off(logits, model(more)) < TOLERANCE["fp32"], "5 images by an engine for 2"
    assert made.engine["engine"] == engine
    assert made.engine["engine_precision"] == "fp32"
    assert int(made.engine["onnx_opset"]) >= 18  # type: ignore[arg-type]
    assert made.engine["engine_threads"] == torch.get_num_threads()


@in_this_process
def test_openvino_left_to_its_default_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default is bfloat16 where a processor has it, whatever the model is in."""
    from bench.engines import open_vino

    openvino = imported("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("needs a processor with bfloat16")
    real = open_vino._properties

    def without_hint(*what: object) -> dict[str, object]:
        properties: dict[str, object] = real(*what)  # type: ignore[arg-type]
        del properties["INFERENCE_PRECISION_HINT"]
        return properties

    monkeypatch.setattr(open_vino, "_properties", without_hint)
    with pytest.raises(NotImplementedError, match=r"openvino: asked for fp32, .* in bf16"):
        call_of(execution("openvino", small()))()


@in_this_process
def test_half_precision_is_kept_or_refused() -> None:
    model = small("vit_digits")
    openvino = imported("openvino")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        made = execution("bf16+openvino", model)
        logits = call_of(made)()
        assert off(logits, model(made.inputs.float()).detach()) < TOLERANCE["bf16"]
        assert made.engine["engine_precision"] == "bf16"
    with pytest.raises(NotImplementedError, match="ort: has no bf16 kernels"):
        call_of(execution("bf16+ort", model))()
    with pytest.raises(NotImplementedError, match=r"asked for fp16, .* in fp32"):
        call_of(execution("fp16+ort", model))()
    with pytest.raises(NotImplementedError, match="ort: an engine has weights and images in one"):
        execution("bf16_autocast+ort", model)


@in_this_process
@pytest.mark.parametrize("engine", ENGINES)
def test_int8_takes_its_ranges_from_pictures(engine: str) -> None:
    model = small()
    made = execution(f"int8+{engine}", model, data="digits", model_name="convmixer_digits")
    assert isinstance(made.calibration, Calibration)
    call = call_of(made)
    pictures = made.calibration.images[:2]
    made.inputs.copy_(pictures)
    assert off(call(), model(pictures).detach()) < TOLERANCE["int8"]
    assert made.engine["engine_precision"] == "int8"
    assert str(made.engine["calibrated_on"]).startswith("digits, train of")
    assert made.engine["calibration_pictures"] == PICTURES
    share = made.engine["engine_int8_share"]
    assert isinstance(share, float) and share > 0.75


def test_int8_without_pictures_is_refused() -> None:
    """Neither random inputs nor the test split stand in for them."""
    asked = RunConfig(models=("vit_digits",), policies=("int8+ort",), device="cpu")
    if "ort" in INSTALLED:
        with pytest.raises(UsageError, match=r"never from random inputs; add --data"):
            plan.make(asked, device="cpu")
    with pytest.raises(UsageError, match=r"int8 takes its ranges from pictures"):
        execution("int8", small())
    with pytest.raises(NotImplementedError, match=r"use int8\+ort or int8\+openvino"):
        call_of(execution("int8", small(), data="digits", model_name="vit_digits"))
    with pytest.raises(UsageError, match=r"int8 is a part of int8\+ort or int8\+openvino"):
        runnable_policy("int8", "cpu", flag="--policies")


def test_pictures_are_of_the_training_split(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = datasets.get("digits").open("")
    chosen = calibration("digits", "convmixer_digits", 32)
    assert chosen.images.shape == (PICTURES, 3, 32, 32)
    assert [len(part) for part in chosen.batches(48)] == [48, 48]
    without = SimpleNamespace(**{**vars(digits), "train": None})
    monkeypatch.setattr(
        "bench.engines.calibration.dataset_of",
        lambda data: (SimpleNamespace(name="x", open=lambda argument: without), ""),
    )
    with pytest.raises(UsageError, match="x:y has no training split"):
        calibration("x:y", "convmixer_digits", 32)


@in_this_process
@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_that_cannot_be_exported_is_unsupported(engine: str) -> None:
    with pytest.raises(NotImplementedError, match=f"{engine}: the model cannot be exported: "):
        call_of(execution(engine, Branching()))()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_the_package_one_line_says_how_to_install_it(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And everything else works: `best` chooses from the rest, and says so."""

    def absent(name: str) -> object:
        return None if name in ("onnxruntime", "openvino") else find_spec(name) or object()

    monkeypatch.setattr("bench.policies._engine.find_spec", absent)
    extra = {"ort": "onnx", "openvino": "openvino"}[engine]
    with pytest.raises(UsageError) as refused:
        runnable_policy(engine, "cpu", flag="--policies")
    assert f"pip install 'convmixer-bench[{extra}]'" in str(refused.value)
    assert "\n" not in str(refused.value)
    asked = RunConfig(models=("vit_digits",), policies=("best",), device="cpu")
    (note,) = [text for text in plan.make(asked, device="cpu").notes if "best" in text]
    assert extra in note
    assert engine not in alternatives("best", "cpu", flag="--policies")


def test_best_is_chosen_at_one_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.policies._engine.find_spec", lambda name: object())
    plain = ["fp32", "channels_last", "compile", "channels_last+compile", "compile_frozen"]
    assert alternatives("best", "cpu", flag="--policies") == [*plain, *ENGINES]
    assert "bf16+openvino" in alternatives("bf16+best", "cpu", flag="--policies")
    assert all("bf16" in name for name in alternatives("bf16+best", "cpu", flag="--policies"))
    assert alternatives("int8+best", "cpu", flag="--policies") == ["int8+ort", "int8+openvino"]
    assert all("fp16" in name for name in alternatives("fp16+best", "cuda", flag="--policies"))
    assert not not_installed("cpu")
    asked = RunConfig(policies=("int8+best", "bf16+best"), data="digits", checkpoint=Path("x"))
    evaluated = Wish(asked, [], (), "cpu").execution_policies
    assert evaluated == ["int8+ort", "int8+openvino", "bf16"]
    with pytest.raises(UsageError, match="no policy named 'bf17'"):
        alternatives("bf17+best", "cpu", flag="--policies")


@pytest.mark.parametrize(
    ("asked", "products", "kept"),
    [
        ("fp32", [Product("fp32")] * 3, True),
        ("fp32", [Product("fp32"), Product("bf16")], False),
        ("bf16", [Product("bf16"), Product("fp32")], False),
        ("int8", [Product("int8", 80), Product("fp32", 20)], True),
        ("int8", [Product("int8", 70), Product("fp32", 30)], False),
        ("fp32", [], False),
    ],
)
def test_another_precision_is_refused(asked: str, products: list[Product], kept: bool) -> None:
    if kept:
        assert checked(asked, products)["engine_precision"] == asked
        return
    with pytest.raises(NotImplementedError):
        checked(asked, products)


def test_what_was_exported_is_kept_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"graph"

    monkeypatch.delenv(EXPORTS, raising=False)
    assert [kept("key", make), kept("key", make)] == [b"graph"] * 2 and len(made) == 2
    monkeypatch.setenv(EXPORTS, str(tmp_path))
    assert [kept("key", make), kept("key", make)] == [b"graph"] * 2 and len(made) == 3
    model = small()
    before = digest(model, (2, 3))
    assert digest(small(), (2, 3)) == before != digest(model, (1, 3))
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert digest(model, (2, 3)) != before


@in_this_process
def test_weights_are_evaluated_in_int8_by_each_engine(tmp_path: Path) -> None:
    """As they are timed, on the test split; the last batch is smaller than the others."""
    model, file = small(), tmp_path / "weights.safetensors"
    save_file(model.state_dict(), file)
    command = ("eval", "--model", "convmixer_digits", "--checkpoint", str(file), "--data", "digits")
    asked = ("--policies", "fp32,int8+ort,int8+openvino", "--results", str(tmp_path / "results"))
    assert main([*command, *asked]) == 0
    ended = {}
    for record in read_below(tmp_path / "results")[0]:
        if isinstance(record.head.arm, AccuracyArm):
            (line,) = record.rounds
            ended[record.head.arm.policy] = line.samples[0].detail["images"]
    assert ended == dict.fromkeys((None, "int8+ort", "int8+openvino"), 360)


EXPORTED = [
    ("ort", (), "fp32"),
    ("bf16", (), None),
    ("int8+ort", ("--data", "digits"), "int8"),
]


@in_this_process
@pytest.mark.parametrize(("policy", "more", "precision"), EXPORTED)
def test_a_model_is_taken_home_as_it_is_measured(
    policy: str, more: tuple[str, ...], precision: str | None, tmp_path: Path
) -> None:
    """The file has the policy's precision and says its settings; any reader of ONNX runs it."""
    import onnx

    file = tmp_path / "taken.onnx"
    flags = ("--onnx", str(file), "--policy", policy, "--batch-size", "3", *more)
    assert main(["export", "convmixer_digits", *flags]) == 0
    graph = onnx.load(file)
    said = {
        entry.key.removeprefix("convmixer-bench."): entry.value for entry in graph.metadata_props
    }
    assert said["policy"] == policy and said["model"] == "convmixer_digits"
    assert said.get("engine_precision") == precision
    (images,) = graph.graph.input
    assert [side.dim_value for side in images.type.tensor_type.shape.dim] == [3, 3, 32, 32]
    quantised = any(node.op_type == "QuantizeLinear" for node in graph.graph.node)
    assert quantised == (precision == "int8")
    types = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 4}
    bits = onnx.TensorProto
    assert types == {{"bf16": bits.BFLOAT16, "ort": bits.FLOAT}.get(policy, bits.INT8)}


REFUSED = [
    (("vit_digits", "--onnx", "a.txt"), "--onnx: must end in .onnx, got a.txt"),
    (("vit_digits", "--onnx", "a.onnx", "--policy", "compile"), "compile runs in PyTorch only"),
    (("vit_digits", "--onnx", "a.onnx", "--policy", "int8+ort"), "add --data, such as"),
    (("vit_digits", "--onnx", "a.onnx", "--batch-size", "0"), "--batch-size: must be at least 1"),
    (("out", "--policy", "ort"), "--policy: is for a model; add --onnx FILE.onnx"),
]


@in_this_process
@pytest.mark.parametrize(("arguments", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_what_cannot_be_taken_home_is_one_line(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *arguments]) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1


@needs_engines
def test_a_run_measures_engines_beside_pytorch(tmp_path: Path) -> None:
    """Records say which engine, in which precision, on which threads; what it lacks is a status."""
    asked = ("--models", "vit_digits", "--policies", "fp32,ort,openvino,bf16+ort")
    ended = bench(
        *("run", *asked, "--metrics", "latency", "--time-budget", "5", "--device", "cpu"),
        *("--results", "results"),
        cwd=tmp_path,
        limit=400,
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert ended.code == 0, ended.text
    found = {}
    for record in read_below(tmp_path / "results")[0]:
        arm = record.head.arm
        if isinstance(arm, SpeedArm) and arm.model == "vit_digits":
            found[arm.policy] = record
    for engine in ENGINES:
        setup = found[engine].runs[-1].setup
        assert setup["engine"] == engine and setup["engine_precision"] == "fp32"
        assert float(setup["export_s"] or 0) < float(setup["first_call_s"] or 0)
    assert found["bf16+ort"].ends[-1].status == "unsupported"
    assert "ort: has no bf16 kernels" in (found["bf16+ort"].ends[-1].error or "")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("policy", ["ort", "tensorrt", "bf16+tensorrt", "fp16+ort"])
def test_an_engine_on_a_gpu_computes_the_same_function(policy: str) -> None:
    engine = policy.split("+")[-1]
    if reason := policies.get(engine).supports("cuda"):
        pytest.skip(reason)
    model = small().cuda()
    images = torch.randn(2, 3, 32, 32, device="cuda")
    made = Execution(model=copy.deepcopy(model), inputs=images.clone(), device="cuda:0")
    for name in split_policy(policy):
        policies.get(name).apply(made)
    logits = call_of(made)()
    tolerance = TOLERANCE["fp32" if "+" not in policy else "bf16"]
    assert off(logits, model(images).detach()) < tolerance


@needs_engines
def test_engines_write_nothing_into_the_home_folder(tmp_path: Path) -> None:
    """By default each leaves an identifier there, and reports to its makers."""
    code = (
        "from bench.engines.no_telemetry import imported; "
        "list(map(imported, ('openvino', 'nncf', 'onnxruntime')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(HOME=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
