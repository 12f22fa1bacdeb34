"""The names under which reports show models, as given by `bench run --name`.

A record's arm keeps the model's own name: by that it is measured, found and paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.record import store
from bench.record.schema import NameLine
from bench.record.store import Record


def names_in(records: Iterable[Record]) -> dict[str, str]:
    """Return the latest name given to each model, by the model's own name; only those that differ.

    Where two models would look alike, the own name stands behind the given one.
    """
    latest: dict[str, NameLine] = {}
    models: set[str] = set()
    for record in records:
        model = record.arm.model
        models.add(model)
        for line in record.names:
            if model not in latest or line.given >= latest[model].given:
                latest[model] = line
    names = {model: line.name for model, line in latest.items() if line.name != model}
    shown = Counter([*names.values(), *(models - names.keys())])
    for model, name in names.items():
        if shown[name] > 1:
            names[model] = f"{name} ({model})"
    return names


def give(paths: Iterable[Path], names: Mapping[str, str], given: str) -> None:
    """Add a line to every record whose model has another name than in `names`; `given` is now."""
    for path in paths:
        record = store.load(path)
        model = record.arm.model
        current = record.names[-1].name if record.names else model
        if names.get(model, current) != current:
            head = record.head
            store.create(path.parent, record.arm, head.settings, head.about)  # ends a torn line
            store.append(path, NameLine(name=names[model], given=given))
