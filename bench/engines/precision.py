"""The precision that an engine computed in, as it reports it, against the one it was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch

from bench.record.schema import Scalar

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
ENOUGH = 0.9
"""Share of the products (convolutions, matrix products, attention) that must be in int8. Quantisers
leave a few layers in floating point by design; more would be another precision."""


def checked(asked: str, products: Iterable[str]) -> dict[str, Scalar]:
    """Return for the record in which precision an engine computed each product.

    Args:
        asked: fp32, bf16, fp16 or int8.
        products: The precision of every product that the engine runs, in the same words.

    Raises:
        NotImplementedError: if it computed in another precision than asked, or reports no products.
    """
    found = Counter(products)
    if not found:
        raise NotImplementedError("the engine does not report how it computes any product")
    total = sum(found.values())
    words = ", ".join(f"{number} in {name}" for name, number in found.most_common())
    share = found[asked] / total
    if share < (ENOUGH if asked == "int8" else 1.0):
        raise NotImplementedError(
            f"asked for {asked}, but of {total} convolutions and matrix products "
            f"this engine computes {words} on this processor"
        )
    return {"engine_precision": asked, "engine_products": words}
