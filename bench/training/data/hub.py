"""`hfds:NAME`: a data set of the Hugging Face hub, or a local folder of its tables, through timm's reader (extra `data`)."""

from __future__ import annotations

from bench.errors import UsageError
from bench.plugins import Dataset, datasets
from bench.training.data._pictures import carved, pictures_of
from bench.training.splits import Splits


def load(argument: str) -> Splits:
    """The splits `train` and `test` (or `validation`); select is carved from train."""
    flag = f"--data hfds:{argument}"
    if not argument:
        raise UsageError("--data hfds: which one? hfds:uoft-cs/cifar10 is an example")
    train, names = pictures_of(f"hfds/{argument}", None, "train", flag=flag)
    trouble: UsageError | None = None
    for split in ("test", "validation"):
        try:
            test, _ = pictures_of(f"hfds/{argument}", None, split, flag=flag)
        except UsageError as error:
            trouble = trouble or error
            continue
        return carved(train, test, len(names))
    assert trouble is not None
    raise trouble


datasets.add(
    Dataset(
        name="hfds",
        open=load,
        num_classes=lambda argument: load(argument).num_classes,
        argument="NAME",
        summary="hfds:NAME, a data set of the Hugging Face hub (pip install 'convmixer-bench[data]')",
    )
)
