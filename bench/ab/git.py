"""Commits of the user's repository as folders of their own; the user's checkout is not touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import UsageError
from bench.measure import interrupts

WORKING_TREE = "."
"""As a ref: the files as they are, with changes that are not committed."""
OF_A_HOOK = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_QUARANTINE_PATH",
)
"""Variables that git sets for its hooks: a checkout of ours would use the index of the user's."""
QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "advice.detachedHead=false")
"""A checkout of ours must not start the user's hooks."""


def root_of(folder: Path) -> tuple[Path | None, str]:
    """Return the root of the checkout that a folder is in; None, and why, if it is in none."""
    try:
        found = _git(folder, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return None, "git is not installed"
    if found.returncode == 0:
        return Path(found.stdout.removesuffix("\n")), ""
    said = found.stderr.strip().splitlines() or ["git said nothing"]
    allowing = "safe.directory" in said[-1]
    remedy = f"`{said[-1].strip()}` allows it" if allowing else "go to the one to compare"
    return None, f"{said[0]}; {remedy}"


def commit_of(root: Path, ref: str, flag: str) -> str:
    """Return the commit that a ref names; UsageError, with the flag, if it names none."""
    wanted = "HEAD" if ref == WORKING_TREE else ref
    found = _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{commit}}"
    )
    if found.returncode:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        why = (
            "the clone is shallow: fetch more of it (fetch-depth: 0)"
            if shallow
            else ("a branch, a tag, a commit or . (the working tree) would work")
        )
        if _git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode:
            why = "it has none at all: `git commit` makes the first"
        raise UsageError(f"{flag}: {root} has no commit {ref!r}; {why}")
    return found.stdout.strip()


@contextmanager
def checked_out(root: Path, ref: str, commit: str, folder: Path) -> Iterator[Path]:
    """Have a commit in a folder that does not exist yet, as a worktree, and remove it afterwards.

    `ref` "." adds what was changed since the commit. Raises UsageError if git refuses.
    """
    made = _git(root, *QUIET, "worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        if made.returncode:
            raise UsageError(f"git worktree add failed in {root}: {_last_line(made.stderr)}")
        if ref == WORKING_TREE:
            _copy_changes(root, folder)
        yield folder
    finally:
        with interrupts.deaf_children():
            _git(root, "worktree", "remove", "--force", "--force", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def changed(root: Path) -> list[str]:
    """Return the paths that differ from the last commit, those git does not know included."""
    paths: list[str] = []
    for asked in (
        ("diff", "--name-only", "--no-renames", "-z", "HEAD"),
        ("ls-files", "--others", "--exclude-standard", "-z"),
    ):
        paths += filter(None, _git(root, *asked).stdout.split("\0"))
    return paths


def _copy_changes(root: Path, folder: Path) -> None:
    """Make a checkout's files those of the working tree.

    What was there goes first: where it is a link, a file below it would be written elsewhere, and
    where it is a folder, no file could take its place.
    """
    paths = changed(root)
    for path in paths:
        _remove(folder / path)
    for path in paths:
        source, target = root / path, folder / path
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)  # a submodule, or a repository inside
        elif source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(NotADirectoryError):
            path.unlink(missing_ok=True)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={name: text for name, text in os.environ.items() if name not in OF_A_HOOK},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
