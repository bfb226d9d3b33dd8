"""SGAS: decide the edges one after the other, greedily, while the search goes on.

G. Li, G. Qian, I. C. Delgadillo, M. Mueller, A. Thabet, B. Ghanem, SGAS: Sequential
Greedy Architecture Search, CVPR 2020.  Section 3.2: edge importance, selection
certainty, selection stability, and the two criteria that multiply them.

The steps are those of DARTS.  From time to time the undecided edge of highest score
gets its best operation but ``none``; the others of the edge are gone from then on, its
alpha stands still, and the memory that they took goes into larger batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..contracts import Search, SetName, allowed_only, methods, spaces
from ..events import Progress
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..registry import setting
from ._deciding import Deciding

if TYPE_CHECKING:
    from ..spec import SearchSpec

#: Epochs that the authors train on after the last decision.
AFTER_LAST = 5
#: Differences below are those of sums that are equal.
ROUNDING = 1e-12


class SgasOptions(AnyOptions):
    name: Literal["sgas"] = "sgas"
    criterion: Literal["1", "2"] = setting(
        "1",
        "Criterion",
        "1: importance of the edge times certainty of its operation; 2: also times the "
        "stability of its distribution over the last epochs.",
        advanced=False,
        labels={"1": "1: importance, certainty", "2": "2: and stability"},
    )
    warmup: int = setting(
        9,
        "Epochs before decisions",
        "The first edge is decided after the epoch that follows them; alpha is trained "
        "all the while.",
        unit="epochs",
        ge=0,
        le=5000,
    )
    interval: int = setting(
        7,
        "Interval of decisions",
        "Epochs from one decision to the next. 9 and 7 make 50 epochs of the six edges "
        "of NAS-Bench-201 (9 + 1 + 5 x 7 + 5), as 9 and 5 do of eight edges.",
        unit="epochs",
        ge=1,
        le=5000,
    )
    scale: bool = setting(
        True,
        "Scale to the search",
        "Stretch or shorten warm-up and interval to the epochs of the search; a search "
        "shorter than the number of edges decides several at once. Off: the numbers "
        "are taken as they are.",
    )
    batch_growth: int = setting(
        8,
        "Growth of the batch",
        "Images that a batch gains after each decision.",
        unit="images",
        ge=0,
        le=1024,
    )
    history: int = setting(
        4,
        "Epochs remembered",
        "Earlier epochs that criterion 2 compares an edge's distribution with.",
        unit="epochs",
        ge=1,
        le=100,
    )


class Shares(NamedTuple):
    """How alpha shares each row out.

    Attributes:
        importance: (R,), 1 - p(none): edge importance.
        operations: (R, O) without ``none``, summing to one: the q of the certainty.
        choices: (R,), how many operations but ``none`` a row may take.
    """

    importance: Tensor
    operations: Tensor
    choices: Tensor


def shares(alpha: Tensor, allowed: Tensor, silent: Tensor) -> Shares:
    """Return importance and distribution of each row of alpha (R, O).

    ``allowed`` is bool (R, O); ``silent``, bool (O,), marks ``none``.
    """
    p = allowed_only(alpha, allowed).softmax(-1)
    others = p.masked_fill(silent, 0)
    importance = others.sum(-1)
    operations = others / importance.clamp_min(torch.finfo(p.dtype).tiny)[:, None]
    return Shares(importance, operations, (allowed & ~silent).sum(-1))


def certainty(found: Shares) -> Tensor:
    """Return the certainty S_SC (R,): 1 - H(q) / ln(choices), 1 for a single choice."""
    entropy = torch.special.entr(found.operations).sum(-1)
    most = found.choices.clamp_min(2).to(entropy.dtype).log()
    return 1 - entropy / most


def stability(found: Shares, history: Sequence[Tensor]) -> Tensor:
    """Return the stability S_SS (R,): the mean intersection of q with earlier ones
    (R, O); zeros as long as there are none."""
    if not history:
        return torch.zeros_like(found.importance)
    common = [torch.minimum(found.operations, old).sum(-1) for old in history]
    return torch.stack(common).mean(0)


def normalised(values: Tensor) -> Tensor:
    """Stretch (R,) to 0 .. 1.  Equal values cannot tell edges apart: they become ones,
    so that the other factors decide, or stay zeros."""
    low, high = values.min(), values.max()
    if high - low < ROUNDING:
        return (values != 0).to(values.dtype)
    return (values - low) / (high - low)


def scores(found: Shares, history: Sequence[Tensor] | None) -> Tensor:
    """Return the score (R,) of criterion 1, with a history of criterion 2."""
    score = normalised(found.importance) * normalised(certainty(found))
    if history is not None:
        score = score * normalised(stability(found, history))
    return score


def decision_epochs(options: SgasOptions, epochs: int, decisions: int) -> list[int]:
    """Return after which epochs (1-based) decisions are made, one entry a decision."""
    planned = [options.warmup + 1 + options.interval * k for k in range(decisions)]
    length = planned[-1] + AFTER_LAST
    if not options.scale or length == epochs:
        return planned
    return [math.ceil(epochs * epoch / length) for epoch in planned]


@methods.register
class Sgas(Deciding):
    name = "sgas"
    label = "SGAS"
    summary = (
        "Decides the edges greedily, one after the other, by importance, certainty and "
        "stability, and trains the rest on."
    )
    source = "Li et al., SGAS, CVPR 2020, section 3.2: criteria 1 and 2."
    family = "Fewer operations as it goes"
    Options = SgasOptions
    options: SgasOptions
    # "else as DARTS": plain momentum, decay 3e-4, alpha first, here for 50 epochs
    defaults = {"training": {"recipe": "smooth", "epochs": 50}}

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        # alpha of a decided row keeps its place in the scores of all edges
        self._from_the_start = {name: search.space.mask(name) for name in self.tables}
        self._history: dict[str, list[Tensor]] = {name: [] for name in self.tables}

    @classmethod
    def schedule(cls, spec: SearchSpec) -> list[int]:
        """Return after which epochs this spec's decisions are made; each decides one
        edge of every table."""
        rows = max(len(rows) for rows in spaces.get(spec.space.name).tables.values())
        return decision_epochs(spec.method, spec.training.epochs, rows)

    @classmethod
    def batch_size(cls, spec: SearchSpec, epoch: int) -> int:
        made = sum(decided < epoch for decided in cls.schedule(spec))
        return int(spec.training.batch_size + spec.method.batch_growth * made)

    @classmethod
    def operations_left(cls, spec: SearchSpec) -> int | None:
        """One: all rows are decided before the end."""
        return 1

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        options, (first, *_, last) = spec.method, cls.schedule(spec)
        found = []
        if last > spec.training.epochs:
            found.append(
                Problem(
                    "method.interval",
                    f"SGAS would decide its last edge after epoch {last}, and the "
                    f"search has {spec.training.epochs}; search longer, shorten "
                    "warm-up or interval, or let them scale.",
                )
            )
        if first <= spec.training.warmup_epochs:
            found.append(
                Problem(
                    "training.warmup_epochs",
                    f"Alpha stands still in the first {spec.training.warmup_epochs} "
                    f"epochs, and SGAS would decide an edge by it after epoch {first}; "
                    "shorten that warm-up or give SGAS a longer one.",
                )
            )
        if options.criterion == "2" and first < 2:
            found.append(
                Problem(
                    "method.criterion",
                    "Criterion 2 compares with earlier epochs, and the first edge "
                    "would be decided after epoch 1; choose criterion 1, a longer "
                    "warm-up or more epochs.",
                )
            )
        return found

    def after_epoch(self, epoch: int) -> Iterator[Progress]:
        """Algorithm 1: decide if it is time to, then remember the distributions."""
        found = {name: self._shares(name) for name in self.tables}
        for _ in range(self.schedule(self.search.spec).count(epoch)):
            for name in self.tables:
                self._decide_best(name, found[name])
        for name, history in self._history.items():
            self._history[name] = [*history, found[name].operations]
            del self._history[name][: -self.options.history]
        yield from ()

    def _shares(self, table: str) -> Shares:
        space = self.search.space
        silent = torch.tensor([o in space.silent for o in space.columns(table)])
        alpha = self.alpha()[table].cpu().double()
        return shares(alpha, self._from_the_start[table], silent)

    def _decide_best(self, table: str, found: Shares) -> None:
        """Decide the open row of highest score; ``none`` only where nothing else may
        be taken."""
        open_rows = ~self.decided[table].cpu()
        if not open_rows.any():
            return
        history = self._history[table] if self.options.criterion == "2" else None
        score = scores(found, history).masked_fill(~open_rows, -torch.inf)
        row = int(score.argmax())
        if found.choices[row]:
            operation = int(found.operations[row].argmax())
        else:
            operation = int(self._from_the_start[table][row].int().argmax())
        self.decide(table, row, operation)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"history": self._history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._history = {name: list(rows) for name, rows in state["history"].items()}
