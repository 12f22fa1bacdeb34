"""ImageNet-1k's validation set, a folder on disk; published weights are evaluated on it."""

from bench.errors import UsageError
from bench.plugins import Dataset, datasets
from bench.training.evaluate import CLASSES, validation_folder
from bench.training.splits import Splits


def load(argument: str) -> Splits:
    """Training on ImageNet is not there yet; its images do not fit into memory."""
    raise UsageError("--recipe: ImageNet is evaluated with published weights only; leave --recipe away")


datasets.add(
    Dataset(
        name="imagenet",
        load=load,
        num_classes=CLASSES,
        evaluate="weights",
        argument="/path",
        check=lambda argument: (validation_folder(argument), None)[1],
        summary="imagenet:/path, a folder with val/<class>/*; evaluates published weights",
    )
)
