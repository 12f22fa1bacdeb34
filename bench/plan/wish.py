"""What a run asks of accuracies: models with their weights, data, recipe and policy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from bench.config import RunConfig
from bench.devices import kind_of
from bench.errors import UsageError
from bench.files import files
from bench.plan.task import Task
from bench.plugins import (
    Dataset,
    Metric,
    Model,
    alternatives,
    dataset_of,
    policies,
    runnable_policy,
)
from bench.plugins.recipe import Recipe, recipes
from bench.plugins.switches import BEST
from bench.record.arms import Arm
from bench.record.schema import About, Scalar
from bench.training.weights_file import WeightsMetadata, metadata_of

ACCURACY_SETTINGS: dict[str, Scalar] = {
    "protocol": 2,
    "reported": "last checkpoint, or the recipe's moving average; test split read once",
}
"""Part of every accuracy record's key: another wording would make another record."""

Known = Callable[[Task], float | None]
"""Returns the result of a task (top-1, or images per second): -1 if it failed, None if it has not
finished yet."""
Named = tuple[Model, str | None]
"""A model, and the tag of its weights if one was named."""


def distinct(named: Iterable[Named]) -> list[Model]:
    """Return the models without their tags, each once."""
    return list({model.name: model for model, _ in named}.values())


@dataclass(frozen=True)
class Wish:
    """The accuracies that a run asks for: of which models, on which kind of device, and how."""

    config: RunConfig
    named: list[Named]
    asked: tuple[Metric, ...]
    kind: str

    @property
    def data(self) -> str:
        """The value of --data; without it there is no wish."""
        assert self.config.data is not None
        return self.config.data

    @cached_property
    def images(self) -> str:
        """The name of the data in records."""
        dataset, argument = dataset_of(self.data)
        known = dataset.identity(argument)
        return f"{dataset.name}:{known}" if known else dataset.name

    @property
    def dataset(self) -> Dataset:
        """The data set of --data, without its argument."""
        return dataset_of(self.data)[0]

    @cached_property
    def num_classes(self) -> int:
        """The number of classes, for which some data sets have to be opened."""
        dataset, argument = dataset_of(self.data)
        return dataset.num_classes(argument)

    @cached_property
    def checkpoint_digest(self) -> str | None:
        """16 hex digits over the file of --checkpoint, and the entry chosen from it, if any.

        Raises UsageError if the file cannot be read.
        """
        path = self.config.checkpoint
        if path is None:
            return None
        try:
            digest = hashlib.sha256(files.read(path)).hexdigest()[:16]
        except OSError as error:
            raise UsageError(f"--checkpoint: {path} cannot be read ({error.strerror})") from None
        key = self.config.checkpoint_key
        return digest if key is None else f"{digest}/{key.strip('/')}"

    @cached_property
    def metadata(self) -> WeightsMetadata:
        """What the file of --checkpoint says about its weights; empty without a file."""
        return metadata_of(self.config.checkpoint) if self.config.checkpoint else WeightsMetadata()

    @property
    def recipe(self) -> Recipe | None:
        """The recipe to train with; None if weights are evaluated."""
        if self.config.checkpoint is not None:
            return None
        name = self.config.recipe or self.dataset.recipe
        return recipes.get(name) if name else None

    @property
    def policy(self) -> str:
        """The canonical name of the policy of training runs.

        Raises UsageError if it does not run on the device or is for inference only.
        """
        policy = self.config.train_policy or kind_of(self.kind).training_policy
        policy = runnable_policy(policy, self.kind, flag="--train-policy")
        for name in policy.split("+"):
            if policies.get(name).inference_only:
                raise UsageError(
                    f"--train-policy: {name} is for inference only; "
                    "fp32, bf16, fp16, channels_last and compile can train"
                )
        return policy

    @property
    def execution_policies(self) -> list[str | None]:
        """The policies to evaluate weights under; None is float32 eager execution, the default.

        `best` asks for speeds of several policies, and for no other accuracy than its precision's;
        int8 is another function in each engine.
        """
        chosen: dict[str | None, None] = {}
        for asked in self.config.policies or ("fp32",):
            for name in self._executions(asked):
                chosen[None if name == "fp32" else name] = None
        return list(chosen)

    def _executions(self, asked: str) -> list[str]:
        parts = asked.split("+")
        precision = [part for part in parts if part != BEST] or ["fp32"]
        if BEST not in parts or not any(policies.get(name).needs for name in precision):
            return [runnable_policy("+".join(precision), self.kind, flag="--policies")]
        return alternatives(asked, self.kind, flag="--policies")

    @property
    def has_published_weights(self) -> bool:
        """True if weights are evaluated that are not from a file."""
        return self.recipe is None and self.config.checkpoint is None

    @property
    def common_size(self) -> int | None:
        """The image size of all models: the data set's or --image-size; None if there is none."""
        return self.dataset.image_size or self.config.one_size

    def size_of(self, model: Model) -> int:
        """Return the side in pixels of the images that a trained model is tested on."""
        return self.common_size or model.image_size

    def task(self, arm: Arm, about: About, seed: int) -> Task:
        """Return the task of an accuracy arm."""
        return Task(arm=arm, metrics=self.asked, settings=ACCURACY_SETTINGS, about=about, seed=seed)
