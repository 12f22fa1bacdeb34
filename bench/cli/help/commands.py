"""All commands, in the order of a day's work: a new command is one entry in `SECTIONS`.

The module of a command is imported when the command is called. Its help is repeated here, since
`bench --help` imports none of them; tests/test_help.py compares it with the docstring, and parses
every example.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cyclopts import App, Group

from bench.config import COMMAND

FIRST_STEPS = (
    "run --models convmixer_768_32,vit_s16 --time-budget 2m",
    "report",
    "findings",
)
"""The examples of `bench --help`."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command. `path` is its function as `module:function`.

    `help` is the function's docstring up to its parameters; the first line has to fit a line of 80
    columns behind the name. `examples` are what to type after `python -m bench`.
    """

    path: str
    help: str
    examples: Sequence[str]
    name: str = ""

    @property
    def called(self) -> str:
        """The name of the command as typed; that of its function unless given."""
        return self.name or self.path.rpartition(":")[2].replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Subcommands:
    """Commands below a common name, such as `study run` and `study verdict`."""

    name: str
    help: str
    commands: Sequence[Command]


SECTIONS: dict[str, Sequence[Command | Subcommands]] = {
    "Look": (
        Command(
            path="bench.cli.inspect:list_",
            name="list",
            help="List models, metrics and other plug-ins.",
            examples=("list models --family vit", "list weights resnet50"),
        ),
        Command(
            path="bench.cli.inspect:describe",
            help="Show a model layer by layer: shapes, parameters, MACs.",
            examples=("describe convmixer_768_32", "describe vit_s16 --depth 4 --image-size 384"),
        ),
        Command(
            path="bench.cli.inspect:match",
            help="Find models of other families with a reference's budget.",
            examples=(
                "match --reference convmixer_768_32",
                "match --reference convmixer_768_32 --budget macs --hold tokens",
            ),
        ),
        Subcommands(
            name="recipe",
            help="Show and compare training recipes.",
            commands=(
                Command(
                    path="bench.cli.inspect:show_recipe",
                    name="show",
                    help="Show every field of a recipe.",
                    examples=("recipe show convmixer_cifar", "recipe show digits:epochs=20"),
                ),
                Command(
                    path="bench.cli.inspect:diff_recipes",
                    name="diff",
                    help="Show the fields in which two recipes differ.",
                    examples=(
                        "recipe diff digits convmixer_cifar",
                        "recipe diff digits digits:epochs=20",
                    ),
                ),
            ),
        ),
        Command(
            path="bench.cli.check:doctor",
            help="Examine this machine: packages, disk, memory, users, noise.",
            examples=("doctor", "doctor --device cuda --seconds 30s"),
        ),
        Command(
            path="bench.cli.check:selfcheck",
            help="Test whether this machine measures correctly; writes nothing.",
            examples=("selfcheck", "selfcheck --minutes 20m --device cpu"),
        ),
    ),
    "Measure": (
        Command(
            path="bench.cli.run:run",
            help="Measure models; what is finished is not measured again.",
            examples=(
                "run --models convmixer_768_32,vit_s16,timm:convnext_tiny --time-budget 2m",
                "run --reference convmixer_768_32 --match vit,mixer,resnet --dry-run",
                "run --models vit_digits --metrics top1 --data digits --seeds 3",
            ),
        ),
        Command(
            path="bench.cli.pick:pick",
            help="Find the best backbone under limits of speed, size and top-1."
            "\n\nCandidates that miss a limit by their counts or published top-1 are left out; the "
            "others are timed in interleaved rounds, which those leave early that cannot be the "
            "best. Exit with 1 if none of those is within the limits, with 2 if none is left to "
            "time.",
            examples=(
                "pick --max-latency 60ms --device cpu",
                "pick --max-latency 100ms --max-params 30M --min-top1 79% --dry-run",
            ),
        ),
        Command(
            path="bench.cli.ab:ab",
            help="Time two commits or environments against each other, in one job."
            "\n\nBoth take turns in rounds, in several processes each, with the base a second time "
            "beside them as a check. Exit with 1 if --fail-on-slower is broken, with 2 for bad "
            "input, else with 0.",
            examples=(
                "ab --base main --head . --case ./bench_me.py:case --fail-on-slower 5%",
                "ab --models timm:resnet50 --base-env old/ --head-env new/ --minutes 10m",
            ),
        ),
        Command(
            path="bench.cli.evaluate:evaluate",
            name="eval",
            help="Evaluate published weights or a file, or compare two sets.",
            examples=(
                "eval --model resnet50@a1_in1k --data imagenet:/path",
                "eval --checkpoint mine.safetensors --data folder:/path --policies fp32,bf16",
            ),
        ),
        Subcommands(
            name="study",
            help="Test the paper's claims on records.",
            commands=(
                Command(
                    path="bench.cli.study:list_studies",
                    name="list",
                    help="List the studies with their questions and claims.",
                    examples=("study list", "list studies --json"),
                ),
                Command(
                    path="bench.cli.study:run",
                    help="Measure what a study lacks, and print its verdict."
                    "\n\nWhat is most valuable per minute comes first.",
                    examples=(
                        "study run all --dry-run",
                        "study run inference_cost --max-minutes 30m",
                    ),
                ),
                Command(
                    path="bench.cli.study:verdict",
                    help="Print verdicts from records, without measuring."
                    "\n\nExit with 2 if a record is damaged.",
                    examples=("study verdict", "study verdict inference_cost --notes"),
                ),
            ),
        ),
        Command(
            path="bench.cli.visit:visit",
            help="Measure the most valuable within minutes, into one file."
            "\n\nA step that fails, hangs or fills the memory is ended, and the next one begins. "
            "Rerun the same command to continue.",
            examples=(
                "visit --minutes 9 --dry-run",
                "visit --minutes 1h --data cifar10:/path --out gpu.zip",
            ),
        ),
    ),
    "Read": (
        Command(
            path="bench.cli.report:report",
            help="Render tables, figures and a page from records.",
            examples=(
                "report",
                'report --where "top1>79% and latency<100ms or params<30M" --sort latency',
                "report --format latex",
                "report --figure pareto_throughput --out figure.pdf",
            ),
        ),
        Command(
            path="bench.cli.report:paper",
            help="Print whether each claim of the paper holds, and where.",
            examples=("paper", "paper --results others"),
        ),
        Command(
            path="bench.cli.report:findings",
            help="Print which claims hold, which do not, which are not known.",
            examples=("findings", "findings --out docs/findings.md"),
        ),
        Command(
            path="bench.cli.report:claim",
            help="Test one comparison under every condition on record.\n\n"
            "Exit with 0 if no decided condition contradicts it, else with 1; with 2 if a damaged "
            "record had to be left out.",
            examples=(
                'claim "convmixer_768_32 > vit_s16" --on throughput',
                'claim "resnet50 > vit_s16" --on top1',
            ),
        ),
        Command(
            path="bench.cli.report:compare",
            help="Show what changed between two sets of records.",
            examples=(
                "compare before after",
                "compare results@HEAD~1 results --fail-on-regression 5%",
            ),
        ),
    ),
    "Exchange": (
        Command(
            path="bench.cli.exchange:import_",
            name="import",
            help="Keep somebody's published table beside the results."
            "\n\nIts rows become reference rows of every report.",
            examples=(
                "import results-imagenet.csv",
                'import theirs.csv --source "Their paper, 2026" --dataset imagenet-v2',
            ),
        ),
        Command(
            path="bench.cli.exchange:export",
            help="Write results as CSV in timm's columns, or a model as ONNX.",
            examples=("export out", "export vit_s16 --onnx vit.onnx --policy ort"),
        ),
        Command(
            path="bench.cli.packs.files:pack",
            help="Pack all records of a results folder into one file."
            "\n\nDamaged records are named and left out; a machine "
            "whose checks failed is named and packed.",
            examples=("pack mine.zip", "pack mine.zip --results other --sign key.pem"),
        ),
        Command(
            path="bench.cli.packs.files:verify",
            help="Check a pack without executing any of it."
            "\n\nThe checks are of hashes, schema, counts, A/A and drift checks, and with --key of "
            "the signature.",
            examples=("verify theirs.zip", "verify theirs.zip --key theirs.pub"),
        ),
        Command(
            path="bench.cli.packs.pool:pool",
            help="Show packs of many machines side by side."
            "\n\nEach pack is checked as `verify` does; one that fails is named and left out, and "
            "the command then ends with exit code 2. Figures of different machines are neither "
            "averaged nor mixed.",
            examples=(
                "pool packs",
                'pool packs --claim "resnet50 > vit_s16" --on throughput',
                "pool packs --export-eee eee",
            ),
        ),
        Command(
            path="bench.cli.visit:unpack",
            help="Check packs, and write their records into a results folder."
            "\n\nExisting files are never overwritten.",
            examples=("unpack visit.zip", "unpack visit-1.zip visit-2.zip --results theirs"),
        ),
        Command(
            path="bench.cli.help.completion:completion",
            help="Print a script that completes commands in your shell."
            "\n\n`source <(convmixer-bench completion bash)` turns it on for one session.",
            examples=("completion bash", "completion zsh"),
        ),
    ),
}
"""Commands by the heading that `bench --help` shows them under."""


def add_commands(app: App) -> None:
    """Add every command to the program, and give both help pages their examples."""
    for place, (title, entries) in enumerate(SECTIONS.items()):
        group = Group(title, sort_key=place)
        for order, entry in enumerate(entries):
            _add(app, entry, group, order)
    options = Group("Options", sort_key=len(SECTIONS))
    for flag in ("--help", "--version"):
        app[flag].group = options
    app.help_epilogue = _epilogue(FIRST_STEPS)


def _add(app: App, entry: Command | Subcommands, group: Group | None, order: int) -> None:
    if isinstance(entry, Command):
        app.command(
            entry.path,
            name=entry.called,
            help=entry.help,
            group=group,
            sort_key=order,
            help_epilogue=_epilogue(entry.examples),
        )
        return
    first = [command.examples[0] for command in entry.commands]
    family = App(
        name=entry.name,
        help=entry.help,
        group=group,
        sort_key=order,
        help_epilogue=_epilogue(first),
    )
    app.command(family)
    for place, command in enumerate(entry.commands):
        _add(family, command, None, place)


def _epilogue(examples: Iterable[str]) -> str:
    """Return examples in Markdown, a line each."""
    lines = [f"- `{COMMAND} {example}`" for example in examples]
    return "\n".join(["Examples:", "", *lines])
