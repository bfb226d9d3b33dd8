"""What a worker executes, whatever it is."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from ..states import State
from .queues import Queue, Worker
from .teams import Team


class Job(models.Model):
    """Queue, lease, state, attempts, cancel and progress, once for all kinds.

    ``fence`` counts the leases: each claim raises it, and a write that carries an
    older number is refused, so a worker that was thought dead can spoil nothing.
    """

    class Kind(models.TextChoices):
        SEARCH = "search", "search run"
        SUBSET = "subset", "making of a subset"
        TRAINING = "training", "training of a cell"
        CHECK = "check", "check of a data set"

    class Priority(models.IntegerChoices):
        LOW = -10, "low"
        NORMAL = 0, "normal"
        HIGH = 10, "high"

    #: Columns that may be long, and that lists do not read.
    LONG = ("spec", "log_tail", "environment", "progress")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.SEARCH)
    subject = models.CharField(
        max_length=160, blank=True, help_text="What pages call it, if it is no run."
    )
    team = models.ForeignKey(Team, models.PROTECT, related_name="jobs")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="jobs"
    )
    spec = models.JSONField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    queue = models.ForeignKey(Queue, models.PROTECT, related_name="jobs")
    priority = models.SmallIntegerField(
        choices=Priority.choices, default=Priority.NORMAL
    )
    position = models.BigIntegerField(
        default=0, help_text="Order inside a priority; smaller goes first."
    )
    not_before = models.DateTimeField(
        null=True,
        blank=True,
        help_text="No slot takes it before: its last attempt was put off.",
    )
    held = models.BooleanField(
        default=False, help_text="No slot takes it until an administrator lets it go."
    )
    hold_reason = models.CharField(max_length=200, blank=True)
    devices = models.PositiveSmallIntegerField(
        default=1, help_text="Slots of one worker that it needs at one time."
    )
    fence = models.PositiveIntegerField(default=0)
    first_attempt = models.PositiveIntegerField(
        default=1,
        help_text="The first attempt since a person queued it (launch, requeue): "
        "losses and time on a slot count from there.",
    )
    files_from = models.PositiveIntegerField(
        default=1,
        help_text="Files of attempts before this one count no more: it was queued "
        "again from the start.",
    )
    worker = models.ForeignKey(
        Worker, models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    slot = models.CharField(max_length=40, blank=True)
    lease_expires = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    pause_requested = models.BooleanField(default=False)
    progress = models.JSONField(
        default=dict, help_text="The last Progress event of the engine."
    )
    error = models.TextField(
        blank=True, help_text="One sentence: why it failed, waits anew or was paused."
    )
    log_tail = models.TextField(blank=True)
    environment = models.JSONField(default=dict)
    created = models.DateTimeField(auto_now_add=True)
    queued = models.DateTimeField()
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-created",)
        indexes = [
            models.Index(
                fields=[
                    *("queue", "team", "author", "devices"),
                    *("-priority", "position", "id"),
                ],
                name="job_heads",
                condition=models.Q(state="queued", held=False),
            ),
            models.Index(
                fields=["lease_expires"],
                name="job_leases",
                condition=models.Q(state__in=["starting", "running", "pausing"]),
            ),
            models.Index(fields=["team", "state"], name="job_team_state"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.uuid}"

    @property
    def title(self) -> str:
        """What pages call it: its run, else its subject; ``run__experiment`` is
        read of a search."""
        run = getattr(self, "run", None) if self.kind == self.Kind.SEARCH else None
        return str(run) if run is not None else self.subject or self.get_kind_display()


class Attempt(models.Model):
    """One worker's try at a job; ``number`` is the fence of its lease."""

    class Outcome(models.TextChoices):
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"
        PAUSED = "paused", "paused"
        LOST = "lost", "lost: the worker stopped answering"
        INTERRUPTED = "interrupted", "interrupted: the worker was stopped"
        MEMORY = "memory", "out of memory"
        DEVICE = "device", "fault of the GPU"
        TIME = "time", "over its time limit"
        DISK = "disk", "over its disk limit, or the disk was full"
        STALLED = "stalled", "stalled: it said nothing for too long"
        BUSY = "busy", "put off: it could not begin yet"

    job = models.ForeignKey(Job, models.CASCADE, related_name="attempts")
    team = models.ForeignKey(
        Team,
        models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Of the job; here too, because each claim sums what teams used.",
    )
    number = models.PositiveIntegerField()
    worker_name = models.CharField(max_length=120)
    outcome = models.CharField(
        max_length=12, choices=Outcome.choices, default=Outcome.RUNNING
    )
    detail = models.TextField(blank=True)
    slot_name = models.CharField(max_length=140, blank=True)
    host = models.CharField(max_length=120, blank=True)
    queue_name = models.CharField(max_length=50, blank=True)
    device = models.CharField(
        max_length=8, choices=Queue.Device.choices, default=Queue.Device.CPU
    )
    device_name = models.CharField(max_length=120, blank=True)
    devices = models.PositiveSmallIntegerField(default=1)
    epochs = models.PositiveIntegerField(
        default=0, help_text="Epochs that this attempt has recorded."
    )
    events = models.PositiveBigIntegerField(
        default=0, help_text="Events that this attempt has recorded."
    )
    started = models.DateTimeField()
    ended = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("number",)
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="one_row_an_attempt")
        ]
        indexes = [
            models.Index(
                fields=["device", "ended"],
                name="attempt_use",
                include=["team", "devices", "started"],
            )
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job}"


class Artefact(models.Model):
    """A file of a job in the shared storage.

    Only files with a row exist for readers, and a row is written under the fence: what
    a stale attempt has put into the storage is never seen.
    """

    job = models.ForeignKey(Job, models.CASCADE, related_name="artefacts")
    name = models.CharField(
        max_length=200, help_text="Path in the run's folder, with forward slashes."
    )
    epoch = models.PositiveIntegerField(null=True, blank=True)
    fence = models.PositiveIntegerField(help_text="Of the attempt that wrote it.")
    path = models.CharField(max_length=300, help_text="In the storage.")
    size = models.BigIntegerField(help_text="Bytes.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("job", "name")
        constraints = [
            models.UniqueConstraint(fields=["job", "name"], name="one_row_an_artefact")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.job}"
