"""`bench import`, `export`, `pack` and `verify`: others' files in, ours out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.machines import read_all
from bench.analysis.published_csv import import_csv
from bench.cli.console import complain_about, counted
from bench.cli.options import ResultsFlag
from bench.cli.terminal import complain, say
from bench.config import COMMAND
from bench.errors import UsageError
from bench.exchange import pack as packs
from bench.exchange import timm_csv
from bench.files.paths import inside


def import_(
    file: Path,
    /,
    *,
    source: str | None = None,
    dataset: str | None = None,
    results: Annotated[
        ResultsFlag,
        Parameter(help="Results folder; the file is copied into its subfolder published."),
    ] = Path("results"),
) -> int:
    """Keep somebody's published table with the results, as reference rows of every report.

    Parameters
    ----------
    file
        A CSV file with the columns of timm's result files: accuracies, inference speeds or training
        speeds.
    source
        The source to show and cite; defaults to the file's name.
    dataset
        The data set of accuracies: imagenet, imagenet-real, imagenet-v2, imagenet-a, imagenet-r,
        imagenet-sketch or a name of your own. Needed unless the file is named like timm's, such as
        results-imagenet-a.csv.
    """
    kept = import_csv(file, results, source, dataset)
    say(
        f"{counted(kept.rows, 'published row')} kept in {kept.path}: {kept.of}; "
        f"next: {COMMAND} report --results {results}"
    )
    if kept.left_out:
        complain(f"{file}: {kept.left_out}")
    return 0


def export(folder: Path, /, *, results: ResultsFlag = Path("results")) -> int:
    """Write the results as CSV files with the columns of timm's result files.

    Parameters
    ----------
    folder
        Folder for the files; with several machines, they go into one subfolder per machine.
    """
    machines = read_all(results)
    written: list[Path] = []
    for machine in machines:
        target = folder
        if len(machines) > 1:
            target = inside(folder, folder / machine.folder.name)
        files = timm_csv.export(machine.summary, target)
        if not files:
            say(f"{machine.folder}: nothing to export, its records are of studies only")
        written += files
    damaged = 0
    for machine in machines:
        damaged += complain_about(machine.damaged)
    for path in written:
        say(f"{path} written")
    if not written:
        raise UsageError(
            f"export: {results} has neither speeds nor accuracies; `{COMMAND} run` measures some"
        )
    return 2 if damaged else 0


def pack(file: Path, /, *, results: ResultsFlag = Path("results")) -> int:
    """Pack all records of a results folder into one file; damaged ones are named and left out.

    Parameters
    ----------
    file
        The file to write, such as mine.zip.
    """
    files, damaged = packs.pack(results, file)
    complain_about(damaged)
    say(
        f"{counted(files, 'file')} packed into {file}; whoever receives it checks it with: "
        f"{COMMAND} verify {file}"
    )
    return 2 if damaged else 0


def verify(file: Path, /) -> int:
    """Check a pack without executing any of it: hashes, schema, counts, A/A and drift checks.

    Parameters
    ----------
    file
        A file from `bench pack`.
    """
    checked = packs.verify(file)
    for remark in checked.remarks:
        say(f"note: {remark}")
    for problem in checked.problems:
        complain(f"{file}: {problem}")
    if checked.problems:
        complain(f"{file}: refused for {counted(len(checked.problems), 'reason')}")
        return 1
    say(
        f"{file}: accepted; {counted(checked.records, 'record')} of "
        f"{', '.join(checked.machines)}, {counted(checked.files, 'file')} unchanged since packing"
    )
    return 0
