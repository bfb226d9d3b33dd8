"""A subset as the gallery sees it: what stays of each set, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from searchjobs.models import Subset
from searchjobs.subset_files import FILE

from .events import MissingArraysError, read_step
from .images import Pictures, ReadingError, UnavailableError, pictures_of
from .sets import Step


@dataclass
class Chosen:
    """A subset with its images; its samples are read when they are asked for.

    Attributes:
        subset: with its job.
        pictures: the images; None where there are none to be had now.
        trouble: why there are none, a sentence; empty if there are.
        reading: they are being read: ask again.
    """

    subset: Subset
    pictures: Pictures | None = None
    trouble: str = ""
    reading: bool = False

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images; empty before the job has read them."""
        return self.subset.data_fingerprint

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in order."""
        told: dict[str, Any] = next(iter(self.subset.sets.values()), {})
        return [str(name) for name in told.get("classes", ())]

    def name_of(self, label: int) -> str:
        """Return the name of a class."""
        names = self.classes
        return names[label] if label < len(names) else f"class {label}"

    def event(self, name: str) -> dict[str, Any]:
        """Return what tells of the choice from a set."""
        event: dict[str, Any] = self.subset.sets[name]["event"]
        return event

    def step(self, name: str) -> Step:
        """Return the samples of a set.  Raises MissingArraysError."""
        row = self.subset.job.artefacts.filter(name=FILE).first()
        if row is None:
            raise MissingArraysError(
                "The file of this subset is not in the shared storage, so which "
                "samples stay cannot be shown."
            )
        return read_step(row, self.event(name), f"_{name}")


def images_of(subset: Subset, wait: float = 0.0) -> Pictures:
    """Return the images of a subset; raises as ``pictures_of``."""
    return pictures_of(subset.data_fingerprint, subset.spec.get("dataset") or {}, wait)


def chosen(subset: Subset) -> Chosen:
    """Return a subset for the gallery; it does not wait for its images."""
    found = Chosen(subset)
    try:
        found.pictures = images_of(subset)
    except ReadingError as error:
        found.trouble, found.reading = str(error), True
    except UnavailableError as error:
        found.trouble = str(error)
    return found
