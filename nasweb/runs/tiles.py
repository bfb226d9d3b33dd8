"""The five tiles: one look tells whether the search is healthy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from .words import per_cent

COLLAPSED_SHARE = 2 / 3
"""From this share of parameter-free edges on, the tile warns.  A search that
collapses takes skip, pool and none alike, so all three are counted."""
EIGENVALUE_WINDOW = 3
"""Measurements on either side of the comparison that gives the trend."""


class Tile(TypedDict):
    key: str
    label: str
    value: str
    unit: str
    note: str
    tone: str


def tiles(
    point: Mapping[str, Any] | None,
    *,
    sizes: Mapping[str, int],
    dataset: str,
    dataset_label: str,
    table_loaded: bool,
    why_no_table: str = "",
    optimum: float | None,
    eigenvalues: Sequence[float],
    eigenvalue_every: int,
    chosen: Mapping[str, int] | None = None,
    result: Mapping[str, Any] | None = None,
    ended: tuple[float, float | None] | None = None,
) -> list[Tile]:
    """Return the tiles for the newest epoch; ``point`` is None before the first.

    ``dataset`` is the key of the table's column, ``optimum`` its best test accuracy,
    ``why_no_table`` why there can be none, ``eigenvalues`` the last measurements,
    oldest first, ``chosen`` the samples of each set that was chosen before the first.
    ``result`` holds the architecture that an ended run gave, where it is not the
    genotype of the last epoch.  ``ended`` holds what a run has cost that has ended, its
    derivation included: cost units, and their share of the whole search's.
    """
    genotype = _genotype(
        result or point, dataset, dataset_label, table_loaded, why_no_table, optimum
    )
    if result is not None:
        genotype["label"] = genotype["label"].replace("Genotype now", "Result")
        genotype["note"] += f" · taken at epoch {result['epoch']}"
    sets = (point or {}).get("sets") or {}
    left = {name: state["remaining"] for name, state in sets.items()}
    return [
        genotype,
        samples(sizes, left or chosen or {}),
        _whole_cost(*ended) if ended else _cost(point),
        _parameter_free(result or point),
        _eigenvalue(eigenvalues, eigenvalue_every),
    ]


def tile(
    key: str, label: str, value: str, note: str, *, unit: str = "", tone: str = ""
) -> Tile:
    """Return a tile; ``key`` is what the browser finds it by."""
    return {
        "key": key,
        "label": label,
        "value": value,
        "unit": unit,
        "note": note,
        "tone": tone,
    }


def _genotype(
    point: Mapping[str, Any] | None,
    dataset: str,
    dataset_label: str,
    table_loaded: bool,
    why_no_table: str,
    optimum: float | None,
) -> Tile:
    values = ((point or {}).get("table") or {}).get(dataset)
    if values and values.get("test") is not None:
        note = f"table look-up · rank {values['rank']:,} of {values['of']:,}"
        if optimum is not None:
            note += f" · optimum {optimum:.2f}"
        return tile(
            "genotype",
            f"Genotype now, {dataset_label} test",
            f"{values['test']:.2f} %",
            note,
        )
    inherited = (point or {}).get("inherited_accuracy")
    if table_loaded:
        note = "on V, weights of the supernet · this cell is not in the table"
    elif why_no_table:
        note = "on V, weights of the supernet · in no table: train it from scratch"
    else:
        note = (
            "on V, weights of the supernet · no table yet: "
            "manage.py import_nasbench201 PATH"
        )
    if point is None and table_loaded:
        note = "looked up in the table after each epoch"
    return tile("genotype", "Genotype now, not trained", per_cent(inherited), note)


def samples(sizes: Mapping[str, int], told: Mapping[str, int]) -> Tile:
    """Return the tile of what remains; a set that is not ``told`` is whole."""
    total = sum(sizes.values())
    if not total:
        note = "known once the search has started"
        return tile("samples", "Samples that remain", "–", note)
    left = {**sizes, **told}
    note = " · ".join(
        f"{name} {left[name]:,} of {sizes[name]:,}" for name in sorted(sizes)
    )
    share = per_cent(sum(left.values()) / total)
    return tile("samples", "Samples that remain", share, note)


def _cost(point: Mapping[str, Any] | None) -> Tile:
    share = (point or {}).get("cost_share")
    if point is None or share is None:
        note = "counted in passes over samples, from the first epoch on"
        return tile("cost", "Search cost so far", "–", note)
    note = f"of the same search without pruning · {point['cost_units']:,.0f} cost units"
    return tile("cost", "Search cost so far", f"{share:.2f} ×", note)


def _whole_cost(units: float, share: float | None) -> Tile:
    note = f"of the whole search without pruning · {units:,.0f} cost units"
    value = "–" if share is None else f"{share:.2f} ×"
    return tile("cost", "Search cost", value, note)


def _parameter_free(point: Mapping[str, Any] | None) -> Tile:
    label = "Parameter-free operations"
    if point is None:
        return tile("skips", label, "–", "skip, pool and none, from the first epoch on")
    edges = len(point["cell"]) or 1
    free = point.get("parameter_free") or 0
    kinds = f"{point['skips']} skip, {point.get('nones') or 0} none"
    if point.get("connected") is False:
        note, tone = "output not connected to the input", "danger"
    elif free >= edges:
        note, tone = "collapsed: no edge holds weights", "danger"
    elif free >= COLLAPSED_SHARE * edges:
        note, tone = "close to collapse", "warning"
    else:
        note, tone = "no sign of collapse", ""
    return tile(
        "skips",
        label,
        str(free),
        f"{kinds} · {note}",
        unit=f"of {edges} edges",
        tone=tone,
    )


def _eigenvalue(values: Sequence[float], every: int) -> Tile:
    label = "Dominant eigenvalue"
    if not every:
        return tile("eigenvalue", label, "–", "switched off in this spec")
    if not values:
        return tile(
            "eigenvalue", label, "–", f"of the alpha Hessian, every {every} epochs"
        )
    newest = f"{values[-1]:.3g}"
    window = EIGENVALUE_WINDOW
    if len(values) < 2 * window:
        note = f"alpha Hessian, fixed samples of V · {len(values)} measured"
        return tile("eigenvalue", label, newest, note)
    before = sum(values[-2 * window : -window]) / window
    now = sum(values[-window:]) / window
    trend = "steady"
    if abs(now - before) > 0.05 * max(abs(before), 1e-12):
        trend = "rising" if now > before else "falling"
    note = f"window {before:.3g} → {now:.3g} · {trend}"
    return tile(
        "eigenvalue", label, newest, note, tone="warning" if trend == "rising" else ""
    )
