"""``/healthz``: for load balancers and for ``make run``."""

from __future__ import annotations

import os
from pathlib import Path

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from nasweb import __version__
from searchjobs.artefacts import storage

_migrated = False


@login_not_required
@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Say whether PostgreSQL, Redis, the tables and the storage are as they should be;
    503 if PostgreSQL does not answer.

    Without the others the site still works: pages ask for what is new, and jobs wait
    for the next beat.  So a balancer must not take the site away for them.
    """
    database = _database_answers()
    said = {
        "database": "ok" if database else "unreachable",
        "redis": "ok" if _redis_answers() else "unreachable",
        "migrations": _migrations() if database else "unknown",
        "storage": "ok" if storage_is_writable() else "not writable",
        "version": __version__,
    }
    return JsonResponse(said, status=200 if database else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _redis_answers() -> bool:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        ) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError):
        return False


def _migrations() -> str:
    """Say whether the tables are those of this version; once they are, they stay."""
    global _migrated
    try:
        _migrated = _migrated or not pending_migrations()
    except Error:
        return "unknown"
    return "ok" if _migrated else "pending"


def pending_migrations() -> list[str]:
    """Return the names of migrations that the database has not seen.

    Raises:
        Error: the database does not answer.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [str(migration) for migration, _ in plan]


def storage_is_writable() -> bool:
    """Say whether artefacts can be stored, if they go to a folder of this machine.

    A store on the network is not asked: that would make each probe as slow as it is.
    """
    try:
        folder = Path(storage().path(""))
    except NotImplementedError:
        return True
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # made with the first file
    return os.access(folder, os.W_OK | os.X_OK)
