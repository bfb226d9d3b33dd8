"""The events of a run, and the arrays of each from the shared storage."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from searchjobs.artefacts import PRUNINGS, StorageAwayError, open_artefact
from searchjobs.models import Artefact, DatasetStatistics, Run

from .bounded import Bounded
from .sets import DamagedError, Ids, Replay, Step, replay, step_of

SETS = ("T", "V")
_COLUMNS: tuple[Literal["epoch", "remaining", "balance"], ...] = (
    "epoch",
    "remaining",
    "balance",
)
#: Arrays that a process keeps: those of the artefacts, and what follows from them.
MOST_BYTES = 256 * 2**20
#: A file that is larger is not one of ours.
MOST_FILE = 512 * 2**20
#: Arrays that tell which samples are in a set.
_WHICH = ("ids", "before", "removed", "added")


class MissingArraysError(LookupError):
    """The arrays of an event cannot be had; the message is a sentence."""


@dataclass(frozen=True)
class Told:
    """One set of a run as its rows tell it.

    Attributes:
        name: T or V.
        rows: a row an epoch: ``epoch``, ``remaining``, ``balance``.
        events: the ``SamplesPruned`` events, in order of their epochs.
    """

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def remaining(self) -> int | None:
        """Samples after the newest epoch; None before the first."""
        return self.rows[-1]["remaining"] if self.rows else None

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The events that have arrays, whether anything went or not."""
        return [event for event in self.events if event.get("artefact")]

    def event_at(self, epoch: int) -> dict[str, Any] | None:
        """Return the event after an epoch."""
        return next((e for e in self.events if e["epoch"] == epoch), None)

    @property
    def last(self) -> dict[str, Any] | None:
        """The last event that changed the set, else the last one."""
        changed = [e for e in self.events if e["removed"] or e.get("added")]
        found = changed or self.events
        return found[-1] if found else None


def told(run: Run) -> dict[str, Told]:
    """Read what the rows of a run tell of T and V: one query."""
    found = {name: Told(name) for name in SETS}
    rows = (
        DatasetStatistics.objects.filter(run=run)
        .order_by("epoch")
        .values("set", "event", *_COLUMNS)
    )
    for row in rows:
        one = found[row["set"]]
        one.rows.append({key: row[key] for key in _COLUMNS})
        if row["event"]:
            one.events.append(row["event"])
    return found


class Files:
    """The arrays of a run's events; the rows of its files are asked for once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._rows: dict[str, Artefact] | None = None

    def step(self, event: Mapping[str, Any]) -> Step:
        """Return the samples of an event.  Raises MissingArraysError."""
        return read_step(self._row(event), event)

    def members(self, event: Mapping[str, Any]) -> tuple[Ids, Ids]:
        """Return the ids that were in the set before an event and after it; of its
        file, no scores are read.  Raises MissingArraysError."""
        row = self._row(event)
        return _members.get(row.path, lambda: _ids(_read(row, event, "", _WHICH)))

    def replay(self, of: Told) -> Replay | None:
        """Follow a set through all its events; None if none of them has arrays.

        Raises MissingArraysError.
        """
        if not of.changes:
            return None
        key = tuple(self._row(event).path for event in of.changes)
        return _replays.get(key, lambda: replay(self.steps(of)))

    def steps(self, of: Told) -> list[Step]:
        """Return the steps of a set.  Raises MissingArraysError."""
        return [self.step(event) for event in of.changes]

    def started(self, of: Told) -> Ids | None:
        """Return the ids before the first event; None if none has arrays.

        Raises MissingArraysError.
        """
        if not of.changes:
            return None
        first = self.step(of.changes[0])
        return first.ids[first.before]

    def survivors(self, of: Told) -> Ids | None:
        """Return the ids after the last event: only its file is read.

        None if no event has arrays; raises MissingArraysError.
        """
        if not of.changes:
            return None
        last = self.step(of.changes[-1])
        return last.ids[last.after]

    def _row(self, event: Mapping[str, Any]) -> Artefact:
        if self._rows is None:
            rows = self.run.job.artefacts.filter(name__startswith=f"{PRUNINGS}/")
            self._rows = {row.name: row for row in rows}
        row = self._rows.get(event.get("artefact") or "")
        if row is None:
            raise MissingArraysError(
                f"The samples of {event['set']} at epoch {event['epoch']} are not in "
                "the shared storage yet; they are soon after its epoch has ended, and "
                "those of epoch 0 soon after they are chosen."
            )
        return row


def read_step(row: Artefact, event: Mapping[str, Any], ending: str = "") -> Step:
    """Return the samples of an event from its file.

    ``ending`` is that of the arrays' names in a file of several sets (``_T``).
    Raises MissingArraysError.
    """
    return _steps.get((row.path, ending), lambda: _read(row, event, ending))


def _ids(step: Step) -> tuple[Ids, Ids]:
    return step.ids[step.before], step.ids[step.after]


def _read(
    row: Artefact, event: Mapping[str, Any], ending: str, only: Collection[str] = ()
) -> Step:
    """Read a file; with ``only`` some arrays of it, and NaN for the scores."""
    when = f"at epoch {event['epoch']}" if event["epoch"] else "before the first epoch"
    where = f"{event['set']} {when}"
    try:
        with open_artefact(row) as file:
            content = file.read(MOST_FILE)
    except (StorageAwayError, OSError) as error:
        sentence = str(error) if isinstance(error, StorageAwayError) else "It is away."
        raise MissingArraysError(
            f"The samples of {where} cannot be read now. {sentence}"
        ) from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            names = [name for name in archive.files if name.endswith(ending)]
            arrays = {
                key: archive[name]
                for name in names
                if (key := name.removesuffix(ending)) in only or not only
            }
            if "kept" in arrays:  # as the file of a subset says it
                arrays["removed"] = np.logical_not(arrays.pop("kept"))
            if only:
                arrays["scores"] = np.full(arrays["ids"].shape, np.nan, np.float32)
            return step_of(event, arrays)
    except (
        *(zipfile.BadZipFile, DamagedError, KeyError),
        *(ValueError, EOFError, OSError),
    ) as error:
        raise MissingArraysError(
            f"The file of the samples of {where} is damaged, so they cannot be shown."
        ) from error


def _bytes(arrays: Sequence[Any]) -> int:
    return sum(each.nbytes for each in arrays if isinstance(each, np.ndarray))


_steps: Bounded[Step] = Bounded(MOST_BYTES, lambda step: _bytes([*vars(step).values()]))
_members: Bounded[tuple[Ids, Ids]] = Bounded(MOST_BYTES // 4, _bytes)
_replays: Bounded[Replay] = Bounded(
    MOST_BYTES // 4, lambda found: _bytes([*vars(found).values()])
)


def forget() -> None:
    """Forget all arrays that this process keeps."""
    _steps.clear()
    _members.clear()
    _replays.clear()
