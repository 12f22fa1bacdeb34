"""Does the program work with the oldest versions that pyproject.toml allows?

    python -m tests.by_hand.lower_bounds                # each dependency at its bound, then all
    python -m tests.by_hand.lower_bounds --together     # all of them at once only
    python -m tests.by_hand.lower_bounds timm==1.0.21   # these versions, each alone

Each is installed into a folder of its own in front of the installed packages (`pip install
--no-deps --target`), and the commands below are run with it, in processes of their own. Prints one
line per version: "works", or the command that failed with the last line of its output; exit code 1
then. Takes about two minutes per version on two cores and needs a package index.

torch and torchvision are left out: they come in pairs with a CUDA of their own, gigabytes each.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("torch", "torchvision", "tomli")
ALSO = {"pandas": ["pytz"]}
"""What an old version needs and a new one does not."""
LIMIT = 600.0
"""Seconds for one command."""
COMMANDS = [
    "--help",
    "run --help",
    "--version",
    "list models",
    "list recipes --json",
    "describe vit_digits",
    "match --reference convmixer_768_32 --families vit",
    "run --models convmixer_digits,vit_digits,timm:resnet18 --image-size 32 "
    "--metrics params,macs,throughput --rounds 2 --device cpu",
    "run --models convmixer_digits,vit_digits --metrics top1 --data digits "
    "--recipe digits:epochs=1 --seeds 1 --device cpu --yes",
    "report",
    "study verdict",
    "export out",
    "import published.csv --dataset imagenet",
    "pack pack.zip",
    "verify pack.zip",
]
PUBLISHED = (
    "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation\n"
    "resnet18,69.8,30.2,89.1,10.9,11.69,224,0.875,bilinear\n"
)


def bounds() -> list[str]:
    """Return NAME==VERSION for each lower bound in pyproject.toml, except torch and torchvision."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = text.partition("\ndependencies = [")[2].partition("\n]")[0]
    found = re.findall(r'^ +"([\w-]+)>=([\w.]+)', dependencies, re.MULTILINE)
    return [f"{name}=={version}" for name, version in found if name not in LEFT_OUT]


def install(requirements: list[str], folder: Path) -> str | None:
    """Install packages into a folder without their dependencies; return pip's error if it fails."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(folder),
    ]
    also = [name for one in requirements for name in ALSO.get(one.partition("==")[0], [])]
    done = subprocess.run(
        [*command, *requirements, *also], capture_output=True, text=True, timeout=LIMIT
    )
    return (
        f"cannot be installed: {done.stderr.strip().splitlines()[-1]}" if done.returncode else None
    )


def failing(requirements: list[str]) -> str | None:
    """What fails with these versions, or None."""
    with tempfile.TemporaryDirectory() as place:
        packages, folder = Path(place, "packages"), Path(place, "folder")
        folder.mkdir()
        (folder / "published.csv").write_text(PUBLISHED)
        if refused := install(requirements, packages):
            return refused
        env = {**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"}
        for command in COMMANDS:
            done = subprocess.run(
                [sys.executable, "-m", "bench", *command.split()],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
            if done.returncode or "Traceback" in done.stderr or "arms failed" in done.stdout:
                said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing"]
                return f"`bench {command}` ended with {done.returncode}: {said[-1][:200]}"
    return None


def main() -> None:
    """One line a version."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="NAME==VERSION")
    parser.add_argument("--together", action="store_true", help="at once only")
    asked = parser.parse_args()
    each = asked.versions or bounds()
    wrong = False
    alone = [] if asked.together else [[one] for one in each]
    at_once = [each] if asked.together or not asked.versions else []
    for requirements in [*alone, *at_once]:
        found = failing(requirements)
        wrong |= found is not None
        name = requirements[0] if len(requirements) == 1 else "all of these at once"
        print(f"{name}: {found or 'works'}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
