"""CI jobs that run code may write nothing, and actions are pinned by commit.

Pull requests run strangers' code: in CI it meets a token that can read, and no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .program import ROOT

FOLDER = ROOT / ".github"
FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".yml", ".yaml"))
TRIGGERS = {"push", "pull_request", "workflow_dispatch"}
"""What may start a workflow. Others, such as `pull_request_target` and `workflow_run`, run with a
token that writes and with secrets, also for pull requests of strangers."""
MAIN_ONLY = "github.event_name != 'pull_request' && github.ref == 'refs/heads/main'"
CODE = re.compile(r"\bmake\b|\.ci/|python|pip\b|pytest|npm|\bbash \S+/|\./")
"""What runs code of the checkout or of packages."""
ACTIONS = {"actions/checkout", "actions/setup-python"} | {
    f"actions/{way}-artifact" for way in ("upload", "download")
}


def faults(text: str) -> Iterator[str]:
    """Yield what a workflow allows that it should not."""
    workflow = yaml.safe_load(text)
    triggers = workflow[True]  # YAML reads the key `on` as a boolean
    if more := set(triggers) - TRIGGERS:
        yield f"it starts on {more}"
    if workflow.get("permissions") != {"contents": "read"}:
        yield "its jobs can do more than read, unless they say otherwise"
    if "secrets." in text or "secrets:" in text:
        yield "it has secrets"
    for used, comment in re.findall(r"uses: *(\S+)(.*)", text):
        if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used):
            yield f"{used} is not pinned by a commit"
        elif not re.fullmatch(r" # v\d+(\.\d+)*", comment):
            yield f"{used} does not say which version it is"
        if used.partition("@")[0] not in ACTIONS:
            yield f"{used} is none of the known actions"
    for name, job in workflow["jobs"].items():
        yield from (f"{name}: {fault}" for fault in faults_of(job))


def faults_of(job: dict[str, Any]) -> Iterator[str]:
    """Yield what a job allows that it should not."""
    scripts = " ".join(step.get("run", "") for step in job["steps"])
    writes = job.get("permissions") not in (None, {}, {"contents": "read"})
    if re.search(r"\$\{\{", scripts):
        yield "a value from outside is pasted into a script"
    if not writes:
        for step in job["steps"]:
            keeps = step.get("with", {}).get("persist-credentials") is not False
            if "actions/checkout@" in step.get("uses", "") and keeps:
                yield "the token stays in the checkout"
        return
    if CODE.search(scripts):
        yield "it can write, and runs code"
    if job["permissions"] != {"contents": "write"}:
        yield "it can write more than the repository's contents"
    if job.get("if") != MAIN_ONLY:
        yield "it can write elsewhere than on main"
    if "concurrency" not in job or "git rebase" not in scripts:
        yield "two of them would refuse each other's commits"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_workflow_gives_a_token_away(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


def test_only_plots_are_written() -> None:
    [path] = FILES  # another workflow needs its own look at this
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["plots"]
    added = re.findall(r"git add (.*)", jobs["plots"]["steps"][-1]["run"])
    assert added == ["--all results"]
    fetched = [step["with"]["path"] for step in jobs["plots"]["steps"] if "path" in str(step)]
    assert fetched == ["results/"]


PLANTED = [
    ("  pull_request:\n", "  pull_request_target:\n", "starts on"),
    ("  workflow_dispatch:\n", "  workflow_run:\n", "starts on"),
    ("permissions:\n  contents: read\n", "", "more than read"),
    ("permissions:\n  contents: read\n", "permissions: write-all\n", "more than read"),
    ("          persist-credentials: false\n", "          fetch-depth: 1\n", "token stays"),
    ("    timeout-minutes: 60\n", "    permissions: write-all\n", "can write"),
    ("    timeout-minutes: 60\n", "    permissions:\n      packages: write\n", "runs code"),
    ("bash .ci/run", "bash .ci/run ${{ github.head_ref }}", "pasted into a script"),
    ("bash .ci/run", "TOKEN=${{ secrets.TOKEN }} bash .ci/run", "secrets"),
    ("# v7.0.1", "", "which version"),
    (f"    if: {MAIN_ONLY}\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n", "", "on main"),
    ("rm -rf results/*-ci\n      - uses", "make run\n      - uses", "runs code"),
]


@pytest.mark.parametrize(("there", "instead", "words"), PLANTED)
def test_what_gives_a_token_away_is_found(there: str, instead: str, words: str) -> None:
    text = FILES[0].read_text(encoding="utf-8")
    assert there in text
    found = list(faults(text.replace(there, instead)))
    assert any(words in fault for fault in found), found


@pytest.mark.parametrize(
    "pin", ["v7", "main", "3d3c42e", "3d3c42e5aac5ba805825da76410c181273ba90bX"]
)
def test_what_is_not_pinned_is_found(pin: str) -> None:
    text = re.sub(r"checkout@\w+ # v[\d.]+", f"checkout@{pin}", FILES[0].read_text("utf-8"))
    assert any("not pinned" in fault for fault in faults(text))
