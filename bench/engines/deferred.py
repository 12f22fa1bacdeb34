"""An engine that is built in the first call, where a compiler would compile too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from bench.engines.calibration import Calibration
from bench.engines.exported import Exported, exported
from bench.errors import ModelFault, UsageError, one_line
from bench.measure.memory import is_out_of_memory
from bench.measure.subject import Execution, module_of
from bench.record.schema import Scalar


class Engine(Protocol):
    """A model that was built for one shape of images."""

    content: bytes
    """The .onnx file that it was built from, until the first call has been described; empty if that
    is in a format of its own."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return new logits (batch, classes) of images of that shape."""
        ...

    def described(self) -> dict[str, Scalar]:
        """Return settings, versions and precision as the engine itself reports them.

        It is asked once, after the first call. Raises NotImplementedError if the engine did not
        compute in the precision it was asked for.
        """
        ...


Build = Callable[[Exported, Calibration | None], Engine]
"""Builds an engine; with a calibration, one that computes in int8."""


class Deferred:
    """The model of an execution: an engine, exported and built in the first call.

    `export_s`, `engine_build_s` and what the engine reports are added to the execution's `engine`.
    The PyTorch model is given up then.
    """

    def __init__(
        self, name: str, execution: Execution, build: Build, *, in_float32: bool = False
    ) -> None:
        self.name, self.execution, self.build = name, execution, build
        self.in_float32 = in_float32
        self.model = module_of(execution)
        self.shape = execution.inputs.shape
        self.engine: Engine | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of images.

        The engine takes the timed number of images; another number is split and padded.
        """
        if self.engine is None:
            return self.first(images)[0]
        return self._logits(self.engine, images)

    def first(self, images: Tensor) -> tuple[Tensor, bytes]:
        """Build the engine; return the logits of its first call, and its .onnx file."""
        with self._named():
            self.engine = self._built()
            logits, content = self._logits(self.engine, images), self.engine.content
            self.execution.engine |= self.engine.described()
            self.engine.content = b""
        return logits, content

    def _logits(self, engine: Engine, images: Tensor) -> Tensor:
        if images.shape == self.shape:
            return engine(images)
        logits = []
        for part in images.split(self.shape[0]):
            padded = torch.zeros(self.shape, dtype=part.dtype, device=part.device)
            padded[: len(part)] = part
            logits.append(engine(padded)[: len(part)])
        return torch.cat(logits)

    def _built(self) -> Engine:
        execution = self.execution
        start = time.perf_counter()
        graph = exported(
            self.model, execution.inputs, execution.classes, in_float32=self.in_float32
        )
        done = time.perf_counter()
        engine = self.build(graph, execution.calibration)
        execution.engine |= {
            "engine": self.name,
            "export_s": done - start,
            "engine_build_s": time.perf_counter() - done,
            **graph.described(),
        }
        if execution.calibration is not None:
            execution.engine |= execution.calibration.described()
        del self.model
        return engine

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn the errors of an engine that cannot take the model into NotImplementedError."""
        try:
            yield
        except (UsageError, ModelFault):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            own = isinstance(error, NotImplementedError)
            reason = str(error) if own else f"{type(error).__name__}: {one_line(error)[:300]}"
            raise NotImplementedError(f"{self.name}: {reason}") from error


def engine_policy(
    name: str, build: Build, *, in_float32: bool = False
) -> Callable[[Execution], None]:
    """Return the `apply` of a policy that replaces the model by an engine.

    `in_float32`: the engine is given a float32 graph and told the precision to compute in.
    """

    def apply(execution: Execution) -> None:
        if execution.contexts:
            raise NotImplementedError(
                f"{name}: an engine has weights and images in one precision and knows no "
                "autocast; use bf16 or fp16"
            )
        execution.model = Deferred(name, execution, build, in_float32=in_float32)

    return apply
