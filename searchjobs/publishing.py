"""Publish what an attempt has written, beside its supervisor's loop.

The storage may be slow or away: a thread waits for it, so that lease, events and
orders do not.  Rows are written by the loop itself, in a short transaction each, and
only after the epochs that a file belongs to are recorded; what was chosen before the
first epoch has rows of its own, and need not wait for one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import artefacts
from .artefacts import CHECKPOINTS, StorageAwayError, Upload
from .claims import Claim
from .engine.events import (
    Checkpointed,
    DatasetChecked,
    EpochFinished,
    Event,
    SamplesPruned,
    Started,
    SubsetMade,
)
from .fencing import StaleAttemptError, holds
from .models import Artefact

logger = logging.getLogger(__name__)

#: After a failure the storage is tried again so late, then twice as late, and so on.
RETRY_SECONDS, MOST_RETRY_SECONDS = 5.0, 300.0
#: A search of short epochs publishes no more often; files of one upload at most.
PAUSE_SECONDS, BATCH = 1.0, 32
TICK_SECONDS = 0.05
LOG = "engine.log"


@dataclass
class _Transfer:
    """An upload of some files in a thread; ``left`` are those that are not done."""

    left: dict[str, int | None]
    uploads: list[Upload] = field(default_factory=list)
    thread: threading.Thread | None = None
    error: StorageAwayError | None = None

    def is_done(self) -> bool:
        return self.thread is None or not self.thread.is_alive()


@dataclass
class Publisher:
    """Publish the files of one attempt; make it before the engine starts.

    Attributes:
        claim: the attempt.
        folder: where its engine writes.
        waiting: names that are to be published, in order, with their epochs.
    """

    claim: Claim
    folder: Path
    waiting: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = Artefact.objects.filter(
            job_id=self.claim.job_id, fence__gte=self.claim.files_from
        )
        self._known = dict(rows.values_list("name", "epoch"))
        log = self.folder / LOG
        self._log_start = log.stat().st_size if log.exists() else 0
        self._pruned: list[str] = []
        self._transfer: _Transfer | None = None
        self._failures = 0
        self._not_before = 0.0

    def hear(self, event: Event, *, again: bool = False) -> None:
        """Note what an event brings, once it has been recorded.

        ``again``: an earlier attempt has told it, and perhaps published its file.
        """
        if isinstance(event, Started):
            self._pruned.clear()
        elif isinstance(event, SamplesPruned) and event.artefact:
            self._pruned.append(event.artefact)
            if not event.epoch:
                self._hear_rows(0)
        elif isinstance(event, EpochFinished):
            self._hear_rows(event.epoch)
        elif isinstance(event, SubsetMade | DatasetChecked):
            self.waiting[event.artefact] = None
        elif isinstance(event, Checkpointed) and not (
            again and event.path in self._known
        ):
            self._hear_checkpoint(event)

    def _hear_rows(self, epoch: int) -> None:
        """Let the samples of an epoch go, now that its rows stand."""
        for name in self._pruned:
            if name not in self._known:
                self.waiting[name] = epoch
        self._pruned.clear()

    def _hear_checkpoint(self, event: Checkpointed) -> None:
        """Only the newest is worth publishing, and none that is older than those
        which other machines have already."""
        there = (self._known[name] or 0 for name in self._known if _is_checkpoint(name))
        if event.epoch < max(there, default=0):
            return
        for name in [name for name in self.waiting if _is_checkpoint(name)]:
            del self.waiting[name]
        self.waiting[event.path] = event.epoch

    def tick(self) -> None:
        """Go on by one step; never waits for the storage.

        Raises StaleAttemptError if the job went to another attempt, and the errors
        of a database that is away; then call it again later.
        """
        if self._transfer is not None and self._transfer.is_done():
            self._settle(self._transfer)
            self._transfer = None
        if self._transfer is None and self.waiting:
            if time.monotonic() < self._not_before:
                return
            if not holds(self.claim.job_id, self.claim.fence):
                raise StaleAttemptError
            self._begin()

    def finish(
        self, has_time: Callable[[], bool], meanwhile: Callable[[], None]
    ) -> bool:
        """Publish the log and what still waits; False if the time ran out or the
        storage is away.  ``meanwhile`` is called again and again: renew the lease."""
        self.waiting[artefacts.log_name(self.claim.fence)] = None
        failures = self._failures
        while self.waiting or self._transfer is not None:
            self._not_before = 0.0
            self.tick()
            if self._failures > failures or not has_time():
                return False
            meanwhile()
            time.sleep(TICK_SECONDS)
        return True

    def _begin(self) -> None:
        names = list(self.waiting)[:BATCH]
        transfer = _Transfer({name: self.waiting.pop(name) for name in names})
        log_name, log = artefacts.log_name(self.claim.fence), None
        if log_name in names:
            log = artefacts.end_of(self.folder / LOG, self._log_start)

        def send() -> None:
            try:
                for name in names:
                    content = log if name == log_name else None
                    upload = artefacts.send(
                        *(self.claim, self.folder / name, name, transfer.left[name]),
                        content=content,
                    )
                    if upload is not None:  # else the engine has dropped it since
                        transfer.uploads.append(upload)
                    del transfer.left[name]
            except StorageAwayError as error:
                transfer.error = error

        transfer.thread = threading.Thread(target=send, name="upload", daemon=True)
        transfer.thread.start()
        self._transfer = transfer

    def _settle(self, transfer: _Transfer) -> None:
        """Write the rows of what is uploaded; try the rest again later."""
        if transfer.uploads:
            try:
                replaced = artefacts.record(self.claim, transfer.uploads)
            except StaleAttemptError:
                _remove_apart([upload.path for upload in transfer.uploads])
                raise
            self._known |= {each.name: each.epoch for each in transfer.uploads}
            _remove_apart(replaced)
        pause = PAUSE_SECONDS
        if transfer.error is None:
            self._failures = 0
        else:
            self._failures += 1
            doubled = RETRY_SECONDS * 2 ** min(self._failures - 1, 10)
            pause = min(doubled, MOST_RETRY_SECONDS)
            logger.warning(
                "Files of job %s wait for %.0f s: %s",
                *(self.claim.job_uuid, pause, transfer.error),
            )
            self._put_back(transfer.left)
        self._not_before = time.monotonic() + pause

    def _put_back(self, left: dict[str, int | None]) -> None:
        """Let files wait again, but for a checkpoint if there is a newer one now."""
        newer = any(_is_checkpoint(name) for name in self.waiting)
        kept = {
            name: epoch
            for name, epoch in left.items()
            if not (newer and _is_checkpoint(name))
        }
        self.waiting = {**kept, **self.waiting}


def _is_checkpoint(name: str) -> bool:
    return name.startswith(f"{CHECKPOINTS}/")


def _remove_apart(paths: Sequence[str]) -> None:
    """Remove files without waiting for the storage."""
    if paths:
        threading.Thread(target=artefacts.remove, args=paths, daemon=True).start()
