"""Middleware that does something before and after each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse


class Around:
    """Both synchronous and asynchronous, so that the live streams stay asynchronous
    from end to end.  What ``before`` returns is given to ``after``; neither may wait.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.asynchronous = iscoroutinefunction(get_response)
        if self.asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        known = self.before(request)
        if self.asynchronous:
            return self._answer_later(request, known)  # type: ignore[return-value]
        return self.after(request, self.get_response(request), known)

    async def _answer_later(self, request: HttpRequest, known: Any) -> HttpResponse:
        response = await self.get_response(request)  # type: ignore[misc]
        return self.after(request, response, known)

    def before(self, request: HttpRequest) -> Any:
        return None

    def after(
        self, request: HttpRequest, response: HttpResponse, known: Any
    ) -> HttpResponse:
        return response
