"""Where uploaded images lie, how much a team may have of them, and who may use them.

An upload is a folder in the data folder that all machines see.  It is unpacked under
another name and then renamed, so that it is there as a whole or not at all.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from json import dumps
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from .engine.data.sources.uploaded import LEFT_OUT
from .engine.places import uploads_root
from .engine.problems import Problem, SpecError
from .models import Dataset, Team
from .zip_images import Limits, UploadError, unpack

logger = logging.getLogger(__name__)

#: Begins the name of a folder that is being filled or removed; no upload has it.
PART = ".part-"
#: What a site that was killed has left of an upload is removed after a day.
PART_SECONDS = 86_400.0
MB = 10**6


def limits() -> Limits:
    """Return what the settings allow a zip file to hold."""
    return Limits(
        files=settings.NASWEB_UPLOAD_FILES,
        unpacked=settings.NASWEB_UPLOAD_UNPACKED_MB * MB,
        ratio=settings.NASWEB_UPLOAD_RATIO,
        pixels=settings.NASWEB_UPLOAD_PIXELS,
    )


@contextmanager
def unpacked(team: Team, file: IO[bytes]) -> Iterator[str]:
    """Unpack a zip file for a team and give the id of the upload; if what is done with
    it then fails, its files are removed again.

    What is done with it is one transaction, in which no other upload of the team is
    counted: of two that are unpacked at once, the second sees the row of the first.

    Raises SpecError, at ``file``, if it is refused.
    """
    root = uploads_root()
    upload = str(uuid4())
    part = root / f"{PART}{upload}"
    try:
        with _told_at_file(team):
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root)
            _require_room(team, root)
            part.mkdir(mode=0o755)
            found = unpack(file, part, limits())
            (part / LEFT_OUT).write_text(dumps(found.left_out), "utf-8")
        with transaction.atomic():
            Team.objects.select_for_update(no_key=True).get(pk=team.pk)
            with _told_at_file(team):
                _require_quota(team, found.size)
                part.replace(root / upload)
            yield upload
    except BaseException:
        _erase(part)
        with suppress(OSError):  # what went wrong first is what is told
            remove(upload)
        raise


@contextmanager
def _told_at_file(team: Team) -> Iterator[None]:
    """Turn what keeps a zip file from being unpacked into a problem of its field."""
    try:
        yield
    except UploadError as error:
        raise SpecError([Problem("file", str(error))]) from None
    except OSError as error:
        logger.warning("an upload of %s could not be kept: %s", team, error)
        raise SpecError([Problem("file", _unwritable(error))]) from None


def remove(upload: str) -> None:
    """Remove the files of an upload; it is gone at once, its files soon after."""
    root = uploads_root()
    gone = root / f"{PART}{uuid4()}"
    try:
        (root / str(UUID(upload))).rename(gone)
    except (FileNotFoundError, ValueError):
        return
    _erase(gone)


def used(team: Team) -> int:
    """Return the bytes of a team's uploads."""
    rows = Dataset.objects.filter(team=team, uploaded=True)
    ids = rows.values_list("source__upload", flat=True)
    return sum(_size(uploads_root() / str(UUID(upload))) for upload in ids if upload)


def problems(team: Team, spec: Mapping[str, Any]) -> list[Problem]:
    """Return why a team may not use the upload of a spec, if it names one."""
    section = spec.get("dataset")
    upload = section.get("upload") if isinstance(section, Mapping) else None
    if not upload:
        return []
    own = Dataset.objects.filter(team=team, uploaded=True, source__upload=str(upload))
    if own.exists():
        return []
    return [
        Problem(
            "dataset.upload",
            "Your team has no such upload; start from the page of one of its data "
            "sets.",
        )
    ]


def _require_room(team: Team, root: Path) -> None:
    _require_quota(team, 1)
    left = shutil.disk_usage(root).free // MB
    if left < settings.NASWEB_MIN_FREE_MB:
        raise UploadError(
            "The disk of the data folder is nearly full; ask an administrator to make "
            "room."
        )


def _require_quota(team: Team, more: int) -> None:
    quota = settings.NASWEB_TEAM_UPLOADS_MB
    if used(team) + more > quota * MB:
        raise UploadError(
            f"The uploads of your team would take more than the {quota:,} MB that it "
            "may have; remove a data set that nobody uses, or ask an administrator."
        )


def _unwritable(error: OSError) -> str:
    return (
        f"The images could not be written ({error.strerror or error}); nothing was "
        "kept, ask an administrator to look at the data folder."
    )


def _size(folder: Path) -> int:
    """Return the bytes of a folder's files; what vanishes meanwhile counts no more."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _sweep(root: Path) -> None:
    """Remove what interrupted uploads have left."""
    for entry in root.glob(f"{PART}*"):
        try:
            if time.time() - entry.stat().st_mtime > PART_SECONDS:
                _erase(entry)
        except FileNotFoundError:
            continue


def _erase(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
