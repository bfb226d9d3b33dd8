"""The charts of a run's page, and those that one epoch draws anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nasweb.figures import (
    accuracy,
    alpha,
    curvature,
    heat,
    magnitudes,
    method,
    parameter_free,
    samples,
    scores,
    stages,
)
from nasweb.figures.theme import Figure, Point
from searchjobs import benchmark
from searchjobs.models import EpochRecord, Run
from searchjobs.states import TERMINAL

from . import local_optimum
from . import points as rows
from .setting import Setting, setting_of
from .table_search import newest_charts, table_tiles
from .tiles import EIGENVALUE_WINDOW, Tile, tiles


def charts(setting: Setting, points: Sequence[Point]) -> dict[str, Figure]:
    """Return every chart of a run by name, but for those of its method alone."""
    epochs, wait = setting.epochs, setting.waiting
    last = points[-1] if points else None
    over_epochs = {
        "accuracy": accuracy.accuracy(
            points,
            epochs,
            setting.dataset,
            table=setting.table_loaded,
            paths=setting.paths,
            waiting=wait,
        ),
        "table": accuracy.table_accuracy(
            points,
            epochs,
            setting.optimum,
            loaded=setting.table_loaded,
            why_not=setting.why_no_table,
            waiting=wait,
        ),
        "losses": accuracy.losses(points, epochs, paths=setting.paths, waiting=wait),
        "remaining": samples.remaining(points, epochs, setting.plan, waiting=wait),
        "parameter-free": parameter_free.parameter_free(points, epochs, waiting=wait),
        "margins": alpha.margins(points, epochs, setting.edges, waiting=wait),
        "magnitudes": magnitudes.magnitudes(
            points, epochs, setting.operations, rows.suggestions(points), waiting=wait
        ),
        "eigenvalue": curvature.eigenvalue(
            points, epochs, setting.eigenvalue_every, waiting=wait
        ),
    }
    return {
        **stages.with_stages(over_epochs, stages.changes(points)),
        "alpha": alpha.heatmap(last, setting.edges, setting.operations, waiting=wait),
        **set_charts(setting, last, rows.last_events(points), ("T", "V")),
    }


def method_charts(setting: Setting, points: Sequence[Point]) -> dict[str, Figure]:
    """Return what the run's method alone tells, by name; empty if it tells nothing."""
    found = method.charts(
        points, setting.epochs, setting.edges, setting.operations, setting.curves
    )
    over_epochs = {n: f for n, f in found.items() if n != method.IMPORTANCE}
    return found | stages.with_stages(over_epochs, stages.changes(points))


def drawing(setting: Setting, point: Point) -> dict[str, Any]:
    """Return what the heat map of an epoch needs beside its values: ``marks``, and with
    how many ``digits`` the values stand in their fields."""
    marks = heat.marks(point, setting.edges, setting.operations)
    values = heat.matrix(point["strengths"], setting.edges)
    return {"marks": marks, "digits": heat.digits(values, marks["gone"])}


def set_charts(
    setting: Setting,
    point: Point | None,
    events: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
) -> dict[str, Figure]:
    """Return score histogram and class counts of the named sets."""
    wait = setting.waiting
    if point is not None:
        wait = (
            "This run uses every sample in every epoch: nothing is scored or pruned."
            if setting.selection == "full"
            else "No pruning event yet; the plan shows when the first is due."
        )
    found: dict[str, Figure] = {}
    for name in names:
        event = events.get(name)
        state = point["sets"].get(name) if point else None
        found[f"scores-{name}"] = scores.histogram(name, event, waiting=wait)
        found[f"classes-{name}"] = samples.class_counts(
            name, setting.classes, state, event, waiting=setting.waiting
        )
    return found


def tiles_of(run: Run, setting: Setting, point: Point | None) -> list[Tile]:
    """Return the tiles for the run's newest epoch, or for what it gave in the end;
    three queries at most."""
    if setting.plan.get("table"):
        return table_tiles(setting, point)
    measured = EpochRecord.objects.filter(run=run, eigenvalue__isnull=False)
    newest = measured.order_by("-epoch").values_list("eigenvalue", flat=True)
    return tiles(
        point,
        sizes=setting.plan.get("sizes", {}),
        dataset=setting.dataset,
        dataset_label=benchmark.DATASETS[setting.dataset],
        table_loaded=setting.table_loaded,
        why_no_table=setting.why_no_table,
        optimum=setting.optimum.get(setting.dataset),
        eigenvalues=[
            value for value in newest[: 2 * EIGENVALUE_WINDOW] if value is not None
        ][::-1],
        eigenvalue_every=setting.eigenvalue_every,
        chosen=rows.chosen(run),
        result=rows.result(run, point),
        ended=(run.cost_units, rows.whole_share(run))
        if run.job.state in TERMINAL
        else None,
    )


def at_the_end(run: Run) -> dict[str, Any]:
    """Return the tiles and the warning of a run that has ended, empty before: what it
    gave and has cost as a whole, which those of its last epoch could not tell."""
    if run.job.state not in TERMINAL:
        return {}
    return {
        "tiles": tiles_of(run, setting_of(run), rows.newest(run)),
        "alert": asdict(local_optimum.alert(run)),
    }


def epoch_messages(
    run: Run, after: int, most: int | None = None
) -> list[dict[str, Any]]:
    """Return what the browser needs of each epoch later than ``after``.

    ``charts`` holds those charts that cannot be extended and are drawn anew: scores
    and classes of the sets that were pruned in this epoch, both sets' classes at the
    first epoch, and what the method tells for the first time.  The tiles stand at the
    last message only, and with them the warning of a local optimum.
    """
    found = rows.read(run, max(after - 1, 0))
    known = found.pop(0) if found and found[0]["epoch"] <= after else None
    points = found[:most]
    if not points:
        return []
    setting = setting_of(run)
    messages = []
    for before, point in zip([known, *points], points, strict=False):
        messages.append(
            {
                "epoch": point["epoch"],
                "point": {**point, **drawing(setting, point)},
                "charts": _drawn_anew(setting, point)
                | _told_first(run, setting, before, point),
                "tiles": [],
            }
        )
    messages[-1]["tiles"] = tiles_of(run, setting, points[-1])
    messages[-1]["alert"] = asdict(local_optimum.alert(run))
    return messages


def _drawn_anew(setting: Setting, point: Point) -> dict[str, Figure]:
    if setting.plan.get("table"):
        return newest_charts(setting, point)
    if point["epoch"] > 1:
        return set_charts(setting, point, point["events"], list(point["events"]))
    found = set_charts(setting, point, point["events"], ("T", "V"))
    if point.get("chosen"):  # its lines begin with what went before the first epoch
        found["remaining"] = samples.remaining(
            [point], setting.epochs, setting.plan, waiting=setting.waiting
        )
    return found


def _told_first(
    run: Run, setting: Setting, before: Point | None, point: Point
) -> dict[str, Figure]:
    """Return the method's charts that the epoch before had no values for, up to this
    epoch."""
    new = set(method.names(point)) - set(method.names(before))
    if not new:
        return {}
    points = [each for each in rows.read(run) if each["epoch"] <= point["epoch"]]
    return {n: f for n, f in method_charts(setting, points).items() if n in new}
