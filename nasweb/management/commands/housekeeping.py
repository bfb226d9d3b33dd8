"""`manage.py housekeeping`: frees lost jobs and wakes slots; one an installation."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from searchjobs.housekeeping import duties, keep_house

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Give the jobs of lost workers back, wake slots, and clear up, by the clock."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        chores = duties()
        logger.info("Ready for housekeeping, %d duties", len(chores))
        keep_house(stop, chores)
