"""P-DARTS: the supernet grows deeper while operations leave it.

X. Chen, L. Xie, J. Wu, Q. Tian, Progressive Differentiable Architecture Search:
Bridging the Depth Gap between Search and Evaluation, ICCV 2019.  Section 3.2 (search
space approximation), 3.3 (search space regularisation: dropout behind identities, and
at most M of them in the end); the schedules are those of its code.

A search is several stages, each first-order DARTS with fresh weights and a fresh alpha:
alpha stands still for the first epochs of a stage, and at the end of it every edge
loses its weakest operations.  What they save pays for more cells in the next stage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..contracts import Search, SetName, Tables, methods
from ..events import MethodReport
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
from ._alternating import Alternating

if TYPE_CHECKING:
    from ..spec import SearchSpec

#: By how many cells a stage of the space is deeper than in the search stage before:
#: six in all, as in the paper's 5, 11 and 17 cells.
GROWTH = 2
#: How fast the dropout falls, an epoch, once alpha trains.
DECAY = 0.2


class PDartsOptions(AnyOptions):
    name: Literal["p-darts"] = "p-darts"
    operations: tuple[int, ...] = setting(
        (5, 3, 2),
        "Operations in each stage",
        "How many operations an edge has in each stage of the search; the weakest "
        "leave between them. The stages share the epochs equally.",
        unit="operations",
        advanced=False,
        min_length=1,
    )
    cells: tuple[int, ...] = setting(
        (),
        "Cells in each stage",
        "N of the supernet in each stage of the search, up to the N of the search "
        "space. Empty: that N in the last stage and two fewer in each one before, but "
        "at least one: 1, 3, 5 for N = 5.",
        unit="cells",
    )
    skip_dropout: tuple[float, ...] = setting(
        (0.1, 0.4, 0.7),
        "Dropout behind identities",
        "Share of the elements that is dropped behind skip connections at the start "
        "of each stage. It falls in a line while alpha stands still, and from the "
        "first value again, by a factor of exp(-0.2) an epoch, once alpha trains.",
        unit="share",
    )
    max_skips: int = setting(
        2,
        "Most skip connections",
        "M: while the derived cell holds more skip connections, the weakest of them "
        "gives way to the next best operation of its edge.",
        unit="edges",
        ge=0,
    )

    @model_validator(mode="after")
    def _fit_together(self) -> PDartsOptions:
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[Problem]:
        yield from fall_problems(self.operations, "5, 3, 2")
        stages = len(self.operations)
        for field, title, given in (
            ("cells", "Cells in each stage", self.cells),
            ("skip_dropout", "Dropout behind identities", self.skip_dropout),
        ):
            if given and len(given) != stages:
                yield Problem(
                    field,
                    f"{title} has {len(given)} values for {stages} stages; give one "
                    "a stage, or none.",
                )
        if any(cells < 1 for cells in self.cells):
            yield Problem("cells", "Cells in each stage must be at least 1.")
        if not all(0 <= share < 1 for share in self.skip_dropout):
            yield Problem(
                "skip_dropout",
                "Dropout behind identities is a share from 0 up to, not including, 1.",
            )


@methods.register
class PDarts(Alternating):
    """First-order DARTS in stages, each with a supernet of its own.

    Attributes:
        stage: the one that the present supernet belongs to.
    """

    name = "p-darts"
    label = "P-DARTS"
    summary = (
        "Stages of ever deeper supernets and ever fewer operations, with dropout "
        "behind identities and at most M of them in the end."
    )
    source = "Chen, Xie, Wu, Tian, P-DARTS, ICCV 2019, sections 3.2 and 3.3."
    family = "Fewer operations as it goes"
    Options = PDartsOptions
    curves = {
        "skip dropout": "share of the elements that are dropped behind an identity",
        "cells": "N of the stage: cells in each third of the supernet",
    }
    options: PDartsOptions
    defaults = {
        "training": {
            "recipe": "smooth",
            "epochs": 75,
            "batch_size": 96,
            "weight_lr_min": 0.0,
            "alpha_lr": 6e-4,
            "warmup_epochs": 10,
        },
        "space": {"track_running_stats": False},
    }

    def __init__(self, options: AnyOptions, search: Search) -> None:
        self.stages = _stages(search.spec)
        self.stage = self.stages[0]
        _lay_out(search, self.stage)
        super().__init__(options, search)

    # -- stages -----------------------------------------------------------------------

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
        return int(spec.method.operations[-1])

    def start_epoch(self, epoch: int) -> bool:
        stage = stage_of(self.stages, epoch)
        assert stage is not None
        new = stage != self.stage
        if new:
            self._drop_operations(self.options.operations[stage.number - 1])
            self._enter(stage)
        inside = epoch - self.stage.first
        self.set_rates(inside + 1, self.stage.epochs)
        self.search.supernet.skip_dropout = self._dropout(inside)
        return new

    def _drop_operations(self, count: int) -> None:
        """Leave each row the ``count`` operations of greatest softmax(alpha)."""
        space = self.search.space
        weakest_last = {name: -table.cpu() for name, table in self.alpha().items()}
        for name, rows in ranking(space, weakest_last).items():
            space.restrict(name, keep_first(rows, count, len(space.columns(name))))

    def _enter(self, stage: Stage) -> None:
        """Begin a stage: its supernet, and an alpha of its own."""
        self.stage = stage
        _lay_out(self.search, stage)
        self.tables = self.initial_tables()
        self.alpha_optimiser = self.new_alpha_optimiser()
        self.build()

    # -- dropout behind identities ----------------------------------------------------

    @classmethod
    def why_eager(cls, options: PDartsOptions) -> str:
        """A later stage has fewer operations: the first alone could be compiled."""
        dropping = options.skip_dropout and options.skip_dropout[0] > 0
        return "drops elements behind identities" if dropping else ""

    def build(self) -> None:
        search = self.search
        search.supernet.noise = search.streams.on_device("skip dropout")
        super().build()

    def _dropout(self, inside: int) -> float:
        """Return the share that is dropped in the 0-based epoch of the stage."""
        if not self.options.skip_dropout:
            return 0.0
        first = self.options.skip_dropout[self.stage.number - 1]
        frozen = self.search.spec.training.warmup_epochs
        if inside < frozen:
            return first * (self.stage.epochs - inside - 1) / self.stage.epochs
        return first * math.exp(-DECAY * (inside - frozen))

    # -- steps ------------------------------------------------------------------------

    def update_alpha(self, gradients: Sequence[Tensor | None]) -> None:
        """Step alpha; its gradient is clipped as that of the weights is."""
        clip = self.search.spec.training.clip
        if clip > 0:
            found = [gradient for gradient in gradients if gradient is not None]
            norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in found]))
            scale = (clip / (norm + 1e-6)).clamp(max=1)
            gradients = [None if g is None else g * scale for g in gradients]
        super().update_alpha(gradients)

    # -- at most M identities ---------------------------------------------------------

    @classmethod
    def most_identities(cls, options: PDartsOptions) -> int | None:
        return options.max_skips

    def preferences(self, strengths: Tables) -> Tables:
        """Return the strengths without the weakest identities that win their row,
        until M of them are left in each table."""
        space = self.search.space
        return {
            name: table
            if space.identity not in space.columns(name)
            else _at_most(
                table, space.columns(name).index(space.identity), self.options.max_skips
            )
            for name, table in strengths.items()
        }

    # -- plan, report, state ----------------------------------------------------------

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        return [*_schedule_problems(spec), *_size_problems(spec)]

    def report(self) -> MethodReport:
        return MethodReport(
            stage=self.stage.number,
            allowed={n: self.search.space.mask(n).tolist() for n in self.tables},
            scalars={
                "skip dropout": self.search.supernet.skip_dropout,
                "cells": float(_cells(self.search.spec)[self.stage.number - 1]),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        space = self.search.space
        return super().state_dict() | {
            "stage": self.stage.number,
            "candidates": {name: space.mask(name) for name in self.tables},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, mask in state["candidates"].items():
            if not mask.all():
                self.search.space.restrict(name, mask)
        stage = self.stages[state["stage"] - 1]
        if stage != self.stage:
            self._enter(stage)
        super().load_state_dict(state)


def _lay_out(search: Search, stage: Stage) -> None:
    """Give the search the supernet of a stage, with fresh weights."""
    cells = _cells(search.spec)[stage.number - 1]
    search.lay_out(search.space.resized(cells=cells))


def _stages(spec: SearchSpec) -> list[Stage]:
    return equal_stages(spec.training.epochs, len(spec.method.operations))


def _cells(spec: SearchSpec) -> tuple[int, ...]:
    """Return N of each stage."""
    if spec.method.cells:
        return spec.method.cells
    stages = len(spec.method.operations)
    return tuple(
        max(1, spec.space.cells - GROWTH * (stages - number))
        for number in range(1, stages + 1)
    )


def _schedule_problems(spec: SearchSpec) -> Iterator[Problem]:
    yield from stage_problems(spec, _stages(spec), spec.method.operations)
    if spec.training.schedule_epochs:
        yield Problem(
            "training.schedule_epochs",
            "The learning rates of P-DARTS fall anew in each of its stages; set the "
            "length of the schedule to 0.",
        )


def _size_problems(spec: SearchSpec) -> Iterator[Problem]:
    options = spec.method
    depth = getattr(spec.space, "cells", None)
    if depth is None:
        yield Problem(
            "method.name",
            "P-DARTS needs a search space whose supernet can be made of more or fewer "
            "cells; choose another space or method.",
        )
    elif options.cells and options.cells[-1] != depth:
        yield Problem(
            "method.cells",
            f"The last stage would have {options.cells[-1]} cells a stage, and the "
            f"search space says {depth}; make them equal.",
        )


def _at_most(table: Tensor, column: int, most: int) -> Tensor:
    """Return a table (R, O) in which ``column`` wins ``most`` rows at most: where it
    wins by the smallest numbers it becomes -inf, if the row has anything else."""
    limited = table.clone()
    has_other = (table > -torch.inf).sum(-1) > 1
    while True:
        wins = limited.argmax(-1) == column
        movable = (wins & has_other).nonzero().flatten()
        if int(wins.sum()) <= most or not len(movable):
            return limited
        weakest = movable[limited[movable, column].argmin()]
        limited[weakest, column] = -torch.inf
