"""Help: commands in the order of a day's work, examples that parse, and what mistakes are told."""

from __future__ import annotations

import io
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.cli.app import app, main
from bench.cli.help.commands import FIRST_STEPS, SECTIONS, Command, Subcommands
from bench.cli.help.completion import PROGRAM
from bench.config import COMMAND

from .program import assert_one_line, bench, called


def every() -> Iterator[tuple[str, Command]]:
    """Yield every command with its name as typed."""
    for entries in SECTIONS.values():
        for entry in entries:
            if isinstance(entry, Subcommands):
                for command in entry.commands:
                    yield f"{entry.name} {command.called}", command
            else:
                yield entry.called, entry


COMMANDS = dict(every())
EXAMPLES = [*FIRST_STEPS]
for command in COMMANDS.values():
    EXAMPLES += command.examples


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_parses(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real parser, so that flags, choices and required arguments are those of today."""
    monkeypatch.chdir(tmp_path)
    function, _, ignored = app.parse_args(
        shlex.split(example), exit_on_error=False, print_error=False
    )
    assert function.__module__.startswith("bench.cli.") and not ignored
    assert cell_len(f"{COMMAND} {example}") <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_two_examples_of_its_own(name: str) -> None:
    command = COMMANDS[name]
    assert len(command.examples) >= 2
    assert any(example.startswith(name) for example in command.examples)
    shown = page(*name.split(), width=140)
    below = shown[shown.index("Examples:") :]
    for example in command.examples:
        assert f"{COMMAND} {example}" in below


def page(*names: str, width: int) -> str:
    """Return a help page. A console of its own: cyclopts keeps one per command."""
    text = io.StringIO()
    app.help_print(names, console=Console(file=text, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_help_fits_the_terminal_with_one_line_per_command(width: int) -> None:
    for names in ([], ["study"], ["recipe"], ["run"], ["eval"], ["report"]):
        shown = page(*names, width=width)
        assert max(map(cell_len, shown.splitlines())) <= width, names
        if width >= 80 and not names:
            for name, command in COMMANDS.items():
                summary = command.help.partition("\n")[0]
                assert " " in name or f" {summary} " in shown, summary


def test_commands_stand_in_the_order_of_a_days_work() -> None:
    shown = page(width=80)
    places = [shown.index(f"─ {title} ─") for title in (*SECTIONS, "Options")]
    assert places == sorted(places)
    for entries in SECTIONS.values():
        names = [
            entry.name if isinstance(entry, Subcommands) else entry.called for entry in entries
        ]
        places = [shown.index(f"│ {name} ") for name in names]
        assert places == sorted(places), names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "vit_s16"], "run: 'vit_s16' is a model; write --models vit_s16"),
        (
            ["run", "convmixer_256_8_k5,vit_s16", "--rounds", "6"],
            "'convmixer_256_8_k5,vit_s16' are models; write --models convmixer_256_8_k5,vit_s16",
        ),
        (["run", "./net.py:build"], "'./net.py:build' is a model; write --models ./net.py:build"),
        (["run", "convnext_tiny"], "follows no flag; did you mean --models timm:convnext_tiny?"),
        (["run", "vit_s15"], "follows no flag; did you mean --models vit_s16?"),
        (["run", "%%%"], "'%%%' follows no flag; models follow --models"),
        (["eval", "resnet50@a1_in1k"], "write --model resnet50@a1_in1k"),
        (["match", "--reference", "vit_s16", "vit_b16"], "write --reference vit_b16"),
        (["run", "--models", "convnext_tiny"], "did you mean timm:convnext_tiny?"),
        (["describe", "resnet50d"], "did you mean timm:resnet50d?"),
        (["run", "--models", "convmixer_1536_2O"], "did you mean convmixer_1536_20?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_what_would_work(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    assert_one_line(called(*arguments, cwd=tmp_path), words)


def test_a_bare_model_in_a_process_of_its_own(tmp_path: Path) -> None:
    ended = bench("run", "vit_s16", cwd=tmp_path)
    assert_one_line(ended, "run: 'vit_s16' is a model; write --models vit_s16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_knows_commands_and_flags(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert PROGRAM in script
    for word in ("verdict", "time-budget", "latex"):
        assert word in script


def test_bash_completes_a_command_and_a_flag(tmp_path: Path) -> None:
    """In a real shell: what TAB would offer."""
    script = tmp_path / "completion.bash"
    script.write_text(called("completion", "bash", cwd=tmp_path).out)
    for words, offered in (
        (f"{PROGRAM} des", "describe"),
        (f"{PROGRAM} run --time-b", "--time-budget"),
        (f"{PROGRAM} report --format la", "latex"),
    ):
        typed = words.split()
        asked = (
            f"source {shlex.quote(str(script))}; COMP_WORDS=({words}); "
            f'COMP_CWORD={len(typed) - 1}; _{PROGRAM.replace("-", "_")}; echo "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
        assert offered in done.stdout.split(), (words, done)
