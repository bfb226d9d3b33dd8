"""Events as lines for people: the log of a run."""

from __future__ import annotations

from .events import (
    EpochFinished,
    Event,
    Finished,
    SamplesPruned,
    Started,
    StopSuggested,
)

ENDS = {"low": "lowest VoE", "high": "highest VoE", "random": "by chance"}


def log_line(event: Event) -> str | None:
    """Return what a log says of an event, or None for what it leaves out."""
    match event:
        case Started():
            return _started(event)
        case SamplesPruned():
            return _pruned(event)
        case EpochFinished():
            return _epoch(event)
        case StopSuggested():
            return f"epoch {event.epoch}: {event.rule}: {event.reason}"
        case Finished():
            found = ", ".join(found.architecture for found in event.architectures)
            return (
                f"finished after epoch {event.epoch}: {found}; "
                f"{event.seconds_search:.0f} s of search, "
                f"{event.seconds_evaluation:.0f} s of evaluation"
            )
    return None


def _started(event: Started) -> str:
    sizes = event.plan.sizes
    begin = f"resumed after epoch {event.epoch}" if event.epoch else "started"
    return (
        f"{begin}: {event.epochs} epochs, T {sizes['T']:,} and V {sizes['V']:,} images "
        f"of {len(event.classes)} classes, {event.weight_count:,} weights, "
        f"planned cost {event.plan.cost_share:.0%} of the search without pruning, "
        f"on {event.environment['device']} with {event.environment['CPU threads']} "
        "CPU threads"
    )


def _pruned(event: SamplesPruned) -> str:
    if event.removed == 0:
        return f"epoch {event.epoch}: nothing pruned from {event.set}: {event.reason}"
    limit = f", b {event.balance:.3f}, N {event.limit:.2f}" if event.limit else ""
    return (
        f"epoch {event.epoch}: {event.removed:,} of {event.before:,} pruned from "
        f"{event.set} ({ENDS.get(event.criterion, event.criterion)}), "
        f"{event.requested:,} asked for{limit}"
    )


def _epoch(event: EpochFinished) -> str:
    loss = "–" if event.train_loss is None else f"{event.train_loss:.3f}"
    return (
        f"epoch {event.epoch}/{event.epochs}: loss {loss}, accuracy "
        f"T {_percent(event.train_accuracy)} V {_percent(event.valid_accuracy)}, "
        f"cell {_percent(event.inherited_accuracy)}, {event.skips} skips, "
        f"{event.genotype}, {event.seconds_search:.0f} s"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
