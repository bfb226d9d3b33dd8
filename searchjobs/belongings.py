"""What a spec may name: uploads and subsets of its own team and of no other, and files
where its author may reach.

Asked before anybody looks at the images or the subset: a sentence about them, or a
preview, would tell of what is another team's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from . import uploads
from .engine import places
from .engine.problems import Problem, SpecError
from .engine.registry import paths_of
from .models import Dataset, Subset, Team
from .permissions import User, can_name_any_file
from .subset_files import subset_of

#: Options of a data set that say which images they are; the others choose among them.
WHICH = ("name", "path", "upload", "subset")


def problems(actor: User, team: Team, spec: Mapping[str, Any]) -> list[Problem]:
    """Return why an actor may not use, for a team, what a spec names."""
    found = uploads.problems(team, spec)
    identity = subset_of(spec)
    if identity is not None:
        own = Subset.objects.filter(uuid=identity, job__team=team).exists()
    else:
        own = not _is_path_to_ours(spec)
    if not own:
        sentence = "There is no such subset in this team; choose another one."
        found.append(Problem("selection.subset", sentence))
    placed = {problem.field for problem in found}
    return [*found, *(p for p in _far(actor, team, spec) if p.field not in placed)]


def require_own(actor: User, team: Team, spec: Mapping[str, Any]) -> None:
    """Raise SpecError if a spec names what is not the team's, or is out of reach."""
    if found := problems(actor, team, spec):
        raise SpecError(found)


def hold(team: Team, spec: Mapping[str, Any]) -> None:
    """Keep the data set of a spec until the transaction ends: whoever removes it waits,
    and then finds what was launched on it.

    Raises SpecError if the images of an upload were removed a moment ago.
    """
    section = _section(spec, "dataset")
    if not section.get("upload") and not section.get("path"):
        return  # it is no team's: nothing goes with a row that names it
    rows = Dataset.objects.filter(team=team, source__contains=images_named(section))
    locked = rows.order_by("pk").select_for_update(no_key=True)
    if not locked.values_list("pk", flat=True) and section.get("upload"):
        raise SpecError(uploads.problems(team, spec))


def images_named(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a section ``dataset`` says which images they are."""
    return {key: section[key] for key in WHICH if key in section}


def _section(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = spec.get(name)
    return section if isinstance(section, Mapping) else {}


@cache
def _paths() -> tuple[tuple[str, str], ...]:
    """Return the options by which a spec names a file or a folder of the workers'
    machines: section and option, of the parts of other packages too."""
    from .engine.spec import PARTS  # brings PyTorch: only when needed

    return tuple(
        (section, option)
        for section, parts in PARTS.items()
        for option in {each: None for part in parts.all() for each in paths_of(part)}
    )


def _named(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the files and folders that a spec names, each with its field; of stopping
    rules there may be several."""
    for section, option in _paths():
        given = spec.get(section)
        parts = enumerate(given) if isinstance(given, list) else [("", given)]
        for number, part in parts:
            text = part.get(option) if isinstance(part, Mapping) else None
            if text and (path := str(text).strip()):
                yield ".".join(filter(None, [section, str(number), option])), path


def _far(actor: User, team: Team, spec: Mapping[str, Any]) -> list[Problem]:
    """Say which files lie where members may not reach: a source reads there, and a
    download writes there, with the rights of the worker."""
    named = {
        field: text
        for field, text in _named(spec)
        if not (field == "selection.subset" and places.subset_id(text))
        and not _is_near(text)
    }
    if not named or can_name_any_file(actor, team):
        return []
    if _is_registered(team, _section(spec, "dataset")):
        named.pop("dataset.path", None)
    root = places.data_root()
    return [
        Problem(
            field,
            f"{text} lies outside of the data folder {root}, where members name files; "
            + (
                "ask a maintainer of the team to register it as a data set."
                if field == "dataset.path"
                else "put it there, or ask a maintainer of the team to launch this."
            ),
        )
        for field, text in named.items()
    ]


def _is_near(text: str) -> bool:
    """Say whether a path leads into the data folder, and there to nothing that the site
    keeps for its teams.  A link that an administrator has laid there may lead on."""
    path, root = places.path_of(text), places.data_root().absolute()
    real = _real(path)
    if any(
        real.is_relative_to(_real(ours))
        for ours in (places.uploads_root(), places.subset_root())
    ):
        return False
    plain = ".." not in path.parts and path.is_relative_to(root)
    return plain or real.is_relative_to(_real(root))


def _real(path: Path) -> Path:
    """Return where a path leads; a loop of links, which ``resolve`` refuses, stays."""
    return Path(os.path.realpath(path))


def _is_registered(team: Team, section: Mapping[str, Any]) -> bool:
    """Say whether the team has a data set there, so that a maintainer has put it; what
    it does not fetch by itself is not fetched there."""
    which = images_named(section)
    if section.get("download"):
        which["download"] = section["download"]
    return Dataset.objects.filter(team=team, source__contains=which).exists()


def _is_path_to_ours(spec: Mapping[str, Any]) -> bool:
    """Say whether a spec names by its path a file that the site keeps for all teams."""
    named = _section(spec, "selection").get("subset")
    if not named:
        return False
    ours = places.subset_root().resolve()
    return places.subset_path(str(named).strip()).resolve().is_relative_to(ours)
