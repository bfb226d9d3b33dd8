"""The contracts of the five parts that a search is composed of.

``search.py`` knows nothing but these.  Shapes: B images in a batch, C channels,
M classes, R rows of an architecture table (edges, layers or nodes), O operations.
Sets are named as in the papers: ``"T"`` trains the weights w, ``"V"`` trains the
architecture parameters alpha.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .batch import Batch, Level, SetName, StepResult
from .parallel import ALONE, Parallel
from .problems import Problem, SpecError
from .registry import Options, Part, Registry

if TYPE_CHECKING:
    from .data.dataset import ResidentImages
    from .events import EpochFinished, Event
    from .seeding import Streams
    from .spec import SearchSpec

Tables = dict[str, Tensor]
"""A named set of architecture tables, each (R, O): one for a cell space with one
cell type, two for DARTS (normal, reduce), one row a layer for chain spaces."""
ActiveOperations = Mapping[str, Sequence[Sequence[int]]]
"""For sampled methods: per table and row, the operations that must run."""


class Supernet(nn.Module):
    """The weight-sharing network of a space.  Owns w and never alpha.

    Its batch norms are PyTorch's modules, or ask ``shared_norm.is_active``: a batch may
    be spread over several processes.
    """

    def forward(
        self,
        images: Tensor,
        edge_weights: Tables,
        active: ActiveOperations | None = None,
    ) -> Tensor:
        """Return logits (B, M) for edge weights given per table as (R, O).

        ``active`` names the operations that must run; None runs them all.
        """
        raise NotImplementedError

    def use_backend(self, backend: str) -> None:
        """Choose how the forward is computed; never what is computed.

        ``eager`` is the reference; a backend that cannot run here raises
        ``SpecError`` with a sentence.
        """
        if backend != "eager":
            raise SpecError(
                [
                    Problem(
                        "compute.backend",
                        f"This search space has no {backend} backend; choose eager.",
                    )
                ]
            )

    def twice_differentiable(self) -> AbstractContextManager[None]:
        """Return a context in which the forward has second derivatives, whatever
        the backend."""
        return nullcontext()


class Space(Part, ABC):
    """A set of architectures, with its supernet and its discrete networks."""

    tables: ClassVar[Mapping[str, tuple[str, ...]]]
    """Names of the rows of each architecture table, in order."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    @abstractmethod
    def operations(self) -> tuple[str, ...]:
        """Names of the operations, in the order of the alpha columns."""

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of the columns of one table: the operations, except in a
        table that chooses something else (NAS-Bench-1Shot1: parents of a node)."""
        return self.operations

    def allowed(self, table: str) -> Tensor | None:
        """Return which columns each row may take, bool (R, O) on the CPU; None: all.

        Rows differ where a layer offers no identity (MobileNet) and after a method
        has pruned operations (P-DARTS, SGAS)."""
        return None

    @property
    @abstractmethod
    def parameter_free(self) -> frozenset[str]:
        """Those of the operations that hold no weights."""

    @abstractmethod
    def supernet(self, classes: int, generator: torch.Generator) -> Supernet:
        """Build a freshly initialised supernet on the CPU."""

    @abstractmethod
    def network(
        self, architecture: str, classes: int, channels: int, cells: int
    ) -> nn.Module:
        """Build the discrete network of an encoded architecture."""

    @abstractmethod
    def encode(self, choice: Mapping[str, Sequence[str]]) -> str:
        """Write operation names, per table and row, as the space's own string."""

    @abstractmethod
    def decode(self, architecture: str) -> dict[str, tuple[str, ...]]:
        """Read the string back; a malformed one raises ValueError in a sentence."""

    @abstractmethod
    def connected(self, architecture: str) -> bool:
        """Say whether the input reaches the output."""

    @abstractmethod
    def describe(self, architecture: str) -> dict[str, Any]:
        """Return ``index``, ``parameters`` and ``flops`` (multiply-adds, CIFAR-10
        evaluation network), ``canonical`` (isomorphism class)."""

    @abstractmethod
    def discrete_weights(self, architecture: str) -> Tables:
        """Return one-hot edge weights (R, O) that select this architecture."""


def allowed_only(table: Tensor, allowed: Tensor | None) -> Tensor:
    """Return a table (R, O) with -inf where ``Space.allowed`` says no."""
    if allowed is None:
        return table
    return table.masked_fill(~allowed.to(table.device), -torch.inf)


@dataclass
class Search:
    """The parts of one running search and what they share.

    A method with stages may replace ``space`` and ``supernet``; everybody else
    reads them anew at every use.
    """

    spec: SearchSpec
    device: torch.device
    streams: Streams
    data: ResidentImages
    space: Space
    supernet: Supernet
    classes: int
    initial_sets: dict[SetName, Tensor]
    """Ids of T and V before any pruning, on the device."""
    parallel: Parallel = ALONE
    """This process among those that share each batch (see ``Method``)."""
    method: Method = field(init=False)
    selection: Selection = field(init=False)
    epoch: int = 0


class Method(Part, ABC):
    """How alpha and w are updated and how an architecture is read off.

    A search may be spread over several processes.  A method gets the whole batch in
    each of them, takes every gradient by ``graphs.half_step``, which returns that of
    the whole batch, and need not know more: all else then happens alike everywhere.
    Inside a loss nothing may be drawn that is shaped like the batch, because a process
    computes only its share there: draw it for the whole batch before.
    """

    streams: ClassVar[Literal["split", "whole", "single"]] = "split"
    """``split``: T and V are disjoint; ``whole``: both streams draw from all
    training images; ``single``: there is no architecture step."""
    unrolls: ClassVar[int] = 0
    """How many batches of T an architecture step wants beside its own: one for
    second-order DARTS, several where inner weight steps are unrolled (iDARTS)."""

    def __init__(self, options: Options, search: Search) -> None:
        self.options = options
        self.search = search

    def start_epoch(self, epoch: int) -> bool:
        """Set learning rates, temperatures, stages; True if the stage changed
        (the supernet or the operation set is another one from here on)."""
        return False

    def end_epoch(self, epoch: int) -> float:
        """Decide, freeze, train a controller: whatever happens between epochs.

        Returns the cost of the passes that it made, in forward-equivalent samples."""
        return 0.0

    @classmethod
    def step_cost(cls, options: Options) -> Mapping[Level, float]:
        """Return the forward-equivalents a sample of each half-step (data spec A.9)."""
        return {"weights": 3.0, "architecture": 3.0}

    @classmethod
    def trains_architecture(cls, options: Options, epoch: int) -> bool:
        """Say whether this epoch has architecture steps (False in a warm-up)."""
        return cls.streams != "single"

    @abstractmethod
    def edge_weights(self) -> Tables:
        """Return the edge weights (R, O) of a forward; drawn anew per call by the
        sampling methods; differentiable in alpha."""

    def active(self) -> ActiveOperations | None:
        """Return the operations that the last ``edge_weights`` needs, or None."""
        return None

    @abstractmethod
    def weight_step(self, batch: Batch) -> StepResult:
        """Update w on a batch of T."""

    @abstractmethod
    def architecture_step(self, batch: Batch, train: Sequence[Batch]) -> StepResult:
        """Update alpha on a batch of V; ``train`` holds ``unrolls`` batches of T: the
        one of the neighbouring weight step, then those of the steps after it."""

    @abstractmethod
    def alpha(self) -> Tables:
        """Return the raw architecture parameters (R, O), detached."""

    def relaxation(self, tables: Tables) -> Tables:
        """Map raw parameters (R, O) to edge weights (R, O), without any draw and
        differentiable: softmax over what a row may take for DARTS, the identity for
        GAEA."""
        return {
            name: allowed_only(table, self.search.space.allowed(name)).softmax(-1)
            for name, table in tables.items()
        }

    def strengths(self) -> Tables:
        """Return what the heatmap shows and arg max reads, (R, O), detached."""
        with torch.no_grad():
            return self.relaxation(self.alpha())

    @abstractmethod
    def learning_rates(self) -> dict[str, float]:
        """Return ``weights`` and ``architecture`` of the current epoch."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


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

    def epoch_ids(self, name: SetName, generator: torch.Generator) -> Tensor:
        """Return the ids of this epoch in the order of their visit, on the device."""
        ids = self.sets[name]
        order = torch.randperm(len(ids), generator=generator)
        return ids[order.to(ids.device)]

    def observe(self, name: SetName, batch: Batch, logits: Tensor) -> None:
        """Take note of a forward that happened anyway; no synchronisation here."""

    def start_stage(self) -> None:
        """Forget what was measured on a supernet that is no longer there."""

    def end_epoch(self, epoch: int) -> list[Event]:
        """Change the sets; return an event for each thing that happened."""
        return []

    @classmethod
    @abstractmethod
    def remaining(
        cls, options: Options, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        """Return the planned set sizes before epoch 1 and after each epoch,
        (epochs + 1) numbers a set; a lower bound where a limit may keep more."""

    @classmethod
    def lower_bound(cls, options: Options) -> bool:
        """Say whether ``remaining`` is only a lower bound."""
        return False

    @classmethod
    def problems(
        cls, options: Options, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> list[Problem]:
        """Return what cannot work with sets of these sizes, as sentences."""
        return []

    def state_dict(self) -> dict[str, Any]:
        return {"sets": {name: ids.cpu() for name, ids in self.sets.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sets = {
            name: ids.to(self.search.device) for name, ids in state["sets"].items()
        }


@dataclass(frozen=True)
class Decision:
    """What a stopping rule says after an epoch.

    ``stop`` ends the search; ``epoch`` names the epoch whose architecture counts
    (None: the present one); ``reason`` is a sentence for the page.  Of several rules
    the first that stops counts, at the last epoch else the first that names an epoch.
    """

    stop: bool = False
    epoch: int | None = None
    reason: str = ""


class StoppingRule(Part, ABC):
    """When to stop, and to which epoch to roll back."""

    def __init__(self, options: Options, search: Search) -> None:
        self.options = options
        self.search = search

    @abstractmethod
    def observe(self, report: EpochFinished) -> Decision: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


@dataclass(frozen=True)
class Derived:
    """An architecture read off a search: by which derivation, from which epoch."""

    derivation: str
    epoch: int
    architecture: str


class Derivation(Part, ABC):
    """Supernet and history -> architectures.

    May train or evaluate for long: every ``Progress`` that it yields is a point at
    which the search may save a checkpoint, and from which ``derive`` goes on after
    ``load_state_dict``.  It then yields every ``Derived`` anew.
    """

    def __init__(self, options: Options, search: Search) -> None:
        self.options = options
        self.search = search

    @abstractmethod
    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        """Yield progress events and at least one ``Derived``."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


spaces: Registry[type[Space]] = Registry("spaces", f"{__package__}.spaces")
methods: Registry[type[Method]] = Registry("methods", f"{__package__}.methods")
selections: Registry[type[Selection]] = Registry(
    "selections", f"{__package__}.selection"
)
stopping_rules: Registry[type[StoppingRule]] = Registry(
    "stopping", f"{__package__}.stopping"
)
derivations: Registry[type[Derivation]] = Registry(
    "derivations", f"{__package__}.derivation"
)
