"""The images of a data set: read once, kept small in files that are mapped.

A folder of ``NASWEB_HOME/images`` holds, under the fingerprint of pixels and labels,
what is shown of a data set: so a file of it is right for every run with that
fingerprint, whatever has become of the source since.  Reading a source takes seconds;
a thread does it, and pages say meanwhile that it is done.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from searchjobs.engine.data.on_disk import in_memory
from searchjobs.engine.data.prepare import resize
from searchjobs.engine.data.source import DataError, Images, Summary, sources
from searchjobs.models import Run

logger = logging.getLogger(__name__)

#: Larger images are averaged to this side.
MOST_SIDE = 64
#: Bytes of prepared images that the site reads into its memory, at most.
MOST_BYTES = 3 * 2**30
#: Bytes of all that is kept in files; what was asked for least recently goes.
MOST_KEPT = 8 * 2**30
#: Data sets that a process has open.
MOST_OPEN = 16
#: What could not be read is tried again after so many seconds.
RETRY_SECONDS = 60.0
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")


class UnavailableError(LookupError):
    """The images cannot be shown; the message is a sentence."""


class ReadingError(LookupError):
    """The images are being read just now; the message is a sentence."""


@dataclass(frozen=True)
class Pictures:
    """Images as they are shown.

    Attributes:
        fingerprint: of the images that were searched on.
        pixels: uint8 (n, S, S, 3), mapped from a file.
        labels: int64 (n,).
    """

    fingerprint: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return int(self.pixels.shape[1])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Failure:
    sentence: str
    at: float


_lock = threading.Lock()
_open: dict[str, Pictures] = {}
_reading: dict[str, Future[None]] = {}
_failures: dict[str, _Failure] = {}
_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")


def pictures(run: Run, wait: float = 0.0) -> Pictures:
    """Return the images of a run, which comes with its job; see ``pictures_of``."""
    fingerprint = str((run.structure or {}).get("data_fingerprint", ""))
    return pictures_of(fingerprint, run.job.spec.get("dataset") or {}, wait)


def pictures_of(
    fingerprint: str, section: Mapping[str, Any], wait: float = 0.0
) -> Pictures:
    """Return the images of a data set.

    Args:
        fingerprint: of the images that a job has used; empty before it has told.
        section: ``dataset`` of its spec.
        wait: seconds to wait for a source that is being read.

    Raises:
        ReadingError: a thread reads them now; ask again.
        UnavailableError: they cannot be had on this machine.
    """
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise UnavailableError(
            "Nobody knows yet which images these are: the job tells it once it has "
            "read them."
        )
    found = _known(fingerprint)
    if found is not None:
        return found
    future = _begin(dict(section), fingerprint)
    try:
        future.result(timeout=wait)
    except NotYet:
        raise ReadingError(
            "The images are being read for the first time on this site; that takes "
            "seconds, or minutes for a large folder."
        ) from None
    found = _known(fingerprint)
    if found is None:
        raise UnavailableError("The images were removed just now; reload the page.")
    return found


def forget() -> None:
    """Forget what this process has open and what it could not read."""
    with _lock:
        _open.clear()
        _failures.clear()


def folder() -> Path:
    """Return where the images of all data sets are kept."""
    return Path(settings.NASWEB_HOME) / "images"


def _known(fingerprint: str) -> Pictures | None:
    """Return images that are open or in a file; None if they must be read."""
    with _lock:
        found = _open.get(fingerprint)
    if found is not None:
        return found
    place = folder() / fingerprint
    try:
        pixels = np.load(place / "pixels.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(place / "labels.npy", allow_pickle=False)
        os.utime(place)
    except (OSError, ValueError):
        return None
    found = Pictures(fingerprint, pixels, labels)
    with _lock:
        _open[fingerprint] = found
        while len(_open) > MOST_OPEN:
            del _open[next(iter(_open))]
    return found


def _begin(section: Mapping[str, Any], fingerprint: str) -> Future[None]:
    """Return the reading of a source, begun now unless it is under way."""
    key = json.dumps([section, fingerprint], sort_keys=True)
    with _lock:
        failed = _failures.get(key)
        if failed and time.monotonic() - failed.at < RETRY_SECONDS:
            raise UnavailableError(failed.sentence)
        if key not in _reading:
            _reading[key] = _pool.submit(_work, key, section, fingerprint)
        return _reading[key]


def _work(key: str, section: Mapping[str, Any], fingerprint: str) -> None:
    """Read a source, keep it in files; what went wrong is kept for a while."""
    try:
        _store(read(section, fingerprint))
    except UnavailableError as error:
        _remember(key, str(error))
        raise
    except Exception as error:  # a part of somebody else's may raise anything
        logger.exception("the images of %s cannot be read", section.get("name"))
        sentence = "The images cannot be read on this site; its log says why."
        _remember(key, sentence)
        raise UnavailableError(sentence) from error
    finally:
        with _lock:
            _reading.pop(key, None)


def _remember(key: str, sentence: str) -> None:
    """Keep what went wrong, and forget what is due to be tried again."""
    now = time.monotonic()
    with _lock:
        for other, failed in list(_failures.items()):
            if now - failed.at >= RETRY_SECONDS:
                del _failures[other]
        _failures[key] = _Failure(sentence, now)


def read(section: Mapping[str, Any], fingerprint: str) -> Pictures:
    """Read the images that a spec's section ``dataset`` names.

    Raises UnavailableError if they are not here, are too many, or are others than
    those with the fingerprint.
    """
    try:
        source = sources.get(str(section.get("name")))
        options = source.Options.model_validate(section)
        if "download" in type(options).model_fields:
            options = options.model_copy(update={"download": False})
        _refuse_too_large(source.look(options))
        images = source.load(options)
    except DataError as error:
        raise UnavailableError(
            f"The images are not on the site's machine, so they are not shown: {error}"
        ) from None
    except (KeyError, ValueError):
        raise UnavailableError(
            "This site does not know the data set's source (any more), so its images "
            "are not shown."
        ) from None
    if images.fingerprint != fingerprint:
        raise UnavailableError(
            "The data set has changed since it was used here, so its images are not "
            "shown: they would be others than those that were used."
        )
    return _small(images)


def _refuse_too_large(summary: Summary) -> None:
    size = 3 * summary.images * summary.image_size**2
    if size > MOST_BYTES:
        raise UnavailableError(
            f"The data set's {summary.images:,} images take {size / 1e9:.0f} GB, more "
            f"than the {MOST_BYTES / 1e9:.0f} GB that the site reads, so they are not "
            "shown."
        )


def _small(images: Images) -> Pictures:
    """Return images as they are shown; large ones are averaged."""
    pixels = in_memory(images.pixels)
    if pixels.shape[-1] > MOST_SIDE:
        pixels = resize(pixels, MOST_SIDE)
    return Pictures(
        images.fingerprint,
        np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy()),
        images.labels.numpy(),
    )


def _store(found: Pictures) -> None:
    """Write images to their folder, which is there as a whole or not at all."""
    place = folder() / found.fingerprint
    part = folder() / f"{found.fingerprint}.part-{os.getpid()}"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        np.save(part / "pixels.npy", found.pixels, allow_pickle=False)
        np.save(part / "labels.npy", found.labels, allow_pickle=False)
        _make_room(_size(part))
        shutil.rmtree(place, ignore_errors=True)
        part.replace(place)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise UnavailableError(
            "The images cannot be kept on the site's disk, so they are not shown: "
            f"{error.strerror or error}."
        ) from error


def _make_room(needed: int) -> None:
    """Remove what was asked for least recently until so many bytes fit."""
    kept = sorted(
        (each for each in folder().iterdir() if _FINGERPRINT.fullmatch(each.name)),
        key=lambda each: each.stat().st_mtime,
    )
    sizes = {each: _size(each) for each in kept}
    while kept and sum(sizes.values()) + needed > MOST_KEPT:
        oldest = kept.pop(0)
        del sizes[oldest]
        shutil.rmtree(oldest, ignore_errors=True)
        with _lock:
            _open.pop(oldest.name, None)


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.glob("*.npy"))
