"""`manage.py housekeeping`: frees lost jobs and wakes slots; one an installation."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand

from nasweb.processes import housekeeping_command


class Command(BaseCommand):
    help = "Run the clock: this process becomes `celery worker --beat`."

    def handle(self, *args: Any, **options: Any) -> None:
        command = housekeeping_command()
        os.execv(command[0], command)
