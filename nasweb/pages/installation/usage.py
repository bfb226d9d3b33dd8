"""What each team used of the devices in the last days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from nasweb.figures.devices import team_hours
from searchjobs.models import Queue
from searchjobs.usage import Used, device_hours, totals

from .answers import administrators_only

DAYS = 7
MOST_DAYS = 366
#: Days that the table has columns for; a longer window has its sums alone.
MOST_COLUMNS = 14
UNITS = {Queue.Device.GPU: "GPU hours", Queue.Device.CPU: "CPU slot hours"}


@administrators_only
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Device hours by day and team, GPUs and CPUs apart."""
    given = request.GET.get("days", "")
    days = int(given) if given.isdecimal() and len(given) < 4 else DAYS
    days = min(max(days, 1), MOST_DAYS)
    now = timezone.now()
    used = device_hours(days, now)
    found = totals(used)
    columns = [now.date() - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
    if days > MOST_COLUMNS:
        columns = []
    parts = [
        _part(device, unit, found[device], used, columns)
        for device, unit in UNITS.items()
        if device in found
    ]
    context = {
        "used": used,
        "totals": found,
        "days": days,
        "choices": (1, 7, 30, 90),
        "columns": columns,
        "parts": parts,
        "figures": {
            f"usage-{part['device']}": team_hours(part["totals"], "") for part in parts
        },
    }
    return render(request, "installation/usage.html", context)


def _part(
    device: str,
    unit: str,
    sums: dict[str, float],
    used: Sequence[Used],
    columns: Sequence[Any],
) -> dict[str, Any]:
    """Return one kind of device: its chart's name, and a row a team with its days."""
    hours = {
        (each.team, each.day): each.hours for each in used if each.device == device
    }
    return {
        "device": device,
        "unit": unit,
        "totals": sums,
        "all": sum(sums.values()),
        "rows": [
            (team, [hours.get((team, day), 0.0) for day in columns], total)
            for team, total in sums.items()
        ],
    }
