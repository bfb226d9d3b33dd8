"""What the making of a subset tells -> its row."""

from __future__ import annotations

from . import bell
from .claims import Claim
from .engine.events import Event, JobStarted, SubsetMade
from .models import Job, Subset
from .recording import Recording


class SubsetRecording(Recording):
    """Write what the making of a subset tells."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.subset = Subset.objects.only("uuid").get(job_id=claim.job_id)
        self.rings = self.subset.uuid

    def write(self, event: Event) -> None:
        rows = Subset.objects.filter(pk=self.subset.pk)
        if isinstance(event, JobStarted):
            with self.fenced() as state:
                self.run_if_starting(state)
                Job.objects.filter(pk=self.claim.job_id).update(
                    environment=event.environment
                )
                rows.update(data_fingerprint=event.data_fingerprint)
        elif isinstance(event, SubsetMade):
            told = event.model_dump(
                mode="json", include={"sets", "cost_units", "seconds", "peak_memory"}
            )
            with self.fenced():
                rows.update(**told)
            self.finished = True
        bell.ring(self.rings)


def forget(job: Job) -> str:
    """Drop what a job has found, because it begins anew; it has no epochs."""
    Subset.objects.filter(job=job).update(
        data_fingerprint="", sets={}, cost_units=0, seconds=0, peak_memory=None
    )
    return "none"
