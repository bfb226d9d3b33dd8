"""What is told of one point of a search on a table: all repeats together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .benchmark_table import DATASETS, SPLITS, BenchmarkTable
from .contracts import Space, Tables
from .diagnostics import tables
from .diagnostics.report import NONE, SKIP, peak_memory
from .events import EpochFinished, MethodReport, RepeatsReport, Spread

#: Bars of the distribution of the picks, and architectures that are named.
BARS, TOP = 30, 10


@dataclass(frozen=True)
class Picks:
    """What the repeats hold at one point of the simulated time.

    Attributes:
        rows: of the table, (R,); -1: nothing yet.
        evaluations: paid so far, (R,).
        signal: accuracy of the pick as the search sees it, (R,), per cent.
    """

    rows: NDArray[np.int64]
    evaluations: NDArray[np.int64]
    signal: NDArray[np.float64]


def table_report(
    *,
    epoch: int,
    epochs: int,
    seconds: float,
    picks: Picks,
    dataset: str,
    table: BenchmarkTable,
    space: Space,
    scalars: Mapping[str, float],
    seconds_search: float,
) -> EpochFinished:
    """Return the report of a point; ``seconds`` are simulated, ``seconds_search`` ours.

    While no repeat holds anything, the genotype is empty and so are the shares.
    """
    held = picks.rows[picks.rows >= 0]
    strengths = shares(held, table, space)
    top = most_frequent(held, table)
    genotype = top[0][0] if top else ""
    without = tables.genotype(space, strengths, without=NONE) if top else ""
    choice = space.decode(genotype) if top else {}
    return EpochFinished(
        epoch=epoch,
        epochs=epochs,
        train_loss=None,
        train_accuracy=None,
        valid_loss=None,
        valid_accuracy=None,
        alpha={},
        strengths=tables.as_lists(strengths),
        magnitudes=tables.magnitudes(space, strengths),
        genotype=genotype,
        genotype_without_none=without,
        connected=bool(top) and space.connected(genotype),
        skips=tables.count(choice, SKIP),
        nones=tables.count(choice, NONE),
        parameter_free=sum(tables.count(choice, o) for o in space.parameter_free),
        entropy=tables.entropy(strengths),
        margins=tables.margins(strengths),
        alpha_travel=0.0,
        sets={},
        weight_steps=0,
        architecture_steps=0,
        learning_rates={},
        cost_units=0.0,
        seconds_search=seconds_search,
        seconds_evaluation=0.0,
        peak_memory_bytes=peak_memory(torch.device("cpu")),
        method=MethodReport(scalars=dict(scalars)),
        repeats=_repeats(seconds, picks, dataset, table, top) if top else None,
    )


def shares(rows: NDArray[np.int64], table: BenchmarkTable, space: Space) -> Tables:
    """Return, per table (R, O), the share of these architectures that takes each
    operation; zeros if there are none."""
    choices = torch.from_numpy(table.choices[rows])
    found, at = {}, 0
    for name, edges in space.tables.items():
        columns = len(space.columns(name))
        taken = choices[:, at : at + len(edges)]
        one_hot = torch.nn.functional.one_hot(taken, columns).double()
        found[name] = one_hot.sum(0) / max(len(rows), 1)
        at += len(edges)
    return found


def most_frequent(
    rows: NDArray[np.int64], table: BenchmarkTable, most: int = TOP
) -> list[tuple[str, int]]:
    """Return the architectures that occur most often, each with how often; of equals
    that which stands first in the table."""
    found, counts = np.unique(rows[rows >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(table.encodings[found[place]], int(counts[place])) for place in order]


def spread(values: NDArray[np.float64]) -> Spread:
    """Return mean and sample standard deviation."""
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(mean=float(values.mean()), std=std)


def _repeats(
    seconds: float,
    picks: Picks,
    dataset: str,
    table: BenchmarkTable,
    top: list[tuple[str, int]],
) -> RepeatsReport:
    there = picks.rows >= 0
    rows = picks.rows[there]
    counts, edges = np.histogram(table.mean(dataset, "test", "200")[rows], bins=BARS)
    return RepeatsReport(
        repeats=len(picks.rows),
        seconds=seconds,
        evaluations=float(picks.evaluations.mean()),
        signal=spread(picks.signal[there]),
        accuracies={
            name: {
                split: spread(table.mean(name, split, "200")[rows]) for split in SPLITS
            }
            for name in DATASETS
        },
        histogram_edges=edges.tolist(),
        histogram_counts=counts.tolist(),
        top=top,
    )
