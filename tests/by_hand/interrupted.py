"""Press Ctrl-C at random moments of commands, as a terminal sends it, and look at what is left.

    python -m tests.by_hand.interrupted --times 50

SIGINT goes to the whole process group, once or twice. Expected of each: exit code 130 and one line,
or the command's usual end if it was faster; no traceback, no process, no temporary file; every
record line that was there before still is, once. At last every command runs to its end on what the
others left, and the pack is verified. Takes about ten seconds per time, and prints each fault.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.conftest import fill
from tests.program import session, start

GONE_S = 20.0
"""Seconds within which every process of an interrupted command has ended."""
TRAIN = ["--metrics", "top1", "--data", "digits", "--device", "cpu", "--yes"]
TIME = ["--metrics", "params,latency", "--device", "cpu", "--results", "timed"]
MODEL = ["--models", "convmixer_digits"]
WEIGHTS = ["--checkpoint", "weights.safetensors", "--model", "convmixer_digits"]
COMMANDS = {
    "run": ["run", *MODEL, *TIME, "--rounds", "100000"],
    "train": ["run", *MODEL, *TRAIN, "--results", "trained", "--recipe", "digits:epochs=5000"],
    "report": ["report", "--results", "filled"],
    "pack": ["pack", "mine.zip", "--results", "filled"],
    "eval": ["eval", *WEIGHTS, "--data", "digits", "--results", "evaluated"],
    "verify": ["verify", "given.zip"],
    "claim": ["claim", "resnet50 > vit_s16", "--on", "throughput", "--results", "filled"],
    "list": ["list", "models"],
}
ENDLESS = {"run": ("100000", "4"), "train": ("5000", "2")}
"""What makes a command endless, and what takes its place to see it end."""
LONGEST_S = 12.0
"""Seconds after which endless commands are interrupted at the latest."""


@dataclass
class Tried:
    """What was seen of one interrupted command."""

    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    outcome: str = ""


def begun(arguments: list[str], cwd: Path) -> subprocess.Popen[str]:
    """Start a command whose temporary files are in a folder `t`."""
    return start(*arguments, cwd=cwd, env={"TMPDIR": str(cwd / "t")})


def records(cwd: Path) -> dict[Path, bytes]:
    """The complete lines of every record."""
    found = {}
    for path in cwd.glob("*/*/records/*.jsonl"):
        content = path.read_bytes()
        found[path] = content[: content.rfind(b"\n") + 1]
    return found


def interrupt(name: str, cwd: Path, wait: float, gaps: list[float]) -> Tried:
    """Start a command, send SIGINT after `wait` seconds and after each further gap."""
    before, tried = records(cwd), Tried()
    process = begun(COMMANDS[name], cwd)
    time.sleep(wait)
    tried.seconds = wait
    for gap in (0.0, *gaps):
        time.sleep(gap)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        tried.faults.append("it did not end within a minute")
    tried.outcome = outcome(process.returncode, out, err)
    if tried.outcome == "wrong":
        tried.faults.append(
            f"exit code {process.returncode}, output {out[-300:]!r}, {err[-1500:]!r}"
        )
    tried.faults += left_over(process.pid, cwd) + damaged(before, records(cwd))
    return tried


def outcome(code: int, out: str, err: str) -> str:
    """How a command ended: interrupted, done, before (the program's first line), or wrong."""
    lines = [line for line in (out + err).splitlines() if "interrupted" in line]
    if code == 130 and len(lines) == 1 and err.strip() in ("", lines[0].strip()):
        return "interrupted"
    if code == 0 and not err:
        return "done"
    ours = "/bench/" in err or "bench: " in err
    if not out and not ours and code in (-signal.SIGINT, 130, 1):
        return "before"
    return "wrong"


def left_over(pid: int, cwd: Path) -> list[str]:
    """Processes of a session that are still there, and temporary files."""
    end = time.monotonic() + GONE_S
    while (there := session(pid)) and time.monotonic() < end:
        time.sleep(0.05)
    if there:
        os.killpg(pid, signal.SIGKILL)
    files = [*cwd.rglob(".*.tmp"), *(cwd / "t").iterdir()]
    for path in files:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [*(f"still there: {line}" for line in there), *(f"left: {path}" for path in files)]


def damaged(before: Mapping[Path, bytes], after: Mapping[Path, bytes]) -> list[str]:
    """What is wrong with records that a command left."""
    faults = [f"{path} lost lines" for path in before if not after[path].startswith(before[path])]
    for path, content in after.items():
        lines = content.splitlines()
        if len(set(lines)) < len(lines):
            faults.append(f"{path} has a line twice")
        for line in lines:
            msgspec.json.decode(line)
    return faults


def whole(name: str, cwd: Path) -> tuple[int, str, float]:
    """Run a command to its end; return exit code, errors and seconds."""
    arguments = list(COMMANDS[name])
    if name in ENDLESS:
        arguments = [argument.replace(*ENDLESS[name]) for argument in arguments]
    began = time.monotonic()
    process = begun(arguments, cwd)
    out, err = process.communicate()
    return (
        process.returncode,
        err or out[-300:] * bool(process.returncode),
        time.monotonic() - began,
    )


def prepare(cwd: Path) -> None:
    """What the commands work on."""
    from bench.plugins import models
    from bench.training import checkpoint

    (cwd / "t").mkdir()
    fill(cwd / "filled")
    net = models.get("convmixer_digits").build(image_size=32, num_classes=10)
    checkpoint.save(cwd / "weights.safetensors", net.state_dict(), {})
    packed = begun(["pack", "given.zip", "--results", "filled"], cwd)
    assert packed.wait() == 0, packed.communicate()


def main() -> None:
    """All of it, and what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", default=",".join(COMMANDS))
    arguments = parser.parse_args()
    draw, counts, faults = random.Random(arguments.seed), Counter[str](), 0
    names = arguments.commands.split(",")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="i") as folder:
        cwd = Path(folder)
        prepare(cwd)
        longest = {name: LONGEST_S if name in ENDLESS else whole(name, cwd)[2] for name in names}
        for turn in range(arguments.times):
            name = names[turn % len(names)]
            gaps = [draw.choice((0.001, 0.02, 0.2))] * draw.randrange(2)
            tried = interrupt(name, cwd, draw.uniform(0.05, longest[name]), gaps)
            counts[f"{name} {tried.outcome}"] += 1
            faults += len(tried.faults)
            for fault in tried.faults:
                print(f"{name}, after {tried.seconds:.2f} s, then {gaps}: {fault}", flush=True)
        for name in names:
            code, text, _ = whole(name, cwd)
            if code not in (0, 1) or "Traceback" in text:
                faults += 1
                print(f"{name}, to its end: {code} {text}")
    for what, number in sorted(counts.items()):
        print(f"{number:4} {what}")
    print(f"{arguments.times} interruptions, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
