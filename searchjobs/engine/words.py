"""Events as lines for people: the log of a run."""

from __future__ import annotations

from .events import (
    CellEpoch,
    CellTrained,
    DatasetChecked,
    EpochFinished,
    Event,
    Finished,
    JobStarted,
    RepeatsReport,
    SamplesPruned,
    Spread,
    Started,
    StopSuggested,
    SubsetMade,
    UnreadableFile,
)

ENDS = {"low": "lowest {}", "high": "highest {}", "random": "by chance"}


def log_line(event: Event) -> str | None:
    """Return what a log says of an event, or None for what it leaves out."""
    match event:
        case Started():
            return _started(event)
        case JobStarted():
            return f"started on {event.environment['device']}"
        case SamplesPruned():
            return _pruned(event)
        case SubsetMade():
            return _subset(event)
        case CellEpoch():
            return (
                f"epoch {event.epoch}/{event.epochs}: loss {event.train_loss:.3f}, "
                f"accuracy {event.train_accuracy:.1%}; on images that were not "
                f"trained on {event.accuracy:.1%}; {event.seconds:.0f} s"
            )
        case CellTrained():
            return (
                f"finished after epoch {event.epoch}: {event.accuracy:.2f} % on "
                f"{event.images:,} images ({event.split}), {event.parameters:,} "
                f"weights, {event.seconds:.0f} s"
            )
        case DatasetChecked():
            return _checked(event)
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
    if event.plan.table is not None:
        table = event.plan.table
        return (
            f"{begin}: {table.repeats:,} searches on the benchmark table, "
            f"{table.dataset}, {table.budget:,.0f} simulated seconds each, "
            f"by {table.signal}; nothing is trained"
        )
    return (
        f"{begin}: {event.epochs} epochs, T {sizes['T']:,} and V {sizes['V']:,} images "
        f"of {len(event.classes)} classes, {event.weight_count:,} weights, "
        f"planned cost {event.plan.cost_share:.0%} of the search without pruning, "
        f"on {event.environment['device']} with {event.environment['CPU threads']} "
        f"CPU threads{_left_out(event.unreadable, event.unreadable_count)}"
    )


def _checked(event: DatasetChecked) -> str:
    return (
        f"{sum(event.class_counts):,} images of {len(event.classes)} classes are "
        f"sound{_left_out(event.unreadable, event.unreadable_count)}"
    )


def _left_out(files: list[UnreadableFile], count: int) -> str:
    """Say which files are no images: each on a line of its own."""
    lines = [f"\n  {file.path}: {file.sentence}" for file in files]
    more = count - len(files)
    lines += [f"\n  and {more:,} more"] if more else []
    return f"; {count:,} files are left out:{''.join(lines)}" if count else ""


def _pruned(event: SamplesPruned) -> str:
    if event.removed == 0:
        return f"epoch {event.epoch}: nothing pruned from {event.set}: {event.reason}"
    end = ENDS.get(event.criterion, event.criterion).format(event.score)
    limit = f", b {event.balance:.3f}, N {event.limit:.2f}" if event.limit else ""
    return (
        f"epoch {event.epoch}: {event.removed:,} of {event.before:,} pruned from "
        f"{event.set} ({end}), "
        f"{event.requested:,} asked for{limit}"
    )


def _subset(event: SubsetMade) -> str:
    sets = ", ".join(
        f"{name} {found.after:,} of {found.before:,}"
        for name, found in event.sets.items()
    )
    return f"finished: {sets} samples stay; {event.seconds:.0f} s"


def _epoch(event: EpochFinished) -> str:
    if event.repeats is not None:
        return _point(event.repeats)
    loss = "–" if event.train_loss is None else f"{event.train_loss:.3f}"
    return (
        f"epoch {event.epoch}/{event.epochs}: loss {loss}, accuracy "
        f"T {_percent(event.train_accuracy)} V {_percent(event.valid_accuracy)}, "
        f"cell {_percent(event.inherited_accuracy)}, {event.skips} skips, "
        f"{event.genotype}, {event.seconds_search:.0f} s"
    )


def _point(report: RepeatsReport) -> str:
    test = ", ".join(
        f"{name} {_spread(splits['test'])}"
        for name, splits in report.accuracies.items()
    )
    return (
        f"{report.seconds:,.0f} simulated seconds: {report.evaluations:.1f} look-ups, "
        f"seen {_spread(report.signal)}; picks by table, test: {test}"
    )


def _spread(values: Spread) -> str:
    std = "" if values.std is None else f" ± {values.std:.2f}"
    return f"{values.mean:.2f}{std} %"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
