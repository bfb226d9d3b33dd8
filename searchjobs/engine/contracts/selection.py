"""The contract of a selection: which samples feed T and V."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch, SetName
from ..events import Event
from ..problems import Problem
from ..registry import Options, Part
from .run import Search

if TYPE_CHECKING:
    from ..data.source import Summary
    from ..spec import SearchSpec


class Selection(Part, ABC):
    """Which samples feed T and V."""

    def __init__(self, options: Options, search: Search, sets: dict[SetName, Tensor]):
        self.options = options
        self.search = search
        self.sets = sets
        """Original ids (n,) int64 of each set, sorted, on the device."""
        self.artefacts: dict[str, dict[str, np.ndarray]] = {}
        """Arrays to be kept as npz files, by relative path; an event of
        ``end_epoch`` names the path, and whoever writes the file takes them out."""
        self.preparation_units = 0.0
        """Forward-equivalent samples that ``prepare`` has taken."""

    def prepare(self) -> Iterator[Event]:
        """Choose before the first epoch: yield ``Progress``, and ``SamplesPruned`` of
        epoch 0.  Not called where a search goes on from a checkpoint."""
        yield from ()

    def epoch_ids(self, name: SetName, generator: torch.Generator) -> Tensor:
        """Return the ids of this epoch in the order of their visit, on the device."""
        ids = self.sets[name]
        order = torch.randperm(len(ids), generator=generator)
        return ids[order.to(ids.device)]

    def observe(self, name: SetName, batch: Batch, logits: Tensor) -> None:
        """Take note of a forward that happened anyway; no synchronisation here."""

    def start_stage(self) -> None:
        """Forget what was measured on a supernet that is no longer there."""

    def end_epoch(self, epoch: int) -> Iterable[Event]:
        """Change the sets; give an event for each thing that happened, and
        ``Progress`` where it takes long.  Costs what ``epoch_cost`` says."""
        return []

    @classmethod
    @abstractmethod
    def remaining(
        cls, options: Options, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        """Return the planned set sizes before epoch 1 and after each epoch,
        (epochs + 1) numbers a set; a lower bound where a limit may keep more."""

    @classmethod
    def preparation_cost(
        cls,
        options: Options,
        spec: SearchSpec,
        sizes: dict[SetName, int],
        summary: Summary,
    ) -> float:
        """Return the forward-equivalent samples that ``prepare`` will take, in forwards
        of one image through the supernet of the search."""
        return 0.0

    @classmethod
    def epoch_cost(
        cls, options: Options, spec: SearchSpec, epoch: int, sizes: dict[SetName, int]
    ) -> float:
        """Return the forward-equivalent samples of what ``end_epoch`` does after an
        epoch of a search whose T and V began with these sizes."""
        return 0.0

    @classmethod
    def lower_bound(
        cls, options: Options, remaining: dict[SetName, list[int]], classes: int
    ) -> bool:
        """Say whether what ``remaining`` has planned, of so many classes, is only a
        lower bound."""
        return False

    @classmethod
    def control(cls, options: Options) -> Options | None:
        """Return the selection that takes as many samples by chance, on the same
        schedule and under the same limits: the control of any claim for this one.
        None where nothing is chosen, or chance already chooses."""
        return None

    @classmethod
    def problems(
        cls, options: Options, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> list[Problem]:
        """Return what cannot work with sets of these sizes, as sentences."""
        return []

    @classmethod
    def memory_problems(
        cls, options: Options, sizes: dict[SetName, int], side: int
    ) -> list[Problem]:
        """Return where images of ``side`` pixels, so many in T and V, would need more
        memory at once than a choice may take."""
        return []

    def state_dict(self) -> dict[str, Any]:
        return {"sets": {name: ids.cpu() for name, ids in self.sets.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sets = {
            name: ids.to(self.search.device) for name, ids in state["sets"].items()
        }
