"""`bench ab`: its decision on drawn data, a real repository compared, and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bench.ab import description, environments, outputs, report
from bench.ab.compare import layout
from bench.ab.decision import LOOKS
from bench.ab.sides import Sides
from bench.cli.app import app
from bench.errors import UsageError

from .ab_worlds import World
from .program import ROOT, assert_one_line, bench, called, snapshot, start

LIB = """
def work(n):
    total = 0
    for number in range(n):
        total += number * number
    return n and 7
"""
CASE = """
import lib

def case():
    return lib.work, (lib.N if hasattr(lib, "N") else 4000,)

def raises():
    raise RuntimeError("no such weights")

def raises_when_called():
    return lambda: 1 / 0

def number():
    return 42

def ends():
    import os
    print("out of paper")
    os._exit(3)

def sleeps():
    import time
    return time.sleep, (3600,)
"""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=some@body")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commits `fast` and `slow`, where the same work takes 30 % longer."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q", "-b", "main")
    (folder / "bench_me.py").write_text(CASE)
    (folder / "lib.py").write_text(LIB)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "fast")
    git(folder, "tag", "fast")
    (folder / "lib.py").write_text(LIB.replace("range(n)", "range(n * 13 // 10)"))
    git(folder, "commit", "-q", "-a", "-m", "slow")
    return folder


def left_in(folder: Path) -> list[str]:
    """Worktrees besides the checkout itself."""
    return git(folder, "worktree", "list").splitlines()[1:]


# The decision, on drawn data


def words(number: int, seconds: float = 180, **world: float) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in range(number):
        found[World(seed=seed, **world).compared(seconds).decision.word] += 1  # type: ignore[arg-type]
    return found


def test_a_commit_against_itself_is_hardly_ever_decided() -> None:
    """At most 5 % by the rule: more than 9 of 100 come in one of 30 series if it is just that."""
    found = words(100)
    assert found["SLOWER"] + found["FASTER"] <= 9, found


def test_a_slowdown_is_found_and_a_gain_too() -> None:
    assert words(20, ratio=1.10)["SLOWER"] >= 19
    assert words(20, ratio=1 / 1.10)["FASTER"] >= 19


def test_a_plain_difference_ends_the_comparison_early() -> None:
    world = World(ratio=1.5)
    outcome = world.compared(180)
    assert outcome.decision.word == "SLOWER" and outcome.decision.level == LOOKS[0][1]
    assert 0.35 * 180 <= outcome.seconds < 0.5 * 180
    assert not world.live and outcome.processes >= 3


def test_a_call_in_two_hundred_that_takes_long_counts() -> None:
    """Head is quicker by a third in most slices of 10 ms, and slower by a third on average."""
    world = World(ratio=0.69, rare=0.124, call_s=0.001, windows=0.05)
    assert world.compared(60).decision.word == "SLOWER"


def test_a_call_that_never_ends_is_an_error() -> None:
    with pytest.raises(UsageError, match="no answer within"):
        World(ratio=1.2, hangs_after=40, windows=0.02).compared(120, limit=0.19)


def test_a_process_that_starts_too_late_loses_nothing() -> None:
    """Of eighty comparisons on two busy cores one had ended in an error, after 37 s of rounds."""
    outcome = World(seed=2, ratio=1.02, windows=1.0, late=4).compared(120)
    assert outcome.decision.ratio is not None and outcome.rounds > 90
    assert outcome.notes[-1] == "ended early: base: no answer within 4 s"
    with pytest.raises(UsageError, match="no answer within"):
        World(ratio=1.2, windows=0.02, stuck_after=12).compared(120, limit=0.19)
    with pytest.raises(UsageError, match="no answer within"):
        World(stuck_after=2).compared(60)
    with pytest.raises(UsageError, match="no answer within"):
        World(stuck_after=3).compared(60)  # one process a side has no interval


def test_a_base_that_differs_from_itself_forbids_a_decision() -> None:
    """As where a machine favours one of two equal programs."""
    world = World(ratio=1.5, again=1.2, windows=0.02)
    outcome = world.compared(120)
    assert not outcome.decision.checked and outcome.decision.word == "UNDECIDED"
    assert "can't judge" in report.answer([outcome], None)
    assert world.time > 110, "it was measured to the end: the check may pass at a later look"


def test_one_that_is_undecided_says_what_would_settle_it() -> None:
    outcome = World(seed=1, ratio=1.02, windows=0.5).compared(60)
    assert outcome.decision.word == "UNDECIDED" and (outcome.decision.longer or 0) > 2
    assert "minutes would settle it" in report.answer([outcome], None)


def test_a_limit_is_broken_by_more_than_it_only() -> None:
    slower = World(ratio=1.2, windows=0.02).compared(120, limit=0.05)
    assert slower.broke(0.05) and slower.broke(None) is False
    little = World(ratio=1.02, windows=0.005, processes=0.002).compared(120, limit=0.05)
    assert little.decision.word in ("SLOWER", "SAME") and not little.broke(0.05)


def test_another_output_is_said_whatever_the_speed() -> None:
    outcome = World(output=2).compared(60)
    assert "NOT THE SAME WORK" in report.answer([outcome], None)
    assert "something else" in report.notes(Sides([], ("base", "head")), [outcome])[0]
    assert World().compared(60).other is None


def test_a_call_that_is_longer_than_the_time_is_refused_with_a_time_that_is_not() -> None:
    with pytest.raises(UsageError, match=r"case: a call takes 30 s .* --minutes \d"):
        World(call_s=30.0).compared(60)


def test_processes_are_renewed_whatever_they_cost() -> None:
    """Few where they are dear, but two: a single one does not show how others would differ."""
    for setup, call in ((0.1, 0.001), (1.0, 0.01), (5.0, 0.2), (20.0, 1.0)):
        found = layout(300, setup, 3 * max(0.17, call))
        assert found is not None and found.processes >= 2 and found.life >= 1
        assert (found.processes - 1) * 3 * setup + found.life * 3 * call <= 300
        world = World(call_s=call, setup_s=setup)
        assert world.compared(300).processes >= 2
    assert layout(60, 20.0, 3.0) is None
    short = layout(13, 1.3, 0.5)
    assert short is not None and short.processes == 3, "an interval from two is far wider"


# What two outputs have in common


def test_outputs_are_compared_up_to_rounding() -> None:
    import numpy as np
    import torch

    def differ(left: object, right: object) -> str | None:
        return outputs.difference(description.described(left), description.described(right))

    exact = {"logits": torch.linspace(-1, 1, 3000).reshape(3, -1), "top": [1, 2]}
    assert differ(exact, {**exact, "logits": exact["logits"] + 1e-6}) is None  # type: ignore[operator]
    assert "differ by up to" in (differ(exact, {**exact, "logits": -exact["logits"]}) or "")  # type: ignore[operator]
    assert differ(exact, {**exact, "top": [1, 3]})
    assert differ(np.arange(5), np.arange(5)) is None and differ(np.arange(5), np.arange(6))
    assert differ(np.array([1.0, np.nan]), np.array([1.0, np.nan])) is None
    assert differ(np.array([1.0, np.inf]), np.array([1.0, 2.0]))
    assert differ(3, 3.0) is None and differ(3, 4) and differ("a", "b") and differ(None, 0)
    assert outputs.unknown(description.described(object()))
    assert not outputs.unknown(description.described("text"))


# As a user does it


def test_a_planted_slowdown_is_found_and_nothing_is_left(repository: Path, tmp_path: Path) -> None:
    before = snapshot(repository)
    summary = tmp_path / "summary.md"
    ended = bench(
        *("ab", "--base", "fast", "--head", "HEAD", "--case", "./bench_me.py:case"),
        *("--minutes", "40s", "--fail-on-slower", "5%", "--summary", summary),
        cwd=repository,
        env={"TMPDIR": str(tmp_path)},
    )
    assert ended.code == 1 and ended.out.startswith("SLOWER by "), ended
    assert "slower by more than 5 %: yes" in ended.out and "NOT THE SAME" not in ended.out
    assert not left_in(repository) and not list(tmp_path.glob("convmixer-bench-*"))
    after = snapshot(repository)
    assert {name: one for name, one in after.items() if not name.startswith(".git/")} == {
        name: one for name, one in before.items() if not name.startswith(".git/")
    }
    text = summary.read_text()
    assert (
        text.startswith("### SLOWER") and "●" in text and text.count("| ./bench_me.py:case |") == 1
    )


def test_the_working_tree_is_compared_without_torch(repository: Path, tmp_path: Path) -> None:
    """Uncommitted changes and new files count. A CI job need not install torch for it."""
    tree = tmp_path / "tree"
    git(repository, "clone", "-q", str(repository), str(tree))
    (tree / "lib.py").write_text("from fresh import work\n")
    (tree / "fresh.py").write_text(LIB.replace("n and 7", "8"))
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'timm', 'pandas', 'plotly']))"
    command = ["ab", "--base", "HEAD", "--case", "./bench_me.py:case", "--minutes", "12s"]
    program = f"{blocked}; from bench.cli.app import main; sys.exit(main({command!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    assert "2 changed files" in done.stdout and "NOT THE SAME WORK" in done.stdout
    assert not left_in(tree)


def test_a_new_case_in_a_tree_of_other_shapes_is_compared(repository: Path, tmp_path: Path) -> None:
    """As on the first day, from a hook of git: nobody has committed the case.

    Where the commit has a link, the tree has a folder: nothing is written behind the link.
    """
    tree, outside = tmp_path / "a tree", tmp_path / "outside"
    git(repository, "clone", "-q", str(repository), str(tree))
    outside.mkdir()
    (outside / "data.py").write_text("theirs")
    (tree / "data").symlink_to(outside)
    (tree / "script").mkdir()
    (tree / "script" / "one.py").write_text("")
    (tree / "notes").write_text("")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "shapes")
    (tree / "data").unlink()
    (tree / "data").mkdir()
    (tree / "data" / "data.py").write_text("mine")
    shutil.rmtree(tree / "script")
    (tree / "script").write_text("")
    (tree / "notes").unlink()
    (tree / "notes").mkdir()
    (tree / "notes" / "one.md").write_text("")
    (tree / "new").mkdir()
    (tree / "new" / "case.py").write_text(CASE)
    before = git(repository, "status", "--porcelain")
    hook = {"GIT_DIR": str(repository / ".git"), "GIT_INDEX_FILE": str(repository / ".git/index")}
    flags = ("--case", "new/case.py:case", "--minutes", "20s")
    ended = bench("ab", "--base", "HEAD", *flags, cwd=tree, env=hook)
    assert ended.code == 0, ended
    assert "new/case.py is missing in base: both use the one there is" in ended.out
    assert "no file that new/case.py:case imports from base and head differs" in ended.out
    assert (outside / "data.py").read_text() == "theirs"
    assert not left_in(tree) and git(repository, "status", "--porcelain") == before


def test_ctrl_c_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    running = start(
        *("ab", "--base", "fast", "--case", "./bench_me.py:case", "--minutes", "10m"),
        cwd=repository,
        env={"TMPDIR": str(tmp_path)},
    )
    end = time.monotonic() + 60
    while len(left_in(repository)) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(2)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and err == "bench: interrupted\n"
    assert not left_in(repository) and not list(tmp_path.glob("convmixer-bench-*"))


REFUSED = {
    "an unknown ref": (["--base", "nowhere"], ["--base", "nowhere"]),
    "an unknown head": (["--base", "fast", "--head", "nowhere"], ["--head", "nowhere"]),
    "no base": ([], ["--base", "main"]),
    "an empty base": (["--base", ""], ["--base: is empty"]),
    "an empty head": (["--head", ""], ["--head: is empty"]),
    "an empty install command": (["--install", ""], ["--install: is empty"]),
    "an empty environment": (["--base-env", ""], ["--base-env: is empty"]),
    "a case that raises": (["--case", "bench_me.py:raises"], ["no such weights", "bench_me.py"]),
    "a call that raises": (["--case", "bench_me.py:raises_when_called"], ["ZeroDivisionError"]),
    "a case that is a number": (["--case", "bench_me.py:number"], ["returned int", "callable"]),
    "a case that ends": (["--case", "bench_me.py:ends"], ["exit code 3", "out of paper"]),
    "no such function": (["--case", "bench_me.py:other"], ["no function other", "raises"]),
    "no such file": (["--case", "none.py:case"], ["none.py"]),
    "no function named": (["--case", "bench_me.py"], ["FILE:FUNCTION"]),
    "a case that takes too long": (
        ["--case", "bench_me.py:sleeps", "--minutes", "2s"],
        ["longer than the time", "--minutes"],
    ),
    "no time": (["--minutes", "0"], ["--minutes"]),
    "a batch size for a case": (["--batch-size", "8"], ["--batch-size: is for --models"]),
    "an image size for a case": (["--image-size", "96"], ["--image-size: is for --models"]),
    "a share of 100 %": (["--fail-on-slower", "100%"], ["--fail-on-slower"]),
    "an environment that is none": (["--base-env", "nowhere"], ["--base-env", "nowhere"]),
    "an environment that is no Python": (["--base-env", "/bin/true"], ["is no Python from 3.8"]),
    "installing into one": (["--base-env", "x", "--install", "y"], ["--install", "drop it"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str, repository: Path) -> None:
    flags, words = REFUSED[name]
    usual = {"--base": "fast", "--case": "bench_me.py:case"}
    if name == "no base":
        del usual["--base"]
    for flag, value in usual.items():
        if flag not in flags:
            flags = [*flags, flag, value]
    assert_one_line(called("ab", *flags, cwd=repository), *words)
    assert not left_in(repository)


def test_a_repository_without_commits_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "bench_me.py").write_text(CASE)
    ended = called("ab", "--base", ".", "--case", "bench_me.py:case", cwd=tmp_path)
    assert_one_line(ended, "--base: ", "it has none at all: `git commit` makes the first")


def test_refused_outside_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / "bench_me.py").write_text(CASE)
    assert_one_line(
        bench("ab", "--base", "main", "--case", "./bench_me.py:case", cwd=tmp_path),
        *("--base", "not in a git repository", "go to the one to compare"),
    )
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    flags = ("--base", "main", "--case", "bench_me.py:case")
    ended = called("ab", *flags, cwd=tmp_path / "bare.git")
    assert_one_line(ended, "must be run in a work tree")
    assert_one_line(called("ab", "--base", "main", cwd=tmp_path), "--case", "--models")


def test_an_install_command_that_fails_shows_its_last_lines(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "VENV", ("venv", "--without-pip"))
    flags = ("--base", "fast", "--case", "bench_me.py:case")
    ended = called("ab", *flags, "--install", "echo no wheel; exit 4", cwd=repository)
    assert_one_line(ended, "--install", "exit code 4", "no wheel")
    assert not left_in(repository)


def test_equal_requirements_are_installed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second environment sees the first one's packages, and has its own project before them."""
    monkeypatch.setattr(environments, "VENV", ("venv", "--without-pip"))
    program = tmp_path / "install.py"
    program.write_text(
        "import importlib.util, pathlib, sys, sysconfig\n"
        "site = pathlib.Path(sysconfig.get_path('purelib'))\n"
        "if importlib.util.find_spec('needed') is None:\n"
        "    (site / 'needed.py').write_text('')\n"
        "(site / 'project.py').write_text(f'TREE = {str(pathlib.Path.cwd())!r}')\n"
    )
    for equal in (True, False):
        trees = [tmp_path / f"{equal}-{side}" for side in ("base", "head")]
        for place, tree in enumerate(trees):
            tree.mkdir()
            (tree / "requirements.txt").write_text("needed" if equal else f"needed=={place}")
        folder = tmp_path / f"{equal}"
        pythons, shared = environments.make(trees, f"python {program}", folder, lambda text: None)
        assert shared is equal
        for python, tree in zip(pythons, trees, strict=True):
            asked = "import needed, project; print(project.TREE, needed.__file__)"
            said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
            own, needed = said.stdout.split()
            assert own == str(tree)
            assert ("env0" in needed) is (equal or python is pythons[0])


def test_an_environment_is_its_folder_or_its_python(tmp_path: Path) -> None:
    python = Path(sys.executable)
    assert environments.interpreter(str(python), "--base-env") == python
    assert environments.interpreter(str(python.parent.parent), "--base-env").parent == python.parent
    (tmp_path / "text").write_text("")
    with pytest.raises(UsageError, match="--head-env"):
        environments.interpreter(str(tmp_path / "text"), "--head-env")


def test_the_figure_has_a_line_per_interval() -> None:
    outcomes = [World(seed=seed, ratio=1.2).compared(60) for seed in range(2)]
    lines = report.figure(outcomes)
    assert len(lines) == 5 and all("●" in line for line in lines[:4])
    text = report.markdown(Sides([], ("base a|b", "head <b>")), outcomes, 0.05)
    assert "a\\|b" in text and "&lt;b>" in text


def test_environments_alone_need_no_repository(tmp_path: Path) -> None:
    """And a case that was measured before one that fails is not lost."""
    (tmp_path / "bench_me.py").write_text(CASE)
    (tmp_path / "lib.py").write_text(LIB)
    python = sys.executable
    flags = ("--base-env", python, "--head-env", python, "--minutes", "24s")
    cases = "bench_me.py:case,bench_me.py:raises"
    ended = called("ab", *flags, "--case", cases, cwd=tmp_path)
    assert_one_line(ended, "no such weights")
    assert ended.out.split()[0].rstrip(":") in ("SAME", "UNDECIDED", "SLOWER", "FASTER")
    assert set(snapshot(tmp_path)) == {"bench_me.py", "lib.py"}


# The action

ACTION = ROOT / "action.yml"
EXAMPLE = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/ab.md").read_text(), re.DOTALL)


def compare_step(tmp_path: Path, **inputs: str) -> list[str]:
    """Return what the action's last step types after the program's name."""
    action = yaml.safe_load(ACTION.read_text())
    step = action["runs"]["steps"][-1]
    given = {name: str(one["default"]) for name, one in action["inputs"].items()} | inputs
    values: dict[str, str] = {}
    for name, text in step["env"].items():
        found = re.fullmatch(r"\$\{\{ inputs\.(.+) \}\}", text)
        assert found is not None, text
        values[name] = given[found[1]]
    assert len(values) == len(given)
    script = tmp_path / "bench" / "bin" / "convmixer-bench"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    where = {"RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": "summary.md"}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        env={**os.environ, **values, **where},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_action_passes_its_inputs_as_they_are(tmp_path: Path) -> None:
    typed = compare_step(tmp_path, case="a.py:$(touch x); b", install="pip install -e .")
    assert typed[0] == "ab"
    flags = dict(zip(typed[1::2], typed[2::2], strict=True))
    assert flags["--case"] == "a.py:$(touch x); b" and flags["--install"] == "pip install -e ."
    assert flags["--base"] == "HEAD^1" and flags["--fail-on-slower"] == "5%"
    assert flags["--summary"] == "summary.md" and "--models" not in flags
    plain = compare_step(tmp_path, models="timm:resnet18", **{"fail-on-slower": ""})
    assert "--base-env" in plain and "--fail-on-slower" not in plain and "--case" not in plain
    function, _, ignored = app.parse_args(typed, exit_on_error=False, print_error=False)
    assert function.__name__ == "ab" and not ignored


def test_the_action_and_its_example_hold_no_token_and_put_no_text_into_commands() -> None:
    action = yaml.safe_load(ACTION.read_text())
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"] and "uses" not in step
    assert EXAMPLE is not None
    example = yaml.safe_load(EXAMPLE[1])
    assert example[True] == "pull_request"  # `on` is a truth value in YAML 1.1
    assert example["permissions"] == {"contents": "read"} and "secrets." not in EXAMPLE[1]
    [*pinned, ours] = (step["uses"] for step in example["jobs"]["speed"]["steps"])
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", one) for one in pinned)
    assert ours == "OWNER/convmixer-bench@COMMIT"
    given = example["jobs"]["speed"]["steps"][-1]["with"]
    assert set(given) <= set(action["inputs"])
    checkout = example["jobs"]["speed"]["steps"][0]["with"]
    assert checkout == {"fetch-depth": 2, "persist-credentials": False}
