"""Queues: who waits for what and until when, what each slot does.  What administrators
do there stands in ``installation``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from nasweb import access
from nasweb.board import lines, slots
from nasweb.figures.devices import team_hours
from searchjobs.models import Job, Queue
from searchjobs.permissions import is_administrator
from searchjobs.usage import device_hours, totals

app_name = "queues"

USAGE_DAYS = 7


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """All queues and slots of the installation."""
    found = slots.read()
    teams = {team.pk for team in access.teams_of(request)}
    administers = is_administrator(request.user)
    cards = lines.cards(slots.answering(found), teams)
    waiting = [card for card in cards if card.waiting]
    context = {
        "cards": cards,
        "lines": sorted(waiting, key=lambda card: -card.waiting_count),
        "rows": slots.rows(found, teams),
        "administers": administers,
        "priorities": Job.Priority.choices,
    }
    if "HX-Request" in request.headers:
        return render(request, "queues/_queues.html", context)
    return render(request, "queues/index.html", {**context, **_usage(cards, teams)})


def _usage(cards: list[lines.Card], teams: Collection[int]) -> dict[str, Any]:
    """Return the chart of hours by team: of GPUs if there are any, else of the CPU.

    What other teams used, and how they are called, is for administrators alone.
    """
    hours = device_hours(USAGE_DAYS)
    used = totals(each for each in hours if each.team_id in teams)
    devices = {card.queue.device for card in cards} | set(used)
    device = Queue.Device.GPU if Queue.Device.GPU in devices else Queue.Device.CPU
    unit = "GPU hours" if device == Queue.Device.GPU else "CPU slot hours"
    figure = team_hours(used.get(device, {}), f"None was used in {USAGE_DAYS} days.")
    return {
        "usage_title": f"{unit} by team, {USAGE_DAYS} days",
        "figures": {"usage": figure},
    }


urlpatterns = [path("", index, name="list")]
