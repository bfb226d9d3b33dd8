"""The samples that an event considered, and the sets that follow from events.

Everything here is arrays in, arrays out; ids are positions in the prepared images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A variance needs two errors: with fewer a sample cannot go (BDP).
MIN_OBSERVATIONS = 2
#: In ``Replay.left``: the sample is still in.
STILL_IN = -1


class DamagedError(ValueError):
    """The arrays of an event do not fit together."""


@dataclass(frozen=True)
class Step:
    """One event with its samples, in the order of their ids.

    Attributes:
        epoch: after which it happened; 0: before the first.
        criterion: which end was removed: ``low``, ``high``, or ``random``.
        ids: int64 (n,), ascending.
        scores: float (n,).
        before, removed, added: bool (n,): was in the set, left it, came in.
        mean_error, observations: (n,) over the window, where they were measured.
    """

    epoch: int
    criterion: str
    ids: Ids
    scores: NDArray[np.floating]
    before: Mask
    removed: Mask
    added: Mask
    mean_error: NDArray[np.floating] | None = None
    observations: NDArray[np.integer] | None = None

    @property
    def after(self) -> Mask:
        """Which of the samples are in the set afterwards, bool (n,)."""
        return (self.before & ~self.removed) | self.added

    @property
    def kept(self) -> Mask:
        """Which were in the set and stay."""
        return self.before & self.after

    @property
    def gone(self) -> Mask:
        """Which were in the set and are not any more."""
        return self.before & ~self.after

    @property
    def came(self) -> Mask:
        """Which were not in the set and are now."""
        return self.added & ~self.before

    def place(self, sample: int) -> int | None:
        """Return where a sample stands in the arrays; None if it does not."""
        at = int(np.searchsorted(self.ids, sample))
        return at if at < len(self.ids) and self.ids[at] == sample else None

    def eligible(self) -> Mask:
        """Return which samples could be ranked: bool (n,)."""
        scored = np.isfinite(self.scores)
        if self.observations is None:
            return scored
        return scored & (self.observations >= MIN_OBSERVATIONS)

    def order(self) -> NDArray[np.intp]:
        """Return the positions of the samples that could be ranked, the first to go in
        front; ties in the order of their ids.  By chance, the lowest score leads."""
        candidates = np.flatnonzero(self.eligible())
        keys = self.scores[candidates]
        ranked = np.argsort(-keys if self.criterion == "high" else keys, kind="stable")
        return candidates[ranked]

    def rank_of(self, at: int, among: Mask | None = None) -> int | None:
        """Return the rank of one sample by its position, counted and not sorted, as in
        ``ranks``; among those of a mask alone, of which it is one.  None without."""
        candidates = self.eligible()
        if not candidates[at]:
            return None
        if among is not None:
            candidates &= among
        own = self.scores[at]
        high = self.criterion == "high"
        ahead = self.scores > own if high else self.scores < own
        tied = self.scores[:at] == own
        return int((ahead & candidates).sum() + (tied & candidates[:at]).sum()) + 1

    def worst(self) -> int:
        """Return the rank of the last of those that went; 0 if none went."""
        places = np.flatnonzero(self.removed & self.eligible())
        if not len(places):
            return 0
        scores = self.scores[places]
        end = scores.min() if self.criterion == "high" else scores.max()
        return self.rank_of(int(places[scores == end][-1])) or 0

    def ranks(self) -> NDArray[np.int64]:
        """Return the rank of each sample from 1, int64 (n,); 0 of those without one."""
        found = np.zeros(len(self.ids), dtype=np.int64)
        order = self.order()
        found[order] = np.arange(1, len(order) + 1)
        return found


def step_of(event: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> Step:
    """Return the step of an event and its artefact.

    Raises DamagedError if the arrays do not fit together, or do not tell the sizes
    that the event tells.
    """
    try:
        columns = dict(arrays)
        if (np.diff(arrays["ids"]) < 0).any():
            order = np.argsort(arrays["ids"], kind="stable")
            columns = {name: values[order] for name, values in arrays.items()}
        ids = columns["ids"].astype(np.int64, copy=False)
        step = Step(
            epoch=int(str(event["epoch"])),
            criterion=str(event["criterion"]),
            ids=ids,
            scores=_column(columns["scores"], len(ids)),
            before=_mask(columns.get("before"), len(ids), missing=True),
            removed=_mask(columns["removed"], len(ids), missing=False),
            added=_mask(columns.get("added"), len(ids), missing=False),
            mean_error=_column(columns.get("mean_error"), len(ids)),
            observations=_column(columns.get("observations"), len(ids)),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DamagedError("The arrays of the event do not fit together.") from error
    if len(ids) > 1 and bool((np.diff(ids) == 0).any()):
        raise DamagedError("A sample stands in the event twice.")
    told = (event.get("before"), event.get("after"))
    if told != (int(step.before.sum()), int(step.after.sum())):
        raise DamagedError("The file of the event tells other sizes than the event.")
    return step


def _column(values: np.ndarray | None, count: int) -> Any:
    if values is not None and values.shape != (count,):
        raise DamagedError("The arrays of the event have different lengths.")
    return values


def _mask(values: np.ndarray | None, count: int, *, missing: bool) -> Mask:
    if values is None:
        return np.full(count, missing)
    found: Mask = _column(values, count).astype(bool, copy=False)
    return found


@dataclass(frozen=True)
class Replay:
    """What became of every sample that a set has ever had, or that an event considered.

    Attributes:
        ids: int64 (n,), ascending.
        inside: bool (n,): in the set after the last step.
        left: int64 (n,), the epoch of the step at which a sample last left the set;
            STILL_IN for those inside and for those that were never in.
    """

    ids: Ids
    inside: Mask
    left: NDArray[np.int64]

    @property
    def survivors(self) -> Ids:
        """Return the ids that are in the set after the last step, ascending."""
        return self.ids[self.inside]

    def place(self, sample: int) -> int | None:
        """Return where a sample stands in the arrays; None if it does not."""
        at = int(np.searchsorted(self.ids, sample))
        return at if at < len(self.ids) and self.ids[at] == sample else None


def replay(steps: Sequence[Step], initial: Ids | None = None) -> Replay:
    """Follow a set through its steps.

    Args:
        steps: in the order of their epochs.
        initial: the set before the first; None: what the first step says.
    """
    if initial is None:
        initial = steps[0].ids[steps[0].before] if steps else np.zeros(0, np.int64)
    size = 1 + max(
        int(ids.max(initial=-1)) for ids in (initial, *(step.ids for step in steps))
    )
    # dense over all ids: a look-up costs nothing, and images are not that many
    known, inside = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    left = np.full(size, STILL_IN, dtype=np.int64)
    known[initial] = inside[initial] = True
    for step in steps:
        known[step.ids] = True
        now = np.zeros(size, dtype=bool)
        now[step.ids[step.after]] = True
        left[inside & ~now] = step.epoch
        left[now] = STILL_IN
        inside = now
    ids = np.flatnonzero(known)
    return Replay(ids, inside[ids], left[ids])
