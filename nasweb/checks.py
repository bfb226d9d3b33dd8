"""System checks: what can be wrong with an installation before it runs."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from django.core import checks

from nasweb.settings.base import env

#: Read outside the settings, or only by some of them.
KNOWN = {
    "NASWEB_BIND",
    "NASWEB_BEHIND_PROXY",
    "NASWEB_HOSTS",
    "NASWEB_HTTPS",
    "NASWEB_ORIGINS",
    "NASWEB_REVISION",
    "NASWEB_STATIC_ROOT",
}


@checks.register
def no_setting_is_misspelt(**_: Any) -> list[checks.CheckMessage]:
    """Warn of environment variables that look like ours and that nothing reads."""
    known = {name for name in env.asked if name.startswith("NASWEB_")} | KNOWN
    found: list[checks.CheckMessage] = []
    for name in env.unknown("NASWEB_"):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else "Remove it."
            message = f"The environment variable {name} is no setting of nasweb."
            found.append(checks.Warning(message, hint=hint, id="nasweb.W001"))
    return found
