"""Imagenette, ten easy classes of ImageNet (fast.ai): downloaded, or a local folder."""

from __future__ import annotations

from pathlib import Path

from bench.datasets._cache import cache
from bench.datasets._pictures import folders
from bench.errors import UsageError, one_line
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits


def load(argument: str) -> Splits:
    """Return the splits of images whose shorter side is 160 pixels.

    `argument` is a folder with train/ and val/, or one to download them to (empty: the user's
    cache).
    """
    flag = "--data imagenette" + (f":{argument}" if argument else "")
    root = Path(argument) if argument else cache("imagenette")
    if argument and not root.is_dir():
        raise UsageError(
            f"{flag}: {argument} is not a folder; give the one that contains train/ and val/, or "
            "drop the path to download it"
        )
    if not (root / "train").exists():
        root = _downloaded(root, flag)
    return folders(str(root), flag=flag, classes=10)


def _downloaded(root: Path, flag: str) -> Path:
    from torchvision.datasets import Imagenette

    folder = root / "imagenette2-160"
    try:
        if not folder.exists():
            Imagenette(str(root), split="train", size="160px", download=True)
    except Exception as error:
        raise UsageError(
            f"{flag}: it could not be downloaded ({type(error).__name__}: {one_line(error)}); "
            "use imagenette:/path with a folder that contains train/ and val/"
        ) from None
    return folder


datasets.add(
    Dataset(
        name="imagenette",
        open=load,
        num_classes=lambda argument: 10,
        argument="[/path]",
        summary="ten classes of ImageNet at 160 pixels, downloaded if there is a network",
    )
)
