"""Who is not logged in: sent to the log-in page to read, refused to act."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

#: What a browser may ask for again after a log-in.
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class LoginRequired(LoginRequiredMiddleware):
    """Every view needs a log-in unless it says ``login_not_required``.

    A POST is never redirected: the browser would make a GET of it and lose what was
    sent, and a script would take the log-in page for a success.
    """

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Any
    ) -> HttpResponseBase:
        if request.method in READS:
            return super().handle_no_permission(request, view_func)
        answer = render(request, "403_log_in.html", status=403)
        if "HX-Request" in request.headers:  # the page anew leads to the log-in
            answer["HX-Refresh"] = "true"
        return answer
