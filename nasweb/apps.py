from __future__ import annotations

from django.apps import AppConfig


class NaswebConfig(AppConfig):
    name = "nasweb"
    label = "nasweb"
    verbose_name = "nasweb"
