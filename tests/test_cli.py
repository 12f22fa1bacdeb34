"""The command line: one clear line and exit code 2 for bad input, and the main job in small."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from bench.cli.app import app, main
from bench.config import SUITES, RunConfig, suite_fields

from .program import ROOT, environment
from .test_worker import wait_for

BAD = [
    (
        ["run", "--models", "convmixer_1536_2O"],
        "--models: no model named 'convmixer_1536_2O'; did you mean convmixer_1536_20?",
    ),
    (["run", "--models", "vit_s16", "--metrics", "latensy"], "did you mean latency?"),
    (["run", "--models", "vit_s16", "--data", "digit"], "did you mean digits?"),
    (["run", "--models", "vit_s16", "--data", "imagenet:/nowhere"], "--data imagenet:/nowhere"),
    (["run", "--models", "vit_s16", "--policies", "compiel"], "did you mean compile?"),
    (["run", "--models", "vit_s16", "--device", "cuda:9"], "--device: cuda:9 was requested"),
    (
        ["run", "--models", "vit_s16", "--device", "tpu"],
        "--device: must be auto, cpu, cuda, cuda:N or mps, got 'tpu'",
    ),
    (
        ["run", "--models", "vit_s16", "--batch-sizes", "0"],
        "--batch-sizes: must be at least 1, got 0",
    ),
    (["run", "--models", "vit_s16", "--batch-sizes", "abc"], "--batch-sizes"),
    (
        ["run", "--models", "vit_s16", "--image-size", "225"],
        "--image-size: vit_small_patch16_224 has patches of 16 pixels",
    ),
    (
        ["run", "--models", "vit_s16", "--time-budget", "-3"],
        "--time-budget: must be a number of seconds above 0, got -3",
    ),
    (["run", "--models", "vit_s16", "--time-budget", "nan"], "above 0, got nan"),
    (["run", "--suite", "quik"], "--suite: no suite 'quik'"),
    (["run", "--recipe", "digits", "--models", "vit_s16"], "--recipe: digits needs a data set"),
    (["run", "--modles", "vit_s16"], "--modles"),
    (["report", "--results", "nowhere"], "--results: nowhere is not a folder"),
    (["list", "modles"], "modles"),
    (["list", "weights"], "`list weights NAME`"),
    (
        ["list", "weights", "convmixer_512_12"],
        "timm knows no published weights of convmixer_512_12",
    ),
    (["list", "models", "--family", "vti"], "no family 'vti'"),
    (["describe", "vit_s16", "--num-classes", "0"], "--num-classes: must be from 1 to"),
    (
        ["run", "--models", "vit_s16", "--num-classes", "0"],
        "--num-classes: must be from 1 to",
    ),
    (
        ["match", "--reference", "vit_s16", "--num-classes", "0"],
        "--num-classes: must be from 1 to",
    ),
    (["describe", "vit_s15"], "did you mean vit_s16?"),
    (
        ["match", "--reference", "resnet18", "--hold", "shape", "--families", "vit"],
        "has no token grid; drop --hold",
    ),
    (["match", "--reference", "vit_s16", "--families", "skeleton_none"], "add --hold shape"),
]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    BAD,
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("bench: ")
    assert complaint in error


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("models = [", "is not valid TOML"),
        ('modles = ["vit_s16"]', "unknown field 'modles'"),
        ('models = ["vit_s16"]\nseed = "x"', "seed"),
        ('models = ["vit_s16"]\nbatch_sizes = [0]', "--batch-sizes: must be at least 1, got 0"),
    ],
)
def test_a_broken_suite_file(
    text: str,
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(text)
    assert main(["run", "--suite", "mine.toml"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert complaint in error


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_is_a_valid_config(path: Path) -> None:
    fields = suite_fields(path.stem)
    assert RunConfig(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    ).models


def bench(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_main_job_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run, run again, report: with real workers, first from the command line."""
    (tmp_path / "small.toml").write_text(
        'models = ["convmixer_digits", "vit_digits"]\nrounds = 6\n'
        'metrics = ["params", "throughput"]\n'
    )
    arguments = [
        "run",
        "--suite",
        "small.toml",
        "--device",
        "cpu",
        "--time-budget",
        "1m",
        "--notes",
    ]
    first = bench(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "99.5 k" in first.stdout
    assert (
        "median of 6 interleaved rounds in" in first.stdout
        and "95 % interval over rounds and processes" in first.stdout
    )
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    assert "nothing to measure: 4 configurations finished" in capsys.readouterr().out
    assert main(["report"]) == 0
    [text] = (tmp_path / "results").glob("*/report.md")
    assert "convmixer_digits" in text.read_text()


@pytest.mark.exhaustive
def test_ctrl_c_says_what_was_kept(tmp_path: Path) -> None:
    """As SIGTERM does in test_faults, and as Ctrl-C does for a training in test_ending."""
    arguments = [
        "run",
        "--models",
        "convmixer_digits",
        "--metrics",
        "latency",
        "--device",
        "cpu",
        "--rounds",
        "10000",
    ]
    run = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(
        lambda: any(
            b'"round":2,' in path.read_bytes()
            for path in tmp_path.glob("results/*/records/*.jsonl")
        ),
        90,
    )
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to the whole group
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "are kept; rerun the same command to continue" in output
    assert "Traceback" not in output


def test_a_swallowed_ctrl_c_is_remembered() -> None:
    from bench.measure import interrupts

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interrupts.listening():
        interrupts.check()
        with contextlib.suppress(KeyboardInterrupt):  # as a destructor does
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with interrupts.listening():
        interrupts.check()


@pytest.mark.parametrize(
    "kind",
    ["models", "families", "metrics", "policies", "datasets", "recipes", "studies", "figures"],
)
def test_list(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    assert kind in capsys.readouterr().out
    assert main(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["name"] for row in rows)


def test_help_is_quick() -> None:
    def cpu_seconds(*command: str) -> float:
        """Return a process's CPU time, which other programs lengthen less than its duration."""
        times = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
            times.append(user + system)
        return min(times)

    assert cpu_seconds("-m", "bench", "--help") < cpu_seconds("-c", "import torch") / 4


WITHOUT_TIMM = (
    ("paper",),
    ("claim", "vit_s16 > resnet50", "--on", "throughput"),
    ("run", "--models", "vit_s16,skeleton_32_2_attention", "--dry-run", "--device", "cpu"),
    ("run", "--models", "vit_digits", "--data", "digits", "--dry-run", "--device", "cpu"),
)


def test_what_builds_no_model_imports_no_timm(tmp_path: Path) -> None:
    """timm imports torchvision, and that PyTorch's compiler: seconds, for every command. (A run's
    workers have it from their server.)"""
    machine = "amd-epyc-2t-e074"
    shutil.copytree(ROOT / "results" / machine / "records", tmp_path / machine / "records")
    code = (
        "import sys\n"
        "from bench.cli.app import main\n"
        f"for command in {WITHOUT_TIMM!r}:\n"
        f"    assert main([*command, '--results', {str(tmp_path)!r}]) != 2, command\n"
        "    assert not {'timm', 'torchvision', 'torch._dynamo'} & set(sys.modules), command\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def commands(app: App) -> Iterator[App]:
    """Yield every command of an app, those of its sub-apps included."""
    for name, command in app.resolved_commands().items():
        if command.default_command is None:
            yield from commands(command)
        elif not name.startswith("-"):
            yield command


def test_help_is_the_docstring() -> None:
    """`app.py` repeats the first lines, because `bench --help` does not import the commands."""
    found = list(commands(app))
    assert len(found) >= 19
    for command in found:
        description, _, _ = inspect.getdoc(command.default_command).partition("\n\nParameters\n")
        paragraphs = [" ".join(text.split()) for text in description.split("\n\n")]
        assert command.help == "\n\n".join(paragraphs), command.name


def test_report_names_a_damaged_record_and_ends_with_2(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = next(results.glob("*/records/mixer_b16.speed.*"))
    bad.write_text("nonsense\n")
    assert main(["report", "--results", str(results)]) == 2
    captured = capsys.readouterr()
    assert f"bench: {bad}: line 1 is damaged" in captured.err
    assert "vit_s16" in captured.out
