"""Time claims: thousands of queued runs, dozens of slots, real PostgreSQL.

    python tests/benchmarks/claims.py [--jobs N] [--slots N] [--hold SECONDS]

First one slot alone, with 100 jobs waiting and with all of them; then all slots at
once, a thread and a connection each, until the queue is empty.  A claim of the second
table waits for its turn behind those of all other slots, which claim without a pause:
its seconds are those of a burst.  Order, limits and holds are checked afterwards.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nasweb.settings.test")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import django

django.setup()

from django.core.management import call_command
from django.db import connection

from searchjobs.claims import claim
from searchjobs.models import Attempt, Job, Slot
from searchjobs.states import State
from tests import servers
from tests.jobs.claim_load import (
    Size,
    analyse,
    end_quickly,
    faults_of_order,
    fill,
    work_off,
)


def alone(slot: Slot, claims: int = 300) -> list[float]:
    """Return the milliseconds of claims of one slot; nobody else claims."""
    found = []
    for _ in range(claims):
        begun = time.perf_counter()
        taken = claim(slot)
        found.append(1000 * (time.perf_counter() - begun))
        assert taken is not None
        end_quickly(taken)
        Job.objects.filter(pk=taken.job_id).update(state=State.QUEUED)
    return found


def show(what: str, milliseconds: list[float]) -> None:
    cuts = statistics.quantiles(milliseconds, n=100)
    print(f"{what:<34} p50 {cuts[49]:8.2f} ms   p99 {cuts[98]:8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--hold", type=float, default=0.0, help="seconds a job")
    options = parser.parse_args()
    with servers.databases():
        call_command("migrate", verbosity=0)
        size = Size(options.jobs, options.slots)
        line = fill(size)
        held = set(Job.objects.order_by("pk").values_list("pk", flat=True)[100:])
        Job.objects.filter(pk__in=held).update(state=State.PAUSED)
        show("one slot, 100 jobs wait", alone(line.slots[0]))
        Job.objects.filter(pk__in=held).update(state=State.QUEUED)
        analyse()
        show(f"one slot, {options.jobs} jobs wait", alone(line.slots[0]))
        Attempt.objects.all().delete()
        Job.objects.update(fence=0)
        done = work_off(
            line, most=options.jobs, seconds_a_job=options.hold, finish=end_quickly
        )
        show(f"{options.slots} slots at once", [1000 * each for each in done.claims])
        print(
            f"{len(done.claims)} claims in {done.wall:.1f} s: {done.rate:.0f} a second"
        )
        print(f"most at one time in the limited queue: {done.most}")
        print("; ".join(faults_of_order(line)) or "order, holds and uniqueness: right")
        connection.close()


if __name__ == "__main__":
    main()
