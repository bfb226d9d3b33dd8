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
            "--slots", type=int, default=0, help="jobs at a time; default NASWEB_SLOTS"
        )
        parser.add_argument(
            "--queues", default="", help="names, comma-separated; default NASWEB_QUEUES"
        )

    def handle(
        self, *args: Any, name: str, slots: int, queues: str, **options: Any
    ) -> None:
        command = worker_command(name=name, slots=slots, queues=queues)
        os.execv(command[0], command)
