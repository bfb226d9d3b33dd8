from __future__ import annotations

from django.apps import AppConfig


class SearchJobsConfig(AppConfig):
    name = "searchjobs"
    label = "searchjobs"
    verbose_name = "Search jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let the engine's table come from the rows wherever Django runs."""
        from . import subset_files, table_file

        table_file.provide()
        subset_files.provide()
