"""The page of a search on a benchmark table: charts, tiles and the picks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasweb.figures import alpha, magnitudes, repeats
from nasweb.figures.theme import Figure, Point
from searchjobs import benchmark

from .setting import Setting
from .tiles import Tile, tile

_OPERATIONS_NOTE = "share of the edges of all repeats' picks · ◆ peak of an operation"


def table_of(setting: Setting) -> Mapping[str, Any]:
    """Return the ``TablePlan`` of a run, empty for a search that trains."""
    return setting.plan.get("table") or {}


def table_charts(setting: Setting, points: Sequence[Point]) -> dict[str, Figure]:
    """Return the charts of the live tab by name."""
    epochs, wait = setting.epochs, setting.waiting
    last = points[-1] if points else None
    return {
        "best": repeats.best_so_far(
            points,
            epochs,
            table_of(setting),
            label=benchmark.DATASETS[setting.dataset],
            optimum=setting.optimum.get(setting.dataset),
            waiting=wait,
        ),
        **newest_charts(setting, last),
        "alpha": alpha.heatmap(last, setting.edges, setting.operations, waiting=wait),
        "magnitudes": magnitudes.magnitudes(
            points,
            epochs,
            setting.operations,
            waiting=wait,
            xaxis=repeats.time_axis(epochs, table_of(setting)["budget"]),
            note=_OPERATIONS_NOTE,
        ),
    }


def newest_charts(setting: Setting, point: Point | None) -> dict[str, Figure]:
    """Return what every point draws anew."""
    label = benchmark.DATASETS[setting.dataset]
    return {"picks": repeats.distribution(point, label=label, waiting=setting.waiting)}


def table_tiles(setting: Setting, point: Point | None) -> list[Tile]:
    """Return the tiles of the newest point."""
    table, label = table_of(setting), benchmark.DATASETS[setting.dataset]
    report = (point or {}).get("repeats")
    count = f"{table['repeats']:,} repeats"
    if not report:
        nothing = "no repeat has finished an evaluation"
        return [
            tile("pick", f"Picks, {label} test", "–", nothing),
            tile("seen", "Seen by the search", "–", table["signal"]),
            tile("lookups", "Look-ups of a repeat", "–", nothing),
            tile("seconds", "Simulated seconds", "–", f"of {table['budget']:,.0f}"),
            tile("top", "Most frequent pick", "–", nothing),
        ]
    test = report["accuracies"][setting.dataset]["test"]
    picked = report["top"][0][1]
    return [
        tile(
            "pick",
            f"Picks, {label} test",
            spread(test),
            f"table look-up, 200 epochs · n = {count}",
        ),
        tile("seen", "Seen by the search", spread(report["signal"]), table["signal"]),
        tile(
            "lookups",
            "Look-ups of a repeat",
            f"{report['evaluations']:.1f}",
            "mean; nothing is trained, nothing is paid",
        ),
        tile(
            "seconds",
            "Simulated seconds",
            f"{report['seconds']:,.0f}",
            f"of {table['budget']:,.0f}, as the benchmark recorded them",
        ),
        tile(
            "top",
            "Most frequent pick",
            f"{picked:,}",
            f"of {count} hold the same cell",
        ),
    ]


def top_rows(space: str, point: Point | None) -> list[dict[str, Any]]:
    """Return the architectures that most repeats hold, with their table values."""
    report = (point or {}).get("repeats")
    if not report:
        return []
    known = benchmark.lookup(space, [encoding for encoding, _ in report["top"]])
    rows = []
    for encoding, count in report["top"]:
        entry = known.get(encoding)
        values = [
            entry.get(name, "test") if entry else None for name in benchmark.DATASETS
        ]
        rows.append(
            {
                "architecture": encoding,
                "count": count,
                "share": count / report["repeats"],
                "values": [value.value if value else None for value in values],
            }
        )
    return rows


def accuracy_rows(point: Point | None) -> list[dict[str, str]]:
    """Return mean ± std over the repeats of the picks, by data set and split."""
    report = (point or {}).get("repeats")
    if not report:
        return []
    return [
        {
            "label": benchmark.DATASETS[name],
            "valid": spread(splits["valid"]),
            "test": spread(splits["test"]),
        }
        for name, splits in report["accuracies"].items()
    ]


def spread(values: Mapping[str, float | None]) -> str:
    """Write mean ± std, per cent."""
    if values["std"] is None:
        return f"{values['mean']:.2f} %"
    return f"{values['mean']:.2f} ± {values['std']:.2f} %"
