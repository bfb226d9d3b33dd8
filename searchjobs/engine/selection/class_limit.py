"""The automatic class-balance limit of BDP, Eq. 5 and 6.

The less balanced the classes of a set are, the smaller the share of any class
that one event may remove.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Overflow = Literal["skip", "redistribute"]


def balance(counts: Tensor, slack: float = 0.0) -> float:
    """Return b (Eq. 5): mean over class pairs of smaller count / larger count.

    1 for equal counts, towards 0 for one class alone; two empty classes count as
    equal, and so does a single class.

    With ``slack`` z, a difference that chance explains does not count.  If the
    images of a pair i, j fell into classes at random, the difference of the two
    counts would have a standard deviation of at most sqrt(c_i + c_j).  Up to z of
    these are forgiven, half of it at either count: ratio 1 if the difference is no
    larger, else (smaller + z sqrt(c_i + c_j) / 2) / (larger - z sqrt(c_i + c_j) / 2).

    Args:
        counts: integers (M,), images of each class.
        slack: z, at least 0.
    """
    classes = len(counts)
    if classes < 2:
        return 1.0
    ordered = counts.double().sort().values
    if slack:
        total = _forgiving_ratios(ordered, slack)
    else:
        smaller = ordered.cumsum(0)[:-1]
        larger = ordered[1:]
        # where the larger of all pairs is empty, so are all the smaller ones
        equal = torch.arange(1, classes, dtype=torch.float64)
        total = torch.where(larger > 0, smaller / larger, equal).sum().item()
    return 2 * total / (classes * (classes - 1))


def _forgiving_ratios(ordered: Tensor, slack: float) -> float:
    smaller, larger = ordered[:, None], ordered[None, :]
    noise = slack * (smaller + larger).sqrt()
    ratios = (smaller + noise / 2) / (larger - noise / 2)
    ratios = torch.where(larger - smaller <= noise, 1.0, ratios)
    return ratios.triu(diagonal=1).sum().item()


def strictness(balance: float, events: int) -> float:
    """Return N (Eq. 6), 1 to n + 1: a class may lose at most 1 / N of its images.

    Args:
        balance: b before the event.
        events: n, the planned number of prunings of the set.
    """
    return events * (1 - balance**2) + 1


def limits(counts: Tensor, strictness: float) -> Tensor:
    """Return L_i = floor(c_i / N), int64 (M,): how many a class may lose."""
    return (counts.double() / strictness + 1e-9).floor().long()


def keep_minimum(limits: Tensor, counts: Tensor, minimum: int) -> Tensor:
    """Return limits (M,) that leave every class at least ``minimum`` images."""
    return torch.minimum(limits, (counts - minimum).clamp(min=0))


def choose(
    ranked: Tensor, labels: Tensor, wanted: int, limits: Tensor, overflow: Overflow
) -> Tensor:
    """Return the samples to remove, in order of rank.

    ``skip`` takes the first ``wanted`` and drops from that list what exceeds the
    limit of its class; ``redistribute`` walks further down the ranking until
    ``wanted`` are found or all classes are full.

    Args:
        ranked: samples (n,), the one to remove first in front.
        labels: class of each, int64 (n,), in the same order.
        wanted: k.
        limits: L_i, int64 (M,).
        overflow: what to do where a limit binds.
    """
    if overflow == "skip":
        ranked, labels = ranked[:wanted], labels[:wanted]
    allowed = _rank_within_class(labels, len(limits)) < limits[labels]
    return ranked[allowed][:wanted]


def _rank_within_class(labels: Tensor, classes: int) -> Tensor:
    """Return how many of the same class stand in front of each, int64 (n,)."""
    order = labels.argsort(stable=True)
    counts = labels.bincount(minlength=classes)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(labels)
    rank[order] = torch.arange(len(labels)) - starts[labels[order]]
    return rank
