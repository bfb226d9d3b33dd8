"""make_subset(): choose the samples of a subset once, for any number of searches.

Its file, ``subset.npz``, holds for each reduced set X of T and V the arrays ``ids_X``
(before), ``kept_X`` (bool), ``scores_X``, and ``about``: JSON with the spec, the
fingerprint of the images, and the events that tell of the choice.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checkpoint, environment
from .batch import SetName
from .compose import device_of
from .contracts import Pool, Reduction, Scores, Scoring, Snapshot, selections
from .data.dataset import ResidentImages
from .data.source import DataError, sources
from .data.split import share_of, split
from .events import (
    Checkpointed,
    Event,
    JobStarted,
    Progress,
    SamplesPruned,
    SubsetMade,
    SubsetSet,
)
from .files import write_whole
from .problems import SearchError, SpecError
from .seeding import Streams
from .selection.reducing import Chosen, choose_set
from .subset_spec import SubsetSpec, subset_problems

NAME = "subset.npz"


def make_subset(
    spec: SubsetSpec, out: Path | None = None, *, resume: bool = False
) -> Iterator[Event]:
    """Choose the samples of a subset and yield events.

    Args:
        spec: what to choose.
        out: folder for the file and for checkpoints; None writes nothing.
        resume: go on from the newest checkpoint in ``out``, if there is one.

    Raises:
        SpecError: the data set is not there or does not fit.
        SearchError: the checkpoint is another's.
    """
    if problems := subset_problems(spec):
        raise SpecError(problems)
    device = device_of(spec.compute)
    if spec.compute.threads:
        torch.set_num_threads(spec.compute.threads)
    try:
        images = sources.get(spec.dataset.name).load(spec.dataset)
    except DataError as error:
        raise SpecError([error.problem]) from None
    data = ResidentImages(images, device, spec.compute.dtype)
    work = _Work(spec, data, out)
    if out is not None and resume:
        work.restore(checkpoint.load_newest(out))
    yield JobStarted(
        classes=list(data.classes),
        data_fingerprint=data.fingerprint,
        environment=environment.describe(device),
    )
    chosen: dict[SetName, Chosen] = {}
    for pool in work.pools():
        scores = yield from work.scores(pool)
        found = choose_set(work.reduction, spec.selection, pool, scores)
        chosen[pool.name] = found
        yield found.event
    if out is not None:
        _write(out, spec, data.fingerprint, chosen)
    yield SubsetMade(
        sets={name: _set(found.event) for name, found in chosen.items()},
        artefact=NAME,
        cost_units=sum(scores.cost_units for scores in work.done.values()),
        seconds=work.seconds(),
        peak_memory=environment.peak_memory(),
    )


class _Work:
    """The scoring of one set after the other, and what a checkpoint holds of it."""

    def __init__(self, spec: SubsetSpec, data: ResidentImages, out: Path | None):
        self.spec, self.data, self.out = spec, data, out
        reduction = selections.get(spec.selection.name)
        assert issubclass(reduction, Reduction)
        self.reduction = reduction
        self.streams = Streams(spec.seed, data.labels.device)
        self.done: dict[SetName, Scores] = {}
        self.steps = 0
        self._state: dict[str, Any] | None = None
        self._seconds, self._begun = 0.0, time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds that the choice has taken, over all attempts."""
        return self._seconds + time.perf_counter() - self._begun

    def pools(self) -> Iterator[Pool]:
        """Yield the sets that are reduced."""
        options = self.spec.selection
        for name, ids in self._sets().items():
            if options.keep(name) < 1:
                yield Pool(
                    data=self.data,
                    name=name,
                    ids=ids,
                    keep=share_of(len(ids), options.keep(name)),
                    classes=len(self.data.classes),
                    augmentation=self.spec.augmentation,
                    streams=self.streams,
                )

    def _sets(self) -> dict[SetName, Tensor]:
        labels = self.data.labels
        if self.spec.whole:
            everything = torch.arange(len(labels), device=labels.device)
            return {"T": everything, "V": everything}
        sets = split(labels.cpu(), self.spec.split)
        return {name: ids.to(labels.device) for name, ids in sets.items()}

    def scores(self, pool: Pool) -> Generator[Progress | Checkpointed, None, Scores]:
        """Score one set, or return what a former attempt has found."""
        if pool.name not in self.done:
            state, self._state = self._state, None
            scoring = self.reduction.score(self.spec.selection, pool, state)
            self.done[pool.name] = yield from self._saving(scoring)
        return self.done[pool.name]

    def _saving(
        self, scoring: Scoring
    ) -> Generator[Progress | Checkpointed, None, Scores]:
        while True:
            try:
                item = next(scoring)
            except StopIteration as end:
                result: Scores = end.value
                return result
            if isinstance(item, Progress):
                yield item
            elif self.out is not None:
                yield self._save(item)

    def _save(self, snapshot: Snapshot) -> Checkpointed:
        assert self.out is not None
        self.steps += 1
        state = {
            "spec": self.spec.fingerprint(),
            "data": self.data.fingerprint,
            "streams": self.streams.state_dict(),
            "scoring": snapshot.state,
            "seconds": self.seconds(),
            "done": {
                name: {
                    "values": scores.values,
                    "cost_units": scores.cost_units,
                    "columns": {
                        column: torch.from_numpy(values)
                        for column, values in scores.columns.items()
                    },
                }
                for name, scores in self.done.items()
            },
        }
        path, size = checkpoint.save(self.out, self.steps, state)
        return Checkpointed(
            epoch=self.steps, path=path.relative_to(self.out).as_posix(), bytes=size
        )

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint; None: there is none."""
        if state is None:
            return
        checkpoint.require_spec(state, self.spec.fingerprint())
        if state["data"] != self.data.fingerprint:
            raise SearchError(
                "The images of the data set have changed since this subset was begun. "
                "Put the former images back, or make the subset anew.",
                "data",
            )
        self.steps = state["epoch"]
        self.streams.load_state_dict(state["streams"])
        self._state, self._seconds = state["scoring"], state["seconds"]
        for name, saved in state["done"].items():
            columns = {key: value.numpy() for key, value in saved["columns"].items()}
            self.done[name] = Scores(saved["values"], saved["cost_units"], columns)


def _set(event: SamplesPruned) -> SubsetSet:
    return SubsetSet(
        before=event.before,
        after=event.after,
        class_counts_before=event.class_counts_before,
        class_counts_after=event.class_counts_after,
        balance_before=event.balance or 0.0,
        balance_after=event.balance_after or 0.0,
    )


def _write(
    out: Path, spec: SubsetSpec, fingerprint: str, chosen: dict[SetName, Chosen]
) -> None:
    about = {
        "spec": spec.model_dump(mode="json"),
        "data_fingerprint": fingerprint,
        "events": {
            name: found.event.model_dump(mode="json") for name, found in chosen.items()
        },
    }
    arrays: dict[str, np.ndarray] = {"about": np.array(json.dumps(about))}
    for name, found in chosen.items():
        for column, values in found.arrays.items():
            if column != "removed":
                arrays[f"{column}_{name}"] = values
        arrays[f"kept_{name}"] = found.kept.numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / NAME, buffer.getvalue())


@dataclass(frozen=True)
class SubsetFile:
    """What ``subset.npz`` says.

    Attributes:
        spec: of the subset.
        data_fingerprint: of the images among which it chose.
        events: by reduced set.
        arrays: by reduced set: ``ids``, ``kept``, ``scores`` and more columns.
    """

    spec: SubsetSpec
    data_fingerprint: str
    events: dict[SetName, SamplesPruned]
    arrays: dict[SetName, dict[str, np.ndarray]]


def read_subset(path: Path) -> SubsetFile:
    """Read the file of a subset; nothing in it is run.

    Raises ValueError if it is none, FileNotFoundError if it is not there.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        about = json.loads(str(arrays.pop("about")))
        names: list[SetName] = [name for name in ("T", "V") if f"ids_{name}" in arrays]
        for name in names:
            kept, before = arrays[f"kept_{name}"], arrays[f"ids_{name}"]
            if kept.dtype != np.bool_ or kept.shape != before.shape:
                raise ValueError(f"kept_{name} does not fit ids_{name}")
        return SubsetFile(
            spec=SubsetSpec.model_validate(about["spec"]),
            data_fingerprint=about["data_fingerprint"],
            events={
                name: SamplesPruned.model_validate(about["events"][name])
                for name in names
            },
            arrays={
                name: {
                    key.removesuffix(f"_{name}"): values
                    for key, values in arrays.items()
                    if key.endswith(f"_{name}")
                }
                for name in names
            },
        )
    except FileNotFoundError:
        raise
    except (
        *(AttributeError, KeyError, TypeError),  # of what is no archive, or no mapping
        *(OSError, ValueError, zipfile.BadZipFile),
    ) as error:
        raise ValueError(f"{path.name} is not the file of a subset") from error
