"""The contracts of what reads a search: stopping rules and derivations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..batch import SetName
from ..events import EpochFinished, Event
from ..problems import Problem
from ..registry import Options, Part, setting
from .run import Search

if TYPE_CHECKING:
    from ..spec import SearchSpec


@dataclass(frozen=True)
class Decision:
    """What a stopping rule says after an epoch.

    ``stop`` ends the search, unless the rule only watches; ``epoch`` names the epoch
    whose architecture counts (None: the present one); ``reason`` is a sentence for the
    page.  Of several rules that act, the first that stops counts, at the last epoch
    else the first that names an epoch.  A rule that neither stops nor names an epoch
    but gives a reason is told too: it has found nothing, and why.
    """

    stop: bool = False
    epoch: int | None = None
    reason: str = ""


class StoppingOptions(Options):
    """What every stopping rule can be told."""

    watch: bool = setting(
        False,
        "Only watch",
        "Mark where the rule would have stopped and keep that epoch's architecture, "
        "but let the search go on.",
        advanced=False,
    )


class StoppingRule(Part, ABC):
    """When to stop, and to which epoch to roll back.

    The search hears a rule until it has said something once.
    """

    Options: ClassVar[type[StoppingOptions]]

    def __init__(self, options: Any, search: Search) -> None:
        self.options = options
        self.search = search

    @property
    def title(self) -> str:
        """The rule with what tells it from another of its name: ``sc_2``."""
        return self.name

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        """Return what keeps the rule from working in this spec, as sentences, each at
        an option of the rule, at another section (dotted) or at the rule (empty)."""
        return []

    @abstractmethod
    def observe(self, report: EpochFinished) -> Decision: ...

    def cut_short(self, report: EpochFinished) -> str:
        """Say why the rule found nothing, now that another rule ends the search after
        this epoch; empty for a rule that waits for no end of its own."""
        return ""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


@dataclass(frozen=True)
class Derived:
    """An architecture read off a search: by which derivation, from which epoch.

    ``criterion`` tells several of one derivation apart (an operation, a rule), and
    ``note`` is a sentence for the page, such as that a peak lies at the border.
    """

    derivation: str
    epoch: int
    architecture: str
    criterion: str = ""
    note: str = ""


class PlannedCost(NamedTuple):
    """What a derivation will cost, before anything has been trained.

    Attributes:
        units: forward-equivalent samples, as ``Derivation.cost_units`` will count.
        at_most: True where it may be less: what the search leaves or draws decides.
    """

    units: float = 0.0
    at_most: bool = False


class Derivation(Part, ABC):
    """Supernet and history -> architectures.

    May train or evaluate for long: every ``Progress`` that it yields while
    ``resumable`` is a point at which the search may save a checkpoint, and from which
    ``derive`` goes on after ``load_state_dict``.  It then yields every ``Derived``
    anew.
    """

    def __init__(self, options: Any, search: Search) -> None:
        self.options = options
        self.search = search
        self.cost_units = 0.0
        """Forward-equivalent samples of the passes that ``derive`` has made so far."""
        self.resumable = True
        """False where it could not go on from: in the middle of a training epoch."""

    @classmethod
    def holds_alpha(cls, options: Any) -> bool:
        """Say whether the search is to leave alpha as it began (``blank`` of the
        projection): no epoch then has architecture steps."""
        return False

    @classmethod
    def planned_cost(
        cls,
        spec: SearchSpec,
        initial: Mapping[SetName, int],
        remaining: Mapping[SetName, int],
    ) -> PlannedCost:
        """Return what ``derive`` will cost after all epochs of a spec that has these
        sizes of T and V before the search and after it."""
        return PlannedCost()

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        """Return what keeps the derivation from working in this spec."""
        return []

    @abstractmethod
    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        """Yield progress events and at least one ``Derived``."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
