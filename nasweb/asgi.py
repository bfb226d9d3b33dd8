"""The ASGI entry point: ``uvicorn nasweb.asgi:application``."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nasweb.settings.local")

inner = get_asgi_application()

# These need the settings, which are there only now.
from django.conf import settings  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402
from django.urls import reverse  # noqa: E402

from nasweb.body_limit import BodyLimit  # noqa: E402
from searchjobs.fencing import limit_idle_transactions  # noqa: E402

# A site that is frozen in mid-verb would keep a queue locked, and nothing would start.
connection_created.connect(limit_idle_transactions)

application = BodyLimit(
    inner, reverse("datasets:upload"), settings.NASWEB_UPLOAD_MB * 10**6
)
