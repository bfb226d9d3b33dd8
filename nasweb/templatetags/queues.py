"""Queues, slots and attempts in words and tones."""

from __future__ import annotations

from django import template
from django.utils import timezone

from nasweb.board.lines import device_words, limit_words
from nasweb.board.slots import short_name
from nasweb.runs.words import duration
from searchjobs.models import Attempt

register = template.Library()
register.filter("limits", limit_words)
register.filter("devices", device_words)
register.filter("short_name", short_name)

Outcome = Attempt.Outcome
#: Tone and sign of how an attempt ended; all others are faults.
_APPEARANCE: dict[str, tuple[str, str]] = {
    Outcome.RUNNING: ("accent", "●"),
    Outcome.SUCCEEDED: ("success", "✓"),
    Outcome.CANCELLED: ("muted", "⊘"),
    Outcome.PAUSED: ("warning", "❚❚"),
    Outcome.INTERRUPTED: ("warning", "◐"),
    Outcome.BUSY: ("warning", "◐"),
    Outcome.LOST: ("warning", "?"),
}


#: What the audit log calls by a noun, as something that somebody did.
_ACTS = {
    "priority": "change priority",
    "limit": "change limits",
}


@register.filter
def act(verb: str) -> str:
    """Write a verb of the audit log so that it can be read."""
    return _ACTS.get(verb, verb)


@register.inclusion_tag("_state.html")
def outcome_badge(attempt: Attempt) -> dict[str, str]:
    """How an attempt ended, as sign, word and tone, without what explains it."""
    tone, sign = _APPEARANCE.get(attempt.outcome, ("danger", "✕"))
    word = attempt.get_outcome_display().partition(":")[0]
    return {"state": word, "tone": tone, "sign": sign}


@register.filter
def lasted(attempt: Attempt) -> str:
    """Write how long an attempt took, or has taken so far."""
    ended = attempt.ended or timezone.now()
    return duration((ended - attempt.started).total_seconds())
