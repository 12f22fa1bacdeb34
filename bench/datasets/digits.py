"""scikit-learn's handwritten digits: 1,797 real 8 x 8 images of 13 writers, inside the package itself.

The images stand in the file writer by writer, so the splits follow the file order: writers of the test images
were not trained on. A shuffled split would share them and flatter every row by three points.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits, by_file_order

SIZE = 32


def load(argument: str) -> Splits:
    """Images resized to 32 x 32 with their grey value in three channels; 64 / 16 / 20 % train / select / test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images / 16.0 * 255).float().unsqueeze(1)
    larger = (
        F.interpolate(grey, size=SIZE, mode="bilinear", align_corners=False).round().to(torch.uint8)
    )
    images = larger.expand(-1, 3, -1, -1).contiguous()
    return by_file_order(
        images, torch.from_numpy(bunch.target).long(), train=0.64, select=0.16, num_classes=10
    )


def _flat(images: Tensor) -> Tensor:
    """The grey 8 x 8 pixels again, as rows: the baselines see what was written, not its enlargement."""
    return F.interpolate(images[:, :1].float() / 255, size=8, mode="area").flatten(1)


def nearest_neighbour(splits: Splits) -> Tensor:
    """Labels of the closest training image by Euclidean distance."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(n_neighbors=1).fit(_flat(splits.train.images), splits.train.labels)
    return torch.from_numpy(model.predict(_flat(splits.test.images)))


def logistic_regression(splits: Splits) -> Tensor:
    """Multinomial logistic regression with scikit-learn's default penalty, run until it converges."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=5000).fit(_flat(splits.train.images), splits.train.labels)
    return torch.from_numpy(model.predict(_flat(splits.test.images)))


datasets.add(
    Dataset(
        name="digits",
        open=load,
        num_classes=lambda argument: 10,
        image_size=SIZE,
        recipe="digits",
        baselines={
            "1-nearest-neighbour": nearest_neighbour,
            "logistic-regression": logistic_regression,
        },
        caveat="1,797 small images of 13 writers: a check that the pipeline works, not a comparison of architectures; "
        "the baselines saw the same training images",
        summary="scikit-learn's handwritten digits, held-out writers as test; inside the package",
    )
)
