"""check(): read every image of a data set, and tell what is there.

Its file, ``samples.npz``, holds a few images of each class for a gallery: ``pixels``
uint8 (k, 3, S, S), ``labels`` and ``ids`` (k,), sorted by class.
"""

from __future__ import annotations

import io
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from . import environment
from .data.prepare import keep, resize
from .data.source import DataError, Images, Source, Summary, sources
from .events import DatasetChecked, Event, JobStarted, Progress, UnreadableFile
from .files import write_whole
from .problems import Problem, SpecError, sentences
from .registry import Options, setting
from .sections import Section
from .spec import DATASET, SearchSpec

NAME = "samples.npz"
#: Images of each class in the file, and of all classes.
SAMPLES_A_CLASS, SAMPLES = 24, 2400
#: Larger samples are averaged to this side.
SAMPLE_SIDE = 96
#: Broken files that an event names; all are counted.
UNREADABLE = 1000


class CheckSpec(Section):
    """What is checked."""

    dataset: sources.options_type() = setting(  # type: ignore[valid-type]
        {"name": DATASET},
        "Data set",
        "The images that are read.",
        advanced=False,
        validate_default=True,
    )

    @classmethod
    def union_tags(cls, field: str) -> tuple[str, ...]:
        """Return the names to choose from, for a field that is a choice of parts."""
        return SearchSpec.union_tags(field)

    @classmethod
    def title_of(cls, path: list[str | int]) -> str | None:
        """Return the label that a form shows for a dotted path."""
        return SearchSpec.title_of(path)

    def to_yaml(self) -> str:
        """Write the spec as YAML, complete: every default stands in it."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def validate_check(data: dict[str, Any], *, look: bool = True) -> CheckSpec:
    """Return the spec, or raise ``SpecError`` with every problem as a sentence.

    ``look``: also see whether the data set is there, as far as file names tell.
    """
    try:
        spec = CheckSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(sentences(error, CheckSpec)) from None
    if look:
        _look(spec.dataset)
    return spec


def load_check_yaml(text: str) -> CheckSpec:
    """Read a spec from YAML: its section ``dataset``, so that of a search will do."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError([Problem("", "This is not valid YAML; mend it.")]) from None
    if not isinstance(data, dict) or "dataset" not in data:
        raise SpecError(
            [Problem("dataset", "Name the data set that is to be checked.")]
        )
    return validate_check({"dataset": data["dataset"]})


def check(spec: CheckSpec, out: Path | None) -> Iterator[Event]:
    """Read every image; raises ``SpecError`` if the data set cannot be used at all.

    It begins anew after an interruption: there is nothing to keep.
    """
    begun = time.perf_counter()
    source, options = sources.get(spec.dataset.name), spec.dataset
    summary = _look(options)
    yield JobStarted(
        classes=list(summary.classes),
        data_fingerprint="",
        environment=environment.describe(torch.device("cpu")),
    )
    images = yield from _read(source, options, summary, begun)
    if out is not None:
        write_whole(out / NAME, _samples(images))
    counts = torch.bincount(images.labels, minlength=len(images.classes))
    yield DatasetChecked(
        classes=list(images.classes),
        class_counts=counts.tolist(),
        image_size=images.pixels.shape[-1],
        mean=list(images.mean),
        std=list(images.std),
        data_fingerprint=images.fingerprint,
        unreadable=[
            UnreadableFile(path=each.path, sentence=each.sentence)
            for each in images.unreadable[:UNREADABLE]
        ],
        unreadable_count=len(images.unreadable),
        artefact=NAME if out is not None else "",
        seconds=time.perf_counter() - begun,
    )


def _look(options: Options) -> Summary:
    try:
        return sources.get(options.name).look(options)  # type: ignore[attr-defined]
    except DataError as error:
        raise SpecError([error.problem]) from None


def _read(
    source: type[Source], options: Options, summary: Summary, begun: float
) -> Generator[Progress, None, Images]:
    """Read all images, and tell how far it is."""
    loading = source.loading(options)
    while True:
        try:
            done = next(loading)
        except StopIteration as end:
            images: Images = end.value
            return images
        except DataError as error:
            raise SpecError([error.problem]) from None
        rate = done / max(time.perf_counter() - begun, 1e-9)
        yield Progress(
            phase="check",
            epoch=1,
            epochs=1,
            step=done,
            steps=summary.images,
            samples_per_second=rate,
            seconds_left=(summary.images - done) / rate,
        )


def _samples(images: Images) -> bytes:
    """Return a few images of each class as an npz file."""
    classes = len(images.classes)
    most = max(1, min(SAMPLES_A_CLASS, SAMPLES // classes))
    ids = keep(images.labels, range(classes), most)
    ids = ids[torch.argsort(images.labels[ids], stable=True)]
    arrays = {
        "pixels": _small(images.pixels[ids]).numpy(),
        "labels": images.labels[ids].numpy(),
        "ids": ids.numpy(),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _small(pixels: Tensor) -> Tensor:
    return resize(pixels, min(pixels.shape[-1], SAMPLE_SIDE))
