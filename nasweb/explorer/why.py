"""Why an event took a sample, or left it: facts, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .sets import MIN_OBSERVATIONS, Step

Outcome = Literal["removed", "kept", "added", "left out", "not considered"]
ENDS = {"low": "lowest", "high": "highest"}


@dataclass(frozen=True)
class Verdict:
    """What one event did with one sample.

    Attributes:
        epoch: of the event.
        outcome: what became of the sample.
        score: None where it was not considered, or has none.
        cut: score of the last sample that went, if an end of the scores went.
        rank, ranked: place from 1 among all that could be ranked, the first to go in
            front; None without a rank.
        mean_error, observations: over the window, where they are measured.
        class_rank: place from 1 among those of its class.
        class_limit: how many of its class might go; None without a limit.
        class_removed, class_before: how many of its class went, and of how many.
        sentence: why.
    """

    epoch: int
    outcome: Outcome
    score: float | None = None
    cut: float | None = None
    rank: int | None = None
    ranked: int | None = None
    mean_error: float | None = None
    observations: int | None = None
    class_rank: int | None = None
    class_limit: int | None = None
    class_removed: int | None = None
    class_before: int | None = None
    sentence: str = ""


def verdict(
    event: Mapping[str, Any],
    step: Step,
    sample: int,
    labels: NDArray[np.integer] | None,
    names: list[str],
    min_per_class: int = 0,
) -> Verdict:
    """Say what an event did with a sample.

    Args:
        event: the ``SamplesPruned`` event as stored.
        step: its samples.
        sample: id.
        labels: class of every image; None where the images are not to be had, and
            then nothing is said of classes.
        names: of the classes.
        min_per_class: what the selection leaves of a class at least.
    """
    at = step.place(sample)
    if at is None:
        sentence = f"It was not in {event['set']} any more."
        return Verdict(step.epoch, "not considered", sentence=sentence)
    # chance knows no rank
    rank = step.rank_of(at) if event["criterion"] in ENDS else None
    outcome = _outcome(step, at)
    facts: dict[str, Any] = {
        "score": _number(step.scores[at]),
        "cut": event.get("cut"),
        "rank": rank,
        "ranked": int(step.eligible().sum()) if rank else None,
        "mean_error": _number(step.mean_error[at])
        if step.mean_error is not None
        else None,
        "observations": int(step.observations[at])
        if step.observations is not None
        else None,
        **_of_class(event, step, at, labels, min_per_class, ranked=bool(rank)),
    }
    name = ""
    if labels is not None:
        number = int(labels[sample])
        name = names[number] if number < len(names) else f"class {number}"
    found = Verdict(step.epoch, outcome, **facts)
    sentence = _sentence(event, found, step.worst() if rank else 0, name)
    return replace(found, sentence=sentence)


def _outcome(step: Step, at: int) -> Outcome:
    if step.before[at]:
        return "kept" if step.after[at] else "removed"
    return "added" if step.added[at] else "left out"


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _of_class(
    event: Mapping[str, Any],
    step: Step,
    at: int,
    labels: NDArray[np.integer] | None,
    min_per_class: int,
    *,
    ranked: bool,
) -> dict[str, int | None]:
    """Return what is known of the sample's class at the event."""
    if labels is None:
        return {}
    label = int(labels[step.ids[at]])
    same = labels[step.ids] == label
    before = int((same & step.before).sum())
    limit = None
    if event.get("limit"):
        # L_i of BDP Eq. 6, as the engine takes it
        limit = math.floor(before / float(event["limit"]) + 1e-9)
        limit = max(min(limit, before - min_per_class), 0)
    return {
        "class_rank": step.rank_of(at, same) if ranked else None,
        "class_limit": limit,
        "class_removed": int((same & step.gone).sum()),
        "class_before": before,
    }


def _sentence(event: Mapping[str, Any], of: Verdict, worst: int, name: str) -> str:
    """Say in words what the facts say; ``worst`` is the rank of the last that went."""
    if of.outcome in {"added", "left out"}:
        came = "It came into" if of.outcome == "added" else "It stayed outside of"
        return f"{came} {event['set']}: the set was drawn anew at this event."
    if of.outcome == "kept" and event.get("reason"):
        return f"Nothing went: {event['reason']}"
    if event["criterion"] not in ENDS:
        verb = "took" if of.outcome == "removed" else "spared"
        return (
            f"Chance {verb} it: {event['removed']:,} of {event['before']:,} samples "
            "went, and scores did not count."
        )
    if of.outcome == "kept" and (of.observations or MIN_OBSERVATIONS) < 2:
        return (
            "It was seen less than twice in the window: a variance needs two errors, "
            "so it could not go."
        )
    if of.rank is None or of.ranked is None:
        return "It has no score, so it could not be ranked."
    return _ranked(event, of, worst, name)


def _ranked(event: Mapping[str, Any], of: Verdict, worst: int, name: str) -> str:
    """Say where a sample stood in the ranking and what that meant."""
    end = ENDS[event["criterion"]]
    words = f"Its {event.get('score') or 'VoE'} is {_nth(of.rank or 0, end)} of "
    words += f"{of.ranked:,}; {event['requested']:,} were to go"
    of_class = f" of the {of.class_before:,} of class {name}" if name else ""
    limit = of.class_limit
    if of.outcome == "removed":
        if limit is not None and of.class_rank is not None:
            words += (
                f", at most {limit:,}{of_class}, and among those it was number "
                f"{of.class_rank:,}"
            )
        return words + "."
    if limit is not None and of.class_rank is not None and of.class_rank > limit:
        if (of.rank or 0) <= max(worst, event["requested"]):
            return (
                f"{words}, but at most {limit:,}{of_class} might, and "
                f"{of.class_rank - 1:,} of them stood in front of it."
            )
    elif (of.rank or 0) <= worst:
        return (
            f"{words}, but {of.class_removed or 0:,}{of_class} had gone before it, as "
            "many as the class might lose."
        )
    return f"{words}, and the last that went stood at {worst:,}."


def _nth(rank: int, end: str) -> str:
    """Write a rank: ``the lowest``, ``the 12th lowest``."""
    if rank == 1:
        return f"the {end}"
    tens, ones = rank % 100, rank % 10
    ending = "th" if 10 < tens < 14 else {1: "st", 2: "nd", 3: "rd"}.get(ones, "th")
    return f"the {rank:,}{ending} {end}"
