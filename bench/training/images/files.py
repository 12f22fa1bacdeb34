"""Where a training leaves its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Files:
    """Where a training leaves its files: `folder` is the machine's, `stem` that of the arm's record."""

    folder: Path
    stem: str

    @property
    def checkpoint(self) -> Path:
        """The state of a training that is not finished."""
        return self.folder / "checkpoints" / f"{self.stem}.safetensors"

    @property
    def weights(self) -> Path:
        """What was evaluated, with what `bench eval --checkpoint` needs to know."""
        return self.folder / "weights" / f"{self.stem}.safetensors"

    @property
    def log(self) -> Path:
        """One JSON line per step and look; docs/training.md has the fields."""
        return self.folder / "logs" / f"{self.stem}.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's events, where it is installed."""
        return self.folder / "tensorboard" / self.stem

    @staticmethod
    def folders(machine: Path) -> list[Path]:
        """Every folder that trainings write to, in a machine's."""
        files = Files(machine, "any")
        return [
            path.parent for path in (files.checkpoint, files.weights, files.log, files.tensorboard)
        ]

    def forget(self) -> None:
        """Remove what an earlier training of the arm left: it is to be trained anew."""
        for path in (self.checkpoint, self.weights, self.log):
            path.unlink(missing_ok=True)
