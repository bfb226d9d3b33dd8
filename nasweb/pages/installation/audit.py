"""The audit log: who did what, when, and what it was before and after."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from searchjobs.models import AuditEvent, Job

from .answers import administrators_only

PAGE = 50
#: Further back than this nobody asks by days.
MOST_DAYS = 36_500


@administrators_only
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """All events, newest first; verb, object, actor and days stand in the address."""
    names = ("verb", "object", "actor", "days")
    wanted = {name: request.GET.get(name, "").strip() for name in names}
    found = _filtered(AuditEvent.objects.select_related("actor", "team"), wanted)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    verbs = AuditEvent.objects.order_by("verb").values_list("verb", flat=True)
    context = {
        "page": page,
        "events": [(event, differences(event)) for event in page.object_list],
        "wanted": wanted,
        "verbs": verbs.distinct(),
        "query": query.urlencode(),
    }
    return render(request, "installation/audit.html", context)


def _filtered(
    found: QuerySet[AuditEvent], wanted: dict[str, str]
) -> QuerySet[AuditEvent]:
    if wanted["verb"]:
        found = found.filter(verb=wanted["verb"])
    if text := wanted["object"]:
        found = found.filter(
            Q(object_name__icontains=text) | Q(object_type=text) | Q(object_id=text)
        )
    if wanted["actor"]:
        found = found.filter(actor__username=wanted["actor"])
    if wanted["days"].isdecimal():
        days = min(int(wanted["days"][:9]), MOST_DAYS)
        found = found.filter(at__gte=timezone.now() - timedelta(days=days))
    return found.order_by("-at", "-pk")


def differences(event: AuditEvent) -> list[tuple[str, str, str]]:
    """Return what changed: its name, before, after; an empty text where there was
    nothing to say."""
    before, after = event.before or {}, event.after or {}
    return [
        (name.replace("_", " "), _words(name, before), _words(name, after))
        for name in dict.fromkeys([*before, *after])
    ]


def _words(name: str, values: dict[str, Any]) -> str:
    if name not in values:
        return ""
    value = values[name]
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "priority" and value in Job.Priority.values:
        return str(Job.Priority(value).label)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)
