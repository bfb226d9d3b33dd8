"""What a run leaves behind: a summary row, a row an epoch, a row a set and epoch."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models

from .architectures import Architecture
from .experiments import Experiment
from .jobs import Job


class Run(models.Model):
    """One seed of an experiment.  Lists read this row and never join the epochs."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    job = models.OneToOneField(Job, models.CASCADE, related_name="run")
    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="runs")
    seed = models.BigIntegerField()
    epoch = models.PositiveIntegerField(default=0, help_text="Last finished epoch.")
    epochs = models.PositiveIntegerField()
    plan = models.JSONField(default=dict, help_text="The engine's Plan.")
    structure = models.JSONField(
        default=dict, help_text="edges, operations, classes of the search (Started)."
    )
    architecture = models.ForeignKey(
        Architecture,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Of the last finished epoch; the final one once succeeded.",
    )
    architectures = models.JSONField(
        default=list, help_text="All that the derivations gave (Finished)."
    )
    train_accuracy = models.FloatField(null=True, blank=True)
    valid_accuracy = models.FloatField(null=True, blank=True)
    inherited_accuracy = models.FloatField(null=True, blank=True)
    remaining_train = models.PositiveIntegerField(null=True, blank=True)
    remaining_valid = models.PositiveIntegerField(null=True, blank=True)
    skips = models.PositiveSmallIntegerField(null=True, blank=True)
    eigenvalue = models.FloatField(null=True, blank=True)
    repeats = models.JSONField(
        null=True,
        blank=True,
        help_text="Of a search on a benchmark table: the accuracies of its picks, over "
        "all repeats, at the newest point.",
    )
    cost_units = models.FloatField(default=0)
    baseline_units = models.FloatField(default=0)
    seconds_search = models.FloatField(default=0)
    seconds_evaluation = models.FloatField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("experiment", "seed")
        constraints = [
            models.UniqueConstraint(
                fields=["experiment", "seed"], name="one_run_a_seed"
            )
        ]

    def __str__(self) -> str:
        return f"{self.experiment} · seed {self.seed}"


class EpochRecord(models.Model):
    """One epoch.  Scalars that charts draw are columns; ``alpha`` and
    ``strengths`` keep the tables of the event; ``report`` all the rest."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="epochs_recorded")
    epoch = models.PositiveIntegerField()
    train_loss = models.FloatField(null=True)
    train_accuracy = models.FloatField(null=True)
    valid_loss = models.FloatField(null=True)
    valid_accuracy = models.FloatField(null=True)
    inherited_accuracy = models.FloatField(null=True)
    eigenvalue = models.FloatField(null=True)
    alpha = models.JSONField()
    strengths = models.JSONField()
    magnitudes = models.JSONField()
    architecture = models.ForeignKey(
        Architecture, models.PROTECT, related_name="+", null=True
    )
    genotype = models.CharField(max_length=400)
    skips = models.PositiveSmallIntegerField()
    cost_units = models.FloatField()
    seconds_search = models.FloatField()
    seconds_evaluation = models.FloatField()
    report = models.JSONField(default=dict)
    recorded = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("run", "epoch")
        constraints = [
            models.UniqueConstraint(fields=["run", "epoch"], name="one_row_an_epoch")
        ]

    def __str__(self) -> str:
        return f"epoch {self.epoch} of {self.run}"


class DatasetStatistics(models.Model):
    """What remains of T or V after an epoch, and what a pruning event did.

    ``removed_ids`` of an event stay in its artefact file in the run's folder.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="dataset_statistics")
    epoch = models.PositiveIntegerField()
    set = models.CharField(max_length=1, choices=[("T", "T"), ("V", "V")])
    remaining = models.PositiveIntegerField()
    class_counts = ArrayField(models.PositiveIntegerField())
    balance = models.FloatField(help_text="b of BDP Eq. 5")
    event = models.JSONField(
        null=True, blank=True, help_text="The SamplesPruned event of this epoch."
    )

    class Meta:
        ordering = ("run", "epoch", "set")
        constraints = [
            models.UniqueConstraint(
                fields=["run", "epoch", "set"], name="one_row_a_set_and_epoch"
            )
        ]

    def __str__(self) -> str:
        return f"{self.set} after epoch {self.epoch} of {self.run}"
