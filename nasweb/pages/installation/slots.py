"""One slot: what it is, its load of a day, and the attempts that it ran."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from nasweb import access
from nasweb.board import load, slots
from nasweb.figures.devices import load as load_figure
from searchjobs.models import Attempt, Slot
from searchjobs.slot_names import ran_on

from .answers import administrators_only

#: Newest attempts that the page lists.
MOST_ATTEMPTS = 30


@administrators_only
@require_safe
def detail(request: HttpRequest, key: int) -> HttpResponse:
    """A slot with its load of the last 24 hours."""
    slot = get_object_or_404(
        Slot.objects.select_related("worker", "job__run__experiment"), pk=key
    )
    teams = {team.pk for team in access.teams_of(request)}
    attempts = (
        Attempt.objects.filter(ran_on(slot))
        .select_related("job__run__experiment", "job__team")
        .defer(*(f"job__{column}" for column in slots.HEAVY))
        .order_by("-started")
    )
    context = {
        "slot": slot,
        "row": slots.rows([slot], teams)[0],
        "attempts": attempts[:MOST_ATTEMPTS],
        "figures": {
            "load": load_figure(load.last_day(slot.pk), slot.memory_mib / 1024)
        },
    }
    return render(request, "installation/slot.html", context)
