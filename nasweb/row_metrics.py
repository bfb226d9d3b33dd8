"""What the rows tell of the installation, for Prometheus: a handful of queries.

Asked anew at each scrape, so the numbers are those of all sites and workers together.
While the database is away, ``nasweb_database_up`` is 0 and the rest is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import Error, connection
from django.db.models import Count, F, Min, Q, Sum
from django.db.models.functions import Now
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from searchjobs.liveness import is_answering
from searchjobs.models import Artefact, Attempt, Job, Queue, Slot, Worker
from searchjobs.states import HELD, State

MIB = 2**20
#: Of the waiting times of the last hour.
QUANTILES = (0.5, 0.9, 1.0)
_WAITS = """
    SELECT queue.name, count(*),
           percentile_cont(%s::float8[]) WITHIN GROUP
               (ORDER BY extract(epoch FROM job.started - job.created))
    FROM searchjobs_job job JOIN searchjobs_queue queue ON queue.id = job.queue_id
    WHERE job.started > now() - interval '1 hour'
    GROUP BY queue.name
"""


class Rows(Collector):
    """Reads the rows when it is asked."""

    def describe(self) -> Iterable[Metric]:
        return []  # otherwise registering it would ask the database

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("nasweb_database_up", "1 if PostgreSQL answers.")
        try:
            found = [
                *_jobs(),
                *_waits(),
                *_attempts(),
                *_workers(),
                *_slots(),
                *_artefacts(),
            ]
        except Error:
            found = []
        up.add_metric([], 1 if found else 0)
        yield up
        yield from found


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"nasweb_{name}", about, labels=labels)


def _jobs() -> list[Metric]:
    """Jobs by queue and state, and for how long the first of each queue waits."""
    count = _gauge(
        "jobs", "Jobs by queue and state; held ones wait apart.", "queue", "state"
    )
    oldest = _gauge("queue_oldest_seconds", "How long the oldest job waits.", "queue")
    paused = _gauge("queue_paused", "1 if nothing new starts.", "queue")
    waits = Q(state=State.QUEUED, held=False)
    rows = (
        Job.objects.values("queue", "state", "held")
        .annotate(count=Count("pk"), waiting=Now() - Min("queued", filter=waits))
        .order_by()
    )
    counts: dict[tuple[int, str], int] = {}
    waiting: dict[int, float] = {}
    for row in rows:
        held = row["held"] and row["state"] == State.QUEUED
        key = (row["queue"], "held" if held else row["state"])
        counts[key] = counts.get(key, 0) + row["count"]
        if row["waiting"] is not None:
            waiting[row["queue"]] = row["waiting"].total_seconds()
    for queue in Queue.objects.only("pk", "name", "paused"):
        for state in ("held", *map(str, State)):
            count.add_metric([queue.name, state], counts.get((queue.pk, state), 0))
        oldest.add_metric([queue.name], max(0.0, waiting.get(queue.pk, 0.0)))
        paused.add_metric([queue.name], int(queue.paused))
    return [count, oldest, paused]


def _waits() -> list[Metric]:
    """How long jobs that started in the last hour had waited since their launch."""
    seconds = _gauge(
        "wait_seconds",
        "From launch to first start, of jobs that started in the last hour.",
        "queue",
        "quantile",
    )
    count = _gauge(
        "started_last_hour", "Jobs that started for the first time.", "queue"
    )
    with connection.cursor() as cursor:
        cursor.execute(_WAITS, [list(QUANTILES)])
        rows = cursor.fetchall()
    for queue, started, values in rows:
        count.add_metric([queue], started)
        for quantile, value in zip(QUANTILES, values, strict=True):
            seconds.add_metric([queue, f"{quantile:g}"], max(0.0, value))
    return [seconds, count]


def _attempts() -> list[Metric]:
    outcome = CounterMetricFamily(
        "nasweb_attempts", "Attempts that have ended, by how.", labels=["outcome"]
    )
    running = _gauge("attempts_running", "Attempts that run.")
    lost = CounterMetricFamily(
        "nasweb_lease_expiries", "Attempts whose worker or process was lost."
    )
    rows = Attempt.objects.values_list("outcome").order_by()
    found = {
        name: (count, events or 0, epochs or 0)
        for name, count, events, epochs in rows.annotate(
            Count("pk"), Sum("events"), Sum("epochs")
        )
    }
    for name in Attempt.Outcome.values:
        count = found.get(name, (0, 0, 0))[0]
        if name == Attempt.Outcome.RUNNING:
            running.add_metric([], count)
        else:
            outcome.add_metric([name], count)
    lost.add_metric([], found.get(str(Attempt.Outcome.LOST), (0, 0, 0))[0])
    events = CounterMetricFamily(
        "nasweb_events",
        "Events of engines that were recorded.",
        value=sum(each[1] for each in found.values()),
    )
    epochs = CounterMetricFamily(
        "nasweb_epochs",
        "Epochs that were recorded.",
        value=sum(each[2] for each in found.values()),
    )
    return [outcome, running, lost, events, epochs]


def _workers() -> list[Metric]:
    state = _gauge("workers", "Workers that answer, and that do not.", "state")
    silent = _gauge("worker_silent_seconds", "Since its last beat.", "worker")
    free = _gauge("worker_disk_free_bytes", "Where runs keep their files.", "worker")
    total = _gauge("worker_disk_bytes", "Size of that disk.", "worker")
    clock = _gauge(
        "worker_clock_offset_seconds", "Ahead of the database's clock.", "worker"
    )
    rows = list(Worker.objects.annotate(silent=Now() - F("seen")))
    alive = sum(is_answering(row.silent) for row in rows)
    state.add_metric(["alive"], alive)
    state.add_metric(["lost"], len(rows) - alive)
    for row in rows:
        silent.add_metric([row.name], row.silent.total_seconds())
        for metric, value in (
            (free, row.disk_free),
            (total, row.disk_total),
            (clock, row.clock_offset),
        ):
            if value is not None:
                metric.add_metric([row.name], value)
    return [state, silent, free, total, clock]


#: Name, sentence, column of a slot, and what to multiply it by.
_LOADS = (
    (
        "gpu_utilisation_ratio",
        "Share of time in which it computed.",
        "utilisation",
        0.01,
    ),
    ("gpu_memory_used_bytes", "Memory in use.", "memory_used_mib", MIB),
    ("gpu_memory_bytes", "Memory of the GPU.", "memory_mib", MIB),
    ("gpu_temperature_celsius", "Temperature.", "temperature", 1),
    ("gpu_power_watts", "Power.", "power", 1),
)


def _slots() -> list[Metric]:
    """Slots by what they do, and the load of GPUs whose worker answers."""
    state = _gauge("slots", "Slots: idle, busy, draining, or lost.", "device", "state")
    about = ("worker", "slot", "gpu", "uuid")
    loads = [_gauge(name, text, *about) for name, text, *_ in _LOADS]
    rows = Slot.objects.select_related("worker", "job").annotate(
        silent=Now() - F("worker__seen")
    )
    counts = {
        (device, name): 0
        for device in Queue.Device.values
        for name in ("idle", "busy", "draining", "lost")
    }
    for row in rows.defer("job__spec", "job__log_tail", "job__progress"):
        counts[row.device, _state_of(row)] += 1
        if row.device != Queue.Device.GPU or not is_answering(row.silent):
            continue
        labels = [row.worker.name, str(row.number), row.device_name, row.gpu_uuid]
        for metric, (_, _, column, factor) in zip(loads, _LOADS, strict=True):
            value = getattr(row, column)
            if value is not None:
                metric.add_metric(labels, value * factor)
    for (device, name), count in counts.items():
        state.add_metric([device, name], count)
    return [state, *loads]


def _state_of(slot: Any) -> str:
    if not is_answering(slot.silent):
        return "lost"
    if slot.drain_requested or slot.worker.drain_requested:
        return "draining"
    return "busy" if slot.job is not None and slot.job.state in HELD else "idle"


def _artefacts() -> list[Metric]:
    size = _gauge("artefact_bytes", "Files of runs in the shared storage.")
    count = _gauge("artefacts", "How many they are.")
    found = Artefact.objects.aggregate(size=Sum("size"), count=Count("pk"))
    size.add_metric([], found["size"] or 0)
    count.add_metric([], found["count"])
    return [size, count]
