"""Your own servers: addresses and the secret key are given, nothing is guessed."""

from __future__ import annotations

from .base import *
from .base import (
    BASE_DIR,
    DATABASE_URL,
    LOG_FORMATS,
    LOGGING,
    REDIS_URL,
    STORAGES,
    env,
)
from .parsers import SettingError

SECRET_KEY = env.secret("SECRET_KEY")
ALLOWED_HOSTS = env.names("NASWEB_HOSTS")
for _name, _value, _example in (
    ("SECRET_KEY", SECRET_KEY, "50 or more random characters, or SECRET_KEY_FILE"),
    ("DATABASE_URL", DATABASE_URL, "postgresql://user:password@host:5432/nasweb"),
    ("REDIS_URL", REDIS_URL, "redis://host:6379/0"),
    ("NASWEB_HOSTS", ALLOWED_HOSTS, "the names under which the site is reached"),
):
    if not _value:
        raise SettingError(f"Production needs {_name}: {_example}.")

DEBUG = False
LOGGING["formatters"]["line"]["form"] = env.text(
    "NASWEB_LOG_FORMAT", "json", choices=LOG_FORMATS
)
STORAGES = {
    **STORAGES,
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
STATIC_ROOT = env.path("NASWEB_STATIC_ROOT", BASE_DIR / "staticfiles")

# NASWEB_HTTPS=0 is for a site inside a trusted network that has no certificate.
_https = env.boolean("NASWEB_HTTPS", default=True)
_scheme = "https" if _https else "http"
CSRF_TRUSTED_ORIGINS = env.names("NASWEB_ORIGINS") or [
    f"{_scheme}://{host}" for host in ALLOWED_HOSTS if host != "*"
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _https
SECURE_HSTS_SECONDS = 365 * 86_400 if _https else 0
# What the other names of your domain do is not ours to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Asked of each process of the site, inside the network, where no proxy stands.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]
if env.boolean("NASWEB_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
