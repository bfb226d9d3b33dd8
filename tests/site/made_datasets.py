"""Data sets for the pages' tests: their check has ended, and left samples."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from searchjobs.artefacts import storage
from searchjobs.engine.check import NAME
from searchjobs.models import Dataset, Job, Queue, Team
from searchjobs.states import State


def checked(
    user: User,
    team: Team,
    queue: Queue,
    *,
    classes: int = 3,
    name: str = "Pets",
    side: int = 8,
    **columns: Any,
) -> Dataset:
    """Make a data set whose check has ended and left samples."""
    job = Job.objects.create(
        kind=Job.Kind.CHECK,
        team=team,
        author=user,
        spec={},
        state=State.SUCCEEDED,
        queue=queue,
        fence=1,
        queued=timezone.now(),
    )
    given: dict[str, Any] = {
        "source": {"name": "npz", "path": "/data/pets.npz"},
        "classes": [f"class {number}" for number in range(classes)],
        "class_counts": [100 + number for number in range(classes)],
        "image_size": side,
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.25, 0.3],
        "fingerprint": "0123456789abcdef",
        "checked": timezone.now(),
    }
    dataset = Dataset.objects.create(
        team=team, name=name, author=user, check_job=job, **{**given, **columns}
    )
    labels = np.repeat(np.arange(classes), 24)
    pixels = np.zeros((len(labels), 3, side, side), dtype=np.uint8)
    pixels[:, 0] = labels[:, None, None]
    pixels[:, 1] = (np.arange(len(labels)) % 24)[:, None, None]
    buffer = io.BytesIO()
    np.savez(buffer, pixels=pixels, labels=labels, ids=np.arange(len(labels)))
    path = storage().save(f"{job.uuid}/1/{NAME}", ContentFile(buffer.getvalue()))
    job.artefacts.create(name=NAME, fence=1, path=path, size=buffer.tell())
    return dataset


def text(answer: HttpResponse) -> str:
    return answer.content.decode()


def page_of(dataset: Dataset, verb: str = "detail") -> str:
    return reverse(f"datasets:{verb}", args=[dataset.uuid])
