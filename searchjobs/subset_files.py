"""The files of subsets, where the engine, which knows no database, looks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from . import artefacts
from .engine import places
from .engine.files import write_whole
from .models import Artefact
from .states import State

#: The file of a subset among those of its job; the engine names it so.
FILE = "subset.npz"


def provide() -> None:
    """From now on, whoever looks for a subset by its id in this process gets it."""
    if _provided not in places.subset_providers:
        places.subset_providers.append(_provided)


def _provided(subset: UUID) -> None:
    """Bring it; a storage that is away is an error of a file, which the engine knows
    how to tell."""
    try:
        bring(subset)
    except artefacts.StorageAwayError as error:
        raise OSError(str(error)) from error


def bring(subset: UUID) -> None:
    """Put the file of a subset where the engine looks for it; nothing to do if it is
    there, and nothing if there is no such subset.

    Raises StorageAwayError, OSError.
    """
    artefact = Artefact.objects.filter(
        job__subset__uuid=subset, job__state=State.SUCCEEDED, name=FILE
    ).first()
    path = places.subset_path(str(subset))
    stamp = path.with_suffix(".stamp")
    if artefact is None:
        # Perhaps it begins anew: the old file must not be taken for it.
        path.unlink(missing_ok=True)
        return
    wanted = f"{artefact.pk}\n"
    if path.exists() and stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _content(artefact))
    write_whole(stamp, wanted.encode())


def bring_for(spec: Mapping[str, Any]) -> None:
    """Do so for the subset that the spec of a search names, if it names one."""
    identity = subset_of(spec)
    if identity is not None:
        bring(identity)


def subset_of(spec: Mapping[str, Any]) -> UUID | None:
    """Return the id of the subset that the spec of a search names by one."""
    selection = spec.get("selection")
    named = selection.get("subset") if isinstance(selection, Mapping) else None
    return places.subset_id(str(named)) if named else None


def _content(artefact: Artefact) -> bytes:
    with artefacts.open_artefact(artefact) as file:
        content: bytes = file.read()
        return content
