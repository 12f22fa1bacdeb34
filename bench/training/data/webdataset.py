"""`wds:/path`: WebDataset shards on disk, train*.tar and val*.tar or test*.tar, each sample `<key>.<jpg|png|...>` and `<key>.cls`.

Read by place and not as a stream: a training that was killed has to find the image that comes next.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import torch
from PIL import Image

from bench.errors import UsageError
from bench.plugins import Dataset, datasets
from bench.training.data._pictures import carved
from bench.training.splits import Pictures, Splits

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".ppm")


def load(argument: str) -> Splits:
    """All shards of a folder; select is carved from train."""
    root, flag = Path(argument), f"--data wds:{argument}"
    if not argument or not root.is_dir():
        raise UsageError(f"{flag}: not a folder; give the one that holds train*.tar and val*.tar")
    train, test = sorted(root.glob("train*.tar")), sorted(root.glob("test*.tar")) or sorted(root.glob("val*.tar"))
    if not train or not test:
        raise UsageError(f"{flag}: {root} lacks {'train*.tar' if not train else 'val*.tar or test*.tar'}")
    trained, tested = shards(train, flag), shards(test, flag)
    classes = int(max(trained.labels.max(), tested.labels.max())) + 1
    return carved(trained, tested, classes)


def shards(paths: list[Path], flag: str) -> Pictures:
    """The samples of some shards: where each image lies in which file, and its label."""
    places: list[tuple[Path, int, int, str]] = []
    labels: list[int] = []
    for path in paths:
        images: dict[str, tuple[Path, int, int, str]] = {}
        classes: dict[str, int] = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    key, dot, ending = member.name.rpartition(".")
                    if dot + ending.lower() in ENDINGS:
                        images[key] = (path, member.offset_data, member.size, f"{path.name}/{member.name}")
                    elif ending == "cls" and (content := archive.extractfile(member)) is not None:
                        classes[key] = int(content.read())
        except (tarfile.TarError, ValueError, OSError) as error:
            raise UsageError(f"{flag}: {path} cannot be read ({error}); is the file whole?") from None
        if images.keys() != classes.keys():
            odd = sorted(images.keys() ^ classes.keys())[0]
            raise UsageError(f"{flag}: {path}: sample {odd} lacks its image or its class (<key>.jpg and <key>.cls)")
        places += images.values()
        labels += [classes[key] for key in images]

    def opened(at: int) -> Image.Image:
        path, offset, size, _ = places[at]
        with path.open("rb") as file:
            file.seek(offset)
            return Image.open(io.BytesIO(file.read(size))).convert("RGB")

    return Pictures(opened=opened, called=lambda at: places[at][3], indices=range(len(places)), labels=torch.tensor(labels))


datasets.add(
    Dataset(
        name="wds",
        open=load,
        num_classes=lambda argument: load(argument).num_classes,
        argument="/path",
        summary="wds:/path, WebDataset shards train*.tar and val*.tar or test*.tar on disk",
    )
)
