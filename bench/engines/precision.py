"""The precision that an engine computed in, as it reports it, against the one it was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from bench.record.schema import Scalar

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
ENOUGH = 0.75
"""Share of the products that must be in int8, by multiply-adds. Quantisers leave some of them in
floating point by design (depthwise convolutions, attention), and differ in which."""


@dataclass(frozen=True)
class Product:
    """A convolution or matrix product that an engine runs.

    `precision` is fp32, bf16, fp16, int8, or the engine's own word for another type. `macs` are its
    multiply-adds; 1 where the engine does not report shapes, so that all products count alike.
    """

    precision: str
    macs: int = 1


def checked(asked: str, products: Iterable[Product]) -> dict[str, Scalar]:
    """Return for the record in which precision an engine computed its products.

    Raises:
        NotImplementedError: if it computed in another precision than asked, or reports no products.
    """
    products = list(products)
    if not products:
        raise NotImplementedError("the engine does not report how it computes any product")
    found = Counter(product.precision for product in products)
    words = ", ".join(f"{number} in {name}" for name, number in found.most_common())
    described: dict[str, Scalar] = {"engine_precision": asked, "engine_products": words}
    kept = found[asked] == len(products)
    if asked == "int8":
        share = described["engine_int8_share"] = _share(asked, products)
        kept = share >= ENOUGH
        words += f" ({share:.0%} of the work, int8 has to be {ENOUGH:.0%})"
    if not kept:
        raise NotImplementedError(
            f"asked for {asked}, and of {len(products)} convolutions and matrix products "
            f"it computes {words} on this device"
        )
    return described


def _share(precision: str, products: list[Product]) -> float:
    """Return the share of a precision in the multiply-adds of all products."""
    total = sum(product.macs for product in products)
    return sum(product.macs for product in products if product.precision == precision) / total
