"""The contract of a data source: where images come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator
from torch import Tensor

from ..problems import Problem, refuse
from ..registry import Options, Part, Registry, setting


class SourceOptions(Options):
    """What every source offers; what it means is in ``prepare``."""

    classes: tuple[str, ...] = setting(
        (),
        "Classes",
        "Names of the classes to keep, or their numbers counted from 0; empty keeps "
        "all. They keep the order of the data set.",
    )
    per_class: int | None = setting(
        None,
        "Images per class",
        "The first so many of each class, in the order of the data set; empty keeps "
        "all. A class that has fewer keeps what it has.",
        unit="images",
        ge=1,
    )
    image_size: int | None = setting(
        None,
        "Image size",
        "Side to which the images are averaged; images that are not square are cut "
        "to their centre first. Empty keeps the size of the data set.",
        unit="pixels",
        ge=4,
        le=512,
    )
    normalise: Literal["auto", "measured", "given"] = setting(
        "auto",
        "Normalisation",
        "auto: the published mean and deviation where the data set has them and all "
        "its images are used at their own size, else measured; measured: always "
        "measured on the images that are used; given: those that are given here.",
        labels={
            "auto": "published if it fits",
            "measured": "measured",
            "given": "given below",
        },
    )
    mean: tuple[float, float, float] | None = setting(
        None,
        "Mean",
        "Of red, green and blue, 0 to 1, with commas between; for given constants.",
    )
    std: tuple[float, float, float] | None = setting(
        None,
        "Standard deviation",
        "Of red, green and blue, in the same unit; for given constants.",
    )

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _three_numbers(cls, given: Any) -> Any:
        """Take ``"0.5, 0.5, 0.5"`` from a form and three numbers from a file alike."""
        if given is None or given in ("", [], ()):
            return None
        parts = given.split(",") if isinstance(given, str) else given
        try:
            numbers = tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != 3 or not all(0 <= number <= 1 for number in numbers):
            raise ValueError(
                "Give three numbers from 0 to 1, of red, green and blue, with commas "
                "between; divide by 255 what is meant for 0 to 255."
            )
        return numbers

    @model_validator(mode="after")
    def _constants_are_given(self) -> Self:
        wanted = self.normalise == "given"
        problems = [
            Problem(name, "Normalisation is given, so give these constants too.")
            for name in ("mean", "std")
            if wanted and getattr(self, name) is None
        ]
        if not wanted and (self.mean or self.std):
            problems.append(
                Problem(
                    "normalise",
                    "Mean and deviation are given, so choose the given normalisation, "
                    "or leave them empty.",
                )
            )
        if self.std and not all(self.std):
            problems.append(
                Problem("std", "A deviation of 0 cannot be divided by; give more.")
            )
        refuse(problems)
        return self

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        """Take ``"cat, dog"`` from a form and ``[3, 5]`` from a file alike."""
        if given is None:
            return ()
        if isinstance(given, str):
            given = given.split(",")
        if isinstance(given, (list, tuple)):
            return tuple(
                str(name).strip() for name in given if not isinstance(name, bool)
            )
        return given


@dataclass(frozen=True)
class Unreadable:
    """A file that is left out: its path inside the data set, and why, in a
    sentence."""

    path: str
    sentence: str


@dataclass(frozen=True)
class Images:
    """All images that a search may use, as stored, on the CPU.

    Attributes:
        pixels: uint8 (n, 3, H, W).
        labels: int64 (n,), 0 to M - 1.
        classes: the M class names.
        mean, std: per channel, in units of 0 to 1; published constants of the
            source where it has them and the images are unscaled, else measured.
        fingerprint: hash of pixels and labels.
        unreadable: files that should be images and are not; they have no ids.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What is known of a source without reading its images."""

    class_counts: tuple[int, ...]
    classes: tuple[str, ...]
    image_size: int

    @property
    def images(self) -> int:
        return sum(self.class_counts)


class DataError(ValueError):
    """The data set cannot be used; the message says why and what to do.

    ``field`` is the option that is wrong (``path``), for the form.
    """

    def __init__(self, sentence: str, field: str = "") -> None:
        self.field = field
        super().__init__(sentence)

    @property
    def problem(self) -> Problem:
        """The same as a problem of the spec, at its field."""
        return Problem(f"dataset.{self.field}" if self.field else "dataset", str(self))


Loading = Generator[int, None, Images]


class Source(Part, ABC):
    """One kind of data set."""

    augmentation: ClassVar[Mapping[str, Any]] = {}
    """Augmentation settings that suit this source, where the user gave none."""

    @classmethod
    @abstractmethod
    def look(cls, options: Options) -> Summary:
        """Look at the source without decoding an image; raises ``DataError``."""

    @classmethod
    def published_summary(cls, options: Options) -> Summary | None:
        """Return what ``look`` tells of the files as they were published, here or not;
        None if nobody can know that."""
        return None

    @classmethod
    @abstractmethod
    def load(cls, options: Options) -> Images:
        """Read all images; raises ``DataError``."""

    @classmethod
    def load_test(cls, options: Options) -> Images | None:
        """Read the images that the data set sets apart for testing, of the same
        classes and size; None if it has none.  Raises ``DataError``."""
        return None

    @classmethod
    def loading(cls, options: Options) -> Loading:
        """Do as ``load``, and yield on the way how many images are read."""
        return cls.load(options)
        yield  # a source that reads all at once has nothing to tell


sources: Registry[type[Source]] = Registry("datasets", f"{__package__}.sources")
