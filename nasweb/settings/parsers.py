"""Read settings from the environment: typed, pure, and strict.

A value that cannot be understood stops the start with one sentence that names the
variable and says what it may be.  Nothing falls back in silence.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
#: A server that is gone without a word (its machine is off, a cable is out) is found
#: to be so within half a minute, in the midst of a statement too: less than a lease.
POSTGRES_PATIENCE = {
    "connect_timeout": "5",  # seconds, for each address of the host
    "keepalives_idle": "10",  # seconds
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",  # milliseconds until sent data are acknowledged
}
POSTGRES_OPTIONS = frozenset(
    {"host", "sslmode", "sslrootcert", "sslcert", "sslkey", *POSTGRES_PATIENCE}
)
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
STORE_OPTIONS = frozenset({"endpoint", "region", "addressing"})
ADDRESSING = frozenset({"auto", "path", "virtual"})
#: A store that does not answer must not keep an upload for ever: seconds.
STORE_CONNECT, STORE_READ = 5, 60
#: A file that is read from a store is kept in memory up to so many bytes.
STORE_MEMORY = 8 * 2**20


class SettingError(ImproperlyConfigured):
    """A setting that stops the start; the message is one sentence."""


class Environment:
    """Typed access to environment variables; remembers which were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.asked: set[str] = set()

    def text(
        self, name: str, default: str = "", *, choices: tuple[str, ...] = ()
    ) -> str:
        """Return the variable, or ``default`` if it is unset or empty."""
        self.asked.add(name)
        value = self.variables.get(name, "").strip() or default
        if choices and value not in choices:
            raise SettingError(
                f"{name} is {value!r}; it may be one of {', '.join(choices)}."
            )
        return value

    def boolean(self, name: str, default: bool) -> bool:
        """Return a switch: 1, true, yes, on or 0, false, no, off."""
        value = self.text(name).lower()
        if not value:
            return default
        if value not in TRUE | FALSE:
            raise SettingError(f"{name} is {value!r}; set it to 1 (on) or 0 (off).")
        return value in TRUE

    def integer(
        self, name: str, default: int, *, least: int = 0, most: int = 2**31
    ) -> int:
        """Return a whole number between ``least`` and ``most``."""
        value = self.text(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise SettingError(
                f"{name} is {value!r}; set it to a whole number from {least} to {most}."
            )
        return number

    def names(self, name: str) -> list[str]:
        """Return a comma-separated list without its blanks."""
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    def path(self, name: str, default: Path) -> Path:
        """Return an absolute path; ``~`` is the home folder."""
        value = self.text(name)
        return Path(value).expanduser().absolute() if value else default

    def secret(self, name: str) -> str:
        """Return ``NAME``, or the content of the file that ``NAME_FILE`` names."""
        value, file = self.text(name), self.text(f"{name}_FILE")
        if value and file:
            raise SettingError(f"Both {name} and {name}_FILE are set; unset one.")
        if not file:
            return value
        try:
            content = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise SettingError(
                f"{name}_FILE names {file}, which cannot be read ({reason})."
            ) from None
        if not content:
            raise SettingError(f"{name}_FILE names {file}, which is empty.")
        return content

    def unknown(self, prefix: str) -> list[str]:
        """Return variables of that prefix for which no setting has asked."""
        return sorted(
            name
            for name in self.variables
            if name.startswith(prefix) and name not in self.asked
        )


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for a PostgreSQL address.

    ``postgresql://user:password@host:5432/name?sslmode=require``; a Unix socket is
    given by its folder: ``postgresql://user@/name?host=/run/postgresql``.  Over TCP
    no statement waits for a server that is gone (``POSTGRES_PATIENCE``).
    """
    example = "postgresql://user:password@host:5432/name"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingError(
            f"DATABASE_URL has a port that is not a number; write {example}."
        ) from None
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in POSTGRES_SCHEMES:
        raise SettingError(
            f"DATABASE_URL starts with {parts.scheme or 'no scheme'!r}, but nasweb "
            f"needs PostgreSQL; write {example}."
        )
    if not name or "/" in name:
        raise SettingError(f"DATABASE_URL names no database; write {example}.")
    options = dict(parse_qsl(parts.query))
    strange = sorted(options.keys() - POSTGRES_OPTIONS)
    if strange:
        raise SettingError(
            f"DATABASE_URL has the unknown option {strange[0]!r}; known are "
            f"{', '.join(sorted(POSTGRES_OPTIONS))}."
        )
    host = options.pop("host", "") or unquote(parts.hostname or "")
    if host and not host.startswith("/"):
        options = {**POSTGRES_PATIENCE, **options}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "OPTIONS": options,
    }


def redis_url(url: str) -> str:
    """Return a Redis address that redis-py understands, or say what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES:
        raise SettingError(
            f"REDIS_URL starts with {parts.scheme or 'no scheme'!r}; write "
            "redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/redis.sock."
        )
    if parts.scheme == "unix" and not parts.path:
        raise SettingError(
            "REDIS_URL names no socket; write unix:///path/to/redis.sock."
        )
    return url


def broker_url(url: str) -> str:
    """Return the same Redis as Celery writes it (``unix`` is ``redis+socket``)."""
    return url.replace("unix://", "redis+socket://", 1) if url else url


def artefact_storage(
    url: str, folder: Path, keys: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return Django's settings for the storage of artefacts.

    Args:
        url: ``s3://bucket/prefix?endpoint=https://host:9000&region=eu-west-1``, with
            ``addressing=path`` or ``virtual`` for stores that ask for one of them;
            empty: the file system.
        folder: where files lie if ``url`` is empty.
        keys: ``access_key``, ``secret_key``, ``security_token``; without them the
            keys are looked for as AWS's own tools do.
    """
    if not url:
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": folder, "allow_overwrite": False},
        }
    bucket, prefix, options = _store_address(url)
    if find_spec("storages") is None or find_spec("boto3") is None:
        raise SettingError(
            "NASWEB_ARTEFACTS_URL names an S3 store, and its client is not installed; "
            "run pip install 'nasweb[s3]', or unset NASWEB_ARTEFACTS_URL."
        )
    from botocore.config import Config

    given = {name: key for name, key in (keys or {}).items() if key}
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "location": prefix,
            "endpoint_url": options.get("endpoint"),
            "region_name": options.get("region"),
            "file_overwrite": False,
            "max_memory_size": STORE_MEMORY,
            "client_config": Config(
                connect_timeout=STORE_CONNECT,
                read_timeout=STORE_READ,
                retries={"total_max_attempts": 3},
                s3={"addressing_style": options.get("addressing", "auto")},
            ),
            **given,
        },
    }


def _store_address(url: str) -> tuple[str, str, dict[str, str]]:
    """Return bucket, prefix and options of an S3 address."""
    example = "s3://bucket/prefix?endpoint=https://host:9000&region=eu-west-1"
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise SettingError(
            f"NASWEB_ARTEFACTS_URL names no bucket of an S3 store; write {example}, or "
            "unset it and set NASWEB_ARTEFACTS_DIR to a folder that all machines see."
        )
    if "@" in parts.netloc:
        raise SettingError(
            "NASWEB_ARTEFACTS_URL holds keys, which would show in logs; give them by "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    options = dict(parse_qsl(parts.query))
    strange = sorted(options.keys() - STORE_OPTIONS)
    if strange:
        raise SettingError(
            f"NASWEB_ARTEFACTS_URL has the unknown option {strange[0]!r}; known are "
            f"{', '.join(sorted(STORE_OPTIONS))}."
        )
    if urlsplit(options.get("endpoint", "https:")).scheme not in {"http", "https"}:
        raise SettingError(
            f"NASWEB_ARTEFACTS_URL has the endpoint {options['endpoint']!r}; write "
            "endpoint=https://host:9000."
        )
    if options.get("addressing", "auto") not in ADDRESSING:
        raise SettingError(
            f"NASWEB_ARTEFACTS_URL has addressing={options['addressing']}; it may be "
            f"one of {', '.join(sorted(ADDRESSING))}."
        )
    return parts.netloc, unquote(parts.path.strip("/")), options


def local_secret(path: Path) -> str:
    """Return the secret key of a local installation; make it at the first start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        key = secrets.token_urlsafe(64)
        file.write(key)
    return key
