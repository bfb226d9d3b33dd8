"""train_cell(): the weights of one architecture, from scratch, and its accuracy.

The protocol of NAS-Bench-201 (Dong and Yang, ICLR 2020, section 3 and Table 1): SGD
with a cosine schedule that falls to its end every epoch, batch norm with running
statistics, the accuracy of the last epoch on images that were not trained on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from . import checkpoint, environment
from .compose import device_of
from .contracts import Pool, spaces
from .data.dataset import ResidentImages
from .data.source import DataError, Images, sources
from .data.split import split
from .events import (
    CellEpoch,
    CellTrained,
    Checkpointed,
    EvaluationSplit,
    Event,
    JobStarted,
    Progress,
)
from .fitting import Fit, fit
from .optimisation import cosine
from .problems import Problem, SearchError, SpecError
from .sections import Split
from .seeding import Streams
from .training_spec import TrainingSpec

#: Images of a forward that only measures.
MEASURED = 1024
#: Which images are held out does not follow the run's seed: all seeds see the same.
HELD_OUT_SEED = 1021


def train_cell(
    spec: TrainingSpec, out: Path | None = None, *, resume: bool = False
) -> Iterator[Event]:
    """Train an architecture and yield events, epoch by epoch.

    Args:
        spec: what to train, on what.
        out: folder for checkpoints; None writes nothing.
        resume: go on from the newest checkpoint in ``out``, if there is one.  On
            the CPU the rest is bit-identical to that of an unbroken training.

    Raises:
        SpecError: the data set is not there.
        SearchError: the loss is no longer finite, or the checkpoint is another's.
    """
    device = device_of(spec.compute)
    if spec.compute.threads:
        torch.set_num_threads(spec.compute.threads)
    work = _Training(spec, device)
    state = checkpoint.load_newest(out) if out and resume else None
    if state is not None:
        work.require(state)
    yield JobStarted(
        classes=list(work.train.classes),
        data_fingerprint=work.train.fingerprint,
        environment=environment.describe(device),
    )
    report = None
    for item in work.epochs(state):
        if isinstance(item, Progress):
            yield item
            continue
        report, saved = item
        yield report
        last = report.epoch == spec.training.epochs
        if out and (last or report.epoch % spec.compute.checkpoint_every == 0):
            path, size = checkpoint.save(out, report.epoch, saved)
            yield Checkpointed(
                epoch=report.epoch, path=path.relative_to(out).as_posix(), bytes=size
            )
    # of a checkpoint of the last epoch nothing is left to train
    final = report or CellEpoch.model_validate_json(work.last_report(state))
    yield CellTrained(
        epoch=final.epoch,
        accuracy=100 * final.accuracy,
        split=work.split,
        images=len(work.test),
        parameters=sum(weight.numel() for weight in work.network.parameters()),
        seconds=final.seconds,
    )


class _Training:
    """One training: its network, its images, and what a checkpoint holds of it."""

    def __init__(self, spec: TrainingSpec, device: torch.device) -> None:
        self.spec = spec
        dtype = spec.compute.dtype
        images, test, ids, self.split = _images(spec)
        self.train = ResidentImages(images, device, dtype)
        self.test = ResidentImages(test, device, dtype)
        self.ids = ids.to(device)
        self.streams = Streams(spec.seed, device)
        space = spaces.get(spec.space.name)(spec.space)
        self.network = space.network(
            spec.architecture,
            len(images.classes),
            spec.space.channels,
            spec.space.cells,
            self.streams["weights"],
        ).to(device, dtype)
        self._sums = torch.zeros(2, device=device, dtype=torch.float64)
        self._seconds, self._begun = 0.0, time.perf_counter()

    def epochs(
        self, state: dict[str, Any] | None
    ) -> Iterator[Progress | tuple[CellEpoch, dict[str, Any]]]:
        """Train; yield progress, and each epoch's report with what to save."""
        options = self.spec.training
        optimiser = torch.optim.SGD(
            self.network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
        )
        if options.clip:
            optimiser.register_step_pre_hook(self._clip)
        pool = Pool(
            data=self.train,
            name="T",
            ids=self.ids,
            keep=len(self.ids),
            classes=len(self.train.classes),
            augmentation=self.spec.augmentation,
            streams=self.streams,
        )
        work = Fit(
            network=self.network,
            optimiser=optimiser,
            pool=pool,
            purpose="order",
            epochs=options.epochs,
            batch_size=options.batch_size,
            loss=self._loss,
            rate=self._rate,
            phase="training the cell",
        )
        for item in fit(work, state["fit"] if state else None):
            if isinstance(item, Progress):
                yield item
                continue
            report = self._report(item.step)
            yield report, self._saved(item.state, report)

    def _clip(self, *_: object) -> None:
        clip_grad_norm_(self.network.parameters(), self.spec.training.clip)

    def _rate(self, epoch: int) -> float:
        options = self.spec.training
        return cosine(
            epoch, options.epochs, options.learning_rate, options.learning_rate_min
        )

    def _loss(self, _: int, __: Tensor, ids: Tensor) -> Tensor:
        noise = self.streams.on_device("augmentation")
        batch = self.train.batch(ids, self.spec.augmentation, noise)
        logits = self._forward(batch.images)
        loss = cross_entropy(logits, batch.labels)
        with torch.no_grad():
            self._sums[0] += loss * len(ids)
            self._sums[1] += (logits.argmax(-1) == batch.labels).sum()
        return loss

    def _forward(self, images: Tensor) -> Tensor:
        mixed = self.spec.training.mixed_precision
        with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
            logits: Tensor = self.network(images)
        return logits.to(images.dtype)

    def _report(self, epoch: int) -> CellEpoch:
        seconds = self.seconds()
        loss, hits = (self._sums / len(self.ids)).tolist()
        self._sums.zero_()
        test_loss, accuracy = self._measure()
        # measuring is not training: it has its own seconds
        self._begun += self.seconds() - seconds
        return CellEpoch(
            epoch=epoch,
            epochs=self.spec.training.epochs,
            train_loss=loss,
            train_accuracy=hits,
            loss=test_loss,
            accuracy=accuracy,
            rate=self._rate(epoch),
            seconds=seconds,
        )

    @torch.no_grad()
    def _measure(self) -> tuple[float, float]:
        """Return mean loss and accuracy on the images that were not trained on."""
        self.network.eval()
        sums = torch.zeros(2, device=self.ids.device, dtype=torch.float64)
        parts = torch.arange(len(self.test), device=self.ids.device).split(MEASURED)
        self.test.expect("measuring", parts)
        for ids in parts:
            batch = self.test.batch(ids)
            logits = self._forward(batch.images)
            sums[0] += cross_entropy(logits, batch.labels, reduction="sum")
            sums[1] += (logits.argmax(-1) == batch.labels).sum()
        loss, accuracy = (sums / len(self.test)).tolist()
        return loss, accuracy

    def seconds(self) -> float:
        """Return the seconds that were trained, over all attempts."""
        return self._seconds + time.perf_counter() - self._begun

    def _saved(self, fitted: dict[str, Any], report: CellEpoch) -> dict[str, Any]:
        return {
            "spec": self.spec.fingerprint(),
            "data": self.train.fingerprint,
            "test": self.test.fingerprint,
            "fit": fitted,
            "streams": self.streams.state_dict(),
            "report": report.model_dump_json(),
        }

    def require(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; raises SearchError if it is another's."""
        checkpoint.require_spec(state, self.spec.fingerprint())
        # checkpoints of a former version say nothing of the images that measure
        test = state.get("test", self.test.fingerprint)
        if (state["data"], test) != (self.train.fingerprint, self.test.fingerprint):
            raise SearchError(
                "The images of the data set have changed since this training began. "
                "Put the former images back, or launch anew.",
                "data",
            )
        self.streams.load_state_dict(state["streams"])
        self._seconds = CellEpoch.model_validate_json(state["report"]).seconds
        # a checkpoint of the last epoch: the network is that of the result
        self.network.load_state_dict(state["fit"]["network"])

    def last_report(self, state: dict[str, Any] | None) -> str:
        """Return the report of the epoch that a checkpoint was made after."""
        assert state is not None, "a training has at least one epoch"
        report: str = state["report"]
        return report


def _images(spec: TrainingSpec) -> tuple[Images, Images, Tensor, EvaluationSplit]:
    """Return the training images, those that measure, and the ids to train on.

    The measuring ones are normalised as the training ones are.
    """
    source = sources.get(spec.dataset.name)
    try:
        images = source.load(spec.dataset)
        test = source.load_test(spec.dataset)
    except DataError as error:
        raise SpecError([error.problem]) from None
    if test is not None:
        test = replace(test, mean=images.mean, std=images.std)
        return images, test, torch.arange(len(images.labels)), "test"
    share = 1 - spec.training.held_out
    sets = split(
        images.labels, Split(train_share=share, stratified=True, seed=HELD_OUT_SEED)
    )
    held = sets["V"]
    if len(sets["T"]) < 2 or not len(held):
        raise SpecError(
            [
                Problem(
                    "training.held_out",
                    f"With {spec.training.held_out:.2%} of each class held out, "
                    f"{len(sets['T'])} of the {len(images.labels)} images are left to "
                    f"train on and {len(held)} to measure by; hold out another share.",
                )
            ]
        )
    left = replace(images, pixels=images.pixels[held], labels=images.labels[held])
    return images, left, sets["T"], "held-out"
