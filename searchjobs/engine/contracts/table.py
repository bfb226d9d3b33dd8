"""The contract of a method that searches on a benchmark table; nothing is trained.

It proposes architectures and is told what the table says of them.  A run repeats the
search many times, and all repeats go in step: proposal k of each is made at one time.
Shapes: R repeats, E rows of all architecture tables, O operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..registry import Options, setting
from ..seeding import Streams
from .method import PlannedMethod
from .space import Space

#: What the images are called that the architectures of a table were trained on.
DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16": "ImageNet16-120",
}

Choices = NDArray[np.int64]
"""Operations (R, E), each as a column of its row."""
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Query:
    """What every repeat wants to know next.

    Attributes:
        choices: (R, E), one architecture a repeat.
        epochs: how long it is trained, which it pays for.
        protocol: of which training the table is asked: ``"12"`` or ``"200"`` epochs.
        decisive: whether the architecture may become the repeat's pick; not on the
            lower rungs of a search with several fidelities.
    """

    choices: Choices
    epochs: int = 12
    protocol: Literal["12", "200"] = "12"
    decisive: bool = True


@dataclass(frozen=True)
class Repeats:
    """What the repeats of a run share.

    Attributes:
        count: R.
        space: with its restrictions, which every draw obeys.
        streams: random streams, saved with the search.
        curve: epochs of the 12-epoch training that the table tells besides the last.
    """

    count: int
    space: Space
    streams: Streams
    curve: frozenset[int] = frozenset()

    @property
    def rows(self) -> int:
        """E: rows of all architecture tables together."""
        return sum(len(rows) for rows in self.space.tables.values())

    def allowed(self) -> list[list[int]]:
        """Return, for each of the E rows, the columns that it may take."""
        found = []
        for name, rows in self.space.tables.items():
            mask = self.space.allowed(name)
            columns = range(len(self.space.columns(name)))
            for row in range(len(rows)):
                keep = [c for c in columns if mask is None or bool(mask[row, c])]
                found.append(keep)
        return found

    def uniform(self, purpose: str, *shape: int) -> Floats:
        """Return numbers of [0, 1) in double precision."""
        generator = self.streams[purpose]
        drawn = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return np.asarray(drawn.numpy())

    def below(self, limits: int | NDArray[np.int64], purpose: str, *shape: int) -> Any:
        """Return whole numbers of 0 to ``limits - 1``, each as likely as the others."""
        return (self.uniform(purpose, *shape) * limits).astype(np.int64)

    def random_choices(self, purpose: str) -> Choices:
        """Draw an architecture for every repeat, each of the space as likely."""
        allowed = self.allowed()
        padded = np.zeros((len(allowed), max(map(len, allowed))), dtype=np.int64)
        for row, columns in enumerate(allowed):
            padded[row, : len(columns)] = columns
        counts = np.array([len(columns) for columns in allowed])
        place = self.below(counts, purpose, self.count, len(allowed))
        return padded[np.arange(len(allowed)), place]


class TableOptions(Options):
    """What every search on a table can be told."""

    dataset: Literal["cifar10", "cifar100", "imagenet16"] = setting(
        "cifar10",
        "Data set of the table",
        "On which the table's architectures were trained: its 12-epoch validation "
        "accuracy is what the search sees.",
        advanced=False,
        labels=DATASETS,
    )
    repeats: int = setting(
        500,
        "Repeats",
        "Independent searches in one run, all from the run's seed; pages show mean "
        "± std over them.",
        unit="searches",
        advanced=False,
        ge=1,
        le=10_000,
    )
    budget: float | None = setting(
        None,
        "Simulated budget",
        "Seconds of training and validation, as the table recorded them, that one "
        "repeat may spend. Empty: 12,000 on CIFAR-10 (NAS-Bench-201), 40,000 on "
        "CIFAR-100 and 120,000 on ImageNet16-120 (NATS-Bench, which gives CIFAR-10 "
        "20,000).",
        unit="s",
        advanced=False,
        gt=0,
        le=1e8,
    )
    points: int = setting(
        60,
        "Points",
        "The budget is reported at so many points, equally far apart; a chart's "
        "resolution, it changes no result.",
        unit="points",
        ge=1,
        le=1000,
    )


class TableMethod(PlannedMethod, ABC):
    """How architectures are proposed; all repeats at once, none of them knows another.

    A repeat whose budget is spent goes on proposing into the void: ``tell`` says which
    are still ``alive``, and only they may learn.
    """

    Options: ClassVar[type[TableOptions]]
    #: Parts and sections of a spec that nothing here reads: there is no training.
    ignores = frozenset(
        {
            *("dataset", "selection", "derivation", "stopping"),
            *("split", "augmentation", "training", "diagnostics"),
        }
    )
    defaults = {"compute": {"device": "cpu"}}
    strength_label: ClassVar[str] = "share of the repeats whose best cell takes it"

    def __init__(self, options: Any, repeats: Repeats) -> None:
        self.options = options
        self.repeats = repeats

    @abstractmethod
    def ask(self) -> Query:
        """Propose an architecture in every repeat."""

    @abstractmethod
    def tell(self, query: Query, accuracies: Floats, alive: Mask) -> None:
        """Learn what the table says (R,) in per cent, where ``alive`` (R,)."""

    @classmethod
    def signal(cls, options: Any) -> str:
        """Say in words which accuracy the search sees and picks by."""
        return "12-epoch validation accuracy"

    def scalars(self) -> dict[str, float]:
        """Return named curves for the page, over all repeats."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return numbers and arrays; what streams hold is saved beside it."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
