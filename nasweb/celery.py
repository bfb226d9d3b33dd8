"""The Celery application.

A message says only "a slot may claim the next job": PostgreSQL owns the queue
(docs/decisions/0001).  A message that is lost, late or delivered twice does no harm.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from celery import Celery, signals
from celery.platforms import SecurityWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nasweb.settings.local")

app = Celery("nasweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Views run in threads, where Celery would otherwise fall back to an app of its own.
app.set_default()

# Celery warns a worker of root against pickle; ours takes nothing but JSON.
warnings.filterwarnings("ignore", category=SecurityWarning)

logger = logging.getLogger(__name__)


@signals.setup_logging.connect
def keep_the_logging_of_the_settings(**_: Any) -> None:
    """Stand in for Celery's own set-up; Django has done it (``LOGGING``)."""


@signals.worker_ready.connect
def say_that_it_is_ready(sender: Any, **_: Any) -> None:
    """Tell the log, and the tests that wait for it, what this worker serves."""
    queues = ", ".join(sorted(queue.name for queue in sender.task_consumer.queues))
    logger.info("Ready for %s, %s at a time", queues, sender.pool.num_processes)
