"""`bench pack` and `verify`: one file of records, signed if asked for, and its checks."""

from __future__ import annotations

from pathlib import Path

from bench.cli.console import Terminal, complain_about, counted, print_words
from bench.cli.options import ResultsFlag
from bench.cli.packs.keys import KeyFlag, SignFlag, expected, to_sign
from bench.cli.terminal import complain
from bench.config import COMMAND
from bench.exchange import pack as packs
from bench.exchange.pack import Checked
from bench.exchange.signing import PUBLISH


def pack(file: Path, /, *, results: ResultsFlag = Path("results"), sign: SignFlag = ()) -> int:
    """Pack all records of a results folder into one file.

    Damaged records are named and left out; a machine whose checks failed is named and packed.

    Parameters
    ----------
    file
        The file to write, such as mine.zip.
    """
    key = to_sign(sign)
    packed = packs.pack(results, file, key)
    complain_about(packed.left_out)
    for doubt in packed.doubts:
        complain(f"{doubt}; it is packed, and `verify` refuses its speeds")
    console = Terminal.on_stdout()
    print_words(
        console,
        f"{counted(packed.files, 'file')} packed into {file}; whoever receives it checks it with: "
        f"{COMMAND} verify {file}" + (" --key key.pub" if key else ""),
    )
    if key is not None:
        print_words(console, f"signed by key {key.fingerprint}; its public part: {PUBLISH}")
    return 2 if packed.left_out else 0


def verify(file: Path, /, *, key: KeyFlag = ()) -> int:
    """Check a pack without executing any of it.

    The checks are of hashes, schema, counts, A/A and drift checks, and with --key of the signature.

    Parameters
    ----------
    file
        A file from `bench pack`.
    """
    checked = packs.verify(file, expected(key))
    console = Terminal.on_stdout()
    for remark in checked.remarks:
        print_words(console, f"note: {remark}")
    for problem in checked.problems:
        complain(f"{file}: {problem}")
    if checked.problems:
        complain(f"{file}: refused for {counted(len(checked.problems), 'reason')}")
        return 1
    print_words(
        console,
        f"{file}: accepted; {counted(checked.records, 'record')} of "
        f"{', '.join(checked.machines)}, {counted(checked.files, 'file')} unchanged since packing",
    )
    for line in _signature_lines(file, checked):
        print_words(console, line)
    return 0


def _signature_lines(file: Path, checked: Checked) -> list[str]:
    """Return what is known of a pack's signature; nothing for a pack without one."""
    signature = checked.signature
    if signature is None:
        return []
    if signature.checked:
        return [f"signature checked: by key {signature.fingerprint}"]
    return [
        f"it says that it is signed by key {signature.fingerprint}",
        "this signature was not checked; with the public key of whom you expect: "
        f"{COMMAND} verify {file} --key key.pub",
    ]
