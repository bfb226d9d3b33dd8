"""The Celery application.

A message says only "a slot may claim the next job": PostgreSQL owns the queue
(docs/decisions/0001).  A message that is lost, late or delivered twice does no harm.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nasweb.settings.local")

app = Celery("nasweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
