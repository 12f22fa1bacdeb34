"""The processes that train one model together: only this one, or those that `torchrun` started.

The recipe determines which images a process gets: a batch is a fixed sequence of micro-batches,
which are dealt out. Their number and size, and so what a batch norm sees, never depend on the
number of processes.
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

from bench.devices import CUDA, kind_of
from bench.errors import UsageError
from bench.plugins.recipe import Recipe


@dataclass(frozen=True)
class World:
    """This process's `rank` among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """True if this process writes and reports for all."""
        return self.rank == 0

    def share(self, recipe: Recipe, device: torch.device) -> Share:
        """Return this process's part of every step.

        Each process takes equally many micro-batches; on GPUs, several may also split each one.
        Raises UsageError if the recipe's numbers cannot be divided like that.
        """
        number = recipe.micro_batches
        if number % self.size == 0:
            each = number // self.size
            mine = range(self.rank * each, (self.rank + 1) * each)
            return Share(mine, 0, recipe.micro_batch, None)
        together = self.size // number
        split = self.size % number == 0 and recipe.micro_batch % together == 0
        if split and device.type == "cuda":
            images = recipe.micro_batch // together
            mine = range(self.rank // together, self.rank // together + 1)
            return Share(mine, self.rank % together * images, images, together)
        fitting = [str(count) for count in range(1, number + 1) if number % count == 0]
        raise UsageError(
            f"--recipe: {recipe.name} has {number} micro-batches of {recipe.micro_batch} per step, "
            f"which {self.size} processes cannot share evenly; {', '.join(fitting)} can"
        )

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        if self.size == 1:
            return value
        value = value.detach().clone()
        torch.distributed.all_reduce(value)
        return value / self.size

    def gather(self, mine: Any) -> list[Any]:
        """Return every process's object, by rank."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, mine)
        return found

    def from_leader(self, value: Any) -> Any:
        """Return the leader's value, in every process."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def average_statistics(self, model: nn.Module) -> None:
        """Replace the running batch-norm statistics by their mean over all processes."""
        if self.size == 1:
            return
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                torch.distributed.all_reduce(buffer)
                buffer /= self.size


@dataclass(frozen=True)
class Share:
    """The micro-batches of one process: their numbers, and the images that it takes of each.

    These are `images` from `first` on. If a micro-batch is split, `together` is the number of its
    processes, whose batch norms then take their statistics together; otherwise it is None.
    """

    micro_batches: range
    first: int
    images: int
    together: int | None


ALONE = World()

PATIENCE = 300
"""Seconds that the leader waits for the others; they wait for it as long, a store's timeout."""


def join(device: str) -> tuple[World, str]:
    """Meet the other processes; return this one's place among them, and its device."""
    is_cuda = kind_of(device) is CUDA
    if is_cuda:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    store, rank, size = next(rendezvous("env://"))
    store = PrefixStore(attempt(store, rank, size), store)
    backend = "nccl" if is_cuda else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    return World(rank, size), device


def attempt(store: Store, rank: int, size: int) -> str:
    """Return a name on which all `size` processes agree, and which no earlier start of them had.

    `torchrun` restarts lost processes on the store of the first start, which still contains the
    addresses of the lost ones: a process that comes before the leader would read the dead leader's
    address, and be refused. So each process announces a name that it has just drawn, and the leader
    answers under that name. The leader may first see names of processes that are gone, and answers
    these in vain; it continues until all have confirmed its answer.
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
                f"torchrun: processes {missing} of {size} did not start within {PATIENCE} s; start "
                "them too, or fewer in all"
            )
        for other in silent:
            if store.check([f"here/{other}"]):
                store.set(f"attempt/{store.get(f'here/{other}').decode()}", mine)
        time.sleep(0.05)
    return mine


def leave() -> None:
    """Leave the process group."""
    torch.distributed.destroy_process_group()
