"""Notes below tables that not everybody is to read: a paper's readers have no terminal."""

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


def for_papers(notes: Iterable[str]) -> list[str]:
    """Return the notes as readers of a paper get them: without flags, commands and paths."""
    said = (note.for_papers if isinstance(note, Note) else note for note in notes)
    return list(filter(None, said))
