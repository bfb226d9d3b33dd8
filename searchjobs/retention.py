"""What is kept of a job's files, and for how long.

In the shared storage: the last two checkpoints, the best one, prunings and logs.  On
a worker's disk: nothing of a job that ended a day ago, once all that matters is in
the storage.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage
from django.db.models import F, Max, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from . import artefacts, runfolder, subset_files
from .artefacts import CHECKPOINTS, PRUNINGS, StorageAwayError
from .fencing import StaleAttemptError, fenced
from .models import Artefact, EpochRecord, Job
from .states import TERMINAL, State

logger = logging.getLogger(__name__)

#: Newest checkpoints of a job that are kept, beside its best.
KEPT = 2
#: Rows that one call removes at most, so that it ends soon.
BATCH = 500
#: A file without a row may be an upload whose row is about to be written.
ORPHAN_AGE = timedelta(days=1)
#: A search for such files begins anew so late after the last has ended.
SWEEP_SECONDS = 86_400.0
TIDY_SECONDS = 3_600.0
#: Folders that are being removed; a name that no job has.
GONE = ".gone-"
#: What jobs make that pages and searches read; a check names its samples so.
MADE = {Job.Kind.SUBSET: subset_files.FILE, Job.Kind.CHECK: "samples.npz"}
#: Nobody works on a job in these states.
IDLE = TERMINAL | {State.PAUSED, State.QUEUED}


def retain() -> int:
    """Remove checkpoints that need not be kept; return how many.

    The rows go first: a reader who comes then finds an older or newer one.
    """
    needless = list(needless_checkpoints().values_list("pk", "path")[:BATCH])
    Artefact.objects.filter(pk__in=[pk for pk, _ in needless]).delete()
    artefacts.remove(*(path for _, path in needless))
    return len(needless)


def needless_checkpoints() -> QuerySet[Artefact]:
    """Return the rows of checkpoints but for the last two and the best of each job.

    The best has the highest accuracy of its genotype with inherited weights; where
    none is measured, of the supernet on the probe.  The final one is the last.
    """
    record = EpochRecord.objects.filter(
        run__job=OuterRef("job"), epoch=OuterRef("epoch")
    )
    rows = Artefact.objects.filter(
        name__startswith=f"{CHECKPOINTS}/", epoch__isnull=False
    )
    inherited = Subquery(record.values("inherited_accuracy")[:1])
    probe = Subquery(record.values("valid_accuracy")[:1])
    by_age = [F("epoch").desc(), F("pk").desc()]
    by_worth = [F(name).desc(nulls_last=True) for name in ("inherited", "probe")]
    ranked = rows.annotate(inherited=inherited, probe=probe).annotate(
        age=Window(RowNumber(), partition_by=F("job"), order_by=by_age),
        worth=Window(RowNumber(), partition_by=F("job"), order_by=by_worth + by_age),
    )
    return ranked.filter(age__gt=KEPT, worth__gt=1).order_by("pk")


@dataclass
class Sweep:
    """Look through the storage for files that no row names, a little at a time."""

    todo: list[str] | None = None
    next_at: float = 0.0

    def go_on(self, seconds: float = 5.0) -> int:
        """Look for so long and go on there at the next call; return the removed."""
        if self.todo is None:
            if time.monotonic() < self.next_at:
                return 0
            self.todo = _folders(artefacts.storage())
        until = time.monotonic() + seconds
        removed = 0
        while self.todo and time.monotonic() < until:
            removed += remove_orphans(self.todo.pop())
        if not self.todo:
            self.todo = None
            self.next_at = time.monotonic() + SWEEP_SECONDS
        return removed


def remove_orphans(folder: str) -> int:
    """Remove old files without a row under one folder of the storage, a job's."""
    if not _is_uuid(folder):
        return 0  # not ours
    store = artefacts.storage()
    before = timezone.now() - ORPHAN_AGE
    named = Artefact.objects.filter(job__uuid=folder)
    kept = set(named.values_list("path", flat=True))
    found = [path for path in _files(store, folder) if path not in kept]
    old = [path for path in found if _stored(store, path) < before]
    since = set(named.filter(path__in=old).values_list("path", flat=True))
    orphans = [path for path in old if path not in since]
    artefacts.remove(*orphans)
    return len(orphans)


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _folders(store: Storage) -> list[str]:
    try:
        return sorted(store.listdir("")[0])
    except FileNotFoundError:  # nothing was ever published
        return []


def _files(store: Storage, folder: str) -> Iterator[str]:
    folders, files = store.listdir(folder)
    for name in files:
        yield f"{folder}/{name}"
    for name in folders:
        yield from _files(store, f"{folder}/{name}")


def _stored(store: Storage, path: str) -> datetime:
    """Return when a file came into the storage: a linked one was written before."""
    if isinstance(store, FileSystemStorage):
        found = store.get_created_time(path)
    else:
        found = store.get_modified_time(path)
    return found if timezone.is_aware(found) else timezone.make_aware(found)


@dataclass
class Tidying:
    """Tidy the folders of this machine at once, and then every hour."""

    next_at: float = 0.0

    def go_on(self) -> int:
        """Tidy if it is time; return how many folders were removed."""
        if time.monotonic() < self.next_at:
            return 0
        self.next_at = time.monotonic() + TIDY_SECONDS
        return tidy()


def tidy() -> int:
    """Publish what could not be published in time, then remove the folders of this
    worker whose jobs ended long ago; return how many were removed."""
    root = Path(settings.NASWEB_RUNS_DIR)
    if not root.is_dir():
        return 0
    for left in root.glob(f"{GONE}*"):
        shutil.rmtree(left, ignore_errors=True)
    folders = {UUID(p.name): p for p in root.iterdir() if _is_uuid(p.name)}
    jobs = Job.objects.filter(uuid__in=folders, state__in=IDLE)
    removed = 0
    for job in jobs.iterator():
        try:
            removed += _tidy_one(job, folders[job.uuid])
        except OSError as error:  # another worker was faster, or it is not ours
            logger.warning("The folder of job %s stays for now: %s", job.uuid, error)
    return removed


def _tidy_one(job: Job, folder: Path) -> bool:
    """Publish what is left of one folder; True if it was removed."""
    with _idle(folder) as idle:
        if not idle:
            return False
        try:
            publish_left(job, folder)
        except StaleAttemptError:
            return False
        except StorageAwayError as error:
            logger.warning("The folder of job %s stays: %s", job.uuid, error)
            return False
        keep = timedelta(hours=settings.NASWEB_KEEP_FOLDERS_HOURS)
        ended = job.finished or job.updated
        if job.state not in TERMINAL or ended > timezone.now() - keep:
            return False
        gone = folder.with_name(f"{GONE}{job.uuid}")
        try:
            # Nobody can queue it again while its row is ours.
            with fenced(job.pk, job.fence, TERMINAL):
                folder.rename(gone)
        except StaleAttemptError:
            return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


def publish_left(job: Job, folder: Path) -> list[str]:
    """Publish what the last attempt at a job could not; return the names.

    Nothing, if the job went on elsewhere since.  A checkpoint of an epoch that is
    not recorded stays: to go on from it would leave the epoch out.
    """
    last = runfolder.marked(folder)
    if last and last != job.fence:
        return []
    holder = _Holder(job.pk, job.uuid, job.fence)
    known = set(job.artefacts.values_list("name", flat=True))
    recorded = EpochRecord.objects.filter(run__job=job)
    newest = recorded.aggregate(newest=Max("epoch"))["newest"] or 0
    here = artefacts.epoch_here(folder)
    wanted: dict[str, int | None] = {}
    if 0 < here <= newest:
        wanted[f"{CHECKPOINTS}/epoch-{here:05d}.pt"] = here
    for path in sorted((folder / PRUNINGS).glob("epoch-*.npz")):
        number = path.name.split("-")[1]
        if number.isdecimal() and int(number) <= newest:
            wanted[f"{PRUNINGS}/{path.name}"] = int(number)
    if job.state == State.SUCCEEDED and job.kind in MADE:
        wanted[MADE[Job.Kind(job.kind)]] = None
    published = [
        name
        for name, epoch in wanted.items()
        if name not in known
        and artefacts.publish(holder, folder, name, epoch, states=IDLE)
    ]
    log = artefacts.log_name(job.fence)
    content = artefacts.end_of(runfolder.log_path(folder), 0)
    if log not in known and content:
        artefacts.publish(holder, folder, log, states=IDLE, content=content)
        published.append(log)
    return published


@dataclass(frozen=True)
class _Holder:
    job_id: int
    job_uuid: UUID
    fence: int


@contextmanager
def _idle(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock if no engine has it; never wait for one."""
    descriptor = os.open(folder / runfolder.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_idle = True
        except BlockingIOError:
            is_idle = False
        yield is_idle
    finally:
        os.close(descriptor)
