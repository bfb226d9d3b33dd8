"""One run as the explorer sees it: its sets, their samples, its images if they are
to be had."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import ValidationError

from searchjobs.engine.contracts import methods
from searchjobs.engine.data.split import split
from searchjobs.engine.sections import Split
from searchjobs.models import Run

from . import images
from .bounded import Bounded
from .events import SETS, Files, Told, told
from .images import Pictures, ReadingError, UnavailableError
from .sets import Ids, Replay, replay


@dataclass
class Subject:
    """A run with what its rows and files tell; nothing is read before it is asked for.

    Attributes:
        run: with its job.
        told: what the rows tell of T and V.
        files: the arrays of the events.
        pictures: the images; None where there are none to be had now.
        trouble: why there are none, a sentence; empty if there are.
        reading: they are being read: ask again.
    """

    run: Run
    told: dict[str, Told]
    files: Files
    pictures: Pictures | None = None
    trouble: str = ""
    reading: bool = False
    _starts: dict[str, Ids] | None = field(default=None, repr=False)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in order."""
        return [str(name) for name in (self.run.structure or {}).get("classes") or []]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images that the run uses; empty before it starts."""
        return str((self.run.structure or {}).get("data_fingerprint", ""))

    def name_of(self, label: int) -> str:
        """Return the name of a class."""
        names = self.classes
        return names[label] if label < len(names) else f"class {label}"

    def started(self, name: str) -> Ids | None:
        """Return the ids of a set before the first event; None if nobody knows.

        Raises MissingArraysError.
        """
        found = self.files.started(self.told[name])
        if found is None and self.pictures is not None:
            if self._starts is None:
                self._starts = divided(self.run, self.pictures)
            found = self._starts.get(name)
        return found

    def survivors(self, name: str) -> Ids | None:
        """Return the ids of a set after its last event.  Raises MissingArraysError."""
        found = self.files.survivors(self.told[name])
        return self.started(name) if found is None else found

    def replay(self, name: str) -> Replay | None:
        """Return what became of every sample of a set.  Raises MissingArraysError."""
        found = self.files.replay(self.told[name])
        if found is None:
            ids = self.started(name)
            found = None if ids is None else replay([], ids)
        return found


def subject(run: Run, wait: float = 0.0) -> Subject:
    """Return a run for the explorer: one query; ``wait`` seconds for its images."""
    found = Subject(run, told(run), Files(run))
    try:
        found.pictures = images.pictures(run, wait)
    except ReadingError as error:
        found.trouble, found.reading = str(error), True
    except UnavailableError as error:
        found.trouble = str(error)
    return found


def divided(run: Run, pictures: Pictures) -> dict[str, Ids]:
    """Return T and V as the engine divides the images before any selection; empty if
    this site does not know the run's method."""
    spec = run.job.spec
    asked = {"split": spec.get("split") or {}, "method": spec.get("method") or {}}
    key = (pictures.fingerprint, json.dumps(asked, sort_keys=True))
    return _starts.get(key, lambda: _divide(asked, pictures))


def _divide(asked: dict[str, dict[str, object]], pictures: Pictures) -> dict[str, Ids]:
    try:
        method = methods.get(str(asked["method"].get("name")))
        options = method.Options.model_validate(asked["method"])
        given = Split.model_validate(asked["split"])
    except (KeyError, ValidationError):
        return {}
    labels = pictures.labels
    if method.streams(options) != "split":
        return dict.fromkeys(SETS, np.arange(len(labels)))
    return {
        str(name): ids.numpy()
        for name, ids in split(torch.from_numpy(labels), given).items()
    }


_starts: Bounded[dict[str, Ids]] = Bounded(
    32 * 2**20, lambda sets: sum(ids.nbytes for ids in sets.values())
)


def forget() -> None:
    """Forget how images were divided."""
    _starts.clear()
