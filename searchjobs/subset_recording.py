"""What the making of a subset tells -> its row."""

from __future__ import annotations

from typing import Any

from . import bell
from .claims import Claim
from .engine.batch import SetName
from .engine.events import Event, JobStarted, SamplesPruned, SubsetMade
from .models import Job, Subset
from .recording import Recording


class SubsetRecording(Recording):
    """Write what the making of a subset tells."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.subset = Subset.objects.only("uuid").get(job_id=claim.job_id)
        self.rings = self.subset.uuid
        self._classes: list[str] = []
        self._chosen: dict[str, SamplesPruned] = {}

    def write(self, event: Event) -> None:
        rows = Subset.objects.filter(pk=self.subset.pk)
        if isinstance(event, JobStarted):
            self._classes = event.classes
            with self.fenced() as state:
                self.run_if_starting(state)
                Job.objects.filter(pk=self.claim.job_id).update(
                    environment=event.environment
                )
                rows.update(data_fingerprint=event.data_fingerprint)
        elif isinstance(event, SamplesPruned):
            self._chosen[event.set] = event
        elif isinstance(event, SubsetMade):
            told = event.model_dump(
                mode="json", include={"cost_units", "seconds", "peak_memory"}
            )
            told["sets"] = {name: self._set(event, name) for name in event.sets}
            with self.fenced():
                rows.update(**told)
            self.finished = True
        bell.ring(self.rings)

    def _set(self, event: SubsetMade, name: SetName) -> dict[str, Any]:
        chosen = self._chosen[name].model_dump(mode="json", exclude={"type"})
        told = event.sets[name].model_dump(mode="json")
        return {**told, "classes": self._classes, "event": chosen}


def forget(job: Job) -> str:
    """Drop what a job has found, because it begins anew; it has no epochs."""
    Subset.objects.filter(job=job).update(
        data_fingerprint="", sets={}, cost_units=0, seconds=0, peak_memory=None
    )
    return ""
