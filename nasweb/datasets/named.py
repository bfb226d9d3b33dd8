"""What the data set of a spec is called: by the team, if it has registered it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.urls import reverse

from nasweb.parts import label_of
from searchjobs.belongings import images_named
from searchjobs.models import Dataset, Team

#: Options that say how images are read; they are the same images all the same.
_READING = {"download", "workers", "leave_out", "normalise", "mean", "std"}


@dataclass(frozen=True)
class Named:
    """A data set as pages name it; ``address`` is that of its page, if it has one."""

    label: str
    address: str = ""


def names(team: Team | int, sections: Sequence[Mapping[str, Any]]) -> list[Named]:
    """Return the name of each section ``dataset`` of a team's specs: one query at most.

    A source that lies nowhere in particular (CIFAR-10 in the data folder) has a name of
    its own; a file, a folder or an upload has that of the registered data set.
    """
    known = _registered(team, sections)
    return [_named(section, known) for section in sections]


def name_of(team: Team | int, section: Mapping[str, Any]) -> Named:
    """Return the name of one such section."""
    return names(team, [section])[0]


def _registered(
    team: Team | int, sections: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    paths = {str(each["path"]) for each in sections if each.get("path")}
    uploads = {str(each["upload"]) for each in sections if each.get("upload")}
    if not paths and not uploads:
        return []
    of_these = Q(source__path__in=paths) | Q(source__upload__in=uploads)
    rows = Dataset.objects.filter(of_these, team=team).order_by("name", "pk")
    return [dict(row) for row in rows.values("uuid", "name", "source")]


def _named(section: Mapping[str, Any], known: Sequence[dict[str, Any]]) -> Named:
    wanted = images_named(section)
    same = [row for row in known if images_named(row["source"]) == wanted]
    if not same:
        return Named(label_of("dataset", section.get("name")))
    # of several on the same files, the one that takes just these images
    chosen = _chosen(section)
    found = next((row for row in same if _chosen(row["source"]) == chosen), same[0])
    return Named(found["name"], reverse("datasets:detail", args=[found["uuid"]]))


def _chosen(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in _READING}
