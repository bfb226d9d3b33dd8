"""Registered data sets, and the parts of them that were chosen once for many runs."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from .jobs import Job
from .teams import Team


class Dataset(models.Model):
    """A source of images with a name: what the section ``dataset`` of a spec says,
    and what the last check found there."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=80)
    source = models.JSONField(help_text="Options of the engine's data source.")
    licence = models.TextField(blank=True, help_text="Whose images, on which terms.")
    uploaded = models.BooleanField(
        default=False, help_text="Its files came by upload and are ours to remove."
    )
    check_job = models.OneToOneField(
        Job,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="dataset",
        help_text="The newest check, which reads every image.",
    )
    classes = models.JSONField(default=list, help_text="Names, in order.")
    class_counts = ArrayField(models.PositiveIntegerField(), default=list)
    image_size = models.PositiveIntegerField(null=True, blank=True)
    mean = ArrayField(models.FloatField(), default=list, help_text="0 to 1, a channel.")
    std = ArrayField(models.FloatField(), default=list, help_text="0 to 1, a channel.")
    fingerprint = models.CharField(
        max_length=16, blank=True, help_text="Of pixels and labels, at the last check."
    )
    unreadable = models.JSONField(
        default=list, help_text="Files that are left out: path and sentence."
    )
    unreadable_count = models.PositiveIntegerField(default=0)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="datasets"
    )
    created = models.DateTimeField(auto_now_add=True)
    checked = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name", "pk")
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_name_a_dataset")
        ]

    def __str__(self) -> str:
        return self.name


class Subset(models.Model):
    """Samples of T and V that a job chose once; any number of experiments use them.

    The ids are in the job's artefact ``subset.npz``.  They hold for the images of
    ``data_fingerprint`` and for the split in ``spec``, and for no others.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    job = models.OneToOneField(Job, models.CASCADE, related_name="subset")
    name = models.CharField(max_length=120)
    spec = models.JSONField(help_text="A complete SubsetSpec of the engine.")
    fingerprint = models.CharField(
        max_length=16, db_index=True, help_text="Of the spec."
    )
    data_fingerprint = models.CharField(max_length=16, blank=True)
    sets = models.JSONField(
        default=dict,
        help_text="By set: sizes, class counts and balance before and after.",
    )
    cost_units = models.FloatField(default=0)
    seconds = models.FloatField(default=0)
    peak_memory = models.BigIntegerField(
        null=True, blank=True, help_text="Bytes, of the process."
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return self.name


class Evaluation(models.Model):
    """A derived architecture trained from scratch: one job, one seed, one curve.

    Never mixed with what a benchmark table tells of the architecture.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    job = models.OneToOneField(Job, models.CASCADE, related_name="evaluation")
    architecture = models.ForeignKey(
        "Architecture", models.PROTECT, related_name="evaluations"
    )
    run = models.ForeignKey(
        "Run",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="evaluations",
        help_text="The search that it came from, if it came from one.",
    )
    spec = models.JSONField(help_text="A complete TrainingSpec of the engine.")
    fingerprint = models.CharField(
        max_length=16, db_index=True, help_text="Of the spec without its seed."
    )
    seed = models.BigIntegerField()
    dataset = models.CharField(max_length=40)
    data_fingerprint = models.CharField(max_length=16, blank=True)
    channels = models.PositiveIntegerField()
    cells = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField(default=0, help_text="Last finished epoch.")
    epochs = models.PositiveIntegerField()
    split = models.CharField(
        max_length=10,
        choices=[("test", "test set"), ("held-out", "held-out images")],
        blank=True,
        help_text="What the accuracy is measured on.",
    )
    accuracy = models.FloatField(
        null=True, blank=True, help_text="Top-1 in per cent after the last epoch."
    )
    curve = models.JSONField(
        default=list, help_text="An entry an epoch: losses, accuracies, rate."
    )
    parameters = models.BigIntegerField(null=True, blank=True)
    seconds = models.FloatField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created",)
        indexes = [
            models.Index(
                fields=["architecture", "fingerprint", "seed"], name="evaluation_of"
            )
        ]

    def __str__(self) -> str:
        return f"{self.architecture} · C={self.channels} · seed {self.seed}"
