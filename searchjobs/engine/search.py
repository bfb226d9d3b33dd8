"""search(): the supernet loop, and nothing else.

A search is composed of five parts (see ``contracts``) and never special-cased.
It yields events and owns no I/O beyond checkpoint and artefacts.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checkpoint, environment
from .compose import compose
from .contracts import (
    Batch,
    Decision,
    Derived,
    Search,
    StoppingRule,
    derivations,
    stopping_rules,
)
from .diagnostics.report import Probe, epoch_report
from .events import (
    ArchitectureFound,
    Checkpointed,
    EpochFinished,
    Event,
    FaultKind,
    Finished,
    Progress,
    SamplesPruned,
    Started,
    StopSuggested,
)
from .plan import cost, plan
from .schedule import batches, count_epoch, order, step_counts
from .spec import SearchSpec
from .totals import EpochTotals, Totals

PROGRESS_SECONDS = 1.0
DERIVATION_SAVE_SECONDS = 60.0


class SearchError(RuntimeError):
    """The search cannot go on; the message says why and what to do."""

    def __init__(self, sentence: str, kind: FaultKind) -> None:
        self.kind = kind
        super().__init__(sentence)


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
    rules = [stopping_rules.get(o.name)(o, run) for o in spec.stopping]
    totals = Totals()
    history: list[EpochFinished] = []
    if state is not None:
        _restore(run, rules, totals, history, state)
    _require_agreement(run)
    probe = Probe(run)
    yield _started(run)
    decision = Decision(**state["decision"]) if state else Decision()
    first = spec.training.epochs if decision.stop else run.epoch
    for epoch in range(first + 1, spec.training.epochs + 1):
        yield from _train(run, epoch, totals)
        pruned = _end_epoch(run, epoch, totals)
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
        said = [rule.observe(report) for rule in rules]
        for rule, suggestion in zip(rules, said, strict=True):
            if suggestion.stop or suggestion.epoch is not None:
                yield _suggestion(rule, epoch, suggestion)
        decision = _verdict(said)
        last = decision.stop or epoch == spec.training.epochs
        if out is not None and (last or epoch % spec.compute.checkpoint_every == 0):
            yield _save(out, run, _state(run, rules, totals, history, decision))
        if decision.stop:
            break
    options = spec.derivation
    derivation = derivations.get(options.name)(options, run)
    if state and "derivation" in state:
        derivation.load_state_dict(state["derivation"])
    found = []
    saved = time.perf_counter()
    for item in derivation.derive(history, decision.epoch or run.epoch):
        if isinstance(item, Derived):
            found.append(_found(run, item))
            continue
        yield item
        due = time.perf_counter() - saved >= DERIVATION_SAVE_SECONDS
        if out is not None and due and isinstance(item, Progress):
            whole = _state(run, rules, totals, history, decision)
            yield _save(out, run, whole | {"derivation": derivation.state_dict()})
            saved = time.perf_counter()
    yield Finished(
        epoch=run.epoch,
        architectures=found,
        cost_units=totals.cost_units,
        seconds_search=totals.seconds_search,
        seconds_evaluation=totals.seconds_evaluation,
    )


def _verdict(said: list[Decision]) -> Decision:
    """Return the first decision that stops, else the first that names an epoch."""
    return min(said, key=lambda d: (not d.stop, d.epoch is None), default=Decision())


def _train(run: Search, epoch: int, totals: Totals) -> Iterator[Event]:
    """Make the weight steps and architecture steps of one epoch."""
    spec = run.spec
    started = time.perf_counter()
    if run.method.start_epoch(epoch):
        run.selection.start_stage()
    run.supernet.train()
    trains = run.method.trains_architecture(spec.method, epoch)
    weight_batches = _Stream(run, "T")
    alpha_batches = _Stream(run, "V") if trains else None
    steps = step_counts(
        weight_batches.count, alpha_batches.count if alpha_batches else 0, spec.training
    )
    totals.epoch = EpochTotals(run.device, *steps)
    clock = _Clock(epoch, spec.training.epochs, sum(steps), totals.seconds_search)
    for number, (level, step) in enumerate(order(*steps, spec.training), start=1):
        if level == "weights":
            batch = weight_batches.take(step)
            result = run.method.weight_step(batch)
            run.selection.observe("T", batch, result.logits)
            totals.epoch.add_weights(batch, result)
        elif alpha_batches is not None:
            batch = alpha_batches.take(step)
            train = weight_batches.beside_alpha(run.method.unrolls)
            before = totals.epoch.before(run.method.alpha())
            result = run.method.architecture_step(batch, train)
            totals.epoch.add_travel(before, run.method.alpha())
            run.selection.observe("V", batch, result.logits)
            totals.epoch.add_architecture(batch, result)
        if progress := clock.progress(number, len(batch.ids)):
            yield progress
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    totals.epoch.close()
    if not totals.epoch.finite:
        raise SearchError(
            f"The training loss is no longer a finite number in epoch {epoch}. "
            "Lower the weight learning rate or clip the gradient, and launch again.",
            "diverged",
        )
    totals.seconds_search += time.perf_counter() - started


def _end_epoch(run: Search, epoch: int, totals: Totals) -> list[Event]:
    """Let method and selection act between two epochs; this is search cost too."""
    started = time.perf_counter()
    sizes = {name: len(ids) for name, ids in run.selection.sets.items()}
    totals.cost_units += run.method.end_epoch(epoch)
    events = run.selection.end_epoch(epoch)
    count = count_epoch(
        sizes["T"],
        sizes["V"],
        run.spec.training,
        architecture=run.method.trains_architecture(run.spec.method, epoch),
    )
    totals.cost_units += cost(run.spec, count)
    totals.seconds_search += time.perf_counter() - started
    return events


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


def _found(run: Search, item: Derived) -> ArchitectureFound:
    return ArchitectureFound(
        derivation=item.derivation,
        epoch=item.epoch,
        architecture=item.architecture,
        connected=run.space.connected(item.architecture),
    )


class _Stream:
    """The batches of one set in one epoch, augmented when they are asked for.

    A policy may ask for more batches than the set has: then the set is shuffled
    anew, as often as needed.
    """

    def __init__(self, run: Search, name: str) -> None:
        self.run = run
        self.name = name
        self._ids = self._shuffled()
        self.count = len(self._ids)
        self._made: dict[int, Batch] = {}
        self._used = -1

    def take(self, step: int) -> Batch:
        """Return the batch of a step that is made now."""
        self._used = step
        self._made = {n: made for n, made in self._made.items() if n >= step}
        return self._batch(step)

    def beside_alpha(self, count: int) -> list[Batch]:
        """Return the batches of ``count`` weight steps that go with an architecture
        step: from the one to come where alpha goes first, else the one just made."""
        alpha_first = self.run.spec.training.order == "architecture-first"
        first = self._used + alpha_first
        return [self._batch(step) for step in range(first, first + count)]

    def _batch(self, step: int) -> Batch:
        """Make the batch of a step, or find it made; steps are asked for in order."""
        if step not in self._made:
            while step >= len(self._ids):
                self._ids += self._shuffled()
            self._made[step] = self.run.data.batch(
                self._ids[step],
                self.run.spec.augmentation,
                self.run.streams.on_device(f"augment/{self.name}"),
            )
        return self._made[step]

    def _shuffled(self) -> list[Tensor]:
        generator = self.run.streams[f"order/{self.name}"]
        ids = self.run.selection.epoch_ids(self.name, generator)  # type: ignore[arg-type]
        return batches(ids, self.run.spec.training.batch_size)


class _Clock:
    """Tells progress about once a second, without asking the device."""

    def __init__(self, epoch: int, epochs: int, steps: int, before: float) -> None:
        self.epoch, self.epochs, self.steps = epoch, epochs, max(steps, 1)
        self._before = before
        self._started = self._told = time.perf_counter()
        self._samples = 0

    def progress(self, step: int, samples: int) -> Progress | None:
        self._samples += samples
        now = time.perf_counter()
        if now - self._told < PROGRESS_SECONDS:
            return None
        self._told = now
        elapsed = now - self._started
        done = self.epoch - 1 + step / self.steps
        left = (self._before + elapsed) / done * (self.epochs - done)
        return Progress(
            epoch=self.epoch,
            epochs=self.epochs,
            step=step,
            steps=self.steps,
            samples_per_second=self._samples / elapsed,
            seconds_left=left,
        )


def _started(run: Search) -> Started:
    return Started(
        epoch=run.epoch,
        epochs=run.spec.training.epochs,
        plan=plan(run.spec),
        classes=list(run.data.classes),
        edges={name: list(rows) for name, rows in run.space.tables.items()},
        operations=list(run.space.operations),
        data_fingerprint=run.data.fingerprint,
        weight_count=sum(p.numel() for p in run.supernet.parameters()),
        environment=environment.describe(run.device, run.parallel),
    )


def _suggestion(rule: StoppingRule, epoch: int, decision: Decision) -> StopSuggested:
    return StopSuggested(
        rule=rule.name,
        epoch=epoch,
        architecture_epoch=decision.epoch or epoch,
        stopped=decision.stop,
        reason=decision.reason,
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
    run: Search,
    rules: list[StoppingRule],
    totals: Totals,
    history: list[EpochFinished],
    decision: Decision,
) -> dict[str, Any]:
    return {
        "spec": run.spec.fingerprint(),
        "data": run.data.fingerprint,
        "device": run.device.type,
        "supernet": run.supernet.state_dict(),
        "method": run.method.state_dict(),
        "selection": run.selection.state_dict(),
        "rules": [rule.state_dict() for rule in rules],
        "streams": run.streams.state_dict(),
        "totals": totals.state_dict(),
        "history": [report.model_dump_json() for report in history],
        "decision": asdict(decision),
    }


def _restore(
    run: Search,
    rules: list[StoppingRule],
    totals: Totals,
    history: list[EpochFinished],
    state: dict[str, Any],
) -> None:
    if state["spec"] != run.spec.fingerprint():
        raise SearchError(
            "The checkpoint in this folder belongs to another spec. Choose an empty "
            "folder for this one, or run the spec that the folder was made with.",
            "spec",
        )
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
    # the method first: it may bring the supernet of a later stage with it
    run.method.load_state_dict(state["method"])
    run.supernet.load_state_dict(state["supernet"])
    run.selection.load_state_dict(state["selection"])
    for rule, saved in zip(rules, state["rules"], strict=True):
        rule.load_state_dict(saved)
    run.streams.load_state_dict(state["streams"])
    totals.load_state_dict(state["totals"])
    history.extend(EpochFinished.model_validate_json(r) for r in state["history"])
