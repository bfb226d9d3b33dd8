"""Who did what to which object."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from .teams import Team


class AuditEvent(models.Model):
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: the system itself.",
    )
    team = models.ForeignKey(Team, models.SET_NULL, null=True, related_name="+")
    verb = models.CharField(max_length=40)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=60)
    object_name = models.CharField(
        max_length=200,
        blank=True,
        help_text="What people called it then; it may be gone now.",
    )
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.actor or 'system'} {self.verb} {self.object_type}"
