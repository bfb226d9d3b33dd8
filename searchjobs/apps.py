from __future__ import annotations

from django.apps import AppConfig


class SearchJobsConfig(AppConfig):
    name = "searchjobs"
    label = "searchjobs"
    verbose_name = "Search jobs"
    default_auto_field = "django.db.models.BigAutoField"
