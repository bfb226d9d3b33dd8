"""Scores that somebody else has measured, read from a file.

For what no search can measure itself: memorisation (Feldman and Zhang, NeurIPS 2020)
takes thousands of trainings.
"""

from __future__ import annotations

import io
import math
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ..batch import SetName
from ..contracts import Pool, Reduction, ReductionOptions, Scores, Scoring, selections
from ..places import path_of
from ..problems import Problem, SearchError
from ..registry import setting

#: Bytes that a file may hold once it is unpacked: ten million ids and scores.
MOST_BYTES = 256 * 2**20
FORMS = (".npz", ".npy", ".csv")


class ScoresFileOptions(ReductionOptions):
    name: Literal["scores-file"] = "scores-file"
    path: str = setting(
        "",
        "File of the scores",
        "On the worker's machine. npz with the arrays ids and scores, csv with the "
        "heading id,score, or npy with one score an image. An id is the place of an "
        "image in the data set, from 0. Higher means harder.",
        advanced=False,
        names="files",
    )


class ScoresFileError(ValueError):
    """A file that holds no scores; the message is a sentence."""


@selections.register
class ScoresFromFile(Reduction):
    name = "scores-file"
    label = "Scores from a file"
    summary = "Samples leave by scores that were measured elsewhere."
    source = "Feldman and Zhang, What Neural Networks Memorize and Why, 2020, is one."
    family = "Scores of a training"
    score_label = "score of the file"
    Options = ScoresFileOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        try:
            ids, scores = read_scores(_path(options))
            values = _of_pool(pool, ids, scores)
        except ScoresFileError as error:
            raise SearchError(str(error), "data") from None
        return Scores(torch.from_numpy(values))
        yield  # a scoring that takes no time has nothing to tell on the way

    @classmethod
    def describe_score(cls, options: Any) -> str:
        return f"score of {_path(options).name}" if options.path.strip() else "score"

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        problems = super().size_problems(options, sizes)
        try:
            read_scores(_path(options))
        except ScoresFileError as error:
            problems.append(Problem("selection.path", str(error)))
        return problems


def read_scores(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return ids int64 (n,), each at most once, and scores float64 (n,), finite.

    Nothing in the file is run.  Raises ScoresFileError.
    """
    if path.suffix.lower() not in FORMS:
        raise ScoresFileError(
            f"{path.name or 'Nothing'} is no file of scores; give the path of an npz, "
            "npy or csv file on the worker's machine."
        )
    try:
        about = path.stat()
    except OSError:
        raise ScoresFileError(
            f"There is no file {path} here; give the path of a file of scores on the "
            "worker's machine."
        ) from None
    return _read(_File(path, about.st_mtime_ns, about.st_size))


class _File(NamedTuple):
    """A version of a file."""

    path: Path
    changed: int
    bytes: int


@lru_cache(maxsize=2)
def _read(file: _File) -> tuple[np.ndarray, np.ndarray]:
    """Read a file once for all that ask for it; another version of it is read anew."""
    path = file.path
    if file.bytes > MOST_BYTES:
        raise _too_large(path)
    readers = {".npz": _from_npz, ".npy": _from_npy, ".csv": _from_csv}
    try:
        ids, scores = readers[path.suffix.lower()](path)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        if isinstance(error, ScoresFileError):
            raise
        raise ScoresFileError(
            f"{path.name} cannot be read as a file of scores; write it again as npz "
            "with the arrays ids and scores."
        ) from None
    return _checked(path, ids, scores)


def _from_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise _too_large(path)
    with np.load(path, allow_pickle=False) as arrays:
        if not {"ids", "scores"} <= set(arrays.files):
            raise ScoresFileError(
                f"{path.name} lacks the arrays ids and scores; write it with "
                "numpy.savez(path, ids=ids, scores=scores)."
            )
        return arrays["ids"], arrays["scores"]


def _from_npy(path: Path) -> tuple[np.ndarray, np.ndarray]:
    scores = np.load(path, allow_pickle=False)
    if scores.ndim != 1:
        raise ScoresFileError(
            f"{path.name} must hold one score an image, (n,); its array has "
            f"{scores.ndim} dimensions."
        )
    return np.arange(len(scores)), scores


def _from_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    heading, _, lines = path.read_text(encoding="utf-8-sig").partition("\n")
    if "".join(heading.split()) != "id,score":
        raise ScoresFileError(
            f"The first line of {path.name} must be id,score; put it there."
        )
    if not lines.strip():
        return np.empty(0), np.empty(0)
    try:
        found = np.loadtxt(io.StringIO(lines), delimiter=",", ndmin=2)
    except ValueError:
        found = np.empty((1, 0))
    if found.shape[1:] != (2,):
        raise ScoresFileError(
            f"Every line of {path.name} after the first must be a whole number, a "
            "comma and a number; mend the others."
        )
    return found[:, 0], found[:, 1]


def _checked(
    path: Path, ids: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and scores as they are used, or say what is wrong with them."""
    kinds = ids.dtype.kind, scores.dtype.kind
    if ids.shape != scores.shape or ids.ndim != 1 or not set(kinds) <= set("iuf"):
        raise ScoresFileError(
            f"ids and scores of {path.name} must be numbers, one row of equally many "
            "each; write them so."
        )
    if not len(ids):
        raise ScoresFileError(f"{path.name} holds no score; give one an image.")
    whole = np.isfinite(ids.astype(np.float64)).all() and (ids >= 0).all()
    if not whole or not np.equal(np.mod(ids, 1), 0).all():
        raise ScoresFileError(
            f"{path.name} has ids that are no whole numbers from 0; an id is the place "
            "of an image in the data set."
        )
    values = scores.astype(np.float64)
    if unusable := int((~np.isfinite(values)).sum()):
        raise ScoresFileError(
            f"{unusable:,} scores of {path.name} are no finite numbers; give every "
            "image a number."
        )
    numbers = ids.astype(np.int64)
    if doubled := len(numbers) - len(np.unique(numbers)):
        raise ScoresFileError(
            f"{path.name} names {doubled:,} ids more than once; give each image one "
            "score."
        )
    return numbers, values


def _of_pool(pool: Pool, ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the scores of the pool's samples, in their order."""
    images = len(pool.data)
    if (ids >= images).any():
        raise ScoresFileError(
            f"The file of the scores names image {ids.max():,}, and the data set has "
            f"{images:,}, counted from 0; take the scores of this data set."
        )
    found = np.full(images, math.nan)
    found[ids] = scores
    values: np.ndarray = found[pool.ids.cpu().numpy()]
    if lacking := int(np.isnan(values).sum()):
        raise ScoresFileError(
            f"{lacking:,} of the {len(values):,} samples of {pool.name} have no score "
            "in the file; give every image one."
        )
    return values


def _too_large(path: Path) -> ScoresFileError:
    return ScoresFileError(
        f"{path.name} is larger than {MOST_BYTES // 2**20} MiB; keep ids and scores "
        "alone in it."
    )


def _path(options: Any) -> Path:
    return path_of(options.path)
