"""What a spec may name: uploads and subsets of its own team, and of no other.

Asked before anybody looks at the images or the subset: a sentence about them, or a
preview, would tell of what is another team's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import uploads
from .engine import places
from .engine.problems import Problem, SpecError
from .models import Subset, Team
from .subset_files import subset_of


def problems(team: Team, spec: Mapping[str, Any]) -> list[Problem]:
    """Return why a team may not use the upload or the subset that a spec names."""
    found = uploads.problems(team, spec)
    identity = subset_of(spec)
    if identity is not None:
        own = Subset.objects.filter(uuid=identity, job__team=team).exists()
    else:
        own = not _is_path_to_ours(spec)
    if not own:
        sentence = "There is no such subset in this team; choose another one."
        found.append(Problem("selection.subset", sentence))
    return found


def require_own(team: Team, spec: Mapping[str, Any]) -> None:
    """Raise SpecError if a spec names what is not the team's."""
    if found := problems(team, spec):
        raise SpecError(found)


def _is_path_to_ours(spec: Mapping[str, Any]) -> bool:
    """Say whether a spec names by its path a file that the site keeps for all teams."""
    selection = spec.get("selection")
    named = selection.get("subset") if isinstance(selection, Mapping) else None
    if not named:
        return False
    ours = places.subset_root().resolve()
    return places.subset_path(str(named).strip()).resolve().is_relative_to(ours)
