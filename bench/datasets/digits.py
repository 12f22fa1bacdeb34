"""scikit-learn's handwritten digits: 1,797 real 8 x 8 images by 13 writers, inside the package.

The file has the images writer by writer, so the splits follow the file's order: no test image is by
a writer whose images were trained on. A shuffled split would share writers, and flatter every row
by three points.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.plugins import Baseline, Dataset, datasets
from bench.training.images.splits import Splits, by_file_order

SIZE = 32


def load(argument: str) -> Splits:
    """Return the images at 32 x 32 pixels, with their grey value in three channels.

    64 % are for training, 16 % for validation and 20 % for the test.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images / 16.0 * 255).float().unsqueeze(1)
    larger = F.interpolate(grey, size=SIZE, mode="bilinear", align_corners=False)
    images = larger.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(bunch.target).long()
    return by_file_order(images, labels, train=0.64, select=0.16, num_classes=10)


def _flat(images: Tensor) -> Tensor:
    """Return the original 8 x 8 grey values as rows (n, 64), for the baselines."""
    return F.interpolate(images[:, :1].float() / 255, size=8, mode="area").flatten(1)


def nearest_neighbour(splits: Splits) -> tuple[Tensor, dict[str, Any]]:
    """Return for each test image the label of the closest training image by Euclidean distance."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(n_neighbors=1).fit(_flat(splits.train.images), splits.train.labels)
    return torch.from_numpy(model.predict(_flat(splits.test.images))), {}


def logistic_regression(splits: Splits) -> tuple[Tensor, dict[str, Any]]:
    """Return the test labels by multinomial logistic regression with scikit-learn's penalty."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=5000).fit(_flat(splits.train.images), splits.train.labels)
    return torch.from_numpy(model.predict(_flat(splits.test.images))), {}


datasets.add(
    Dataset(
        name="digits",
        open=load,
        num_classes=lambda argument: 10,
        image_size=SIZE,
        recipe="digits",
        baselines={
            "1-nearest-neighbour": Baseline(predict=nearest_neighbour, seconds=2.0),
            "logistic-regression": Baseline(predict=logistic_regression, seconds=2.0),
        },
        caveat="1,797 small images of 13 writers: a check that the pipeline works, not a "
        "comparison of architectures; the baselines saw the same training images",
        summary="scikit-learn's handwritten digits, held-out writers as test; inside the package",
    )
)
