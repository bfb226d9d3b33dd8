"""The contract of a data source: where images come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..registry import Options, Part, Registry


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
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str


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


class Source(Part, ABC):
    """One kind of data set."""

    augmentation: ClassVar[Mapping[str, Any]] = {}
    """Augmentation settings that suit this source, where the user gave none."""

    @classmethod
    @abstractmethod
    def look(cls, options: Options) -> Summary:
        """Look at the source without loading it; raises ``DataError``."""

    @classmethod
    @abstractmethod
    def load(cls, options: Options) -> Images:
        """Read all images; raises ``DataError``."""


sources: Registry[type[Source]] = Registry("datasets", f"{__package__}.sources")
