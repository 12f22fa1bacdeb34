"""`hfds:NAME`: a data set of the Hugging Face hub, or a local folder of its tables, through timm's reader (extra `data`)."""

from __future__ import annotations

import importlib
import io
from contextlib import redirect_stdout, suppress
from functools import lru_cache
from typing import Any

from timm.data import create_dataset

from bench.datasets._pictures import carved, checked_labels, classes_of, pictures_of
from bench.datasets._sources import Rows
from bench.errors import UsageError, one_line
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Pictures, Splits


def load(argument: str) -> Splits:
    """The splits `train` and `test` (or `validation`); select is carved from train."""
    return carved(*read(argument))


@lru_cache(maxsize=2)  # checking, counting and opening all ask
def read(argument: str) -> tuple[Pictures, Pictures, int, str]:
    """Training and test images, how many classes there are, and what to say of the splits."""
    flag = f"--data hfds:{argument}"
    if not argument:
        raise UsageError("--data hfds: which one? hfds:uoft-cs/cifar10 is an example")
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


def _test(argument: str, flag: str) -> tuple[Rows, list[object], str]:
    """The test split, or validation where there is none or its labels are kept back (-1); the first trouble where neither is."""
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
        trouble, remark = (
            UsageError(f"{flag}: all labels of {split} are -1: they are kept back"),
            f"{split} has no labels, validation is tested",
        )
    assert trouble is not None
    raise trouble


def table(argument: str, split: str, flag: str) -> tuple[Rows, list[object], int | None]:
    """One split with its labels, and how many classes the table names; UsageError where it cannot be had."""
    try:
        with redirect_stdout(io.StringIO()):  # what readers say on the side
            reader = create_dataset(f"hfds/{argument}", split=split, **_columns(argument)).reader
            labels = list(reader.dataset[reader.label_key])
    except ImportError as error:
        raise UsageError(
            f"{flag}: needs a package that is not installed ({one_line(error, 160)})"
        ) from None
    except Exception as error:
        raise UsageError(
            f"{flag}: the images cannot be had ({type(error).__name__}: {one_line(error, 160)}); is there a network, and is the name right?"
        ) from None
    return Rows(reader, split), labels, len(reader.class_to_idx) or None


def _columns(argument: str) -> dict[str, str]:
    """What the columns of images and labels are called, where that is not `image` and `label` and the table says it."""
    tables = importlib.import_module("datasets")  # an extra
    tables.disable_progress_bars()
    features: dict[str, Any] = {}
    with suppress(Exception):  # what is wrong with the name is said when it is loaded
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
        summary="hfds:NAME, a data set of the Hugging Face hub (pip install 'convmixer-bench[data]')",
    )
)
