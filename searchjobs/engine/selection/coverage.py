"""Coverage-centric selection (CCS): without the worst, evenly over all difficulties.

H. Zheng, R. Liu, F. Lai, A. Prakash, "Coverage-centric Coreset Selection for High
Pruning Rates", ICLR 2023, Algorithm 1; the difficulty is the area under the margin of
G. Pleiss et al., NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from ..batch import SetName
from ..contracts import Pool, Scores, Scoring, selections
from ..data.split import share_of, shares_of
from ..problems import Problem
from ..registry import setting
from ..scoring_network import NetworkOptions, NetworkReduction, ScoringNetwork
from ._trained import Sums, column, watched
from .class_limit import choose

#: What is added to the difficulty of samples whose stratum is full, and of the worst:
#: difficulties lie between -1 and 1, so these come after all that are chosen.
FULL, WORST = 3.0, 6.0


class CoverageOptions(NetworkOptions):
    name: Literal["coverage"] = "coverage"
    mis_ratio: float = setting(
        0.1,
        "Share left out as mislabelled",
        "The hardest samples, by the area under their margin, leave before anything is "
        "chosen: 0.2 where 20 % stay, 0.3 where 10 % stay; 0 leaves none out.",
        unit="share",
        advanced=False,
        ge=0,
        lt=1,
    )
    strata: int = setting(
        50,
        "Strata",
        "Equal widths of difficulty, each of which gets the same number of samples as "
        "far as it has them.",
        ge=1,
        le=10_000,
    )


class Margin(Sums):
    """Area under the margin: probability of the true class less that of the next."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, "margin")

    def observe(self, epoch: int, ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        chances = logits.double().softmax(1)
        own = chances.gather(1, labels[:, None]).squeeze(1)
        others = chances.scatter(1, labels[:, None], -1.0).amax(1)
        self["margin"][ids] += own - others


@selections.register
class Coverage(NetworkReduction):
    """The scores lead the common selector to the choice of Algorithm 1, at exactly the
    share that is kept; stratified, each class chooses on its own.  With the other end
    leaving, what the algorithm would choose leaves."""

    name = "coverage"
    label = "Coverage-centric (CCS)"
    summary = (
        "The hardest samples leave, and of the others as many stay in each stratum of "
        "difficulty."
    )
    source = "Zheng et al., Coverage-centric Coreset Selection, ICLR 2023, Alg. 1."
    family = "Scores of a training"
    score_label = (
        f"difficulty (negative mean margin); +{FULL:g}: its stratum was full; "
        f"+{WORST:g}: among the worst"
    )
    Options = CoverageOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        margin = Margin(pool)
        yield from watched(ScoringNetwork(pool, options), margin, state)
        difficulty = -column(pool, margin["margin"]) / options.epochs
        stream = pool.streams[f"{pool.purpose}/coverage"]
        draws = torch.rand(len(pool.ids), generator=stream, dtype=torch.float64)
        values = torch.from_numpy(difficulty)
        keys = values + WORST
        for group, wanted in _groups(pool, options):
            keys[group] = covered(values[group], draws[group], wanted, options)
        return Scores(
            keys,
            cls.scoring_cost(options, len(pool.ids)),
            {"difficulty": difficulty},
        )

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        fields: dict[SetName, str] = {"T": "keep_train", "V": "keep_valid"}
        return super().size_problems(options, sizes) + [
            Problem(
                f"selection.{fields[name]}",
                f"{options.mis_ratio:.0%} of {name} are left out as mislabelled, so no "
                f"{options.keep(name):.0%} of it can stay; keep less, or leave fewer "
                "out.",
            )
            for name in sizes
            if options.keep(name) < 1
            and options.keep(name) + options.mis_ratio > 1 + 1e-9
        ]


def covered(
    difficulty: Tensor, draws: Tensor, wanted: int, options: CoverageOptions
) -> Tensor:
    """Return keys (n,) whose ``wanted`` smallest are the choice of Algorithm 1.

    Args:
        difficulty: (n,), -1 to 1.
        draws: uniform (n,): within a stratum the smallest are chosen.
        wanted: how many; no more than are left without the worst.
        options: share of the worst, number of strata.
    """
    count = len(difficulty)
    worst = min(share_of(count, options.mis_ratio), count - wanted)
    # stable, so that of equally hard ones the first are the worst
    ranked = difficulty.argsort(stable=True, descending=True)
    rest = ranked[worst:]
    keys = difficulty + WORST
    if not len(rest):
        return keys
    strata = stratum_of(difficulty[rest], options.strata)
    budget = budgets(strata.bincount(minlength=options.strata), wanted)
    order = draws[rest].argsort(stable=True)
    chosen = choose(
        rest[order], strata[order], count, torch.tensor(budget), "redistribute"
    )
    keys[rest] = difficulty[rest] + FULL
    keys[chosen] = difficulty[chosen]
    return keys


def stratum_of(values: Tensor, strata: int) -> Tensor:
    """Return which of so many equal widths, least to greatest, each lies in."""
    low, high = values.min(), values.max()
    places = ((values - low) / (high - low).clamp(min=1e-12) * strata).long()
    return places.clamp(max=strata - 1)


def budgets(sizes: Tensor, wanted: int) -> list[int]:
    """Return how many each stratum gives, ``wanted`` in all: beginning with the
    smallest, each gives an equal part of what is still wanted, as far as it has it.

    Args:
        sizes: int64 (K,), samples of each stratum; at least ``wanted`` in all.
        wanted: how many.
    """
    found = [0] * len(sizes)
    order = sizes.argsort(stable=True).tolist()
    for done, stratum in enumerate(order):
        part = wanted // (len(order) - done)
        found[stratum] = min(int(sizes[stratum]), part)
        wanted -= found[stratum]
    return found


def _groups(pool: Pool, options: CoverageOptions) -> Iterator[tuple[Tensor, int]]:
    """Yield the places of the samples that are chosen among each other, and how many
    of them the algorithm is to choose."""
    labels = pool.labels.cpu()
    groups = [torch.arange(len(labels))]
    if options.class_rule == "stratified":
        numbers = range(pool.classes)
        groups = [torch.nonzero(labels == number).flatten() for number in numbers]
    kept = shares_of([len(group) for group in groups], options.keep(pool.name))
    for group, stays in zip(groups, kept, strict=True):
        # with the other end leaving, what the algorithm would choose leaves
        highest = options.drop(pool.name) == "highest"
        yield group, stays if highest else len(group) - stays
