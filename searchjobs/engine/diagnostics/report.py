"""The report of an epoch: everything that is measured beside the search."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import torch

from ..contracts import Search, SetName
from ..events import EpochFinished, SetState
from ..seeding import Streams
from ..selection.class_limit import balance
from . import tables
from .accuracy import (
    inherited_accuracy,
    path_batches,
    paths_accuracy,
    probe_batches,
    supernet_accuracy,
)
from .eigenvalue import dominant_eigenvalues
from .tables import NONE, SKIP

if TYPE_CHECKING:
    from ..totals import Totals


class Probe:
    """The fixed samples of V that every epoch is measured on.

    Drawn by the split seed, so all runs of an experiment see the same images, and
    taken before anything is pruned.
    """

    def __init__(self, search: Search) -> None:
        spec = search.spec
        ids = search.initial_sets["V"]
        shuffled = torch.randperm(len(ids), generator=Streams(spec.split.seed)["probe"])
        chosen = ids[shuffled[: spec.diagnostics.probe_samples].to(ids.device)]
        self.batches = probe_batches(search, chosen)
        self.parts = path_batches(search, chosen)
        """Of methods that are measured by drawn architectures: each one's part."""
        self.eigenvalue_batch = search.data.batch(
            ids[shuffled[: spec.diagnostics.eigenvalue_samples].to(ids.device)]
        )


def epoch_report(
    search: Search, epoch: int, totals: Totals, probe: Probe
) -> EpochFinished:
    """Measure what there is to see after an epoch.  The time is kept apart from
    the search's, and nothing here touches weights, alpha or random streams."""
    started = time.perf_counter()
    spec, space, method = search.spec, search.space, search.method
    strengths = tables.on_cpu(method.strengths())
    found = tables.genotype(space, strengths, prefer=method.preferences)
    choice = space.decode(found)
    valid_loss, valid_accuracy = (
        paths_accuracy(search, probe.parts)
        if probe.parts
        else supernet_accuracy(search, probe.batches)
    )
    inherited = inherited_accuracy(search, probe.batches, found)
    largest, absolute = _eigenvalues(search, epoch, probe)
    train_loss, train_accuracy = totals.epoch.mean(0)
    totals.alpha_travel += totals.epoch.travel
    totals.seconds_evaluation += time.perf_counter() - started
    return EpochFinished(
        epoch=epoch,
        epochs=spec.training.epochs,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        valid_loss=valid_loss,
        valid_accuracy=valid_accuracy,
        search_valid_accuracy=totals.epoch.mean(1)[1],
        alpha=tables.as_lists(tables.on_cpu(method.alpha())),
        strengths=tables.as_lists(strengths),
        magnitudes=tables.magnitudes(space, strengths),
        genotype=found,
        genotype_without_none=tables.genotype(
            space, strengths, without=NONE, prefer=method.preferences
        ),
        connected=space.connected(found),
        skips=tables.count(choice, SKIP),
        nones=tables.count(choice, NONE),
        parameter_free=sum(tables.count(choice, o) for o in space.parameter_free),
        entropy=tables.entropy(strengths),
        margins=tables.margins(strengths),
        alpha_travel=totals.alpha_travel,
        inherited_accuracy=inherited,
        discretisation_gap=valid_accuracy - inherited,
        eigenvalue=largest,
        eigenvalue_absolute=absolute,
        sets=set_states(search),
        weight_steps=totals.epoch.weight_steps,
        architecture_steps=totals.epoch.architecture_steps,
        learning_rates=method.learning_rates(),
        cost_units=totals.cost_units,
        seconds_search=totals.seconds_search,
        seconds_evaluation=totals.seconds_evaluation,
        peak_memory_bytes=peak_memory(search.device),
        method=method.report(),
    )


def set_states(search: Search) -> dict[SetName, SetState]:
    """Return what remains of T and V, with class counts and balance."""
    classes = search.classes
    states: dict[SetName, SetState] = {}
    for name, ids in search.selection.sets.items():
        counts = torch.bincount(search.data.labels[ids], minlength=classes).cpu()
        states[name] = SetState(
            remaining=len(ids),
            class_counts=counts.tolist(),
            balance=float(balance(counts)),
        )
    return states


def peak_memory(device: torch.device) -> int:
    """Return bytes: of the GPU's allocator, or the process's largest resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _eigenvalues(
    search: Search, epoch: int, probe: Probe
) -> tuple[float | None, float | None]:
    every = search.spec.diagnostics.eigenvalue_every
    if every == 0 or epoch % every or not search.method.gradient_based:
        return None, None
    return dominant_eigenvalues(search, probe.eigenvalue_batch)
