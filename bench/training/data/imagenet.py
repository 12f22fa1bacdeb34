"""ImageNet-1k and its relatives, on disk; published weights are evaluated on it, recipes train on it.

Its validation set is our test split: labels of the real test set are nobody's. ImageNet-V2 is a test split alone.
"""

from __future__ import annotations

from functools import lru_cache

from bench.plugins import Dataset, datasets
from bench.training.data._pictures import folders
from bench.training.splits import Splits

CLASSES = 1000


@lru_cache(maxsize=1)  # listing 1.3 million files takes its time, and planning and training both ask
def imagenet(argument: str) -> Splits:
    """train/ (not needed to evaluate) and val/ or validation/, folders or .tar."""
    return folders(argument, flag=f"--data imagenet:{argument}", classes=CLASSES, test_alone=True)


@lru_cache(maxsize=1)
def version_two(argument: str) -> Splits:
    """A folder with the thousand class folders 0 to 999."""
    return folders(argument, flag=f"--data imagenet_v2:{argument}", classes=CLASSES, test_alone=True)


for name, opened, summary in (
    ("imagenet", imagenet, "imagenet:/path, with val/<class>/* and, to train, train/<class>/*"),
    ("imagenet_v2", version_two, "imagenet_v2:/path, the new test images (arXiv 1902.10811), one folder per class number"),
):
    datasets.add(
        Dataset(
            name=name, open=opened, num_classes=lambda argument: CLASSES, published=True, argument="/path", check=opened, summary=summary
        )
    )
