"""Both sides of a comparison as they are asked for: commits, environments and what is timed."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bench.ab import environments, git
from bench.ab.process import Side
from bench.config import Names, Plain
from bench.devices import checked, choices
from bench.errors import UsageError
from bench.files import temporary


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is compared: flags of `bench ab`."""

    base: Annotated[str | None, Plain] = None
    """Commit to compare with, such as main or HEAD~1."""
    head: Annotated[str | None, Plain] = None
    """Commit to judge; the working tree as it is (.) unless given."""
    case: Names = ()
    """FILE:FUNCTION, comma separated: a function that returns a callable, or a pair of a callable
    and its inputs. Each side loads it from its own commit."""
    models: Names = ()
    """Models to time, comma separated: timm:NAME, or a name of the bench that a side has."""
    install: Annotated[str | None, Plain] = None
    """Command that installs a commit, such as "pip install -e .", into an environment that is made
    for it; otherwise both sides run in this one."""
    base_env: Annotated[str | None, Plain] = None
    """Environment of the base, by its folder or its Python."""
    head_env: Annotated[str | None, Plain] = None
    """Environment of head."""
    batch_size: int = 1
    """Images per call of --models."""
    image_size: Annotated[int | None, Plain] = None
    """Side of the images of --models; the usual one of each unless given."""
    device: Annotated[str, Parameter(help=f"{choices()}; for --models.")] = "auto"

    def check(self) -> None:
        """Raise UsageError for what is missing, out of range, or makes no sense together."""
        checked(self.device)
        for flag, text in (
            ("--base", self.base),
            ("--head", self.head),
            ("--install", self.install),
            ("--base-env", self.base_env),
            ("--head-env", self.head_env),
        ):
            if text is not None and not text.strip():
                raise UsageError(f"{flag}: is empty; give it a value, or drop it")
        for flag, number in (("--batch-size", self.batch_size), ("--image-size", self.image_size)):
            if number is not None and number < 1:
                raise UsageError(f"{flag}: must be at least 1, got {number}")
        if not self.models and (self.batch_size != 1 or self.image_size is not None):
            flag = "--image-size" if self.batch_size == 1 else "--batch-size"
            raise UsageError(f"{flag}: is for --models; a case chooses its own inputs, so drop it")
        if not self.case and not self.models:
            raise UsageError(
                "--case: give a function that returns what to time, such as ./bench_me.py:case, or "
                "--models"
            )
        if self.base is None and (self.head is not None or not self.environments):
            raise UsageError(
                "--base: give the commit to compare with, such as main or HEAD~1 (or two "
                "environments, --base-env and --head-env)"
            )
        if self.install and self.environments:
            raise UsageError("--install: makes environments; drop it, or --base-env and --head-env")

    @property
    def environments(self) -> bool:
        """True if the user named an environment."""
        return self.base_env is not None or self.head_env is not None


@dataclass(frozen=True)
class Pair:
    """What is compared under one name: the same case or model on both sides."""

    name: str
    base: Side
    head: Side
    notes: tuple[str, ...] = ()
    checkout: Path | None = None
    """The user's own checkout, if each side has a commit: nothing that is there is either's."""

    @property
    def shared_case(self) -> str | None:
        """The file of a case that both sides load, since a commit has none of its own."""
        base, head = (side.loads.get("case", [None])[0] for side in (self.base, self.head))
        return base if base == head else None


@dataclass(frozen=True)
class Sides:
    """Both sides, ready to be started, and what has to be said of them."""

    pairs: list[Pair]
    names: tuple[str, str]
    """What the two sides are, for people."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """The files of a side, and its interpreter."""

    flag: str
    name: str
    python: Path
    tree: Path | None
    path: tuple[str, ...] = ()


@contextlib.contextmanager
def prepared(asked: Asked, tell: Callable[[str], None]) -> Iterator[Sides]:
    """Check out and install what is compared; everything made is removed afterwards.

    Raises UsageError for a ref, an environment or a case that there is not.
    """
    asked.check()
    root, why_none = git.root_of(Path.cwd())
    pythons = [
        environments.interpreter(given, flag) if given else Path(sys.executable)
        for flag, given in (("--base-env", asked.base_env), ("--head-env", asked.head_env))
    ]
    with contextlib.ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="ab-", dir=temporary.folder()))
        trees: list[Path | None] = [None, None]
        names = ["", ""]
        notes: list[str] = []
        if asked.base is not None:
            if root is None:
                raise UsageError(f"--base: {Path.cwd()} is not in a git repository: {why_none}")
            refs = (asked.base, asked.head or git.WORKING_TREE)
            trees, names = _checked_out(root, refs, home, stack)
            notes += _about(trees)
        if asked.install:
            given = [tree for tree in trees if tree is not None]
            pythons, shared = environments.make(given, asked.install, home, tell)
            if shared:
                notes.append(
                    "the files that state requirements are equal: installed once, for both"
                )
        given_envs = (asked.base_env, asked.head_env)
        for place, given_env in enumerate(given_envs):
            if given_env is not None and given_envs[0] != given_envs[1]:
                names[place] = ", ".join(filter(None, (names[place], given_env)))
        places = [
            _Place(
                flag=flag,
                name=f"{flag} {name}".strip(),
                python=python,
                tree=tree,
                path=() if asked.install else _own_path(root, tree),
            )
            for flag, name, python, tree in zip(
                ("base", "head"), names, pythons, trees, strict=True
            )
        ]
        pairs = [_of_case(case, root, places) for case in asked.case]
        pairs += [_of_model(model, asked, places, home) for model in asked.models]
        if root is not None and asked.base is not None:
            pairs = [replace(pair, checkout=root.resolve()) for pair in pairs]
        yield Sides(pairs, (places[0].name, places[1].name), notes)


def _own_path(root: Path | None, tree: Path | None) -> tuple[str, ...]:
    """Return the user's PYTHONPATH, with a side's own folders in place of the checkout's."""
    found: list[str] = []
    for given in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        inside = _inside(Path(given), root)
        if inside is None:
            found.append(str(Path(given).absolute()))  # a side has a working folder of its own
        elif tree is not None:
            found.append(str(tree / inside))
    return tuple(found)


def _checked_out(
    root: Path, refs: tuple[str, str], home: Path, stack: contextlib.ExitStack
) -> tuple[list[Path | None], list[str]]:
    commits = [
        git.commit_of(root, ref, flag) for ref, flag in zip(refs, ("--base", "--head"), strict=True)
    ]
    trees: list[Path | None] = []
    names: list[str] = []
    for ref, commit, folder in zip(refs, commits, ("base", "head"), strict=True):
        trees.append(stack.enter_context(git.checked_out(root, ref, commit, home / folder)))
        names.append(_named(root, ref, commit))
    return trees, names


def _named(root: Path, ref: str, commit: str) -> str:
    if ref == git.WORKING_TREE:
        changed = len(git.changed(root))
        files = "1 changed file" if changed == 1 else f"{changed} changed files"
        return f"working tree ({commit[:8]} and {files})"
    return commit[:8] if commit.startswith(ref) else f"{ref} ({commit[:8]})"


def _about(trees: Sequence[Path | None]) -> list[str]:
    modules = any(tree is not None and (tree / ".gitmodules").exists() for tree in trees)
    return ["submodules are empty in both"] if modules else []


def _of_case(case: str, root: Path | None, places: Sequence[_Place]) -> Pair:
    file, _, function = case.rpartition(":")
    if not file or not function.isidentifier():
        raise UsageError(f"--case: {case!r} is not FILE:FUNCTION; ./bench_me.py:case would work")
    typed = Path.cwd() / file
    inside = _inside(typed, root)
    found = [_file_of(place.tree, inside) for place in places]
    known = next(filter(None, found), None) or (typed if typed.is_file() else None)
    if known is None:
        where = "at either commit, nor in the working tree" if places[0].tree else "here"
        raise UsageError(f"--case: there is no file {file} {where}")
    sides = []
    for place, own in zip(places, found, strict=True):
        used = own or known
        roots = _roots(place.tree, root, used, inside)
        folder = place.tree or Path.cwd()
        loads = {"case": [str(used), function]}
        sides.append(Side(place.name, place.python, folder, roots, place.path, loads))
    notes = _about_file(file, places, found) if inside and places[0].tree else ()
    return Pair(case, sides[0], sides[1], notes)


def _about_file(
    file: str, places: Sequence[_Place], found: Sequence[Path | None]
) -> tuple[str, ...]:
    """Say so if a case's own file is missing in a commit, or is not the same in both."""
    missing = [place.flag for place, one in zip(places, found, strict=True) if one is None]
    if missing:
        return (f"{file} is missing in {' and '.join(missing)}: both use the one there is",)
    contents = {one.read_bytes() for one in found if one is not None}
    if len(contents) > 1:
        return (f"{file} itself differs between the two: each side is timed with its own",)
    return ()


def _inside(path: Path, root: Path | None) -> Path | None:
    """Return a path relative to the root of the checkout; None if it is not below."""
    if root is None:
        return None
    try:
        return path.resolve().relative_to(root.resolve())
    except ValueError:
        return None


def _file_of(tree: Path | None, inside: Path | None) -> Path | None:
    if tree is None or inside is None:
        return None
    return tree / inside if (tree / inside).is_file() else None


def _roots(tree: Path | None, root: Path | None, file: Path, inside: Path | None) -> list[str]:
    """Return the folders from which a side imports first: its own files, never the checkout's."""
    top = tree or root
    roots = [] if top is None else [top, top / "src"]
    if tree is not None and inside is not None:
        roots.insert(0, tree / inside.parent)
    elif tree is None:
        roots.insert(0, file.parent)
    else:
        roots.append(file.parent)
    return _importable(*roots)


def _importable(*folders: Path) -> list[str]:
    return [str(path) for path in dict.fromkeys(folders) if path.is_dir()]


def _of_model(model: str, asked: Asked, places: Sequence[_Place], home: Path) -> Pair:
    sides = []
    for place in places:
        tree = place.tree
        roots = [] if tree is None else _importable(tree, tree / "src")
        loads: dict[str, Any] = {
            "model": model,
            "batch_size": asked.batch_size,
            "image_size": asked.image_size,
            "device": asked.device,
        }
        sides.append(Side(place.name, place.python, tree or home, roots, place.path, loads))
    return Pair(model, sides[0], sides[1])
