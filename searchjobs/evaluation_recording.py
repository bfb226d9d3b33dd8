"""What the training of a cell tells -> its row: summary and curve."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from . import bell
from .claims import Claim
from .engine.events import CellEpoch, CellTrained, Event, JobStarted
from .models import Evaluation, Job
from .recording import Recording


class EvaluationRecording(Recording):
    """Write the events of one attempt at a training; an epoch stands once."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.evaluation = Evaluation.objects.only("uuid").get(job_id=claim.job_id)
        self.rings = self.evaluation.uuid
        self.look()

    def look(self) -> None:
        rows = Evaluation.objects.filter(pk=self.evaluation.pk)
        self.curve: list[dict[str, Any]] = rows.values_list("curve", flat=True).get()

    def write(self, event: Event) -> None:
        if isinstance(event, JobStarted):
            with self.fenced() as state:
                self.run_if_starting(state)
                Job.objects.filter(pk=self.claim.job_id).update(
                    environment=event.environment
                )
                self._update(data_fingerprint=event.data_fingerprint)
        elif isinstance(event, CellEpoch):
            self._epoch(event)
        elif isinstance(event, CellTrained):
            with self.fenced():
                self._update(
                    **event.model_dump(
                        include={"accuracy", "split", "parameters", "seconds"}
                    )
                )
            self.finished = True
        bell.ring(self.rings)

    def _epoch(self, event: CellEpoch) -> None:
        if event.epoch <= len(self.curve):
            return
        point = event.model_dump(mode="json", exclude={"type", "epochs"})
        curve = [*self.curve, point]
        with self.fenced():
            self._update(epoch=event.epoch, seconds=event.seconds, curve=curve)
            self.attempt().update(epochs=F("epochs") + 1)
        self.curve = curve

    def _update(self, **values: Any) -> None:
        Evaluation.objects.filter(pk=self.evaluation.pk).update(**values)


def forget(job: Job) -> str:
    """Drop what a training has found, because it begins anew; return its epochs."""
    rows = Evaluation.objects.filter(job=job)
    last = rows.values_list("epoch", flat=True).first()
    rows.update(epoch=0, accuracy=None, curve=[], seconds=0, parameters=None)
    return f"1-{last}" if last else "none"
