"""`manage.py worker`: the worker of a machine, for your own process supervisor."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from nasweb.processes import worker_command


class Command(BaseCommand):
    help = "Run a worker: this process becomes `celery worker` for the job queues."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--name", default="worker", help="differs among workers of one machine"
        )
        parser.add_argument(
            "--slots", type=int, help="jobs of the CPU at a time (NASWEB_CPU_SLOTS)"
        )
        parser.add_argument(
            "--queues", default="", help="names, comma-separated (NASWEB_QUEUES)"
        )

    def handle(
        self,
        *args: Any,
        name: str,
        slots: int | None,
        queues: str,
        **options: Any,
    ) -> None:
        if slots is not None:
            os.environ["NASWEB_CPU_SLOTS"] = str(slots)
        if queues:
            os.environ["NASWEB_QUEUES"] = queues
        command = worker_command(name=name, cpu_slots=slots)
        os.execv(command[0], command)
