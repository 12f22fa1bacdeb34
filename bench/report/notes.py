"""Notes below tables, by who is to read them.

A paper's readers have no terminal, and a terminal shows few notes unless asked.
"""

from __future__ import annotations

from collections.abc import Iterable


class Note(str):
    """A note for the user of the program, such as one with a command.

    `for_papers` says the same to readers of a paper; if it is empty, the note is left out there.
    """

    for_papers: str

    def __new__(cls, text: str, for_papers: str = "") -> Note:
        note = super().__new__(cls, text)
        note.for_papers = for_papers
        return note


class Caveat(str):
    """A note that changes how a table is read; a terminal shows it without --notes.

    `for_papers` is as in `Note`; unless given, that of `text` if it is a note, else `text` itself.
    """

    for_papers: str

    def __new__(cls, text: str, for_papers: str | None = None) -> Caveat:
        note = super().__new__(cls, text)
        said = getattr(text, "for_papers", text)
        note.for_papers = said if for_papers is None else for_papers
        return note


def for_papers(notes: Iterable[str]) -> list[str]:
    """Return the notes as readers of a paper get them: without flags, commands and paths."""
    said = (note.for_papers if isinstance(note, Note | Caveat) else note for note in notes)
    return list(filter(None, said))
