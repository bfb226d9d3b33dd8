"""What each team used of the devices in the last days."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from searchjobs.usage import device_hours, totals

from .answers import administrators_only

DAYS = 7
MOST_DAYS = 366


@administrators_only
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Device hours by day and team, GPUs and CPUs apart."""
    given = request.GET.get("days", "")
    days = int(given) if given.isdecimal() and len(given) < 4 else DAYS
    days = min(max(days, 1), MOST_DAYS)
    used = device_hours(days)
    context = {"used": used, "totals": totals(used), "days": days}
    return render(request, "installation/usage.html", context)
