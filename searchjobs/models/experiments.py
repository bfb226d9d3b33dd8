"""What a user launches, names, tags and compares: one spec and its seeds."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from .teams import Team


class Experiment(models.Model):
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="experiments")
    name = models.CharField(max_length=120)
    spec = models.JSONField(help_text="A complete SearchSpec; its seed is ignored.")
    fingerprint = models.CharField(
        max_length=16, db_index=True, help_text="Of the spec without its seed."
    )
    seeds = ArrayField(models.BigIntegerField())
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    notes = models.TextField(blank=True)
    recipe = models.CharField(
        max_length=80,
        blank=True,
        db_index=True,
        help_text="The preset that it was launched from, unchanged but for its scale.",
    )
    scale = models.CharField(
        max_length=20, blank=True, help_text="paper, gpu-small or cpu-small."
    )
    subset = models.ForeignKey(
        "Subset",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="experiments",
        help_text="The subset that its spec names.",
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="experiments"
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return self.name
