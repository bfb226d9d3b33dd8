"""search(): the supernet loop, and nothing else.

A search is composed of five parts (see ``contracts``) and never special-cased.
It yields events and owns no I/O beyond checkpoint and artefacts.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checkpoint, environment
from .compose import compose
from .contracts import Derivation, Derived, Search, derivations
from .diagnostics.report import Probe, epoch_report
from .epoch import end, train
from .events import (
    ArchitectureFound,
    Checkpointed,
    EpochFinished,
    Event,
    Finished,
    Progress,
    SamplesPruned,
    Started,
    UnreadableFile,
)
from .jury import Jury
from .plan import plan
from .problems import SearchError
from .spec import SearchSpec
from .totals import Totals

DERIVATION_SAVE_SECONDS = 60.0
#: Broken files that the first event names; all are counted.
MOST_NAMED_FILES = 20


def search(
    spec: SearchSpec, out: Path | None = None, *, resume: bool = False
) -> Iterator[Event]:
    """Run a search and yield its events, epoch by epoch.

    Args:
        spec: what to do.
        out: folder for checkpoints and artefacts; None writes nothing.
        resume: go on from the newest checkpoint in ``out``, if there is one.  On
            the CPU the rest is bit-identical to that of an unbroken search.

    Raises:
        SpecError: the data set is not there or does not fit.
        SearchError: the loss is no longer finite.
    """
    state = checkpoint.load_newest(out) if out and resume else None
    run = compose(spec)
    if not run.parallel.leads:
        out = None  # rank 0 alone writes
    jury = Jury(run)
    totals = Totals()
    history: list[EpochFinished] = []
    if state is not None:
        _restore(run, jury, totals, history, state)
    _require_agreement(run)
    probe = Probe(run)
    yield _started(run)
    if state is None:
        yield from _prepare(run, out, totals)
    first = spec.training.epochs if jury.decision.stop else run.epoch
    for epoch in range(first + 1, spec.training.epochs + 1):
        yield from train(run, epoch, totals)
        pruned = []
        for event in end(run, epoch, totals):
            if isinstance(event, Progress):
                yield event
            else:
                pruned.append(event)
        run.epoch = epoch
        _require_agreement(run)
        for event in pruned:
            if isinstance(event, SamplesPruned):
                _write_artefact(run, out, event.artefact)
            yield event
        report = run.parallel.by_leader(
            partial(epoch_report, run, epoch, totals, probe), EpochFinished
        )
        history.append(report)
        yield report
        yield from jury.hear(report)
        stops = jury.decision.stop
        last = stops or epoch == spec.training.epochs
        if out is not None and (last or epoch % spec.compute.checkpoint_every == 0):
            yield _save(out, run, _state(run, jury, totals, history))
        if stops:
            break
    options = spec.derivation
    derivation = derivations.get(options.name)(options, run)
    if state and "derivation" in state:
        derivation.load_state_dict(state["derivation"])
    found = []
    saved = time.perf_counter()
    clock = _Stopwatch(totals, derivation)
    for item in derivation.derive(history, jury.decision.epoch or run.epoch):
        clock.add()
        if isinstance(item, Derived):
            found.append(_found(run, history, item))
            continue
        yield item
        due = time.perf_counter() - saved >= DERIVATION_SAVE_SECONDS
        due = due and derivation.resumable and isinstance(item, Progress)
        if out is not None and due:
            whole = _state(run, jury, totals, history)
            yield _save(out, run, whole | {"derivation": derivation.state_dict()})
            saved = time.perf_counter()
    clock.add()
    found += [_found(run, history, item) for item in jury.architectures(history)]
    yield Finished(
        epoch=run.epoch,
        architectures=found,
        cost_units=totals.cost_units,
        seconds_search=totals.seconds_search,
        seconds_evaluation=totals.seconds_evaluation,
    )


def _prepare(run: Search, out: Path | None, totals: Totals) -> Iterator[Event]:
    """Let the selection choose before the first epoch; its cost is the search's."""
    begun = time.perf_counter()
    for event in run.selection.prepare():
        if isinstance(event, SamplesPruned):
            _write_artefact(run, out, event.artefact)
        yield event
    _require_agreement(run)
    totals.cost_units += run.selection.preparation_units
    totals.seconds_preparation = time.perf_counter() - begun
    totals.seconds_search += totals.seconds_preparation


class _Stopwatch:
    """Adds what a derivation computes to the cost of the search: samples, seconds."""

    def __init__(self, totals: Totals, derivation: Derivation) -> None:
        self._totals, self._derivation = totals, derivation
        self._seconds = time.perf_counter()
        self._cost = derivation.cost_units

    def add(self) -> None:
        """Add what has happened since the last time."""
        now, cost = time.perf_counter(), self._derivation.cost_units
        self._totals.seconds_search += now - self._seconds
        self._totals.cost_units += cost - self._cost
        self._seconds, self._cost = now, cost


def _require_agreement(run: Search) -> None:
    """Raise SearchError unless all processes of a search stand at the same point."""
    if not run.parallel.agree(partial(_held_alike, run)):
        raise SearchError(
            "The processes of this search no longer hold the same state, so its "
            "devices do not compute alike. Use GPUs of one model, or one device, and "
            "launch again.",
            "device",
        )


def _held_alike(run: Search) -> Iterator[Tensor]:
    """Yield what decides how a search goes on."""
    yield torch.tensor([run.epoch])
    yield from run.selection.sets.values()
    yield from run.method.alpha().values()
    yield from (tensor for _, tensor in sorted(run.supernet.state_dict().items()))


def _found(
    run: Search, history: list[EpochFinished], item: Derived
) -> ArchitectureFound:
    report = next((r for r in history if r.epoch == item.epoch), None)
    return ArchitectureFound(
        derivation=item.derivation,
        epoch=item.epoch,
        architecture=item.architecture,
        connected=run.space.connected(item.architecture),
        criterion=item.criterion,
        note=item.note,
        without_none=report.genotype_without_none
        if report and report.genotype == item.architecture
        else "",
    )


def _started(run: Search) -> Started:
    return Started(
        epoch=run.epoch,
        epochs=run.spec.training.epochs,
        # of what is really there: files that cannot be read are left out
        plan=plan(run.spec, summary=run.data.summary()),
        classes=list(run.data.classes),
        edges={name: list(rows) for name, rows in run.space.tables.items()},
        operations=list(run.space.operations),
        strengths=run.method.strength_label,
        data_fingerprint=run.data.fingerprint,
        weight_count=sum(p.numel() for p in run.supernet.parameters()),
        environment=environment.describe(run.device, run.parallel),
        unreadable=[
            UnreadableFile(path=each.path, sentence=each.sentence)
            for each in run.data.unreadable[:MOST_NAMED_FILES]
        ],
        unreadable_count=len(run.data.unreadable),
    )


def _save(out: Path, run: Search, state: dict[str, Any]) -> Checkpointed:
    path, size = checkpoint.save(out, run.epoch, state)
    return Checkpointed(
        epoch=run.epoch, path=path.relative_to(out).as_posix(), bytes=size
    )


def _write_artefact(run: Search, out: Path | None, name: str) -> None:
    arrays = run.selection.artefacts.pop(name, None)
    if arrays is None or out is None:
        return
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_whole(path, buffer.getvalue())


def _state(
    run: Search, jury: Jury, totals: Totals, history: list[EpochFinished]
) -> dict[str, Any]:
    return {
        "spec": run.spec.fingerprint(),
        "data": run.data.fingerprint,
        "device": run.device.type,
        "supernet": run.supernet.state_dict(),
        "method": run.method.state_dict(),
        "selection": run.selection.state_dict(),
        "jury": jury.state_dict(),
        "streams": run.streams.state_dict(),
        "totals": totals.state_dict(),
        "history": [report.model_dump_json() for report in history],
    }


def _restore(
    run: Search,
    jury: Jury,
    totals: Totals,
    history: list[EpochFinished],
    state: dict[str, Any],
) -> None:
    checkpoint.require_spec(state, run.spec.fingerprint())
    if state["data"] != run.data.fingerprint:
        raise SearchError(
            "The images of the data set have changed since this search began, so its "
            "checkpoint no longer fits. Put the former images back, or launch anew.",
            "data",
        )
    if state["device"] != run.device.type:
        raise SearchError(
            f"This search began on {state['device']} and this is {run.device.type}: "
            "its random streams cannot go on here. Resume it on the former kind of "
            "device, or launch anew.",
            "spec",
        )
    run.epoch = state["epoch"]
    # the method first: it may bring the supernet of a later stage with it.  What an
    # epoch sets (a temperature) is set once more, for the derivation may train on
    run.method.load_state_dict(state["method"])
    run.method.start_epoch(run.epoch)
    run.method.load_state_dict(state["method"])
    run.supernet.load_state_dict(state["supernet"])
    run.selection.load_state_dict(state["selection"])
    jury.load_state_dict(state["jury"])
    run.streams.load_state_dict(state["streams"])
    totals.load_state_dict(state["totals"])
    history.extend(EpochFinished.model_validate_json(r) for r in state["history"])
