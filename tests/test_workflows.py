"""CI jobs that run code may write nothing, and actions are pinned.

Pull requests run strangers' code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .program import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(path: Path) -> dict[str, str]:
    """The text of each job by its name; the part before them is called "" ."""
    head, _, rest = path.read_text(encoding="utf-8").partition("\njobs:\n")
    parts = re.split(r"^  (\w+):\n", rest, flags=re.MULTILINE)
    return {"": head, **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_named_by_their_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    for one in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+(\.\d+)*", one), one


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_runs_code_has_no_token_and_what_writes_runs_no_code(path: Path) -> None:
    found = jobs(path)
    assert "contents: read" in found[""] and "write" not in found.pop("")
    assert len(found) > 1
    for name, text in found.items():
        runs_code = "make " in text or ".ci/" in text or "python -m" in text
        writes = "write" in re.findall(r"^ +contents: (\w+)", text, flags=re.MULTILINE)
        assert runs_code != writes, name
        if writes:
            assert (
                "github.ref == 'refs/heads/main'" in text
                and "github.event_name != 'pull_request'" in text
            )
            assert "concurrency:" in text and "git rebase" in text
        else:
            assert (
                text.count("actions/checkout@") == text.count("persist-credentials: false") == 1
            ), name
