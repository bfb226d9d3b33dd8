"""DrNAS: the mixture of an edge is drawn from a Dirichlet distribution.

X. Chen, R. Wang, M. Cheng, X. Tang, C.-J. Hsieh, DrNAS: Dirichlet Neural Architecture
Search, ICLR 2021.  Section 2.2 (Dirichlet distribution, pathwise gradient), 2.3
(distance to the even distribution as a regulariser), 3 (progressive learning).

Alpha becomes a concentration c = ELU(alpha) + 1, and every forward draws its edge
weights anew from Dir(c); their gradient passes through the draw.  Alpha is held near
Dir(1) by L2, which is weight decay, or by KL divergence.

Progressive: the search begins with partial channels and all operations.  At the start
of each later stage every edge keeps its best operations and the supernet grows wider;
the new channels copy the weights and the momentum of others (Chen, Goodfellow, Shlens,
Net2Net, ICLR 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..contracts import Batch, Search, SetName, Tables, methods
from ..events import MethodReport
from ..optimisation import alpha_optimiser
from ..problems import Problem, refuse
from ..registry import Options as AnyOptions
from ..registry import setting
from ..stages import (
    Stage,
    equal_stages,
    fall_problems,
    keep_first,
    ranking,
    stage_of,
    stage_problems,
)
from . import _dirichlet as dirichlet
from ._alternating import Alternating
from ._edges import partial_problems

if TYPE_CHECKING:
    from ..spec import SearchSpec


class DrNasOptions(AnyOptions):
    name: Literal["drnas"] = "drnas"
    regulariser: Literal["l2", "kl"] = setting(
        "l2",
        "Regulariser",
        "What holds the concentrations near 1: l2 (weight decay of alpha) or kl (KL "
        "divergence from the even Dirichlet distribution, added to the loss of alpha). "
        "The alpha weight decay is the factor of either.",
        labels={"l2": "weight decay (L2)", "kl": "KL divergence"},
    )
    progressive: bool = setting(
        False,
        "Progressive",
        "Search in stages of equal length, with fewer operations and more channels "
        "from stage to stage. The warm-up is then one of each stage; the paper's has "
        "10 epochs.",
    )
    operations: tuple[int, ...] = setting(
        (5, 3),
        "Operations in each stage",
        "How many operations an edge has in each stage of a progressive search; the "
        "weakest leave between them.",
        unit="operations",
        min_length=1,
    )
    partial: tuple[int, ...] = setting(
        (4, 2),
        "Partial channels K in each stage",
        "Operations see one channel in K in each stage of a progressive search.",
        min_length=1,
    )

    @model_validator(mode="after")
    def _fit_together(self) -> DrNasOptions:
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[Problem]:
        yield from fall_problems(self.operations, "5, 3")
        if len(self.partial) != len(self.operations):
            yield Problem(
                "partial",
                f"Partial channels K in each stage has {len(self.partial)} values for "
                f"{len(self.operations)} stages; give one a stage.",
            )
        if list(self.partial) != sorted(self.partial, reverse=True):
            yield Problem(
                "partial",
                "Partial channels K in each stage must not rise, or the supernet would "
                "lose channels that it has trained; give them like 4, 2.",
            )
        if min(self.partial) < 1:
            yield Problem(
                "partial", "Partial channels K in each stage must be at least 1."
            )


@methods.register
class DrNas(Alternating):
    """First-order DARTS on drawn mixtures, in one stage or several.

    Attributes:
        stage: the one that the present supernet belongs to.
    """

    name = "drnas"
    family = "Gradient of alpha"
    label = "DrNAS"
    summary = (
        "Edge weights drawn from a Dirichlet distribution at every forward; on request "
        "with KL, or in stages of fewer operations and more channels."
    )
    source = "Chen et al., DrNAS, ICLR 2021, sections 2 and 3."
    Options = DrNasOptions
    options: DrNasOptions
    strength_label = "mean of Dir(ELU(alpha) + 1)"
    defaults = {"training": {"recipe": "smooth"}}

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.stages = _stages(search.spec)
        self.stage = self.stages[0]

    # -- mixtures ---------------------------------------------------------------------

    def edge_weights(self) -> Tables:
        """Section 2.2: a draw from Dir(c) for every row."""
        stream = self.search.streams.on_device("dirichlet")
        return self._each(
            self.tables, lambda table, mask: dirichlet.drawn(table, mask, stream)
        )

    def relaxation(self, tables: Tables) -> Tables:
        """Return the means of the distributions, c / sum(c)."""
        return self._each(tables, dirichlet.mean)

    def alpha_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Section 2.3: the distance from Dir(1) is added, if it is not the L2 norm."""
        loss, logits = super().alpha_loss(batch)
        if self.options.regulariser == "kl":
            factor = self.search.spec.training.alpha_weight_decay
            distances = self._each(self.tables, dirichlet.divergence).values()
            loss = loss + factor * sum(distances)
        return loss, logits

    def new_alpha_optimiser(self) -> torch.optim.Optimizer:
        training = self.search.spec.training
        if self.options.regulariser == "kl":
            training = training.model_copy(update={"alpha_weight_decay": 0.0})
        return alpha_optimiser(self.tables.values(), training)

    def _each(
        self, tables: Tables, make: Callable[[Tensor, Tensor | None], Tensor]
    ) -> Tables:
        """Make something of each table and of what its rows may take."""
        allowed = self.search.space.allowed
        return {
            name: make(table, allowed(name, table.device))
            for name, table in tables.items()
        }

    # -- stages -----------------------------------------------------------------------

    @classmethod
    def partial_channels(cls, options: DrNasOptions) -> int:
        return options.partial[0] if options.progressive else 1

    @classmethod
    def starts_stage(cls, spec: SearchSpec, epoch: int) -> bool:
        return any(stage.first == epoch for stage in _stages(spec)[1:])

    @classmethod
    def trains_architecture(cls, spec: SearchSpec, epoch: int) -> bool:
        """The warm-up is one of each stage."""
        stage = stage_of(_stages(spec), epoch)
        return stage is not None and epoch - stage.first >= spec.training.warmup_epochs

    @classmethod
    def operations_left(cls, spec: SearchSpec) -> int | None:
        """Those of the last stage."""
        return spec.method.operations[-1] if spec.method.progressive else None

    def start_epoch(self, epoch: int) -> bool:
        """Section 3: prune operations and widen the supernet where a stage begins; the
        learning rates go on falling."""
        stage = stage_of(self.stages, epoch)
        assert stage is not None
        new = stage != self.stage
        if new:
            self._drop_operations(self.options.operations[stage.number - 1])
            self._widen(stage)
        self.set_rates(epoch)
        return new

    def _drop_operations(self, count: int) -> None:
        """Leave each row the ``count`` operations of greatest alpha."""
        space = self.search.space
        weakest_last = {name: -table.cpu() for name, table in self.alpha().items()}
        for name, rows in ranking(space, weakest_last).items():
            space.restrict(name, keep_first(rows, count, len(space.columns(name))))

    def _widen(self, stage: Stage) -> None:
        """Let the supernet grow into that of a stage: weights, statistics, momentum."""
        narrow, before = self.search.supernet, self.weights.optimiser.state
        momenta = {
            name: before[parameter].get("momentum_buffer")
            for name, parameter in narrow.named_parameters()
        }
        self._enter(stage)
        wide = self.search.supernet
        copied = wide.copied_channels(narrow, self.search.streams["widening"])
        state = narrow.state_dict().items()
        wide.load_state_dict({name: widened(t, copied.get(name)) for name, t in state})
        after = self.weights.optimiser.state
        for name, parameter in wide.named_parameters():
            momentum = momenta[name]
            if momentum is not None:  # operations that never ran have none
                grown = widened(momentum, copied.get(name))
                after[parameter]["momentum_buffer"] = grown

    def _enter(self, stage: Stage) -> None:
        """Give the search the supernet of a stage, and optimisers to match."""
        self.stage = stage
        partial = self.options.partial[stage.number - 1]
        self.search.lay_out(self.search.space, partial=partial)
        self.build()

    # -- plan, report, state ----------------------------------------------------------

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        options = spec.method
        if not options.progressive:
            return []
        return [
            *partial_problems(spec, "method.partial", sorted(set(options.partial))),
            *stage_problems(spec, _stages(spec), options.operations),
        ]

    def report(self) -> MethodReport:
        if not self.options.progressive:
            return MethodReport()
        return MethodReport(
            stage=self.stage.number,
            allowed={n: self.search.space.mask(n).tolist() for n in self.tables},
        )

    def state_dict(self) -> dict[str, Any]:
        space = self.search.space
        return super().state_dict() | {
            "stage": self.stage.number,
            "candidates": {name: space.mask(name) for name in self.tables},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["stage"] > 1:
            for name, mask in state["candidates"].items():
                self.search.space.restrict(name, mask)
            self._enter(self.stages[state["stage"] - 1])
        super().load_state_dict(state)


def widened(tensor: Tensor, sources: tuple[Tensor, ...] | None) -> Tensor:
    """Return a tensor whose first dimensions are copied from those of a narrower one,
    by ``Supernet.copied_channels``; None: the tensor itself."""
    for dimension, source in enumerate(sources or ()):
        tensor = tensor.index_select(dimension, source.to(tensor.device))
    return tensor


def _stages(spec: SearchSpec) -> list[Stage]:
    count = len(spec.method.operations) if spec.method.progressive else 1
    return equal_stages(spec.training.epochs, count)
