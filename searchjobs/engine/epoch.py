"""One epoch: weight steps and architecture steps in the order of the policy.

Derivations that go on training (projection) use the same streams and steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from .contracts import Batch, Search, SetName
from .events import Event, Progress
from .plan import cost, count, selection_cost, trains_architecture
from .problems import SearchError
from .schedule import batches, order, step_counts
from .totals import EpochTotals, Totals

PROGRESS_SECONDS = 1.0


def train(run: Search, epoch: int, totals: Totals) -> Iterator[Event]:
    """Make all steps of one epoch; add up what they cost.

    Raises SearchError if the loss is no longer finite.
    """
    started = time.perf_counter()
    sizes = {name: len(ids) for name, ids in run.selection.sets.items()}
    if run.method.start_epoch(epoch):
        run.selection.start_stage()
    run.supernet.train()
    yield from run.method.before_epoch(epoch)
    trains = trains_architecture(run.spec, epoch)
    yield from steps(run, epoch, totals, architecture=trains)
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    totals.epoch.close()
    if not totals.epoch.finite:
        raise SearchError(
            f"The training loss is no longer a finite number in epoch {epoch}. "
            "Lower the weight learning rate or clip the gradient, and launch again.",
            "diverged",
        )
    yield from run.method.after_epoch(epoch)
    counted = count(run.spec, epoch, sizes)
    totals.cost_units += cost(run.spec, epoch, counted, sizes)
    totals.seconds_search += time.perf_counter() - started


def steps(
    run: Search, epoch: int, totals: Totals, *, architecture: bool
) -> Iterator[Event]:
    """Make one pass over T, and over V if ``architecture`` says so; ``totals.epoch``
    holds the sums afterwards, still on the device."""
    spec = run.spec
    size = run.method.batch_size(spec, epoch)
    weight_batches = Stream(run, "T", size)
    alpha_batches = Stream(run, "V", size) if architecture else None
    counts = step_counts(
        weight_batches.count, alpha_batches.count if alpha_batches else 0, spec.training
    )
    totals.epoch = EpochTotals(run.device, *counts)
    earlier = totals.seconds_search - totals.seconds_preparation
    clock = Clock(epoch, spec.training.epochs, sum(counts), earlier)
    unrolls = run.method.unrolls(spec.method)
    single = run.method.streams(spec.method) == "single"
    for number, (level, step) in enumerate(order(*counts, spec.training), start=1):
        if level == "weights":
            batch = weight_batches.take(step)
            before = totals.epoch.before(run.method.alpha()) if single else None
            result = run.method.weight_step(batch)
            if before is not None:
                totals.epoch.add_travel(before, run.method.alpha())
            run.selection.observe("T", batch, result.logits)
            totals.epoch.add_weights(batch, result)
        elif alpha_batches is not None:
            batch = alpha_batches.take(step)
            train = weight_batches.beside_alpha(unrolls)
            before = totals.epoch.before(run.method.alpha())
            result = run.method.architecture_step(batch, train)
            totals.epoch.add_travel(before, run.method.alpha())
            run.selection.observe("V", batch, result.logits)
            totals.epoch.add_architecture(batch, result)
        if progress := clock.progress(number, len(batch.ids)):
            yield progress


def end(run: Search, epoch: int, totals: Totals) -> Iterator[Event]:
    """Let the selection act between two epochs; this is search cost too."""
    started = time.perf_counter()
    yield from run.selection.end_epoch(epoch)
    sizes = {name: len(ids) for name, ids in run.initial_sets.items()}
    totals.cost_units += selection_cost(run.spec, epoch, sizes)
    totals.seconds_search += time.perf_counter() - started


class Stream:
    """The batches of one set in one epoch, augmented when they are asked for.

    A policy may ask for more batches than the set has: then the set is shuffled
    anew, as often as needed.
    """

    def __init__(self, run: Search, name: SetName, batch_size: int) -> None:
        self.run = run
        self.name = name
        self._size = batch_size
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
        ids = self.run.selection.epoch_ids(self.name, generator)
        parts = batches(ids, self._size)
        self.run.data.expect(self.name, parts)
        return parts


class Clock:
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
