from __future__ import annotations

import os

from django.apps import AppConfig
from django.conf import settings
from django.contrib.staticfiles.apps import StaticFilesConfig


class NaswebConfig(AppConfig):
    default = True
    name = "nasweb"
    label = "nasweb"
    verbose_name = "nasweb"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (registers them)

        # The engine knows no Django: it learns from the environment where data lie.
        os.environ["NASWEB_DATA_ROOT"] = str(settings.NASWEB_DATA_ROOT)


class StaticFiles(StaticFilesConfig):
    """Collect only plotly.min.js of what lies beside it in the plotly package."""

    ignore_patterns = (
        *StaticFilesConfig.ignore_patterns,
        *("widgetbundle.js", "datasets", "templates"),
    )
