"""The contract of a method: how alpha and w are updated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from ..batch import Batch, Level, SetName, StepResult
from ..events import MethodReport, Progress
from ..problems import Problem
from ..registry import Options, Part
from ..sampling import encoded, uniform
from .run import Search
from .space import ActiveOperations, EdgeTerms, Tables, allowed_only

if TYPE_CHECKING:
    from ..spec import SearchSpec

DataStreams = Literal["split", "whole", "single"]
#: Settings that say how weight steps and architecture steps share an epoch; methods
#: without architecture steps ignore them.
PAIRING = frozenset(
    {
        "training.order",
        "training.policy",
        "training.alpha_every",
        "training.cap_architecture_steps",
    }
)


class PlannedMethod(Part):
    """What is known of a method before it runs: what ``plan`` needs."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """By section of the spec, what its paper sets otherwise than the recipe; whoever
    writes a spec overrides it."""
    ignores: ClassVar[frozenset[str]] = frozenset()
    """Parts and sections of the spec that the method does not read, and single settings
    of sections (dotted); forms hide them."""
    strength_label: ClassVar[str] = "softmax(alpha)"
    """What the numbers of ``strengths`` are, as the heatmap's title says it: where a
    method uses no softmax, ``alpha, no softmax``."""
    curves: ClassVar[Mapping[str, str]] = {}
    """By name in ``MethodReport.scalars``, what the curve is, with its unit."""

    @classmethod
    def streams(cls, options: Any) -> DataStreams:
        """``split``: T and V are disjoint; ``whole``: both streams draw from all
        training images; ``single``: there is T alone, all training images."""
        return "split"

    @classmethod
    def partial_channels(cls, options: Any) -> int:
        """Return K: the operations of the supernet that a search begins with see one
        channel in K (PC-DARTS); 1: all of them."""
        return 1

    @classmethod
    def why_eager(cls, options: Any) -> str:
        """Return why the compiled backend, which is for cells that run all operations
        on all channels, would compile no step, as what the method does; empty: it
        compiles some."""
        if cls.partial_channels(options) > 1:
            return "gives operations a part of the channels"
        return ""

    @classmethod
    def step_cost(cls, options: Any) -> Mapping[Level, float]:
        """Return the forward-equivalents a sample of each half-step (data spec A.9)."""
        return {"weights": 3.0, "architecture": 3.0}

    @classmethod
    def pass_cost(
        cls, spec: SearchSpec, epoch: int, sizes: Mapping[SetName, int]
    ) -> float:
        """Return the forward-equivalent samples of what ``before_epoch`` and
        ``after_epoch`` do, for T and V of these sizes."""
        return 0.0

    @classmethod
    def trains_architecture(cls, spec: SearchSpec, epoch: int) -> bool:
        """Say whether this epoch has architecture steps (False in a warm-up)."""
        if cls.streams(spec.method) == "single":
            return False
        return epoch > spec.training.warmup_epochs

    @classmethod
    def starts_stage(cls, spec: SearchSpec, epoch: int) -> bool:
        """Say whether ``start_epoch`` brings another supernet in this epoch; windows
        of measurements begin anew there."""
        return False

    @classmethod
    def operations_left(cls, spec: SearchSpec) -> int | None:
        """Return how many operations a row may take at most when the search is over;
        None: all that the space offers, for the method prunes none for good."""
        return None

    @classmethod
    def most_identities(cls, options: Any) -> int | None:
        """Return how many identities a table of the derived cell holds at most; None:
        any number."""
        return None

    @classmethod
    def decides_between_epochs(cls, spec: SearchSpec) -> bool:
        """Say whether something is decided or pruned by alpha, or alpha is changed,
        between the epochs: a search that holds alpha as it began would do so by
        chance."""
        return cls.operations_left(spec) is not None

    @classmethod
    def batch_size(cls, spec: SearchSpec, epoch: int) -> int:
        """Return the images in a batch of this epoch (SGAS lets it grow)."""
        return spec.training.batch_size

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        """Return what cannot work in this spec, as sentences."""
        return []


class Method(PlannedMethod, ABC):
    """How alpha and w are updated and how an architecture is read off.

    A search may be spread over several processes.  A method gets the whole batch in
    each of them, takes every gradient by ``graphs.half_step``, which returns that of
    the whole batch, and need not know more: all else then happens alike everywhere.
    Inside a loss nothing may be drawn that is shaped like the batch, because a process
    computes only its share there: draw it for the whole batch before.
    """

    capturable: ClassVar[bool] = False
    """Whether its half-steps may be recorded as CUDA graphs: the same tensors and the
    same operations at every step, nothing drawn inside a loss."""
    gradient_based: ClassVar[bool] = True
    """Whether alpha follows a gradient of the loss, so that it has a Hessian."""
    sampled_paths: ClassVar[int] = 0
    """For weights that only ever trained on single architectures: over how many of
    ``sample`` the accuracy of the supernet is a mean, each on its own part of the
    probe.  0: that of the mixture."""

    def __init__(self, options: Options, search: Search) -> None:
        self.options = options
        self.search = search

    @classmethod
    def unrolls(cls, options: Any) -> int:
        """Return how many batches of T an architecture step wants beside its own: one
        for second-order DARTS, several where inner weight steps are unrolled."""
        return 0

    def start_epoch(self, epoch: int) -> bool:
        """Set learning rates, temperatures, stages; True if the supernet is another
        one from here on, so that what was measured on the old one is void."""
        return False

    def before_epoch(self, epoch: int) -> Iterator[Progress]:
        """Validate, decide, soften: whatever happens before the first step.  Costs
        what ``pass_cost`` says."""
        yield from ()

    def after_epoch(self, epoch: int) -> Iterator[Progress]:
        """Decide, freeze, train a controller: whatever happens after the last step."""
        yield from ()

    @abstractmethod
    def edge_weights(self) -> Tables:
        """Return the edge weights (R, O) of a forward; drawn anew per call by the
        sampling methods; differentiable in alpha."""

    def active(self) -> ActiveOperations | None:
        """Return the operations that the last ``edge_weights`` needs; None: all."""
        return self.search.space.active()

    def edge_terms(self) -> EdgeTerms | None:
        """Return what edges add beside the operations where nothing is drawn: in the
        evaluation of the mixture and of a cell."""
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
            name: allowed_only(
                table, self.search.space.allowed(name, table.device)
            ).softmax(-1)
            for name, table in tables.items()
        }

    def strengths(self) -> Tables:
        """Return what the heatmap shows and arg max reads, (R, O), detached."""
        with torch.no_grad():
            return self.relaxation(self.alpha())

    def mixture(self) -> Tables:
        """Return the edge weights (R, O), detached, at which the accuracy of the
        supernet is measured: the strengths, unless edges carry more (DARTS-)."""
        return self.strengths()

    def sample(self, generator: torch.Generator) -> str:
        """Return an architecture as the weights meet them, drawn from a CPU generator:
        evenly from what the space allows, unless the method knows better."""
        space = self.search.space
        return encoded(space, uniform(space, generator))

    def candidates(self, count: int, generator: torch.Generator) -> list[str]:
        """Return up to ``count`` architectures among which a derivation may look for
        the best: drawn by ``sample``, unless the method knows better."""
        return [self.sample(generator) for _ in range(count)]

    def preferences(self, strengths: Tables) -> Tables:
        """Return what arg max reads, (R, O), of strengths in which -inf marks what
        may not be chosen: the same, unless the paper limits the choice (P-DARTS: so
        many identities at most)."""
        return strengths

    def report(self) -> MethodReport:
        """Return what this method alone can show of the epoch that has ended."""
        return MethodReport()

    def restart_weights(self, rate: float) -> None:
        """Forget the momentum of w and go on at a constant rate: a derivation trains
        the supernet on after the last epoch (projection)."""
        raise NotImplementedError(f"{self.label} does not train after its last epoch")

    @abstractmethod
    def learning_rates(self) -> dict[str, float]:
        """Return ``weights`` and ``architecture`` of the current epoch."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
