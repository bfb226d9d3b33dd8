"""Scores as the explorer writes them."""

from __future__ import annotations

from django import template

from nasweb.explorer.gallery import short

register = template.Library()


@register.filter
def score(value: float | None) -> str:
    """Write a score in few signs; a dash where there is none."""
    return "–" if value is None else short(value)
