"""How long runs take, from ended runs that were like them.

Like it: the same search space with the same supernet, data set, image size and
backend, on as many devices of the same kind.  What is measured is the rate, seconds
on a slot per forward-equivalent sample; times the samples that are planned it gives
a time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from searchjobs.engine.events import Plan
from searchjobs.engine.spec import SearchSpec
from searchjobs.models import Attempt, Queue, Run
from searchjobs.permissions import User, visible
from searchjobs.states import State

#: Newest ended runs that are looked at.
MOST_RUNS = 400
#: Fewer have no quartiles worth the name: their whole range is told instead.
LEAST_FOR_QUARTILES = 4
#: What makes runs alike, as paths into a spec.
_ALIKE = (
    "space",
    "dataset__name",
    "dataset__image_size",
    "compute__backend",
)

Shape = tuple[str, ...]
"""What of a spec decides about the rate, as text that compares."""


@dataclass(frozen=True)
class Rate:
    """Seconds per forward-equivalent sample: median, half the range of the quartiles
    (of all values where there are few), and of how many runs."""

    seconds: float
    spread: float
    runs: int


@dataclass(frozen=True)
class Estimate:
    """Seconds of one run, of the same without pruning, and from how many runs."""

    seconds: float
    baseline_seconds: float
    runs: int


def kind_of(device: str, device_name: str) -> str:
    """Return what rates are told apart by: the model of a GPU, or the CPU."""
    return device_name or "GPU" if device == Queue.Device.GPU else "CPU"


def shape_of(spec: Mapping[str, Any], devices: int = 1) -> Shape:
    """Return the shape of a run with this spec on so many devices."""
    return _shape([_part(spec, path) for path in _ALIKE], devices)


def rates(
    runs: QuerySet[Run], shapes: Sequence[Shape] | None = None
) -> dict[tuple[Shape, str], Rate]:
    """Return the rates of ended runs by shape and kind of device; one query.

    Args:
        runs: those that may be looked at.
        shapes: only these; None: all that are found among the newest.
    """
    wanted = None if shapes is None else set(shapes)
    found: dict[tuple[Shape, str], list[float]] = defaultdict(list)
    for searched, evaluated, units, device, name, devices, *parts in _ended(runs):
        shape = _shape(parts, devices)
        if wanted is None or shape in wanted:
            seconds = (searched + evaluated) / units
            found[shape, kind_of(device, name)].append(seconds)
    return {key: _rate(values) for key, values in found.items()}


def seconds(user: User, spec: SearchSpec, plan: Plan) -> Estimate | None:
    """Return the expected time of a run, None if no run like it has ended.

    The spec says no more than "auto" about the device: the kind of which most runs
    like it are known is taken.
    """
    return seconds_of_each(user, [(spec, plan)])[0]


def seconds_of_each(
    user: User, planned: Sequence[tuple[SearchSpec, Plan]]
) -> list[Estimate | None]:
    """Return the expected time of each of several runs; one query for all."""
    shapes = [
        shape_of(spec.model_dump(mode="json"), spec.compute.devices)
        for spec, _ in planned
    ]
    known = rates(visible(Run, user), shapes) if shapes else {}
    return [
        _estimate(spec, plan, {kind: r for (s, kind), r in known.items() if s == shape})
        for (spec, plan), shape in zip(planned, shapes, strict=True)
    ]


def _estimate(
    spec: SearchSpec, plan: Plan, known: Mapping[str, Rate]
) -> Estimate | None:
    wanted = {
        "cpu": {"CPU"},
        "cuda": set(known) - {"CPU"},
    }.get(spec.compute.device, set(known))
    fitting = [rate for kind, rate in known.items() if kind in wanted]
    if not fitting:
        return None
    rate = max(fitting, key=lambda each: each.runs)
    return Estimate(
        rate.seconds * plan.cost_units,
        rate.seconds * plan.baseline_units,
        rate.runs,
    )


def _ended(runs: QuerySet[Run]) -> QuerySet[Run, tuple[Any, ...]]:
    """Return the newest successes that ran on one kind of device from end to end."""
    last = Attempt.objects.filter(job=OuterRef("job")).order_by("-number")
    other = Attempt.objects.filter(job=OuterRef("job"), epochs__gt=0).exclude(
        device_name=OuterRef("device_name")
    )
    return (
        runs.filter(job__state=State.SUCCEEDED, cost_units__gt=0, seconds_search__gt=0)
        .annotate(
            device=Subquery(last.values("device")[:1]),
            device_name=Subquery(last.values("device_name")[:1]),
            devices=Subquery(last.values("devices")[:1]),
        )
        .filter(~Exists(other), device__isnull=False)
        .order_by("-pk")
        .values_list(
            "seconds_search",
            "seconds_evaluation",
            "cost_units",
            "device",
            "device_name",
            "devices",
            *(f"experiment__spec__{path}" for path in _ALIKE),
        )[:MOST_RUNS]
    )


def _rate(values: list[float]) -> Rate:
    spread = (max(values) - min(values)) / 2
    if len(values) >= LEAST_FOR_QUARTILES:
        low, _, high = quantiles(values, n=4, method="inclusive")
        spread = (high - low) / 2
    return Rate(median(values), spread, len(values))


def _shape(parts: Sequence[Any], devices: int) -> Shape:
    return (str(devices), *(json.dumps(part, sort_keys=True) for part in parts))


def _part(spec: Mapping[str, Any], path: str) -> Any:
    found: Any = spec
    for step in path.split("__"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found
