"""Forms of a queue: the model's own rules, and a label and a sentence a field."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from searchjobs.models import Queue
from searchjobs.queue_control import KIND, LIMITS


class NewQueueForm(forms.ModelForm):
    """What a new queue needs; limits come later."""

    class Meta:
        model = Queue
        fields = ("name", *KIND)
        labels: ClassVar[dict[str, Any]] = {
            "gpu_pattern": "GPUs by name",
            "min_memory_gib": "Least memory of a GPU, GiB",
        }


class KindForm(NewQueueForm):
    """For which devices a queue is."""

    class Meta(NewQueueForm.Meta):
        fields = KIND  # type: ignore[assignment]


class LimitsForm(forms.ModelForm):
    """How much of a queue may run at one time, and for how long."""

    class Meta:
        model = Queue
        fields = LIMITS
        labels: ClassVar[dict[str, Any]] = {
            "max_running": "Slots at one time",
            "max_running_team": "Runs of one team",
            "max_running_user": "Runs of one user",
            "max_hours": "Hours of a run",
            "max_disk_gib": "GiB of a run",
        }
