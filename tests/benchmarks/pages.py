"""Time the pages that show many runs or many samples: the server's part, real
PostgreSQL.

    python tests/benchmarks/pages.py [--runs N] [--epochs N] [--samples N] [--repeats N]

An experiment of N runs with N epochs each, its random control and the same search on
all samples, all ended and with a benchmark table: three times as many runs as are
asked for.  And two runs with N samples a set and twenty events of each set.  Printed
are the milliseconds of a request by Django's test client (view, queries and template;
no network and no browser), and the number of queries.  ``cold``: the process has
forgotten what it keeps of runs that have ended, and of files.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nasweb.settings.test")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import django

django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse
from django.utils import timezone

from nasweb import members
from nasweb.explorer.images import pictures
from nasweb.settings.parsers import artefact_storage
from searchjobs import benchmark
from searchjobs.models import (
    DatasetStatistics,
    EpochRecord,
    Experiment,
    Job,
    Queue,
    Run,
)
from tests import servers
from tests.benchmarks import explorer
from tests.factories import make_queue, make_team, make_user
from tests.site.factories import OPERATIONS, digits_spec, import_table, make_run

#: The best of each column of the table is kept as on a real site, not as in tests.
CACHE = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
#: What the issue asks of an experiment page with 20 runs of 100 epochs.
MOST_MILLISECONDS = 300
SELECTIONS = (
    {"name": "bdp"},
    {"name": "bdp", "criterion": "random"},
    {"name": "full"},
)


def fill(runs: int, epochs: int) -> list[Experiment]:
    """Make the experiments: epochs in bulk, copies of the first with other cells."""
    team, queue = make_team(), make_queue()
    user = make_user("mia", team)
    made = [experiment_of(user, queue, s, runs, epochs) for s in SELECTIONS]
    cells = sorted(set(EpochRecord.objects.values_list("genotype", flat=True)))
    import_table({cell: 54 + 40 * at / len(cells) for at, cell in enumerate(cells)})
    return made


def experiment_of(
    user: User, queue: Queue, selection: dict[str, str], runs: int, epochs: int
) -> Experiment:
    spec = digits_spec(epochs=epochs, selection=selection)
    team = user.memberships.get().team
    first = make_run(
        user, team, queue, name=str(selection), spec=spec, finished=1, state="succeeded"
    )
    made = [first] + [
        make_run(
            user,
            team,
            queue,
            seed=seed,
            spec=spec,
            state="succeeded",
            experiment=first.experiment,
        )
        for seed in range(2, runs + 1)
    ]
    for run in made:
        add_epochs(run, first, epochs)
    first.experiment.seeds = list(range(1, runs + 1))
    first.experiment.save()
    return first.experiment


def add_epochs(run: Run, like: Run, epochs: int) -> None:
    """Copy the first epoch of a run to all epochs of another one."""
    draw = random.Random(run.seed)
    space = benchmark.space_named("nas-bench-201")
    cells = [
        space.encode({"cell": [draw.choice(OPERATIONS) for _ in range(6)]})
        for _ in range(epochs)
    ]
    rows = benchmark.resolve("nas-bench-201", cells)
    record = EpochRecord.objects.get(run=like, epoch=1)
    sets = list(DatasetStatistics.objects.filter(run=like, epoch=1))
    have = {1} if run == like else set()
    share = 1.0 if run.job.spec["selection"]["name"] == "full" else 0.6
    records, statistics_ = [], []
    for epoch, cell in enumerate(cells, start=1):
        if epoch in have:
            continue
        record.pk, record.run, record.epoch = None, run, epoch
        record.genotype, record.architecture = cell, rows[cell]
        record.cost_units = share * run.baseline_units * epoch / epochs
        records.append(EpochRecord(**values_of(record)))
        for row in sets:
            row.pk, row.run, row.epoch = None, run, epoch
            statistics_.append(DatasetStatistics(**values_of(row)))
    EpochRecord.objects.bulk_create(records)
    DatasetStatistics.objects.bulk_create(statistics_)
    run.epoch, run.architecture = epochs, rows[cells[-1]]
    run.cost_units = share * run.baseline_units
    run.save()
    Job.objects.filter(pk=run.job_id).update(finished=timezone.now())


def values_of(row: EpochRecord | DatasetStatistics) -> dict[str, object]:
    fields = (field for field in row._meta.concrete_fields if not field.primary_key)
    return {field.attname: getattr(row, field.attname) for field in fields}


def forget() -> None:
    """Be as a process that has just started, but for the images."""
    members.forget()
    explorer.forget()


def time_page(
    client: Client, name: str, address: str, repeats: int, *, cold: bool = False
) -> float:
    """Print one line; return the median milliseconds."""
    client.get(address)
    taken, busy = [], []
    for _ in range(repeats):
        if cold:
            forget()
        begun, worked = time.perf_counter(), time.process_time()
        answer = client.get(address)
        taken.append(1000 * (time.perf_counter() - begun))
        busy.append(1000 * (time.process_time() - worked))
        assert answer.status_code == 200, answer.status_code
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    median = statistics.median(taken)
    size = len(answer.content) / 1000
    print(
        f"{name:<30} {median:6.0f} ms (best {min(taken):.0f}, worst {max(taken):.0f}), "
        f"{statistics.median(busy):5.0f} ms of the processor, "
        f"{len(queries):4d} queries {size:7.0f} kB"
    )
    return median


def time_runs(asked: argparse.Namespace, client: Client, claim: Experiment) -> float:
    """Print a line for each page of many runs; return that of the experiment."""
    runs = ",".join(str(run.uuid) for run in Run.objects.order_by("pk"))
    two = Run.objects.filter(seed=1).order_by("pk")
    pair = f"{reverse('analyses:pair')}?a={two[0].uuid}&b={two[2].uuid}"
    compare = f"{reverse('compare:index')}?runs={runs}"
    print(f"{asked.runs} runs of {asked.epochs} epochs, and as many of each control")
    experiment = reverse("experiments:detail", args=[claim.uuid])
    taken = time_page(client, "experiment", experiment, asked.repeats)
    for name, address in {
        "compare, three groups": compare,
        "compare, each run alone": f"{compare}&group=none",
        "analyses, all runs": f"{reverse('analyses:index')}?runs={runs}",
        "two searches, all seeds": pair,
    }.items():
        few = max(3, asked.repeats // 3)
        time_page(client, f"{name}, cold", address, few, cold=True)
        time_page(client, name, address, few)
    return taken


def time_samples(asked: argparse.Namespace, user: User, queue: Queue) -> None:
    """Print a line for the explorer of a run, and one for two of them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kept = artefact_storage("", folder / "artefacts")
        storages = {**settings.STORAGES, "artefacts": kept}
        with override_settings(NASWEB_HOME=folder, STORAGES=storages):
            options = argparse.Namespace(samples=asked.samples, events=20, side=8)
            client, (run, other) = explorer.make(folder, options, user, queue)
            pictures(run, wait=600)
            print(f"{asked.samples:,} samples a set, {options.events} events a set")
            overlap = reverse("runs:data-overlap", args=[run.uuid])
            for name, address in {
                "explorer": reverse("runs:data", args=[run.uuid]),
                "samples of two runs": f"{overlap}?with={other.uuid}",
            }.items():
                time_page(client, f"{name}, cold", address, asked.repeats, cold=True)
                time_page(client, name, address, asked.repeats)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=15)
    asked = parser.parse_args()
    with servers.databases(), override_settings(CACHES=CACHE):
        call_command("migrate", verbosity=0)
        claim, *_ = fill(asked.runs, asked.epochs)
        user = User.objects.get(username="mia")
        client = Client()
        client.force_login(user)
        taken = time_runs(asked, client, claim)
        time_samples(asked, user, Queue.objects.get())
    return 0 if taken < MOST_MILLISECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
