"""Discrete members of a search space and what benchmark tables know of them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Architecture(models.Model):
    space = models.CharField(max_length=40)
    encoding = models.CharField(max_length=400)
    index = models.IntegerField(
        null=True, blank=True, help_text="Official index in the space's table."
    )
    canonical = models.CharField(
        max_length=400,
        blank=True,
        help_text="Isomorphism class, as NAS-Bench-201 counts them.",
    )
    parameters = models.BigIntegerField(null=True, blank=True)
    flops = models.BigIntegerField(
        null=True, blank=True, help_text="Multiply-adds of the CIFAR-10 network."
    )
    train_seconds = models.FloatField(
        null=True,
        blank=True,
        help_text="Of 200 training epochs on half of CIFAR-10, as the table tells.",
    )
    valid_seconds = models.FloatField(
        null=True, blank=True, help_text="Of one pass over the other half."
    )

    class Meta:
        ordering = ("space", "index")
        constraints = [
            models.UniqueConstraint(
                fields=["space", "encoding"], name="one_row_an_architecture"
            )
        ]

    def __str__(self) -> str:
        return self.encoding


class BenchmarkResult(models.Model):
    """One value of a benchmark table: top-1 accuracy in per cent, mean of trials.

    ``rank`` counts from 1 (best) inside the same data set, split and protocol.
    """

    architecture = models.ForeignKey(
        Architecture, models.CASCADE, related_name="results"
    )
    dataset = models.CharField(max_length=30)
    split = models.CharField(max_length=10)
    protocol = models.CharField(max_length=20, help_text="200 or 12 epochs.")
    value = models.FloatField()
    trials = models.PositiveSmallIntegerField(null=True, blank=True)
    by_trial = ArrayField(
        models.FloatField(),
        null=True,
        blank=True,
        help_text="The single trials, where the file tells them.",
    )
    rank = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["architecture", "dataset", "split", "protocol"],
                name="one_value_a_column",
            )
        ]
        indexes = [
            models.Index(
                fields=["dataset", "split", "protocol", "-value"], name="result_order"
            )
        ]

    def __str__(self) -> str:
        return f"{self.dataset} {self.split} {self.value:.2f} %"


class BenchmarkImport(models.Model):
    """One import of a table; the newest tells which table the site holds."""

    space = models.CharField(max_length=40)
    source = models.CharField(max_length=200)
    architectures = models.PositiveIntegerField()
    imported = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-imported", "-pk")

    def __str__(self) -> str:
        return f"{self.source}, {self.imported:%Y-%m-%d %H:%M}"
