"""What a supernet loses with each of its operations.

T. Feng, S. Wang, VP-DARTS, ICAART 2024, section 3.3, Algorithm 1: the lower the
validation accuracy of what remains, the more important is the operation that is gone.

Gone is one operation of one row, in all cells: its edge weight counts as 0, and nothing
else changes.  All removals see the same images in the same batches, normalised by the
statistics of the batch, nothing dropped (methods spec 6).  An operation that brings
nothing (``Space.silent``) takes nothing with it: it has the figures of the whole
supernet, and no forward of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .collectives import add_up
from .contracts import ActiveOperations, Search, Space, Tables, methods, spaces
from .diagnostics.accuracy import EVALUATION_BATCH
from .diagnostics.statistics import batch_statistics
from .events import Progress
from .stages import Ranking, ranking

if TYPE_CHECKING:
    from .spec import SearchSpec

PROGRESS_SECONDS = 1.0


class Removal(NamedTuple):
    """An operation (column) of a row of a table, taken out of the supernet."""

    table: str
    row: int
    operation: int


def removals(space: Space, only: tuple[str, int] | None = None) -> list[Removal]:
    """Return what there is to take out: all that a row may take and that brings
    something, in rows that have a choice; of one row (table, row) alone if ``only``
    names it."""
    found = []
    for table in space.tables:
        columns = space.columns(table)
        for row, allowed in enumerate(space.mask(table)):
            kept = allowed.nonzero().flatten().tolist()
            if len(kept) > 1 and only in (None, (table, row)):
                found += [
                    Removal(table, row, operation)
                    for operation in kept
                    if columns[operation] not in space.silent
                ]
    return found


def evaluations(space: Space) -> int:
    """Return the forwards of an image in ``RemovalTest``: one a removal, and one of
    the whole supernet."""
    return 1 + len(removals(space))


class PlannedRemovals(NamedTuple):
    """What there will be to take out when a search is over.

    Attributes:
        rows: for each row with a choice left, how many removals at most.
        at_most: True where a row may have one less: nobody knows yet whether it keeps
            an operation that brings nothing.
    """

    rows: list[int]
    at_most: bool


def planned_removals(spec: SearchSpec) -> PlannedRemovals:
    """Return what ``removals`` will find in the space that the search of a spec leaves
    behind."""
    space = spaces.get(spec.space.name)(spec.space)
    left = methods.get(spec.method.name).operations_left(spec)
    found, at_most = [], False
    for table in space.tables:
        silent = torch.tensor([o in space.silent for o in space.columns(table)])
        for allowed in space.mask(table):
            offered = int(allowed.sum())
            audible = int((allowed & ~silent).sum())
            kept = offered if left is None else min(left, offered)
            if kept > 1:
                found.append(min(kept, audible))
                at_most |= audible < offered and kept < offered
    return PlannedRemovals(found, at_most)


class Scores(NamedTuple):
    """What a supernet can do without each operation, on the CPU.

    Attributes:
        accuracy: per table (R, O), 0 to 1; that of the whole supernet where there was
            nothing to take out.
        loss: per table (R, O), mean cross-entropy, likewise.
        whole: accuracy of the whole supernet.
    """

    accuracy: Tables
    loss: Tables
    whole: float

    def ranking(self, space: Space, strengths: Tables) -> Ranking:
        """Return the operations of each row, the most important first: lowest accuracy
        without it, then highest loss without it, then greatest strength (R, O) by
        absolute value, then lowest index."""
        losses = {name: -table for name, table in self.loss.items()}
        magnitudes = {name: -table.abs() for name, table in strengths.items()}
        return ranking(space, self.accuracy, losses, magnitudes)


class RemovalTest:
    """Takes each operation out in turn, over some images; can be broken off.

    Processes that share a search share the forwards, and all hold the same sums.

    Args:
        search: its supernet and the mixture of its method are what is tested.
        ids: of the images, on the device.
        only: the row (table, row) whose operations are taken out; None: all rows.
    """

    def __init__(
        self, search: Search, ids: Tensor, only: tuple[str, int] | None = None
    ) -> None:
        self._search = search
        self._removals = removals(search.space, only)
        self._variants = [
            _without(search.space, removal) for removal in (None, *self._removals)
        ]
        self._images = len(ids)
        self._batches = ids.tensor_split(max(1, -(-len(ids) // EVALUATION_BATCH)))
        self._done = 0
        # hits and summed loss of the whole supernet, then of each removal
        self._sums = torch.zeros(
            len(self._variants), 2, dtype=torch.float64, device=search.device
        )

    @property
    def cost_units(self) -> float:
        """Forward-equivalent samples so far, over all processes."""
        seen = sum(len(ids) for ids in self._batches[: self._done])
        return float(len(self._variants) * seen)

    def run(self, epoch: int) -> Iterator[Progress]:
        """Make the forwards that are left; tell about once a second."""
        started = told = time.perf_counter()
        before = self.cost_units
        while self._done < len(self._batches):
            self._add(self._batches[self._done])
            self._done += 1
            now = time.perf_counter()
            if now - told >= PROGRESS_SECONDS:
                told = now
                yield Progress(
                    phase="validation",
                    epoch=epoch,
                    epochs=self._search.spec.training.epochs,
                    step=self._done,
                    steps=len(self._batches),
                    samples_per_second=(self.cost_units - before) / (now - started),
                )

    @torch.no_grad()
    def _add(self, ids: Tensor) -> None:
        """Add one batch to the sums; nothing here waits for the device."""
        search, parallel = self._search, self._search.parallel
        batch = search.data.batch(ids)
        weights = search.method.mixture()
        terms = search.method.edge_terms()
        found = torch.zeros_like(self._sums)
        with batch_statistics(search.supernet):
            for number in range(parallel.rank, len(self._variants), parallel.size):
                active = self._variants[number]
                logits = search.supernet(batch.images, weights, active, terms)
                hits = (logits.argmax(-1) == batch.labels).sum()
                loss = cross_entropy(logits, batch.labels, reduction="sum")
                found[number, 0] = hits
                found[number, 1] = loss
        if parallel.size > 1:
            add_up(found)
        self._sums += found

    def scores(self) -> Scores:
        """Read the sums: the one time that this waits for the device."""
        means = self._sums.cpu() / self._images
        space = self._search.space
        tables = [
            {
                name: means[0, column].repeat(len(rows), len(space.columns(name)))
                for name, rows in space.tables.items()
            }
            for column in range(2)
        ]
        for removal, figures in zip(self._removals, means[1:], strict=True):
            for column, values in enumerate(tables):
                place = removal.row, removal.operation
                values[removal.table][place] = figures[column]
        return Scores(tables[0], tables[1], means[0, 0].item())

    def state_dict(self) -> dict[str, Any]:
        return {"done": self._done, "sums": self._sums.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._done = state["done"]
        self._sums.copy_(state["sums"])


def _without(space: Space, removal: Removal | None) -> ActiveOperations:
    """Return all operations that rows may take but the removed one."""
    return {
        table: [
            [
                operation
                for operation in allowed.nonzero().flatten().tolist()
                if removal != Removal(table, row, operation)
            ]
            for row, allowed in enumerate(space.mask(table))
        ]
        for table in space.tables
    }
