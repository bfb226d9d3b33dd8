"""VP-DARTS: soft pruning by validated importance.

T. Feng, S. Wang, VP-DARTS: Validated Pruning Differentiable Architecture Search,
ICAART 2024.  Eq. 2 (soft pruning), Eq. 3 (mixture without softmax), Algorithm 1
(importance), section 3.4 (the whole), section 5 (ablations).

Alpha is a weight like others: no softmax, so operations of different edges can be
compared and a strong one does not press the others down.  After a warm-up in which
alpha stands still, every epoch begins by taking each operation out of the supernet in
turn.  The one that is missed most on an edge keeps its alpha; that of the others is
multiplied by 1 - K / (pruning epochs), and then trains on: nothing is lost for good.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..contracts import Search, SetName, Tables, methods, spaces
from ..data.split import share_of
from ..events import MethodReport, Progress
from ..problems import Problem, refuse
from ..registry import Options as AnyOptions
from ..registry import setting
from ..removal import RemovalTest, Scores, evaluations
from ..stages import (
    Ranking,
    Stage,
    equal_stages,
    fall_problems,
    keep_first,
    ranking,
    stage_of,
)
from ._alternating import Alternating

if TYPE_CHECKING:
    from ..spec import SearchSpec


class VpDartsOptions(AnyOptions):
    name: Literal["vp-darts"] = "vp-darts"
    k: Literal["adjustable", "fixed"] = setting(
        "adjustable",
        "Pruning strength K",
        "How hard the operations are pruned that an edge can do without. adjustable: "
        "their alpha is multiplied by 1 - t/n in the t-th of n pruning epochs, from 1 "
        "down to 1/n; fixed: it is set to 0 in each of them (Eq. 2 with K = n).",
        advanced=False,
    )
    share: float = setting(
        0.5,
        "Share of V for validation",
        "Share of the images of V, drawn anew each epoch, on which all removals of "
        "the epoch are measured. Below one half the paper saw results drop.",
        unit="share",
        gt=0,
        le=1,
    )
    skip_dropout: float = setting(
        0.2,
        "Dropout behind identities",
        "Share of the elements that is dropped behind skip connections, in the whole "
        "search, so that they do not win by converging first.",
        unit="share",
        ge=0,
        lt=1,
    )
    criterion: Literal["accuracy", "alpha"] = setting(
        "accuracy",
        "Importance",
        "accuracy: what the supernet loses without the operation (Algorithm 1); "
        "alpha: the magnitude of its alpha, the paper's ablation (section 5.2; derive "
        "by arg max then).",
        labels={"accuracy": "validated accuracy", "alpha": "magnitude of alpha"},
    )
    pruning: Literal["soft", "hard", "progressive"] = setting(
        "soft",
        "Pruning",
        "soft: pruned operations train on (the method). Ablations of section 5.1: "
        "hard: nothing is pruned before the end; progressive: the pruning epochs are "
        "three stages, and what an edge loses between them is gone.",
    )
    operations: tuple[int, ...] = setting(
        (5, 3, 2),
        "Operations in each stage",
        "Of progressive pruning: how many operations an edge has in each stage; the "
        "derivation leaves the last one.",
        unit="operations",
        min_length=2,
    )
    reset_moments: bool = setting(
        False,
        "Forget Adam's moments",
        "Set the moments of a pruned alpha to zero too; off, it is drawn on in the "
        "direction in which it was going.",
    )

    @model_validator(mode="after")
    def _stages_fall(self) -> VpDartsOptions:
        refuse(fall_problems(self.operations, "5, 3, 2"))
        return self


@methods.register
class VpDarts(Alternating):
    """Alternating steps, and a pruning at the start of each epoch after the warm-up.

    Attributes:
        scores: what this epoch's removals have shown, if there were any.
        factor: by what this epoch multiplied the alpha of pruned operations.
    """

    name = "vp-darts"
    label = "VP-DARTS"
    summary = (
        "Softly prunes, every epoch, the operations without which the supernet "
        "validates best; no softmax."
    )
    source = "Feng, Wang, VP-DARTS, ICAART 2024, Eq. 2 and 3, Algorithm 1."
    family = "Fewer operations as it goes"
    Options = VpDartsOptions
    curves = {
        "skip dropout": "share of the elements that are dropped behind an identity",
        "negative alphas": "entries of alpha below 0, over all edges",
        "pruning factor": "by which this epoch multiplied the alpha that it pruned",
        "validated accuracy": "whole supernet on the half of V that judges, as a share",
    }
    options: VpDartsOptions
    strength_label = "alpha, no softmax"
    defaults = {
        "training": {"warmup_epochs": 20},
        "derivation": {"name": "validated"},
    }

    def __init__(self, options: AnyOptions, search: Search) -> None:
        self.scores: Scores | None = None
        self.factor: float | None = None
        super().__init__(options, search)

    def build(self) -> None:
        supernet = self.search.supernet
        supernet.skip_dropout = self.options.skip_dropout
        supernet.noise = self.search.streams.on_device("skip dropout")
        super().build()

    @classmethod
    def why_eager(cls, options: VpDartsOptions) -> str:
        return "drops elements behind identities" if options.skip_dropout else ""

    # -- Eq. 3: the mixture -----------------------------------------------------------

    def initial_tables(self) -> dict[str, Tensor]:
        """Return 1 / (operations of the row) + 1e-3 N(0, 1): the mixture that DARTS
        begins with.  Numbers around 0 would leave the weights nothing to learn from
        in the warm-up."""
        space = self.search.space
        tables = super().initial_tables()
        with torch.no_grad():
            for name, table in tables.items():
                count = space.mask(name).sum(-1, keepdim=True)
                table += (1 / count).to(table)
        return tables

    def relaxation(self, tables: Tables) -> Tables:
        """Eq. 3: alpha itself; 0 for what a row may not take."""
        space = self.search.space
        return {
            name: table
            if (allowed := space.allowed(name, table.device)) is None
            else table.masked_fill(~allowed, 0)
            for name, table in tables.items()
        }

    def preferences(self, strengths: Tables) -> Tables:
        """Return the magnitudes: an operation may well count by a negative alpha."""
        return {
            name: table.abs().masked_fill(table == -torch.inf, -torch.inf)
            for name, table in strengths.items()
        }

    # -- Algorithm 1 and Eq. 2: importance and pruning --------------------------------

    def start_epoch(self, epoch: int) -> bool:
        self.scores = self.factor = None
        return super().start_epoch(epoch)

    def before_epoch(self, epoch: int) -> Iterator[Progress]:
        """Rank the operations of every row and prune what is not the first."""
        spec = self.search.spec
        if not _prunes(spec, epoch):
            return
        ranked = yield from self._rank(epoch)
        if self.options.pruning == "progressive":
            stage = stage_of(_stages(spec), epoch)
            assert stage is not None
            self._remove(ranked, self.options.operations[stage.number - 1])
        else:
            self._soften(ranked, pruning_factor(spec, epoch))

    def _rank(self, epoch: int) -> Generator[Progress, None, Ranking]:
        """Yield progress and return the operations of each row by importance."""
        search = self.search
        alpha = {name: table.cpu() for name, table in self.alpha().items()}
        if self.options.criterion == "alpha":
            return ranking(
                search.space, {n: -table.abs() for n, table in alpha.items()}
            )
        ids = search.selection.sets["V"]
        drawn = torch.randperm(len(ids), generator=search.streams["validation"])
        chosen = drawn[: validated(len(ids), self.options.share)]
        test = RemovalTest(search, ids[chosen.to(ids.device)])
        yield from test.run(epoch)
        self.scores = test.scores()
        return self.scores.ranking(search.space, alpha)

    def _soften(self, ranked: Ranking, factor: float) -> None:
        """Eq. 2: multiply the alpha of all but the first of each row."""
        self.factor = factor
        for name, rows in ranked.items():
            columns = len(self.search.space.columns(name))
            pruned = self.search.space.mask(name) & ~keep_first(rows, 1, columns)
            self._scale(name, pruned, factor, forget=self.options.reset_moments)

    def _remove(self, ranked: Ranking, count: int) -> None:
        """Leave each row the first ``count`` operations, for good."""
        space = self.search.space
        for name, rows in ranked.items():
            kept = keep_first(rows, count, len(space.columns(name)))
            self._scale(name, ~kept, 0.0, forget=True)
            space.restrict(name, kept)

    @torch.no_grad()
    def _scale(
        self, name: str, entries: Tensor, factor: float, *, forget: bool
    ) -> None:
        """Multiply the alpha of some entries (R, O), and forget how they moved."""
        table = self.tables[name]
        entries = entries.to(table.device)
        table.copy_(torch.where(entries, factor * table, table))
        if forget:
            for moment in self.alpha_optimiser.state.get(table, {}).values():
                if moment.shape == table.shape:
                    moment.masked_fill_(entries, 0)

    # -- plan, report, state ----------------------------------------------------------

    @classmethod
    def pass_cost(
        cls, spec: SearchSpec, epoch: int, sizes: Mapping[SetName, int]
    ) -> float:
        """Return the forwards of the removals.  Of progressive pruning it is an upper
        bound: as if no edge that has lost operations had kept ``none``, whose removal
        needs no forward."""
        options = spec.method
        if not _prunes(spec, epoch) or options.criterion == "alpha":
            return 0.0
        space = spaces.get(spec.space.name)(spec.space)
        count = evaluations(space)
        stage = stage_of(_stages(spec), epoch)
        if options.pruning == "progressive" and stage and stage.number > 2:
            rows = sum(len(rows) for rows in space.tables.values())
            count = min(count, 1 + rows * options.operations[stage.number - 2])
        return float(count * validated(sizes["V"], options.share))

    @classmethod
    def operations_left(cls, spec: SearchSpec) -> int | None:
        """Those of the last stage of progressive pruning."""
        progressive = spec.method.pruning == "progressive"
        return spec.method.operations[-1] if progressive else None

    @classmethod
    def decides_between_epochs(cls, spec: SearchSpec) -> bool:
        return bool(spec.method.pruning != "hard")

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        options, training = spec.method, spec.training
        left = training.epochs - training.warmup_epochs
        if options.pruning == "progressive" and left < len(options.operations):
            return [
                Problem(
                    "training.epochs",
                    f"Progressive pruning has {len(options.operations)} stages, and "
                    f"the warm-up leaves {left} epochs for them; search longer or "
                    "shorten the warm-up.",
                )
            ]
        return []

    def report(self) -> MethodReport:
        report = MethodReport(scalars={"skip dropout": self.options.skip_dropout})
        negative = sum(int((table < 0).sum()) for table in self.tables.values())
        report.scalars["negative alphas"] = float(negative)
        if self.factor is not None:
            report.scalars["pruning factor"] = self.factor
        if self.scores is not None:
            tables = self.scores.accuracy.items()
            report.importance = {name: table.tolist() for name, table in tables}
            report.scalars["validated accuracy"] = self.scores.whole
        if self.options.pruning == "progressive":
            stage = stage_of(_stages(self.search.spec), self.search.epoch)
            report.stage = stage.number if stage else None
            report.allowed = {
                name: self.search.space.mask(name).tolist() for name in self.tables
            }
        return report

    def state_dict(self) -> dict[str, Any]:
        space = self.search.space
        masks = {name: space.mask(name) for name in self.tables}
        return super().state_dict() | {"candidates": masks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, mask in state["candidates"].items():
            if not mask.all():
                self.search.space.restrict(name, mask)


def pruning_factor(spec: SearchSpec, epoch: int) -> float:
    """Eq. 2: return 1 - K / n in the 1-based ``epoch``, n epochs after the warm-up:
    K = n where it is fixed, else K = 0, 1 ... n - 1."""
    if spec.method.k == "fixed":
        return 0.0
    training = spec.training
    epochs = training.epochs - training.warmup_epochs
    return 1 - (epoch - training.warmup_epochs - 1) / epochs


def validated(images: int, share: float) -> int:
    """Return how many of so many images a share is: two at least, for batch norm."""
    return min(images, max(2, share_of(images, share)))


def _stages(spec: SearchSpec) -> list[Stage]:
    """Return the stages of progressive pruning, after the warm-up."""
    training = spec.training
    count = len(spec.method.operations)
    return equal_stages(training.epochs, count, after=training.warmup_epochs)


def _prunes(spec: SearchSpec, epoch: int) -> bool:
    """Say whether an epoch begins with a pruning."""
    kind = spec.method.pruning
    if kind == "progressive":
        return any(stage.first == epoch for stage in _stages(spec)[1:])
    return kind == "soft" and epoch > spec.training.warmup_epochs
