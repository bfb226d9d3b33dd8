"""The files of a job in the storage that all machines share.

The engine writes only to a folder of its machine.  What must outlive the machine is
put into the storage, and then a row says so, written under the fence of the attempt.
Readers know only of rows: a file without one is never seen, whoever put it there, and
is removed when it is old (``retention``).

The storage is Django's: a folder, or an S3 store (settings, ``STORAGES``).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import zipfile
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.db.models import QuerySet

from .fencing import StaleAttemptError, fenced, holds
from .models import Artefact
from .states import HELD

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
PRUNINGS = "prunings"
LOGS = "logs"
#: What is published of a log that is longer: its end, in bytes.
LOG_BYTES = 16 * 2**20
POLL_SECONDS = 0.1
_CHUNK = 2**20
_CHECKPOINT = re.compile(r"epoch-(\d+)\.pt")


class StorageAwayError(RuntimeError):
    """The storage cannot be used now; the message is a sentence."""


class Holder(Protocol):
    """Whose files they are: a claim is one."""

    @property
    def job_id(self) -> int: ...
    @property
    def job_uuid(self) -> UUID: ...
    @property
    def fence(self) -> int: ...


@dataclass(frozen=True)
class Upload:
    """A file that is in the storage and that no row names yet; ``size`` in bytes."""

    name: str
    epoch: int | None
    path: str
    size: int


def storage() -> Storage:
    """Return the storage that all machines share."""
    return storages["artefacts"]


def publish(
    holder: Holder,
    folder: Path,
    name: str,
    epoch: int | None = None,
    *,
    states: Collection[str] = HELD,
    content: bytes | None = None,
) -> bool:
    """Put a file of the run's folder, or ``content``, into the storage; write its row.

    False if the file is not there.  Raises StaleAttemptError, and leaves nothing, if
    the job went to another attempt; StorageAwayError if the storage failed.
    """
    if not holds(holder.job_id, holder.fence, states):
        raise StaleAttemptError
    upload = send(holder, folder / name, name, epoch, content=content)
    if upload is None:
        return False
    try:
        replaced = record(holder, [upload], states=states)
    except StaleAttemptError:
        remove(upload.path)
        raise
    remove(*replaced)
    return True


def send(
    holder: Holder,
    source: Path,
    name: str,
    epoch: int | None = None,
    *,
    content: bytes | None = None,
) -> Upload | None:
    """Put a file into the storage, where nobody sees it without a row.

    Holds no lock and asks no database.  ``content`` is written instead of a file that
    still grows; others are linked, where storage and folder share a file system.
    None if ``source`` is gone.  Raises StorageAwayError.
    """
    path = f"{holder.job_uuid}/{holder.fence}/{name}"
    try:
        store = storage()
        path = store.get_available_name(path)
        if content is not None:
            size = len(content)
            path = _save(store, path, ContentFile(content))
        elif not source.exists():
            return None
        else:
            size = source.stat().st_size
            if not _link(source, store, path):
                with source.open("rb") as file:
                    path = _save(store, path, File(file))
    except FileNotFoundError:
        return None
    except Exception as error:  # each storage has errors of its own
        raise _away("write to", error) from error
    return Upload(name, epoch, path, size)


def record(
    holder: Holder, uploads: Collection[Upload], *, states: Collection[str] = HELD
) -> list[str]:
    """Write the rows of uploads; return the paths of the files that they replace.

    Raises StaleAttemptError: the caller removes the uploads then.
    """
    with fenced(holder.job_id, holder.fence, states):
        rows = Artefact.objects.filter(
            job_id=holder.job_id, name__in=[upload.name for upload in uploads]
        )
        old = set(rows.values_list("path", flat=True))
        Artefact.objects.bulk_create(
            [
                Artefact(
                    job_id=holder.job_id,
                    name=upload.name,
                    epoch=upload.epoch,
                    fence=holder.fence,
                    path=upload.path,
                    size=upload.size,
                )
                for upload in uploads
            ],
            update_conflicts=True,
            unique_fields=["job", "name"],
            update_fields=["epoch", "fence", "path", "size", "created"],
        )
    return sorted(old - {upload.path for upload in uploads})


def remove(*paths: str) -> None:
    """Remove files that no row names; what fails here the sweep will remove."""
    for path in paths:
        try:
            storage().delete(path)
        except Exception as error:  # each storage has errors of its own
            logger.warning("%s stays in the storage for now: %s", path, error)


def open_artefact(artefact: Artefact) -> File:
    """Open a file for reading.  Raises StorageAwayError."""
    try:
        return storage().open(artefact.path, "rb")
    except Exception as error:  # each storage has errors of its own
        raise _away("read", error) from error


def checkpoints(job_id: int, files_from: int) -> QuerySet[Artefact]:
    """Return the checkpoints in the storage that still count, the newest first."""
    rows = Artefact.objects.filter(
        job_id=job_id,
        name__startswith=f"{CHECKPOINTS}/",
        epoch__isnull=False,
        fence__gte=files_from,
    )
    return rows.order_by("-epoch", "-fence")


def epoch_here(folder: Path) -> int:
    """Return the epoch of the newest checkpoint in a folder; 0 if there is none."""
    found = (_CHECKPOINT.fullmatch(path.name) for path in folder.glob("checkpoints/*"))
    return max((int(match.group(1)) for match in found if match), default=0)


def fetch(
    job_id: int,
    folder: Path,
    files_from: int = 1,
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Bring the newest checkpoint if it is newer than those in the folder.

    A damaged one is passed over for the one before.

    Args:
        job_id: key of the job.
        folder: where the engine will look; what lies there is trusted.
        files_from: files of attempts before this one count no more.
        meanwhile: called some times a second; it may raise to give up.

    Returns:
        The epoch of the checkpoint that was brought; 0 if none was needed.

    Raises:
        StorageAwayError: there are newer ones, and none can be read.
        OSError: the folder cannot be written.
    """
    here = epoch_here(folder)
    newer = list(checkpoints(job_id, files_from).filter(epoch__gt=here))
    for row in newer:
        if apart(partial(_bring, row, folder), meanwhile):
            return row.epoch or 0
    if newer and not here:
        raise StorageAwayError(
            "The storage of artefacts holds checkpoints of this run, and none of them "
            "can be read. The run is tried again until one can: see that this machine "
            "uses the same storage as the others, or cancel the run and start anew."
        )
    return 0


def apart(work: Callable[[threading.Event], Any], meanwhile: Callable[[], None]) -> Any:
    """Do ``work`` in a thread and return what it returns or raise what it raises.

    ``meanwhile`` is called until then; if it raises, the work is told to give up.
    """
    given_up = threading.Event()
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = work(given_up)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, name="artefacts", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            meanwhile()
            thread.join(POLL_SECONDS)
    finally:
        given_up.set()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _bring(row: Artefact, folder: Path, given_up: threading.Event) -> bool:
    """Copy a file of the storage into the folder; False if it is damaged."""
    target = folder / CHECKPOINTS / Path(row.name).name
    part = target.with_suffix(".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_artefact(row) as source, part.open("wb") as file:
            while chunk := _read(source):
                if given_up.is_set():
                    return False
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if part.stat().st_size != row.size or not _is_whole(part):
            logger.warning("%s is damaged in the storage", row.path)
            return False
        if not given_up.is_set():
            part.replace(target)
    except StorageAwayError as error:
        logger.warning("%s: %s", row.path, error)
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _read(source: File) -> bytes:
    try:
        return bytes(source.read(_CHUNK))
    except Exception as error:  # each storage has errors of its own
        raise _away("read", error) from error


def _is_whole(path: Path) -> bool:
    """Check the sums that a checkpoint, a zip file, carries itself."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError):
        return False


def _link(source: Path, store: Storage, path: str) -> bool:
    """Link a file instead of copying it; False if that cannot be done.

    Safe, because the engine never changes a file that stands under its name.
    """
    if not isinstance(store, FileSystemStorage):
        return False
    target = Path(store.path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        return False
    return True


def _save(store: Storage, path: str, content: File) -> str:
    """Write a file; what a failure leaves of it is removed."""
    try:
        return store.save(path, content)
    except BaseException:
        with suppress(Exception):
            store.delete(path)
        raise


def _away(what: str, error: Exception) -> StorageAwayError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StorageAwayError(
        f"nasweb could not {what} the storage of artefacts: {reason}."
    )


def log_name(fence: int) -> str:
    """Return the name of an attempt's log among the artefacts."""
    return f"{LOGS}/attempt-{fence:04d}.log"


def end_of(path: Path, start: int) -> bytes:
    """Return what a log holds from ``start`` on, at most its last ``LOG_BYTES``."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - LOG_BYTES))
            return file.read(LOG_BYTES)
    except FileNotFoundError:
        return b""
