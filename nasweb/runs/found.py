"""The architectures of a run: what its derivation and its stopping rules gave, with
what the benchmark table knows of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasweb.comparison import Spread, spread
from nasweb.figures.theme import operation_style, operation_words
from nasweb.summaries import COLUMNS
from searchjobs import benchmark
from searchjobs.benchmark import TableEntry, TableValue
from searchjobs.engine.contracts import Space, derivations, stopping_rules
from searchjobs.engine.events import ArchitectureFound
from searchjobs.models import Run

from . import points

MOST = 100
"""Architectures that a page lists."""


@dataclass(frozen=True)
class Cell:
    """An architecture as counts of its operations, with the table's accuracies.

    ``values`` are in the order of ``summaries.COLUMNS``, None where the table has
    none.
    """

    encoding: str
    operations: list[dict[str, Any]]
    values: list[TableValue | None]


@dataclass(frozen=True)
class Found:
    """One architecture of a run.

    Attributes:
        by: the derivation or stopping rule, in words.
        criterion: what tells it from others of the same: an operation, ``sc_2``.
        role: of a rule, whether it stopped the search or only watched.
        fired: of a rule, the epoch at which it spoke.
        without: the choice among the other operations of the same epoch, where the
            cell takes none.
    """

    by: str
    criterion: str
    role: str
    epoch: int
    fired: int | None
    cell: Cell
    connected: bool
    note: str
    without: Cell | None


def found(run: Run, suggestions: Sequence[Mapping[str, Any]]) -> list[Found]:
    """Return what the run has given so far; of the table one look-up.

    ``suggestions`` are what its stopping rules have said.
    """
    space = benchmark.space_named(points.space_name(run))
    given = _given(run)
    wanted = {name for each in given for name in (each.architecture, each.without_none)}
    entries = benchmark.lookup(space.name, wanted - {""})
    said = {(each["rule"], each.get("title", "")): each for each in suggestions}

    def cell(encoding: str) -> Cell:
        return _cell(space, encoding, entries.get(encoding))

    rows = []
    for each in given:
        spoke = said.get((each.derivation, each.criterion))
        other = each.without_none
        rows.append(
            Found(
                by=_label(each.derivation),
                criterion=_criterion(space, each.criterion),
                role=_role(spoke),
                epoch=each.epoch,
                fired=spoke["epoch"] if spoke else None,
                cell=cell(each.architecture),
                connected=each.connected,
                note=operation_words(each.note),
                without=cell(other) if other not in ("", each.architecture) else None,
            )
        )
    return rows


def words(run: Run, given: ArchitectureFound) -> str:
    """Return by what an architecture was found: ``Magnitude peak, conv 3×3``; a rule's
    criterion names the rule already: ``SS conv 3×3``."""
    space = benchmark.space_named(points.space_name(run))
    by, criterion = _label(given.derivation), _criterion(space, given.criterion)
    if criterion and any(r.name == given.derivation for r in stopping_rules.all()):
        return criterion
    return f"{by}, {criterion}" if criterion else by


def _given(run: Run) -> list[ArchitectureFound]:
    """Return what is stored of a run; what an older version did not tell is empty."""
    stored = run.architectures[:MOST]
    return [ArchitectureFound.model_validate(each) for each in stored]


def _role(spoke: Mapping[str, Any] | None) -> str:
    if spoke is None:
        return ""
    return "stopped the search" if spoke["stopped"] else "did not stop it"


def _label(name: str) -> str:
    known = {part.name: part.label for part in derivations.all()}
    known |= {part.name: part.label for part in stopping_rules.all()}
    return known.get(name, name)


def _cell(space: Space, encoding: str, entry: TableEntry | None) -> Cell:
    counts = Counter(name for row in space.decode(encoding).values() for name in row)
    return Cell(
        encoding,
        [
            {"name": name, "label": operation_style(name).label, "count": count}
            for name, count in counts.most_common()
        ],
        [entry.get(*column) if entry else None for column in COLUMNS],
    )


@dataclass(frozen=True)
class Across:
    """What one criterion gave in the runs of an experiment that succeeded.

    Attributes:
        epochs: mean and deviation of the epochs whose architectures these are.
        nothing: runs in which it found nothing, so that another epoch stands in.
        columns: of the table's accuracies, in the order of ``summaries.COLUMNS``.
    """

    by: str
    criterion: str
    n: int
    epochs: Spread
    disconnected: int
    nothing: int
    columns: list[Spread]


def across(space_name: str, runs: Iterable[Run]) -> list[Across]:
    """Return a row for each criterion by which the runs brought architectures; empty
    if they brought one each.  Of the table one look-up."""
    groups: dict[tuple[str, str], list[ArchitectureFound]] = {}
    for run in runs:
        for each in [] if run.repeats else _given(run):
            groups.setdefault((each.derivation, each.criterion), []).append(each)
    if len(groups) < 2:
        return []
    space = benchmark.space_named(space_name)
    entries = benchmark.lookup(
        space_name, {each.architecture for some in groups.values() for each in some}
    )

    def column(some: Sequence[ArchitectureFound], place: int) -> Spread:
        known = (entries.get(each.architecture) for each in some)
        values = (entry.get(*COLUMNS[place]) for entry in known if entry)
        return spread(value.value for value in values if value)

    return [
        Across(
            by=_label(name),
            criterion=_criterion(space, criterion),
            n=len(some),
            epochs=spread(each.epoch for each in some),
            disconnected=sum(not each.connected for each in some),
            nothing=sum(each.note.startswith("Found nothing") for each in some),
            columns=[column(some, place) for place in range(len(COLUMNS))],
        )
        for (name, criterion), some in groups.items()
    ]


def _criterion(space: Space, criterion: str) -> str:
    known = criterion in space.operations
    return operation_style(criterion).label if known else operation_words(criterion)
