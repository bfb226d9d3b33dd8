"""`make run`: one machine, servers from wheels, everything under ``.nasweb/``."""

from __future__ import annotations

from nasweb import embedded

from .base import *
from .base import DATABASE_URL, NASWEB_HOME, REDIS_URL, broker_url, database, env
from .parsers import local_secret

SECRET_KEY = env.secret("SECRET_KEY") or local_secret(NASWEB_HOME / "secret_key")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.names("NASWEB_HOSTS")]

# Where the site of `manage.py up` listens; port 0: 8000, or the next that is free.
NASWEB_BIND = env.text("NASWEB_BIND", "127.0.0.1")
NASWEB_PORT = env.integer("PORT", 0, most=65_535)

# Without addresses of their own, these are the servers that `manage.py up` starts.
# Their addresses are known before they run, so that any other management command
# finds them while `make run` is up.
if not DATABASE_URL:
    DATABASES = {"default": database(embedded.postgres_url(NASWEB_HOME))}
if not REDIS_URL:
    REDIS_URL = embedded.redis_url(NASWEB_HOME)
    CELERY_BROKER_URL = broker_url(REDIS_URL)

STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True  # straight from the source folders: nothing to collect
# A file may be edited, or replaced by an update, while the site runs.
WHITENOISE_AUTOREFRESH = True
