"""The files that a training run writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Files:
    """Paths of a training run's files: the machine's `folder`, the `stem` of the arm's record."""

    folder: Path
    stem: str

    @property
    def checkpoint(self) -> Path:
        """The state of an unfinished training run."""
        return self.folder / "checkpoints" / f"{self.stem}.safetensors"

    @property
    def weights(self) -> Path:
        """The evaluated weights, with the fields that `bench eval --checkpoint` needs."""
        return self.folder / "weights" / f"{self.stem}.safetensors"

    @property
    def log(self) -> Path:
        """A JSON line per step and validation; docs/training.md describes the fields."""
        return self.folder / "logs" / f"{self.stem}.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files, if it is installed."""
        return self.folder / "tensorboard" / self.stem

    @staticmethod
    def folders(machine: Path) -> list[Path]:
        """Return every folder in a machine's that training runs write to."""
        files = Files(machine, "any")
        paths = (files.checkpoint, files.weights, files.log, files.tensorboard)
        return [path.parent for path in paths]

    def forget(self) -> None:
        """Remove the files of an earlier training run of the arm, so that it starts afresh."""
        for path in (self.checkpoint, self.weights, self.log):
            path.unlink(missing_ok=True)
