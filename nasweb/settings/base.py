"""What all installations share.  Variables: docs/guide/install.md."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nasweb.devices import gpu_likely

from .parsers import (
    Environment,
    SettingError,
    artefact_storage,
    broker_url,
    database,
    redis_url,
)

env = Environment(os.environ)
BASE_DIR = Path(__file__).resolve().parents[2]

# Where things lie ---------------------------------------------------------------
NASWEB_HOME = env.path("NASWEB_HOME", BASE_DIR / ".nasweb")
NASWEB_RUNS_DIR = env.path("NASWEB_RUNS_DIR", NASWEB_HOME / "runs")
NASWEB_DATA_ROOT = env.path("NASWEB_DATA_ROOT", NASWEB_HOME / "data")
#: What all machines share: checkpoints, prunings and logs, by rows in the database.
NASWEB_ARTEFACTS_DIR = env.path("NASWEB_ARTEFACTS_DIR", NASWEB_HOME / "artefacts")
NASWEB_ARTEFACTS_URL = env.text("NASWEB_ARTEFACTS_URL")
_store_keys = {
    "access_key": env.secret("AWS_ACCESS_KEY_ID"),
    "secret_key": env.secret("AWS_SECRET_ACCESS_KEY"),
    "security_token": env.secret("AWS_SESSION_TOKEN"),
}
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "artefacts": artefact_storage(
        NASWEB_ARTEFACTS_URL, NASWEB_ARTEFACTS_DIR, _store_keys
    ),
}
#: A worker removes its own folder of a job that ended so long ago, once all files
#: that matter are in the shared storage.
NASWEB_KEEP_FOLDERS_HOURS = env.integer("NASWEB_KEEP_FOLDERS_HOURS", 24, most=87_600)

# Jobs -----------------------------------------------------------------------------
#: A job whose worker has not renewed its lease for so long goes back to its queue.
NASWEB_LEASE_SECONDS = env.integer("NASWEB_LEASE_SECONDS", 60, least=2, most=86_400)
#: A supervisor renews its lease and reads the columns of cancel and pause so often.
NASWEB_BEAT_SECONDS = env.integer("NASWEB_BEAT_SECONDS", 15, least=1, most=3_600)
#: A job that has lost its worker is tried again so often in a row without progress.
NASWEB_RETRIES = env.integer("NASWEB_RETRIES", 3, most=1_000)
#: An engine that has told nothing for so many seconds is ended; 0: never.
NASWEB_STALL_SECONDS = env.integer("NASWEB_STALL_SECONDS", 3_600)
#: A run does not start, but pauses, where the disk of the runs has less left.
NASWEB_MIN_FREE_MB = env.integer("NASWEB_MIN_FREE_MB", 200)
#: Names of the queues that a worker of this machine serves; none: all that it fits.
NASWEB_QUEUES = env.names("NASWEB_QUEUES")
#: Slots for jobs of the CPU, beside one slot for each GPU.
NASWEB_CPU_SLOTS = env.integer(
    "NASWEB_CPU_SLOTS",
    1 if gpu_likely() else max(1, (os.cpu_count() or 1) // 4),
    most=256,
)

# Uploads of images (MB are 10^6 bytes) ------------------------------------------------
#: A zip file that is sent to the site.
NASWEB_UPLOAD_MB = env.integer("NASWEB_UPLOAD_MB", 512, least=1, most=16_384)
#: What it holds when it is unpacked.
NASWEB_UPLOAD_UNPACKED_MB = env.integer(
    "NASWEB_UPLOAD_UNPACKED_MB", 2_048, least=1, most=65_536
)
#: Files in it, folders included; zip has room for 65,535.
NASWEB_UPLOAD_FILES = env.integer("NASWEB_UPLOAD_FILES", 60_000, least=2, most=65_535)
#: Unpacked to packed; images are packed already, so more is no honest file.
NASWEB_UPLOAD_RATIO = env.integer("NASWEB_UPLOAD_RATIO", 100, least=2, most=1_000)
#: An uploaded image has fewer pixels.
NASWEB_UPLOAD_PIXELS = env.integer(
    "NASWEB_UPLOAD_PIXELS", 10_000_000, least=1_000, most=60_000_000
)
#: All uploads of a team together.
NASWEB_TEAM_UPLOADS_MB = env.integer("NASWEB_TEAM_UPLOADS_MB", 10_240)

# Servers --------------------------------------------------------------------------
DATABASE_URL = env.secret("DATABASE_URL")
REDIS_URL = env.secret("REDIS_URL")
#: Which servers `manage.py up` and the tests start themselves.
NASWEB_OWN_POSTGRES = not DATABASE_URL
NASWEB_OWN_REDIS = not REDIS_URL
if DATABASE_URL:
    DATABASES: dict[str, Any] = {"default": database(DATABASE_URL)}
if REDIS_URL:
    REDIS_URL = redis_url(REDIS_URL)

CELERY_BROKER_URL = broker_url(REDIS_URL)
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
# Acknowledged before it runs: Redis delivers an unacknowledged message a second
# time after its visibility timeout, and a job lasts longer than any timeout.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
# A worker whose Redis is away goes on with its jobs, and tries to connect for ever.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# With jobs that last hours, a reduced count would let idle slots wait as long.
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
# A page that wakes a slot while Redis is away goes on at once: the beat wakes again.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
}
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = "nobody"  # a task of ours always names its queue

# Django ---------------------------------------------------------------------------
DEBUG = env.boolean("NASWEB_DEBUG", default=False)
INSTALLED_APPS = [
    "nasweb",
    "searchjobs",
    "django_htmx",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "nasweb.apps.StaticFiles",
]
MIDDLEWARE = [
    "nasweb.logs.Requests",
    "nasweb.metrics.Measured",
    "django.middleware.security.SecurityMiddleware",
    "nasweb.middleware.ContentSecurityPolicy",
    "nasweb.middleware.NoZeroBytes",
    "nasweb.middleware.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "nasweb.login_required.LoginRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "nasweb.urls"
ASGI_APPLICATION = "nasweb.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# Plotly.js comes from the plotly package, htmx from django_htmx: no CDN, no copies.
_plotly = find_spec("plotly")
PLOTLY_FOLDER = Path(str(_plotly.origin if _plotly else "")).parent / "package_data"
STATIC_URL = "static/"
STATIC_ROOT: Path | None = BASE_DIR / "staticfiles"
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static", ("plotly", PLOTLY_FOLDER)]

# Watching --------------------------------------------------------------------------
#: Prometheus sends it to read /metrics; empty: only administrators may.
NASWEB_METRICS_TOKEN = env.secret("NASWEB_METRICS_TOKEN")
if NASWEB_METRICS_TOKEN and len(NASWEB_METRICS_TOKEN) < 16:
    raise SettingError("NASWEB_METRICS_TOKEN is short; give it 16 or more characters.")
#: ``json``: an object a line, for machines to read; ``text``: a sentence.
LOG_FORMATS = ("json", "text")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "nasweb.logs.formatter",
            "form": env.text("NASWEB_LOG_FORMAT", "text", choices=LOG_FORMATS),
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"nasweb": {"level": "INFO"}, "searchjobs": {"level": "INFO"}},
}
