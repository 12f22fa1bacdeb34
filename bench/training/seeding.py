"""Randomness that does not depend on what came before: every draw is a function of the seed and of where it is used.

A training that was killed and resumed, or spread over other processes, therefore draws the same.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive(*where: object) -> int:
    """A seed of 63 bits from a seed and a place, such as (seed, "order", epoch)."""
    return int.from_bytes(hashlib.blake2b(repr(where).encode(), digest_size=8).digest(), "big") >> 1


def generator(*where: object) -> torch.Generator:
    """A generator on the host for one place."""
    return torch.Generator().manual_seed(derive(*where))


def seed_everything(*where: object) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators for one place: libraries draw from them."""
    seed = derive(*where)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed does the same, but walks the stack for a GPU that is not in use: a millisecond an image.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
