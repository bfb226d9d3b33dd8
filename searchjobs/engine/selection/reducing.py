"""From the scores of a set to the samples that stay: the selector of all reductions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..data.split import share_of, shares_of
from ..events import SamplesPruned
from ..problems import SearchError
from .class_limit import balance, choose, limits, strictness
from .window_report import describe_scores

if TYPE_CHECKING:  # its class chooses by what is here
    from ..batch import SetName
    from ..contracts.reduction import (
        ClassRule,
        End,
        Pool,
        Reduction,
        ReductionOptions,
        Scores,
    )


@dataclass(frozen=True)
class Chosen:
    """What stays of one set.

    Attributes:
        kept: bool (n,), on the CPU, in the order of the pool.
        event: tells of it, as of a pruning before the first epoch.
        arrays: what its artefact holds.
    """

    kept: Tensor
    event: SamplesPruned
    arrays: dict[str, np.ndarray]


def artefact_name(name: SetName) -> str:
    """Return where the arrays of what a set has lost before the first epoch lie."""
    return f"prunings/epoch-0000-{name}.npz"


def choose_kept(
    values: Tensor, labels: Tensor, share: float, drop: End, rule: ClassRule
) -> Tensor:
    """Return which samples stay, bool (n,).

    ``none`` keeps floor(share n); ``stratified`` as many, of each class floor(share
    n_c) or one more (see ``shares_of``); ``limit`` takes away no more of a class than
    Eq. 5 and 6 of BDP allow with one event.  Ties leave in the order of the samples.

    Args:
        values: scores (n,), on the CPU.
        labels: classes int64 (n,), on the CPU.
        share: what is to stay, above 0 and at most 1.
        drop: which end leaves.
        rule: how classes count.
    """
    ranked = values.argsort(stable=True, descending=drop == "highest")
    gone = len(values) - share_of(len(values), share)
    counts = labels.bincount()
    if rule == "stratified":
        allowed = counts - torch.tensor(shares_of(counts.tolist(), share))
        removed = choose(
            ranked, labels[ranked], len(values), allowed, overflow="redistribute"
        )
    elif rule == "limit":
        allowed = limits(counts, strictness(balance(counts), events=1))
        removed = choose(ranked, labels[ranked], gone, allowed, overflow="skip")
    else:
        removed = ranked[:gone]
    kept = torch.ones(len(values), dtype=torch.bool)
    kept[removed] = False
    return kept


def choose_set(
    reduction: type[Reduction], options: ReductionOptions, pool: Pool, scores: Scores
) -> Chosen:
    """Choose from one set and say what came of it.

    Raises SearchError if fewer than two samples stay: files that cannot be read may
    leave less to choose from than was planned.
    """
    drop, share = options.drop(pool.name), options.keep(pool.name)
    rule = options.class_rule
    labels = pool.labels.cpu()
    kept = choose_kept(scores.values, labels, share, drop, rule)
    if (left := int(kept.sum())) < 2:
        raise SearchError(
            f"Of the {len(kept):,} samples of {pool.name} only {left} would stay, and "
            "a batch needs at least two. Keep a larger share than "
            f"{share:.2%}.",
            "data",
        )
    before = labels.bincount(minlength=pool.classes)
    after = labels[kept].bincount(minlength=pool.classes)
    ends = {"highest": "high", "lowest": "low"}
    event = SamplesPruned(
        epoch=0,
        set=pool.name,
        criterion="random" if reduction.by_chance else ends[drop],
        score=reduction.describe_score(options),
        before=len(kept),
        requested=len(kept) - pool.keep,
        removed=int((~kept).sum()),
        after=int(kept.sum()),
        balance=balance(before),
        balance_after=balance(after),
        limit=strictness(balance(before), 1) if rule == "limit" else None,
        class_counts_before=before.tolist(),
        class_counts_after=after.tolist(),
        artefact=artefact_name(pool.name),
    )
    values = scores.values.numpy()
    for name, value in describe_scores(values, (~kept).numpy()).items():
        setattr(event, name, value)
    if not reduction.by_chance and rule == "none" and event.removed:
        edge = scores.values[~kept]
        event.cut = (edge.min() if drop == "highest" else edge.max()).item()
    arrays = {
        "ids": pool.ids.cpu().numpy(),
        "scores": values,
        "removed": (~kept).numpy(),
        **scores.columns,
    }
    return Chosen(kept, event, arrays)
