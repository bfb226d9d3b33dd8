"""``/healthz``: for load balancers and for ``make run``."""

from __future__ import annotations

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from nasweb import __version__


@login_not_required
@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Say which of PostgreSQL and Redis answer; 503 if PostgreSQL does not.

    Without Redis the site still works: pages ask for what is new, and jobs wait for
    the next beat.  So a balancer must not take the site away for it.
    """
    parts = {"database": _database_answers(), "redis": _redis_answers()}
    status = 200 if parts["database"] else 503
    said = {name: "ok" if fine else "unreachable" for name, fine in parts.items()}
    return JsonResponse({**said, "version": __version__}, status=status)


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
