"""The processes that train one model together: one alone, or those that `torchrun` started.

Which images a process gets is the recipe's: a batch is a fixed row of micro-batches, and they are dealt out. Their
number and size, and with them what a batch norm sees, never depend on how many processes there are.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from bench.errors import UsageError
from bench.plugins.recipe import Recipe


@dataclass(frozen=True)
class World:
    """This process's place among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def share(self, recipe: Recipe, device: torch.device) -> Share:
        """What this process does of every step; UsageError where the recipe's numbers do not divide."""
        number = recipe.micro_batches
        if number % self.size == 0:
            each = number // self.size
            return Share(
                range(self.rank * each, (self.rank + 1) * each), 0, recipe.micro_batch, None
            )
        if (
            self.size % number == 0
            and recipe.micro_batch % (self.size // number) == 0
            and device.type == "cuda"
        ):
            together = self.size // number
            images = recipe.micro_batch // together
            part = self.rank % together
            return Share(
                range(self.rank // together, self.rank // together + 1),
                part * images,
                images,
                together,
            )
        fitting = [str(count) for count in range(1, number + 1) if number % count == 0]
        raise UsageError(
            f"--recipe: {recipe.name} has {number} micro-batches of {recipe.micro_batch} a step, which {self.size} processes cannot share "
            f"evenly; {', '.join(fitting)} can"
        )

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.size == 1:
            return value
        value = value.detach().clone()
        torch.distributed.all_reduce(value)
        return value / self.size

    def gather(self, mine: Any) -> list[Any]:
        """Everybody's object, by rank."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, mine)
        return found

    def from_leader(self, value: Any) -> Any:
        """What the leader passed, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def average_statistics(self, model: nn.Module) -> None:
        """Give all processes the mean of their running batch-norm statistics."""
        if self.size == 1:
            return
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                torch.distributed.all_reduce(buffer)
                buffer /= self.size


@dataclass(frozen=True)
class Share:
    """The micro-batches of one process: their numbers, which images of each (`first`, `images`), and, where one is
    spread over several processes, over how many: their batch norms then count together."""

    micro_batches: range
    first: int
    images: int
    together: int | None


ALONE = World()

PATIENCE = 300
"""Seconds that the leader waits for the others, as long as they wait for it: a store's own timeout."""


def launched() -> bool:
    """Whether `torchrun` started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: str) -> tuple[World, str]:
    """Meet the other processes; returns this one's place and its device."""
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    store, rank, size = next(rendezvous("env://"))
    store = PrefixStore(attempt(store, rank, size), store)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    return World(rank, size), device


def attempt(store: Store, rank: int, size: int) -> str:
    """A name on which all `size` processes agree, and that no earlier start of them had.

    `torchrun` begins lost processes again on the store of the first start, in which the lost ones' addresses still stand:
    who comes before the leader would read the dead leader's and be refused. So each process asks by a name that it has
    just drawn. The leader may first see names of processes that are gone, and answers these in vain; it goes on until all
    have said that they heard.
    """
    mine = uuid4().hex
    if rank != 0:
        store.set(f"here/{rank}", mine)
        agreed = store.get(f"attempt/{mine}").decode()
        store.set(f"heard/{agreed}/{rank}", "")
        return agreed
    silent = list(range(1, size))
    until = time.monotonic() + PATIENCE
    while silent := [other for other in silent if not store.check([f"heard/{mine}/{other}"])]:
        if time.monotonic() > until:
            missing = ", ".join(map(str, silent))
            raise UsageError(
                f"torchrun: processes {missing} of {size} did not come within {PATIENCE} s; start them too, or ask for fewer"
            )
        for other in silent:
            if store.check([f"here/{other}"]):
                store.set(f"attempt/{store.get(f'here/{other}').decode()}", mine)
        time.sleep(0.05)
    return mine


def leave() -> None:
    """Part from the others."""
    torch.distributed.destroy_process_group()
