"""Where jobs wait, and who works on them."""

from __future__ import annotations

from django.db import models


class Queue(models.Model):
    class Device(models.TextChoices):
        CPU = "cpu", "CPU"
        GPU = "cuda", "GPU"

    name = models.SlugField(unique=True)
    device = models.CharField(max_length=8, choices=Device.choices, default=Device.CPU)
    paused = models.BooleanField(
        default=False, help_text="Slots take nothing from a paused queue."
    )
    pause_reason = models.CharField(max_length=200, blank=True)
    max_running = models.PositiveIntegerField(
        null=True, blank=True, help_text="Jobs of this queue at one time; empty: any."
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """A worker process on a machine; its row is renewed at every beat."""

    name = models.CharField(max_length=120, unique=True)
    queues = models.ManyToManyField(Queue, related_name="workers")
    slots = models.PositiveSmallIntegerField(default=1)
    device = models.CharField(max_length=120, blank=True)
    drain_requested = models.BooleanField(default=False)
    versions = models.JSONField(default=dict)
    started = models.DateTimeField()
    seen = models.DateTimeField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
