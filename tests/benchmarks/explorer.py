"""Time the explorer's pages: 50,000 samples a set, 20 events each, real PostgreSQL.

    python tests/benchmarks/explorer.py [--samples N] [--events N] [--side S]

Milliseconds at the server, of Django's whole answer to one request, with its number
of queries.  ``first``: a process that has read no file of the run yet (the images are
read before, once a data set and site); ``then``: the median of the next ones;
``CPU``: what of the two was computed here, without waiting for database or disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nasweb.settings.test")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import django

django.setup()

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse

from nasweb.explorer import events as explorer_events
from nasweb.explorer import subject as explorer_subject
from nasweb.explorer.images import pictures
from nasweb.settings.parsers import artefact_storage
from searchjobs.engine.data.source import Images, sources
from searchjobs.models import Queue, Run
from tests import servers
from tests.factories import make_queue, make_team, make_user
from tests.site.explorer.made_up import on_images, prune
from tests.site.factories import digits_spec, make_run


def images_of(folder: Path, count: int, side: int) -> tuple[dict[str, Any], Images]:
    """Write made-up images of ten classes; return the spec's section, and them."""
    draw = np.random.default_rng(1)
    path = folder / "images.npz"
    np.savez(
        path,
        images=draw.integers(0, 256, (count, side, side, 3), dtype=np.uint8),
        labels=draw.integers(0, 10, count),
    )
    section = {"name": "npz", "path": str(path)}
    source = sources.get("npz")
    return section, source.load(source.Options.model_validate(section))


def make(
    folder: Path, options: argparse.Namespace, user: User, queue: Queue
) -> tuple[Client, list[Run]]:
    """Make two runs with 100 epochs and their events; return the user's client."""
    section, images = images_of(folder, 2 * options.samples, options.side)
    team = user.memberships.get().team
    every = 100 // options.events
    selection = {"name": "bdp", "window": max(every, 2)}
    spec = digits_spec(epochs=100, dataset=section, selection=selection)
    runs = []
    for seed in (1, 2):
        run = make_run(
            user, team, queue, name=f"run {seed}", spec=spec, finished=100, seed=seed
        )
        on_images(run, images)
        labels = images.labels.numpy()
        for name in ("T", "V"):
            prune(run, name, labels, options.events, every, seed)
        runs.append(run)
    client = Client()
    client.force_login(user)
    return client, runs


def forget() -> None:
    """Be as a process that has just started, but for the images."""
    explorer_events.forget()
    explorer_subject.forget()


def measure(client: Client, what: str, address: str, repeats: int = 15) -> None:
    """Print milliseconds and queries of an address."""
    forget()
    found, cpu = [], []
    for _ in range(repeats):
        with CaptureQueriesContext(connection) as queries:
            begun, computed = time.perf_counter(), time.process_time()
            answer = client.get(address)
            found.append(1000 * (time.perf_counter() - begun))
            cpu.append(1000 * (time.process_time() - computed))
        assert answer.status_code == 200, answer.status_code
    print(
        f"{what:<26} first {found[0]:6.0f} ms (CPU {cpu[0]:4.0f})   "
        f"then {statistics.median(found[1:]):6.0f} ms "
        f"(CPU {statistics.median(cpu[1:]):4.0f})   {len(queries):2} queries"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=50_000, help="of a set")
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--side", type=int, default=32, help="pixels")
    options = parser.parse_args()
    with servers.databases(), tempfile.TemporaryDirectory() as place:
        call_command("migrate", verbosity=0)
        folder = Path(place)
        storages = {
            **settings.STORAGES,
            "artefacts": artefact_storage("", folder / "artefacts"),
        }
        with override_settings(NASWEB_HOME=folder, STORAGES=storages):
            user = make_user("mia", make_team())
            client, (run, other) = make(folder, options, user, make_queue())
            begun = time.perf_counter()
            pictures(run, wait=600)
            seconds = time.perf_counter() - begun
            print(
                f"{options.samples:,} samples a set, {options.events} events a set, "
                f"{options.side}x{options.side} pixels; images read once: "
                f"{seconds:.1f} s"
            )
            client.get("/")  # templates, first connection
            of_run = [run.uuid]
            data = reverse("runs:data", args=of_run)
            sheet = reverse("runs:data-sheet", args=of_run)
            ids = ",".join(str(17 * number) for number in range(96))
            image = reverse("runs:data-image", args=[run.uuid, 4])
            overlap = reverse("runs:data-overlap", args=of_run)
            for what, address in (
                ("tab, the last event", data),
                ("tab, the first event", f"{data}?epoch={100 // options.events}"),
                ("tab, all that T had", f"{data}?show=all"),
                ("gallery alone, one class", f"{data}gallery/?show=in&class=3"),
                ("one image and why", image),
                ("sheet of 96 images", f"{sheet}?ids={ids}"),
                ("two runs", f"{overlap}?with={other.uuid}"),
            ):
                measure(client, what, address)
        connection.close()


if __name__ == "__main__":
    main()
