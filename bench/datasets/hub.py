"""`hfds:NAME`: a data set of the Hugging Face hub, or a local folder of its tables.

Read by timm's reader, with the extra `data`.
"""

from __future__ import annotations

import importlib
import io
from contextlib import redirect_stdout, suppress
from functools import lru_cache
from typing import Any

from bench.datasets._pictures import carved, checked_labels, classes_of, pictures_of
from bench.datasets._sources import TableSource
from bench.errors import UsageError, one_line
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Pictures, Splits


def load(argument: str) -> Splits:
    """Return `train` and `test` (or `validation`); the validation split is carved from train."""
    return carved(*read(argument))


@lru_cache(maxsize=2)  # checking, counting and opening each ask for it
def read(argument: str) -> tuple[Pictures, Pictures, int, str]:
    """Return training images, test images, the number of classes, and a remark on the splits."""
    flag = f"--data hfds:{argument}"
    if not argument:
        raise UsageError("--data hfds: the name is missing; hfds:uoft-cs/cifar10 is an example")
    rows, labels, classes = table(argument, "train", flag)
    known = checked_labels(labels, rows.name, flag, classes)
    classes = classes or classes_of(known, rows.name, flag)
    tested, others, remark = _test(argument, flag)
    return (
        pictures_of(rows, known),
        pictures_of(tested, checked_labels(others, tested.name, flag, classes)),
        classes,
        remark,
    )


def _test(argument: str, flag: str) -> tuple[TableSource, list[object], str]:
    """Return the test split, its labels and a remark.

    Without a test split, or if its labels are withheld (-1), this is the validation split. Raises
    the first UsageError if neither can be used.
    """
    trouble: UsageError | None = None
    remark = ""
    for split in ("test", "validation"):
        try:
            rows, labels, _ = table(argument, split, flag)
        except UsageError as error:
            trouble = trouble or error
            continue
        if any(label != -1 for label in labels):
            return rows, labels, remark
        trouble = UsageError(f"{flag}: all labels of {split} are -1, so they are withheld")
        remark = f"{split} has no labels, validation is tested"
    assert trouble is not None
    raise trouble


def table(argument: str, split: str, flag: str) -> tuple[TableSource, list[object], int | None]:
    """Return a split, its labels and the number of classes that the table names, if any.

    Raises UsageError if it cannot be loaded.
    """
    from timm.data import create_dataset

    try:
        with redirect_stdout(io.StringIO()):  # readers print as they please
            reader = create_dataset(f"hfds/{argument}", split=split, **_columns(argument)).reader
            labels = list(reader.dataset[reader.label_key])
    except ImportError as error:
        raise UsageError(
            f"{flag}: needs a package that is not installed ({one_line(error, 160)})"
        ) from None
    except Exception as error:
        raise UsageError(
            f"{flag}: it cannot be loaded ({type(error).__name__}: {one_line(error, 160)}); is the "
            "name right, and is there a network?"
        ) from None
    return TableSource(reader, split), labels, len(reader.class_to_idx) or None


def _columns(argument: str) -> dict[str, str]:
    """Return the names of the columns of images and labels that are not `image` and `label`.

    They are found by the types that the table declares.
    """
    tables = importlib.import_module("datasets")  # an extra
    tables.disable_progress_bars()
    features: dict[str, Any] = {}
    with suppress(Exception):  # a wrong name is reported when the table is loaded
        features = tables.load_dataset_builder(argument).info.features or {}
    found = {}
    for key, usual, kind in (
        ("input_key", "image", tables.Image),
        ("target_key", "label", tables.ClassLabel),
    ):
        named = [name for name, feature in features.items() if isinstance(feature, kind)]
        if usual not in features and len(named) == 1:
            found[key] = named[0]
    return found


datasets.add(
    Dataset(
        name="hfds",
        open=load,
        num_classes=lambda argument: read(argument)[2],
        check=read,
        argument="NAME",
        summary="hfds:NAME, a data set of the Hugging Face hub "
        "(pip install 'convmixer-bench[data]')",
    )
)
