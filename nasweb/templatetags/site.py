"""Navigation and badges: what every page carries."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.auth.models import AbstractBaseUser
from django.forms import BoundField
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from nasweb import access
from searchjobs.permissions import is_administrator
from searchjobs.states import APPEARANCE, HOLDING, State

register = template.Library()

#: URL name, label, and the first parts of paths for which the link is current.
NAVIGATION = (
    ("home", "Home", ()),
    ("experiments:list", "Runs", ("/experiments/", "/runs/", "/evaluations/")),
    ("compare:index", "Compare", ("/compare/",)),
    ("reproductions:list", "Papers", ("/reproductions/",)),
    ("datasets:list", "Data sets", ("/datasets/", "/subsets/")),
    ("queues:list", "Queues", ("/queues/",)),
)
#: For administrators alone: the address is there for nobody else.
INSTALLATION = ("installation:index", "Installation", ("/installation/",))


@register.inclusion_tag("_nav.html", takes_context=True)
def navigation(context: dict[str, Any]) -> dict[str, Any]:
    """The links of the top bar; a page family that is not installed has none."""
    request: HttpRequest = context["request"]
    links = []
    shown = (
        [*NAVIGATION, INSTALLATION] if is_administrator(request.user) else NAVIGATION
    )
    for name, label, prefixes in shown:
        try:
            href = reverse(name)
        except NoReverseMatch:
            continue
        current = request.path == href or request.path.startswith(prefixes or ("//",))
        links.append({"href": href, "label": label, "current": current})
    return {"links": links}


@register.inclusion_tag("_team_menu.html", takes_context=True)
def team_menu(context: dict[str, Any]) -> dict[str, Any]:
    """The team whose work the lists show, and a switch if there are several."""
    request: HttpRequest = context["request"]
    return {
        "team": access.current_team(request),
        "teams": access.teams_of(request),
        "request": request,
    }


@register.filter
def initials(user: AbstractBaseUser) -> str:
    """Two letters for the button of the user menu."""
    return user.get_username()[:2].upper()


@register.inclusion_tag("_state.html")
def state_badge(state: str, held: bool = False) -> dict[str, str]:
    """A job's state as sign, word and tone; ``held``: an administrator holds it."""
    if held and state == State.QUEUED:
        tone, sign = HOLDING
        return {"state": "held", "tone": tone, "sign": sign}
    tone, sign = APPEARANCE[state]
    return {"state": state, "tone": tone, "sign": sign}


@register.filter
def tone(state: str) -> str:
    """The colour token of a job's state."""
    return APPEARANCE[state][0]


@register.filter
def styled(field: BoundField) -> str:
    """Draw a Django form field with our input class and tied to its error."""
    attributes: dict[str, str | bool] = {"class": "input"}
    if field.errors:
        attributes["aria-invalid"] = "true"
        attributes["aria-describedby"] = f"{field.id_for_label}-error"
    return field.as_widget(attrs=attributes)
