"""Random numbers that depend only on a seed and where they are used, not on earlier draws.

So a training run that was killed and resumed, or spread over other processes, draws the same.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def derive(*where: object) -> int:
    """Return a 63-bit seed for a seed and a place, such as (seed, "order", epoch)."""
    return int.from_bytes(hashlib.blake2b(repr(where).encode(), digest_size=8).digest(), "big") >> 1


def generator(*where: object) -> torch.Generator:
    """Return a generator on the host for a place."""
    return torch.Generator().manual_seed(derive(*where))


@dataclass(frozen=True)
class Draws:
    """Random numbers for the images of several micro-batches, `each` images from a generator.

    A micro-batch's numbers do not depend on the others, so they can be augmented together or not.
    """

    generators: tuple[torch.Generator, ...]
    each: int

    def uniform(self) -> Tensor:
        """Return a number from 0 to 1 for each image, (n,) float32 on the host."""
        return torch.cat([torch.rand(self.each, generator=one) for one in self.generators])

    def integers(self, below: int, rows: int) -> Tensor:
        """Return `rows` whole numbers from 0 to before `below` for each image: (rows, n) int64."""
        size = (rows, self.each)
        drawn = [torch.randint(below, size, generator=one) for one in self.generators]
        return torch.cat(drawn, dim=1)


def seed_everything(*where: object) -> None:
    """Seed the global generators of Python, NumPy and PyTorch, which libraries draw from."""
    seed = derive(*where)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed does the same, but walks the stack even for an unused GPU, which takes a
    # millisecond per image.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
