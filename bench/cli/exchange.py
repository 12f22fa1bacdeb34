"""`bench import`, `export`, `pack` and `verify`: others' files in, ours out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.machines import read_all
from bench.analysis.published_csv import import_csv
from bench.cli.options import Results
from bench.cli.terminal import complain, say
from bench.errors import UsageError
from bench.exchange.pack import pack as packed
from bench.exchange.pack import verify as verified
from bench.exchange.timm_csv import export as exported
from bench.files.paths import inside


def import_(
    file: Path,
    /,
    *,
    source: str | None = None,
    dataset: str | None = None,
    results: Annotated[
        Results, Parameter(help="Results folder; the file is kept in its subfolder published.")
    ] = Path("results"),
) -> int:
    """Put somebody's published table beside the results, as marked reference rows of every later report.

    Parameters
    ----------
    file
        A CSV file in the columns of timm's result files: accuracies, inference speeds or training speeds.
    source
        Where it comes from, to be shown and cited; the file's name unless given.
    dataset
        What accuracies are of: imagenet, imagenet-real, imagenet-v2, imagenet-a, imagenet-r, imagenet-sketch or a name of
        your own. Needed unless the file is called as timm's are, such as results-imagenet-a.csv.
    """

    kept = import_csv(file, results, source, dataset)
    rows = "1 published row" if kept.rows == 1 else f"{kept.rows} published rows"
    say(f"{rows} kept in {kept.path}: {kept.of}; next: python -m bench report --results {results}")
    if kept.left_out:
        complain(f"{file}: {kept.left_out}")
    return 0


def export(folder: Path, /, *, results: Results = Path("results")) -> int:
    """Write the results as CSV files in the columns of timm's result files.

    Parameters
    ----------
    folder
        Where the files go; one folder per machine where there are several.
    """

    machines = read_all(results)
    several = len(machines) > 1
    written = []
    for one in machines:
        files = exported(
            one.summary, inside(folder, folder / one.folder.name) if several else folder
        )
        if not files:
            say(f"{one.folder}: nothing to export, its records are of studies alone")
        written += files
    damaged = [error for one in machines for error in one.damaged]
    for error in damaged:
        complain(error)
    for path in written:
        say(f"{path} written")
    if not written:
        raise UsageError(
            f"export: {results} holds neither speeds nor accuracies; `python -m bench run` measures some"
        )
    return 2 if damaged else 0


def pack(file: Path, /, *, results: Results = Path("results")) -> int:
    """Put all records of a results folder into one file, to be sent to somebody. A damaged one is named and left out.

    Parameters
    ----------
    file
        The file to write, such as mine.zip.
    """

    files, damaged = packed(results, file)
    for error in damaged:
        complain(error)
    say(f"{files} files in {file}; whoever gets it checks it with: python -m bench verify {file}")
    return 2 if damaged else 0


def verify(file: Path, /) -> int:
    """Check a pack: hashes, schema, counts against the known ones, the sentinel pair and the canary. Executes nothing of it.

    Parameters
    ----------
    file
        A file that `bench pack` made.
    """

    found = verified(file)
    for remark in found.remarks:
        say(f"note: {remark}")
    for problem in found.problems:
        complain(f"{file}: {problem}")
    if found.problems:
        complain(f"{file}: refused for {len(found.problems)} reasons")
        return 1
    say(
        f"{file}: accepted; {found.records} records of {', '.join(found.machines)}, {found.files} files as they were packed"
    )
    return 0
