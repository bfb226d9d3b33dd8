"""What a log line looks like: a sentence, and whom it is about.

Modules log plain sentences with ``logging``.  What is bound to the context (job, run
and attempt by a worker; request and user by ``Requests``) goes along with each line:
as fields of a JSON object in production, in brackets behind the sentence elsewhere.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from nasweb.around import Around

Event = MutableMapping[str, Any]
HEADER = "X-Request-ID"
_ID = "nasweb.request_id"
#: In which order a line for people says whom it is about.
ORDER = ("job", "run", "attempt", "slot", "worker", "request", "user")
#: A request id of a proxy is taken over if it can stand in a line as it is.
_GOOD_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
#: The password in an address, such as that of PostgreSQL in an error of its driver.
_PASSWORD = re.compile(r"(\w://[^\s:/@]*):[^\s/@]+@")
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def formatter(form: str) -> logging.Formatter:
    """Return the formatter of NASWEB_LOG_FORMAT: ``json`` or ``text``."""
    render: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        render += [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    else:
        render += [structlog.processors.format_exc_info, _as_text]
    return _NoPasswords(
        processors=render,
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.contextvars.merge_contextvars,
            _add_request,
        ],
    )


class _NoPasswords(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return _PASSWORD.sub(r"\1:***@", super().format(record))


def _add_request(_logger: Any, _method: str, event: Event) -> Event:
    request = _request.get()
    if request is not None:
        event["request"] = request.META[_ID]
        # Whom Django has looked up already: a log line asks the database nothing.
        user = getattr(request, "_cached_user", None)
        if user is not None and user.pk is not None:
            event["user"] = user.pk
    return event


def _as_text(_logger: Any, _method: str, event: Event) -> str:
    level, name = event.pop("level").upper(), event.pop("logger")
    sentence, traceback = event.pop("event"), event.pop("exception", "")
    event.pop("time")  # who keeps a local log writes it down
    about = " ".join(f"{key}={event[key]}" for key in sorted(event, key=_place))
    line = f"{level} {name}: {sentence}" + (f" [{about}]" if about else "")
    return f"{line}\n{traceback}" if traceback else line


def _place(field: str) -> int:
    return ORDER.index(field) if field in ORDER else len(ORDER)


class Requests(Around):
    """Give each request an id, which its log lines and its answer carry."""

    def before(self, request: HttpRequest) -> str:
        given = request.headers.get(HEADER, "")
        name = given if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)
        request.META[_ID] = name
        _request.set(request)
        return name

    def after(
        self, request: HttpRequest, response: HttpResponse, known: str
    ) -> HttpResponse:
        response.headers[HEADER] = known
        return response


@receiver(request_finished)
def _end(**_: Any) -> None:
    """Django logs an error after the last middleware: only now is a request over."""
    _request.set(None)
