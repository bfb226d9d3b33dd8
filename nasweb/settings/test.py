"""The tests: as local, but the servers are fresh and their data are thrown away."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nasweb import embedded

from .base import *
from .base import (
    DATABASE_URL,
    NASWEB_ARTEFACTS_URL,
    REDIS_URL,
    STORAGES,
    artefact_storage,
    broker_url,
    database,
    env,
)

# A folder a process: several test runs beside one another do not meet.  A worker or
# a site that a test starts gets the addresses by environment (tests/servers.py).
NASWEB_HOME = env.path(
    "NASWEB_HOME", Path(tempfile.gettempdir()) / f"nasweb-test-{os.getpid()}"
)
NASWEB_RUNS_DIR = env.path("NASWEB_RUNS_DIR", NASWEB_HOME / "runs")
NASWEB_DATA_ROOT = env.path("NASWEB_DATA_ROOT", NASWEB_HOME / "data")
NASWEB_ARTEFACTS_DIR = env.path("NASWEB_ARTEFACTS_DIR", NASWEB_HOME / "artefacts")
if not NASWEB_ARTEFACTS_URL:
    STORAGES = {**STORAGES, "artefacts": artefact_storage("", NASWEB_ARTEFACTS_DIR)}

SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["*"]
if not DATABASE_URL:
    DATABASES = {"default": database(embedded.postgres_url(NASWEB_HOME))}
if not REDIS_URL:
    REDIS_URL = embedded.redis_url(NASWEB_HOME)
    CELERY_BROKER_URL = broker_url(REDIS_URL)

# Argon2 is slow by design; the tests log in hundreds of times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True  # no scan of all static files for each test client
# A cached table would outlive the test that imported it.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
