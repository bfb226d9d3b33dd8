"""What all pages of the administrators share: who may enter, and how a verb answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from searchjobs.lifecycle import NotAllowedError
from searchjobs.permissions import is_administrator

View = Callable[..., HttpResponse]

#: A value of a form is wrong.
WRONG = 422
#: The state of things does not allow the verb.
REFUSED = 409


def administrators_only(view: View) -> View:
    """Let these pages not exist for anybody else."""

    @wraps(view)
    def guarded(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponse:
        if not is_administrator(request.user):
            raise Http404("Only administrators have such a page.")
        return view(request, *arguments, **named)

    return guarded


def act(
    request: HttpRequest, verb: Callable[[], bool | None], done: str, already: str = ""
) -> HttpResponse:
    """Do what a button asks for, and say in a sentence what came of it.

    Args:
        request: a POST; its field ``next`` names the page to go back to.
        verb: what to do; False: nothing was changed.
        done: the sentence if it was done.
        already: the sentence if all was so before.
    """
    try:
        changed = verb()
    except NotAllowedError as refusal:
        return refuse(request, str(refusal), REFUSED)
    if changed is False:
        return _answer(request, already, messages.INFO, changed=False)
    return _answer(request, done, messages.SUCCESS, changed=True)


def refuse(request: HttpRequest, sentence: str, status: int = WRONG) -> HttpResponse:
    """Say why nothing was done."""
    return _answer(request, sentence, messages.ERROR, changed=False, status=status)


def field(request: HttpRequest, name: str) -> str:
    """Return a field of a posted form: no blanks around it, and no zero byte, which no
    text in PostgreSQL can hold."""
    return request.POST.get(name, "").replace("\0", "").strip()


def _answer(
    request: HttpRequest, sentence: str, level: int, *, changed: bool, status: int = 200
) -> HttpResponse:
    """Go back with a message, or tell a script that asks for JSON."""
    if "application/json" in request.headers.get("Accept", ""):
        told = {"changed": changed, "message": sentence}
        return JsonResponse(told, status=status)
    messages.add_message(request, level, sentence)
    return redirect(_way_back(request))


def _way_back(request: HttpRequest) -> str:
    wanted = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if own else reverse("queues:list")
