"""What one process of the site measures of itself, for Prometheus.

Each process has its own numbers: Prometheus scrapes every one of them and adds up.
What the rows tell is in ``row_metrics``; it is the same whichever process is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nasweb.around import Around

REGISTRY = CollectorRegistry()
#: Seconds; a query that takes longer than the last but one deserves a look.
QUERY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

QUERY_SECONDS = Histogram(
    "nasweb_database_query_seconds",
    "Time of a database query of this process.",
    registry=REGISTRY,
    buckets=QUERY_BUCKETS,
)
REQUESTS = Counter(
    "nasweb_http_requests",
    "Requests that this process has answered.",
    ["view", "method", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "nasweb_http_request_seconds",
    "Time until the answer of a view begins.",
    ["view"],
    registry=REGISTRY,
    buckets=REQUEST_BUCKETS,
)
STREAMS = Gauge(
    "nasweb_sse_clients",
    "Browsers that follow a run live, from this process.",
    registry=REGISTRY,
)
#: What a browser may send; anything else is counted together.
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})


class Measured(Around):
    """Count requests and their time by view, method and status."""

    def before(self, request: HttpRequest) -> float:
        return time.perf_counter()

    def after(
        self, request: HttpRequest, response: HttpResponse, known: float
    ) -> HttpResponse:
        # By the name of the view, never by the path: anybody may invent paths.
        match = request.resolver_match
        view = (match.view_name or match._func_path) if match else "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(view, method, response.status_code).inc()
        REQUEST_SECONDS.labels(view).observe(time.perf_counter() - known)
        return response


def _timed(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
) -> Any:
    begun = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        QUERY_SECONDS.observe(time.perf_counter() - begun)


@receiver(connection_created)
def _time_queries(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _timed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_timed)
