"""Where jobs wait, and who works on them."""

from __future__ import annotations

from fnmatch import fnmatchcase

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models

from ..states import HELD


class Queue(models.Model):
    """Jobs wait here for a kind of device; administrators set its limits."""

    class Device(models.TextChoices):
        CPU = "cpu", "CPU"
        GPU = "cuda", "GPU"

    name = models.SlugField(unique=True)
    device = models.CharField(max_length=8, choices=Device.choices, default=Device.CPU)
    gpu_pattern = models.CharField(
        max_length=80,
        blank=True,
        help_text="Only GPUs whose name fits, such as *A100*; empty: any GPU.",
    )
    min_memory_gib = models.FloatField(
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Only GPUs with so much memory, in GiB; 0: any.",
    )
    description = models.CharField(max_length=200, blank=True)
    paused = models.BooleanField(
        default=False, help_text="Slots take nothing from a paused queue."
    )
    pause_reason = models.CharField(max_length=200, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    max_running = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Slots that its jobs hold at a time; empty: any.",
    )
    max_running_team = models.PositiveIntegerField(
        null=True, blank=True, help_text="Its jobs of one team at a time; empty: any."
    )
    max_running_user = models.PositiveIntegerField(
        null=True, blank=True, help_text="Its jobs of one user at a time; empty: any."
    )
    max_hours = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001)],
        help_text="Hours on a slot that a run may take in all; empty: any.",
    )
    max_disk_gib = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001)],
        help_text="GiB of files that a run may keep; empty: any.",
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """A worker process on a machine; its row is renewed at every beat."""

    name = models.CharField(max_length=120, unique=True)
    host = models.CharField(max_length=120, blank=True)
    only_queues = ArrayField(
        models.SlugField(),
        default=list,
        blank=True,
        help_text="Names of the queues that it serves; empty: all that its slots fit.",
    )
    drain_requested = models.BooleanField(default=False)
    versions = models.JSONField(default=dict)
    disk_free = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    disk_total = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    clock_offset = models.FloatField(
        null=True, blank=True, help_text="Seconds by which its clock is ahead of ours."
    )
    started = models.DateTimeField()
    seen = models.DateTimeField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Slot(models.Model):
    """A GPU, or a share of the CPU, of a worker: it runs one attempt at a time.

    ``job`` is the job that it runs; a queued job there has reserved the slot, because
    it needs several and the others are not free yet.
    """

    worker = models.ForeignKey(Worker, models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField(
        help_text="Of the pool process that works for it."
    )
    device = models.CharField(
        max_length=8, choices=Queue.Device.choices, default=Queue.Device.CPU
    )
    device_name = models.CharField(max_length=120, blank=True)
    gpu_uuid = models.CharField(max_length=80, blank=True)
    memory_mib = models.PositiveIntegerField(default=0, help_text="Of the device.")
    threads = models.PositiveSmallIntegerField(default=1, help_text="CPU threads.")
    drain_requested = models.BooleanField(default=False)
    job = models.ForeignKey(
        "searchjobs.Job",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="slots",
    )
    # The newest load; ``SlotSample`` holds the history.
    utilisation = models.FloatField(null=True, blank=True, help_text="Per cent.")
    memory_used_mib = models.PositiveIntegerField(null=True, blank=True)
    temperature = models.FloatField(null=True, blank=True, help_text="Degrees Celsius.")
    power = models.FloatField(null=True, blank=True, help_text="Watts.")

    class Meta:
        ordering = ("worker", "number")
        constraints = [
            models.UniqueConstraint(fields=["worker", "number"], name="one_row_a_slot")
        ]

    def __str__(self) -> str:
        return f"{self.worker} : {self.number}"

    @property
    def is_taken(self) -> bool:
        """Whether it runs its job, alone or with others of its worker; a job that
        waits, or that another worker runs, has only reserved it."""
        job = self.job
        return job is not None and job.state in HELD and job.worker_id == self.worker_id

    def fits(self, queue: Queue) -> bool:
        """Say whether this slot is of the kind for which jobs wait in ``queue``."""
        only = self.worker.only_queues
        if queue.device != self.device or (only and queue.name not in only):
            return False
        if queue.device == Queue.Device.CPU:
            return True
        pattern = queue.gpu_pattern.casefold() or "*"
        return (
            fnmatchcase(self.device_name.casefold(), pattern)
            and self.memory_mib >= queue.min_memory_gib * 1024
        )


class SlotSample(models.Model):
    """The load of a slot's device at a moment: the history behind the newest one."""

    slot = models.ForeignKey(Slot, models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    utilisation = models.FloatField(null=True, help_text="Per cent.")
    memory_used_mib = models.PositiveIntegerField(null=True)
    temperature = models.FloatField(null=True, help_text="Degrees Celsius.")
    power = models.FloatField(null=True, help_text="Watts.")

    class Meta:
        ordering = ("slot", "at")
        indexes = [models.Index(fields=["slot", "at"], name="slot_history")]

    def __str__(self) -> str:
        return f"{self.slot} at {self.at:%H:%M:%S}"
