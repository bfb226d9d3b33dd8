"""search() on a benchmark table: no supernet, the same events.

The protocol of NAS-Bench-201 (X. Dong, Y. Yang, ICLR 2020, section 5; methods spec 8):
an evaluation is the 12-epoch validation accuracy of one seed, its price the seconds of
that training and of one validation pass as the benchmark recorded them.  The evaluation
that would overrun the budget is discarded, and so is what it would have told.  A repeat
picks the best it has seen, and its pick is looked up after 200 epochs.

All repeats of a run go in step, evaluation by evaluation, as arrays; the seconds that
our own code takes are not simulated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import benchmark_table, checkpoint, environment
from .benchmark_table import BenchmarkTable
from .contracts import Query, Repeats, Space, TableMethod, methods, spaces
from .events import (
    ArchitectureFound,
    Checkpointed,
    EpochFinished,
    Event,
    Finished,
    Progress,
    Started,
)
from .problems import SearchError, SpecError
from .seeding import Streams
from .spec import SearchSpec
from .table_plan import budget_of, table_plan, table_problems
from .table_report import Picks, most_frequent, table_report

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
#: Evaluations between two signs of life.
PROGRESS_EVALUATIONS = 25


@dataclass
class TableRun:
    """One running search on a table.

    Attributes:
        spent: simulated seconds of each repeat, (R,).
        alive: whether its budget lasts, (R,).
        best: accuracy of its pick as the search sees it, (R,), per cent.
        pick: row of the table, (R,); -1: none yet.
        evaluations: that were paid, (R,).
        trail: of the evaluations that a later point may ask for, when each ended, what
            was picked then and how good it looked; a repeat that is over stays there.
        dropped: earlier evaluations, which no later point asks for.
    """

    spec: SearchSpec
    table: BenchmarkTable
    space: Space
    streams: Streams
    method: TableMethod
    count: int
    budget: float
    spent: Floats
    alive: NDArray[np.bool_]
    best: Floats
    pick: Indices
    evaluations: Indices
    trail: list[tuple[Floats, Indices, Floats]] = field(default_factory=list)
    dropped: int = 0
    epoch: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.dataset: str = self.spec.method.dataset
        self.rows_of = _index(self.table, self.space)
        self.train_seconds = self.table.train_seconds(self.dataset)
        self.valid_seconds = self.table.valid_seconds(self.dataset)
        self.points = [
            self.budget * (number + 1) / self.spec.method.points
            for number in range(self.spec.method.points)
        ]

    def step(self) -> None:
        """Evaluate one more architecture in every repeat that lives."""
        query = self.method.ask()
        rows = self.rows_of[_rank(query.choices, self.space)]
        accuracies = self.look_up(query, rows)
        after = self.spent + self.price(query, rows)
        self.alive = self.alive & (after <= self.budget)
        self.spent = np.where(self.alive, after, self.spent)
        self.evaluations = self.evaluations + self.alive
        better = self.alive & (accuracies > self.best) & query.decisive
        self.best = np.where(better, accuracies, self.best)
        self.pick = np.where(better, rows, self.pick)
        self.method.tell(query, accuracies, self.alive)
        self.trail.append((self.spent, self.pick, self.best))

    def price(self, query: Query, rows: Indices) -> Floats:
        """Return the seconds (R,) of the training and of one validation pass."""
        return query.epochs * self.train_seconds[rows] + self.valid_seconds[rows]

    def look_up(self, query: Query, rows: Indices) -> Floats:
        """Return the accuracy (R,) of one trial, each as likely, in per cent."""
        if query.protocol == "12" and query.epochs < 12:
            values = self.table.curve(self.dataset, query.epochs)
            if values is not None:
                return values[rows]
        trials = self.table.trials(self.dataset, "valid", query.protocol)[rows]
        there = (~np.isnan(trials)).sum(axis=1)
        if trials.shape[1] == 1:
            return np.asarray(trials[:, 0])
        draw = self.streams["trial"]
        u = torch.rand(self.count, generator=draw, dtype=torch.float64).numpy()
        return np.asarray(trials[np.arange(self.count), (u * there).astype(np.int64)])

    def reached(self, point: float) -> bool:
        """Say whether nothing can happen any more before a point of the budget."""
        return not self.alive.any() or bool((self.spent[self.alive] > point).all())

    def at(self, point: float) -> Picks:
        """Return what stands at a point of the simulated time; forget what is older,
        because later points come later."""
        if not self.trail:
            nothing = np.zeros(self.count, dtype=np.int64)
            return Picks(nothing - 1, nothing, np.full(self.count, -np.inf))
        times, picks, bests = map(np.stack, zip(*self.trail, strict=True))
        done = (times <= point).sum(axis=0)
        newest, everyone = np.maximum(done - 1, 0), np.arange(self.count)
        found = Picks(
            np.where(done + self.dropped > 0, picks[newest, everyone], -1),
            np.minimum(done + self.dropped, self.evaluations),
            bests[newest, everyone],
        )
        old = int(newest.min())
        self.trail = self.trail[old:]
        self.dropped += old
        return found


def search_table(
    spec: SearchSpec,
    out: Path | None = None,
    *,
    resume: bool = False,
    table: BenchmarkTable | None = None,
) -> Iterator[Event]:
    """Search on a table and yield events, point by point of the simulated budget.

    Args:
        spec: what to do; its method is a ``TableMethod``.
        out: folder for checkpoints; None writes nothing.
        resume: go on from the newest checkpoint in ``out``, if there is one; the rest
            is that of an unbroken search to the last bit.
        table: None: that of the space on this machine.

    Raises:
        SpecError: there is no table, or the spec does not fit.
        SearchError: the budget does not pay a single architecture.
    """
    begun = time.perf_counter()
    run = _compose(spec, table)
    state = checkpoint.load_newest(out) if out and resume else None
    if state is not None:
        _restore(run, state)
    before = run.seconds
    yield _started(run)
    while run.epoch < len(run.points):
        point = run.points[run.epoch]
        while not run.reached(point):
            run.step()
            if run.evaluations.max() % PROGRESS_EVALUATIONS == 0:
                yield _progress(run)
        run.epoch += 1
        run.seconds = before + time.perf_counter() - begun
        yield _report(run, run.at(point))
        last = run.epoch == len(run.points)
        if out is not None and (last or run.epoch % spec.compute.checkpoint_every == 0):
            path, size = checkpoint.save(out, run.epoch, _state(run))
            name = path.relative_to(out).as_posix()
            yield Checkpointed(epoch=run.epoch, path=name, bytes=size)
    yield _finished(run)


def _compose(spec: SearchSpec, table: BenchmarkTable | None) -> TableRun:
    part = methods.get(spec.method.name)
    assert issubclass(part, TableMethod)
    if table is None:
        if problems := table_problems(spec, part):
            raise SpecError(problems)
        table = benchmark_table.load(spec.space.name)
    options = spec.method
    space = spaces.get(spec.space.name)(spec.space)
    streams = Streams(spec.seed)
    curve = {e for e in range(1, 12) if table.curve(options.dataset, e) is not None}
    repeats = Repeats(options.repeats, space, streams, frozenset(curve))
    R = options.repeats
    return TableRun(
        spec=spec,
        table=table,
        space=space,
        streams=streams,
        method=part(options, repeats),
        count=R,
        budget=budget_of(options),
        spent=np.zeros(R),
        alive=np.ones(R, dtype=bool),
        best=np.full(R, -np.inf),
        pick=np.full(R, -1, dtype=np.int64),
        evaluations=np.zeros(R, dtype=np.int64),
    )


def _started(run: TableRun) -> Started:
    part = type(run.method)
    return Started(
        epoch=run.epoch,
        epochs=len(run.points),
        plan=table_plan(run.spec, part),
        classes=[],
        edges={name: list(rows) for name, rows in run.space.tables.items()},
        operations=list(run.space.operations),
        strengths=part.strength_label,
        data_fingerprint=run.table.fingerprint,
        weight_count=0,
        environment=environment.describe(torch.device("cpu")),
    )


def _progress(run: TableRun) -> Progress:
    return Progress(
        epoch=min(run.epoch + 1, len(run.points)),
        epochs=len(run.points),
        step=round(float(run.spent.min())),
        steps=round(run.budget),
    )


def _report(run: TableRun, picks: Picks) -> EpochFinished:
    if (picks.rows < 0).all() and run.epoch == len(run.points):
        raise SearchError(
            f"The simulated budget of {run.budget:,.0f} s does not pay the training of "
            "a single architecture that may be picked; raise it.",
            "spec",
        )
    return table_report(
        epoch=run.epoch,
        epochs=len(run.points),
        seconds=run.points[run.epoch - 1],
        picks=picks,
        dataset=run.dataset,
        table=run.table,
        space=run.space,
        scalars=run.method.scalars(),
        seconds_search=run.seconds,
    )


def _finished(run: TableRun) -> Finished:
    return Finished(
        epoch=run.epoch,
        architectures=[
            ArchitectureFound(
                derivation=run.method.name,
                epoch=run.epoch,
                architecture=architecture,
                connected=run.space.connected(architecture),
                criterion=f"{number:,} of {run.count:,} repeats",
                note=f"Picked by {number:,} of {run.count:,} repeats.",
            )
            for architecture, number in most_frequent(run.pick, run.table)
        ],
        cost_units=0.0,
        seconds_search=run.seconds,
        seconds_evaluation=0.0,
    )


def _index(table: BenchmarkTable, space: Space) -> Indices:
    """Return the row of the table for each rank of an architecture."""
    index = np.empty(len(table.encodings), dtype=np.int64)
    index[_rank(table.choices, space)] = np.arange(len(index))
    return index


def _rank(choices: Indices, space: Space) -> Indices:
    """Return the place of architectures (n, E) in the enumeration of the space."""
    rank = np.zeros(len(choices), dtype=np.int64)
    at = 0
    for name, rows in space.tables.items():
        for _ in rows:
            rank = rank * len(space.columns(name)) + choices[:, at]
            at += 1
    return rank


#: What of a run is saved as it is.
_SAVED = ("spent", "alive", "best", "pick", "evaluations", "trail", "dropped")


def _state(run: TableRun) -> dict[str, Any]:
    return {
        "spec": run.spec.fingerprint(),
        "data": run.table.fingerprint,
        "method": _packed(run.method.state_dict()),
        "streams": run.streams.state_dict(),
        "seconds": run.seconds,
        **{name: _packed(getattr(run, name)) for name in _SAVED},
    }


def _restore(run: TableRun, state: dict[str, Any]) -> None:
    checkpoint.require_spec(state, run.spec.fingerprint())
    if state["data"] != run.table.fingerprint:
        raise SearchError(
            "The benchmark table has changed since this search began, so its "
            "checkpoint no longer fits. Import the former table, or launch anew.",
            "data",
        )
    run.epoch = state["epoch"]
    run.seconds = state["seconds"]
    run.method.load_state_dict(_unpacked(state["method"]))
    run.streams.load_state_dict(state["streams"])
    for name in _SAVED:
        setattr(run, name, _unpacked(state[name]))


def _packed(value: Any) -> Any:
    """Turn arrays into tensors, which a checkpoint can hold without running code."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, dict):
        return {name: _packed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_packed(each) for each in value)
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: _unpacked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_unpacked(each) for each in value)
    return value
