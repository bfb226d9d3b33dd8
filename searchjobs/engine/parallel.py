"""One search over several processes, a device each.

Every process builds the same search from the same seeds and makes the same batches;
in a half-step each computes its share of the batch, and gradients, loss and logits
are put together in one exchange.  So every process holds the same weights, alpha,
statistics and sets at all times, and the search is that of one process with the same
batch size, up to the order in which numbers are added.

Batch norm sees the whole batch too (see ``shared_norm``).  The process of rank 0
leads: it alone tells events and writes files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from pydantic import BaseModel
from torch import Tensor

from .batch import Batch, StepResult
from .collectives import add_up, gather_rows, hand_out, tell_all
from .launcher import MEETING_PLACE, is_one_of_several
from .problems import Problem, SpecError
from .shared_norm import over_all_processes

if TYPE_CHECKING:
    from .sections import Compute

LossOf = Callable[[Batch], tuple[Tensor, Tensor]]
"""Batch -> (mean loss over its samples, logits), by tensor operations only: no
``.item()``, no choice that depends on a value, the same tensors for weights and alpha
at every call."""
HalfStep = tuple[StepResult, tuple[Tensor | None, ...]]
"""What a half-step leaves behind, and the gradient of each tensor asked for."""

#: The launcher notices a process that is gone; one that is slow is waited for.
PATIENCE = timedelta(days=7)

Told = TypeVar("Told", bound=BaseModel)


@dataclass(frozen=True)
class Parallel:
    """This process among those of a search: ``rank`` of ``size``, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Say whether this process tells events and writes files."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """Return the rows of a batch that this process computes: contiguous, by rank,
        their numbers as equal as can be.  A batch of fewer rows than processes is
        computed by each of them whole."""
        if len(batch.ids) < self.size:
            return batch
        first, end = self._rows(len(batch.ids))
        return Batch(
            batch.images[first:end], batch.labels[first:end], batch.ids[first:end]
        )

    def half_step(
        self,
        loss_of: LossOf,
        wanted: Sequence[Tensor],
        batch: Batch,
    ) -> HalfStep:
        """Return loss, logits and gradients of the whole batch, alike in every process.

        With nothing wanted it is a forward alone.  Each takes the mean loss of its
        share times the share of the samples that it has: the sum over processes is
        the mean over the batch, however uneven the shares, and a term that belongs to
        no sample counts once.
        """
        size, divided = len(batch.ids), len(batch.ids) >= self.size
        with self.part(batch) as (share, weight), torch.set_grad_enabled(bool(wanted)):
            loss, logits = loss_of(share)
            mine = loss * weight
            found = gradients(mine, wanted)
        whole = logits.new_zeros(size, logits.shape[1])
        if divided:
            first, end = self._rows(size)
            whole[first:end] = logits.detach()
        elif self.leads:
            whole.copy_(logits.detach())
        mean, everybody, *totals = self.summed([mine.detach(), whole, *found])
        assert mean is not None
        assert everybody is not None
        return StepResult(mean, everybody), tuple(totals)

    @contextmanager
    def part(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Give the rows of a batch that this process computes, and what to multiply
        their mean loss by so that the sum over processes is that of the whole batch.

        Inside, batch norm sees the whole batch."""
        size, share = len(batch.ids), self.share(batch)
        if self.size == 1:
            yield share, 1.0
        elif size < self.size:
            yield share, 1 / self.size
        else:
            with over_all_processes((*self._rows(size), size)):
                yield share, len(share.ids) / size

    def summed(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the sum over all processes of each tensor, by one exchange.

        None stays: the gradient of what a loss does not use, alike in all processes."""
        if self.size == 1:
            return list(tensors)
        sums = _added_up([tensor for tensor in tensors if tensor is not None])
        return [None if tensor is None else next(sums) for tensor in tensors]

    def by_leader(self, make: Callable[[], Told], kind: type[Told]) -> Told:
        """Let rank 0 make something and tell it to all.

        A measurement may differ in its last digits from device to device; what
        decides how the search goes on must not.
        """
        if self.size == 1:
            return make()
        made = make() if self.leads else None
        # not by pydantic's JSON, which has no word for a number that is not finite
        said = tell_all(json.dumps(made.model_dump(mode="python")) if made else "")
        return made or kind.model_validate(json.loads(said))

    def hand_out(self, numbers: Tensor) -> None:
        """Replace numbers, on the CPU, by those that rank 0 has found.

        The others wait for them, however long that takes: what one process trains to
        find them, the others need not train as well.
        """
        if self.size > 1:
            hand_out(numbers)

    def agree(self, what: Callable[[], Iterable[Tensor]]) -> bool:
        """Say whether all processes hold the same tensors.

        If they do not, sets may differ by one sample, and a batch more in one process
        would be a wait for ever.
        """
        if self.size == 1:
            return True
        digest = hashlib.sha256()
        for tensor in what():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
        rows = gather_rows(own)
        return bool((rows == rows[0]).all())

    def _rows(self, size: int) -> tuple[int, int]:
        return self.rank * size // self.size, (self.rank + 1) * size // self.size


ALONE = Parallel()


def gradients(loss: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the gradient of each tensor, None for one that the loss does not use."""
    if not wanted:
        return ()
    return torch.autograd.grad(loss, list(wanted), allow_unused=True)


def _added_up(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the tensors, each the sum over all processes, by one exchange."""
    buffer = torch.cat([tensor.reshape(-1) for tensor in tensors])
    add_up(buffer)
    parts = buffer.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        yield part.view(tensor.shape).to(tensor.dtype)


def join(compute: Compute) -> Parallel:
    """Meet the other processes of this search.

    Raises:
        SpecError: there are not as many as the spec asks for.
    """
    found = int(os.environ["WORLD_SIZE"]) if is_one_of_several() else 1
    if compute.devices == 1 and found == 1:
        return ALONE
    if compute.devices != found:
        raise SpecError(
            [
                Problem(
                    "compute.devices",
                    f"The spec asks for {compute.devices} devices, and {found} "
                    f"{'process was' if found == 1 else 'processes were'} started; "
                    "start it by python -m searchjobs.engine run.",
                )
            ]
        )
    rank = int(os.environ["RANK"])
    if not dist.is_initialized():
        place = os.environ.get(MEETING_PLACE)
        dist.init_process_group(
            # small things between hosts by gloo, so that no device is waited for
            "cpu:gloo,cuda:nccl" if uses_cuda(compute) else "gloo",
            init_method=f"file://{place}" if place else "env://",
            rank=rank,
            world_size=found,
            timeout=PATIENCE,
        )
    return Parallel(rank, found)


def leave() -> None:
    """Take leave of the other processes, at the end of a search."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def uses_cuda(compute: Compute) -> bool:
    return compute.device != "cpu" and torch.cuda.is_available()


def require_devices(compute: Compute) -> None:
    """Raise SpecError, in a sentence, if this machine has too few GPUs."""
    there = torch.cuda.device_count() if uses_cuda(compute) else compute.devices
    if there < compute.devices:
        raise SpecError(
            [
                Problem(
                    "compute.devices",
                    f"The spec asks for {compute.devices} GPUs, and there "
                    f"{'is' if there == 1 else 'are'} {there} here; ask for no more, "
                    "or choose device cpu.",
                )
            ]
        )


def local_device(compute: Compute) -> torch.device:
    """Return this process's own GPU, or the CPU."""
    if not uses_cuda(compute):
        return torch.device("cpu")
    if compute.devices == 1:
        return torch.device("cuda")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
