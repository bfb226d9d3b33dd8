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

    class Priority(models.IntegerChoices):
        LOW = -10, "low"
        NORMAL = 0, "normal"
        HIGH = 10, "high"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.SEARCH)
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
    fence = models.PositiveIntegerField(default=0)
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
    error = models.TextField(blank=True, help_text="One sentence: why it failed.")
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
                fields=["queue", "-priority", "position", "id"],
                name="job_queue_order",
                condition=models.Q(state="queued"),
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

    job = models.ForeignKey(Job, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker_name = models.CharField(max_length=120)
    outcome = models.CharField(
        max_length=12, choices=Outcome.choices, default=Outcome.RUNNING
    )
    detail = models.TextField(blank=True)
    started = models.DateTimeField()
    ended = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("number",)
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="one_row_an_attempt")
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job}"
