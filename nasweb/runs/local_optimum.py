"""The local optimum of differentiable searches: cells that hold no weights.

The genotype alone decides (Moser et al., Less is More, 4.4.2, Fig. 4): every edge a
skip connection, or every edge one of skip, pool and none.  Many skips are a hint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from searchjobs import benchmark
from searchjobs.engine.contracts import Space
from searchjobs.engine.diagnostics.tables import SKIP
from searchjobs.models import EpochRecord, Run
from searchjobs.states import TERMINAL

from .points import cell, space_name, table_column

Kind = Literal["", "many-skips", "parameter-free", "all-skip"]
#: From mild to grave.
GRAVITY: tuple[Kind, ...] = ("", "many-skips", "parameter-free", "all-skip")
MANY_SKIPS = 2 / 3
"""Share of the edges: four of the six of NAS-Bench-201."""


@dataclass(frozen=True)
class Alert:
    """What the page says; ``words`` is empty while there is nothing to warn of."""

    words: str = ""
    tone: str = ""


def kind_of(operations: Sequence[str], parameter_free: Collection[str]) -> Kind:
    """Return what a cell with these operations, one an edge, is."""
    if not operations:
        return ""
    skips = sum(name == SKIP for name in operations)
    if skips == len(operations):
        return "all-skip"
    if all(name in parameter_free for name in operations):
        return "parameter-free"
    return "many-skips" if skips >= MANY_SKIPS * len(operations) - 1e-9 else ""


def alert(run: Run) -> Alert:
    """Return the warning that a run deserves now: of its newest genotype, or of the
    architecture that it gave.  Three queries at most, one without a reason to warn."""
    if run.architecture is None or (run.plan or {}).get("table"):
        return Alert()
    space = benchmark.space_named(space_name(run))
    encoding = run.architecture.encoding
    kind = _kind(space, encoding)
    if not kind:
        return Alert()
    ended = run.job.state in TERMINAL
    when = "" if ended else f" since epoch {_since(run, space, kind)}"
    operations = [choice[-1] for choice in cell(space, encoding)]
    words = _words(kind, operations, when, ended=ended)
    if kind != "many-skips":
        words += _by_table(run, space, encoding)
    return Alert(words, "warning" if kind == "many-skips" else "danger")


def _kind(space: Space, encoding: str) -> Kind:
    chosen = [choice[-1] for choice in cell(space, encoding)]
    return kind_of(chosen, space.parameter_free)


def _since(run: Run, space: Space, kind: Kind) -> int:
    """Return the first of the epochs without a gap whose cells are as grave."""
    first = run.epoch
    rows = EpochRecord.objects.filter(run=run).order_by("-epoch")
    known: dict[str, Kind] = {}
    for epoch, genotype in rows.values_list("epoch", "genotype"):
        if genotype not in known:
            known[genotype] = _kind(space, genotype)
        if GRAVITY.index(known[genotype]) < GRAVITY.index(kind):
            break
        first = epoch
    return first


def _words(kind: Kind, operations: Sequence[str], when: str, *, ended: bool) -> str:
    edges = len(operations)
    skips = sum(name == SKIP for name in operations)
    verb = "took" if ended else "takes"
    if kind == "all-skip":
        return (
            f"Local optimum{when}: every edge of the cell {verb} a skip connection, "
            "so it holds no weights."
        )
    if kind == "parameter-free":
        return (
            f"Local optimum{when}: every edge of the cell {verb} skip, pool or none "
            f"({skips} of {edges} a skip), so it holds no weights."
        )
    verb = "took" if ended else "take"
    end = "." if ended else ": the search may be on its way to the cell of skips alone."
    return f"{skips} of {edges} edges {verb} a skip connection{when}{end}"


def _by_table(run: Run, space: Space, encoding: str) -> str:
    """Say what such a cell is worth, where a table knows."""
    column = table_column(run.job.spec) or "cifar10"
    entry = benchmark.lookup(space.name, [encoding]).get(encoding)
    value = entry.get(column, "test") if entry else None
    if value is None:
        return ""
    label = benchmark.DATASETS[column]
    return f" By table it reaches {value.value:.2f} % on {label} test."
