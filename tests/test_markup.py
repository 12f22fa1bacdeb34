"""No text from outside is parsed as markup, whatever command prints it and wherever it came from.

`[/red]` ends a colour that nobody began: rich raises an error for it, or swallows `[bold]`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich.console
import rich.markup
from cyclopts import App
from rich.text import Text

from bench.cli.app import app
from bench.errors import UsageError
from bench.measure.worker import Workers

from . import test_stays_inside
from .conftest import fill
from .program import ROOT, Ended, called

hostile = test_stays_inside.hostile
BAD = "[/red]x[bold]y"
PRINTERS = {"bench/cli/terminal.py", "bench/cli/console.py"}
ELSEWHERE = {"bench/measure/cpu_placement.py"}
"""Prints a number for its parent process."""
TYPED = {
    "list": ["models"],
    "describe": ["convmixer_digits"],
    "match": ["--reference", "convmixer_digits", "--families", "vit"],
    "recipe show": ["digits"],
    "recipe diff": ["digits", "deit"],
    "doctor": ["--seconds", "0.01"],
    "selfcheck": [],
    "run": ["--dry-run", "--models", "convmixer_digits", "--metrics", "params"],
    "pick": ["--dry-run", "--max-params", "30M", "--candidates", "vit_s16"],
    "eval": ["--model", "convmixer_digits", "--data", "digits"],
    "study list": [],
    "study run": ["kernel_speed", "--dry-run"],
    "study verdict": ["kernel_speed"],
    "ab": ["--case", "./none.py:case"],
    "visit": ["--dry-run", "--device", "cpu"],
    "report": ["--no-page", "--results", "few"],
    "paper": ["--results", "few"],
    "findings": ["--results", "few"],
    "claim": ["vit_s16 > resnet50", "--on", "throughput", "--results", "few"],
    "compare": ["few", "few"],
    "import": ["theirs.csv"],
    "export": ["out", "--results", "few"],
    "pack": ["mine.zip", "--results", "few"],
    "verify": ["mine.zip"],
    "pool": ["few"],
    "unpack": ["mine.zip"],
    "completion": ["bash"],
}
"""What makes each command quick; its first words are its positional arguments."""


def commands(parent: App = app, above: str = "") -> Iterator[tuple[str, App]]:
    """Every command with its full name."""
    for name in parent:
        if not name.startswith("-"):
            full = f"{above} {name}".strip()
            if parent[name].default_command is not None:
                yield full, parent[name]
            yield from commands(parent[name], full)


def with_bad_text(name: str, command: App) -> Iterator[list[str]]:
    """The command with the bad text once per argument, then as a flag and as words too many."""
    usual = TYPED[name]
    for place, argument in enumerate(command.assemble_argument_collection()):
        if argument.name.startswith("--"):
            yield [*without(usual, argument.name), argument.name, BAD]
        elif argument.name != "*":
            yield [*usual[:place], BAD, *usual[place + 1 :]]
    yield [*usual, f"--{BAD}", BAD]
    yield [*usual, BAD, BAD, BAD]


def without(words: list[str], flag: str) -> list[str]:
    """Words without a flag and its value."""
    if flag not in words:
        return words
    place = words.index(flag)
    return [*words[:place], *words[place + 2 :]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bad name, in which nothing is measured and parsing bad markup fails."""

    def render(markup: str, *arguments: object, **options: object) -> object:
        assert BAD[:6] not in markup, f"parsed as markup: {markup}"
        return parse(markup, *arguments, **options)  # type: ignore[arg-type]

    def start(self: Workers) -> None:
        raise UsageError("nothing is measured here")

    parse = rich.markup.render
    monkeypatch.setattr(rich.markup, "render", render)
    monkeypatch.setattr(rich.console, "render_markup", render)
    monkeypatch.setattr(Workers, "__init__", start)
    place = tmp_path / BAD.replace("/", "") / BAD
    place.mkdir(parents=True)
    return place


def test_markup_that_is_parsed_is_found(folder: Path) -> None:
    for parse_it in (lambda: rich.console.Console().print(BAD), lambda: Text.from_markup(BAD)):
        with pytest.raises(AssertionError, match="parsed as markup"):
            parse_it()


def shown_as_it_is(ended: Ended) -> None:
    assert ended.code in (0, 1, 2) and "Traceback" not in ended.text, ended
    rest = ended.text.replace(BAD, "")
    assert "[/red]" not in rest and "\x1b" not in rest, ended


@pytest.mark.parametrize("name", TYPED)
def test_bad_text_in_every_argument_of_every_command(name: str, folder: Path) -> None:
    fill(folder / "few")
    (folder / "theirs.csv").write_text(f"model,img_size,top1\n{BAD},224,80.0\n")
    command = dict(commands())[name]
    for arguments in with_bad_text(name, command):
        ended = called(*name.split(), *arguments, cwd=folder)
        shown_as_it_is(ended)


RECORDED = [
    ["report", "--no-page", "--notes"],
    ["report", "--format", "csv"],
    ["claim", "[/red] > [bold]x", "--on", "throughput", "--notes"],
    ["study", "verdict", "--notes"],
    ["paper"],
    ["export", "out"],
    ["pack", "mine.zip"],
    ["eval", "--compare", "[/red]", "[bold]x"],
    ["unpack", "mine.zip"],
]


@pytest.mark.usefixtures("one_figure")
def test_bad_text_in_every_field_of_records(hostile: Path, folder: Path) -> None:
    """Models, processors, versions, data and policies of these records are markup."""
    for arguments in RECORDED:
        ended = called(*arguments, "--results", hostile, cwd=folder)
        assert ended.code in (0, 1, 2) and "Traceback" not in ended.text, ended
        if arguments[0] in ("report", "claim"):
            assert "[/red]" in ended.text and "[bold]x" in ended.text, ended
    ended = called("compare", hostile, hostile, "--notes", cwd=folder)
    assert ended.code == 0 and "[bold]x" in ended.text, ended
    for arguments in (["verify", "mine.zip"], ["pool", "."]):
        ended = called(*arguments, cwd=folder)
        assert ended.code in (0, 2) and "Traceback" not in ended.text, ended


def test_every_command_is_tried() -> None:
    assert {name for name, _ in commands()} == set(TYPED)


def test_nothing_else_prints() -> None:
    """Text that is printed elsewhere could be parsed, or have control characters in it."""
    for path in (*(ROOT / "bench").rglob("*.py"), *(ROOT / "plots").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in PRINTERS | ELSEWHERE:
            assert not list(printing(path.read_text(encoding="utf-8"))), name


def printing(source: str) -> Iterator[str]:
    """What prints or parses markup in a file, apart from a `Terminal` and `say`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called_name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if isinstance(node.func, ast.Name) and called_name in ("print", "Console"):
                yield called_name
            if called_name in ("from_markup", "render_markup"):
                yield called_name
            if ast.unparse(node.func) in ("sys.stdout.write", "sys.stderr.write"):
                yield called_name
            yield from (word.arg for word in node.keywords if word.arg == "markup")


def test_what_prints_is_found() -> None:
    for source in (
        "print(1)",
        "Console().rule()",
        "Text.from_markup(x)",
        "c.print(x, markup=True)",
        "sys.stdout.write(x)",
    ):
        assert list(printing(source)), source
