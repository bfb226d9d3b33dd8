"""Tiny searches on real digits, workers' rows, and an attempt on a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from nasweb.settings.parsers import artefact_storage
from searchjobs.claims import Claim, claim
from searchjobs.launch import launch
from searchjobs.models import EpochRecord, Job, Queue, Slot, Team, Worker
from searchjobs.states import HELD

Launch = Callable[..., list[Job]]


def tiny(epochs: int = 3, **training: Any) -> dict[str, Any]:
    """A search of digits at C=2, N=1: an epoch takes a tenth of a second."""
    return {
        "space": {"name": "nas-bench-201", "channels": 2, "cells": 1},
        "dataset": {"name": "digits", "per_class": 20},
        "selection": {
            "name": "bdp",
            "window": 2,
            "prune_train": 0.1,
            "prune_valid": 0.1,
            "class_limit": False,
        },
        "training": {"epochs": epochs, "batch_size": 25, "alpha_lr": 0.01, **training},
        "diagnostics": {"probe_samples": 32, "eigenvalue_every": 0},
        "compute": {"device": "cpu", "threads": 1},
    }


def make_slot(name: str = "worker@here", number: int = 0, **columns: Any) -> Slot:
    """Make a slot, by default of the CPU, and its worker if there is none."""
    now = timezone.now()
    worker, _ = Worker.objects.get_or_create(
        name=name, defaults={"started": now, "seen": now, "host": "here"}
    )
    return Slot.objects.create(worker=worker, number=number, **columns)


def take(slot: Slot) -> Claim | None:
    """Claim by this slot, or by a new one of its worker if it has a job already."""
    slot.refresh_from_db()
    if slot.job is not None and slot.job.state in HELD:
        number = Slot.objects.filter(worker=slot.worker).count()
        slot = make_slot(slot.worker.name, number, device=slot.device)
    return claim(slot)


def order_of_claims(slot: Slot) -> list[int]:
    """Claim until nothing is left; return the jobs' keys."""
    found = []
    while taken := take(slot):
        found.append(taken.job_id)
    return found


def epochs_of(job: Job) -> list[int]:
    """Return the recorded epochs of a job's run, in order."""
    records = EpochRecord.objects.filter(run__job=job)
    return list(records.values_list("epoch", flat=True))


def told(job: Job) -> list[tuple[Any, ...]]:
    """Return what a search found, epoch by epoch, without its clock readings."""
    columns = ("epoch", "alpha", "train_loss", "valid_loss", "genotype", "report__sets")
    return list(EpochRecord.objects.filter(run__job=job).values_list(*columns))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, settings: Any) -> None:
    settings.NASWEB_RUNS_DIR = tmp_path / "runs"
    use_artefacts_folder(settings, tmp_path / "artefacts")


def use_artefacts_folder(settings: Any, folder: Path) -> None:
    """Keep the artefacts of this test in a folder of its own."""
    settings.NASWEB_ARTEFACTS_DIR = folder
    settings.STORAGES = {
        **settings.STORAGES,
        "artefacts": artefact_storage("", folder),
    }


@pytest.fixture
def slot(cpu_queue: Queue) -> Slot:
    """A slot that serves the CPU queue."""
    return make_slot()


@pytest.fixture
def launched(user: User, team: Team, cpu_queue: Queue) -> Launch:
    """A function that launches a tiny search and returns its jobs in seed order."""

    def go(seeds: tuple[int, ...] = (1,), **options: Any) -> list[Job]:
        spec = options.pop("spec", None) or tiny(options.pop("epochs", 3))
        author = options.pop("actor", user)
        experiment = launch(author, team, "tiny", spec, seeds, **options)
        return list(Job.objects.filter(run__experiment=experiment).order_by("id"))

    return go
