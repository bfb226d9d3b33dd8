"""What the check of a data set tells -> its row."""

from __future__ import annotations

from django.db.models.functions import Now

from . import bell
from .claims import Claim
from .engine.events import DatasetChecked, Event, JobStarted
from .models import Dataset, Job
from .recording import Recording


class DatasetRecording(Recording):
    """Write what a check tells: all at once, at its end."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.rings = claim.job_uuid

    def write(self, event: Event) -> None:
        if isinstance(event, JobStarted):
            with self.fenced() as state:
                self.run_if_starting(state)
                Job.objects.filter(pk=self.claim.job_id).update(
                    environment=event.environment
                )
        elif isinstance(event, DatasetChecked):
            with self.fenced():
                # The former check of a row, started again by hand, changes nothing.
                Dataset.objects.filter(check_job=self.claim.job_id).update(
                    classes=event.classes,
                    class_counts=event.class_counts,
                    image_size=event.image_size,
                    mean=event.mean,
                    std=event.std,
                    fingerprint=event.data_fingerprint,
                    unreadable=[file.model_dump() for file in event.unreadable],
                    unreadable_count=event.unreadable_count,
                    checked=Now(),
                )
            self.finished = True
        bell.ring(self.rings)


def forget(_job: Job) -> str:
    """Drop nothing: what the last whole check has found stays until the next tells
    more.  It has no epochs."""
    return ""
