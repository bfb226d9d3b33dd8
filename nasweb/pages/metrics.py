"""``/metrics``: for Prometheus, by token, and for administrators."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from nasweb.metrics import REGISTRY
from nasweb.row_metrics import Rows

REGISTRY.register(Rows())


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Show all numbers in the text format of Prometheus.

    Raises:
        PermissionDenied: there is neither the token nor an administrator.
    """
    if not (_has_token(request) or _is_administrator(request)):
        raise PermissionDenied
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = settings.NASWEB_METRICS_TOKEN
    if not token or scheme.casefold() != "bearer":
        return False
    return constant_time_compare(given.strip(), token)


def _is_administrator(request: HttpRequest) -> bool:
    # Asked last: with the token, a scrape needs no session and no database.
    return bool(request.user.is_active and request.user.is_superuser)
