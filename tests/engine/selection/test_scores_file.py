"""Scores from a file: every form is read, and what is wrong is said in a sentence."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from searchjobs.engine.contracts import selections
from searchjobs.engine.problems import SearchError
from searchjobs.engine.selection import scores_file
from searchjobs.engine.selection.scores_file import ScoresFileError, read_scores

from .pools import digits, pool_of, scores_of

IDS, SCORES = np.arange(100), np.random.default_rng(2).random(100)


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def lines(ids: Any, scores: Any) -> str:
    rows = (f"{i},{score!r}" for i, score in zip(ids, map(float, scores), strict=True))
    return "\n".join(["id,score", *rows, ""])


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: npz(folder / "a.npz", ids=IDS[::-1], scores=SCORES[::-1]),
        lambda folder: npy(folder / "a.npy", SCORES),
        lambda folder: text(folder / "a.csv", lines(IDS[::-1], SCORES[::-1])),
        lambda folder: text(folder / "a.csv", lines(IDS, SCORES).replace("\n", "\r\n")),
    ],
    ids=["npz", "npy", "csv", "csv of Windows"],
)
def test_every_form_gives_each_sample_its_score(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    ids = torch.tensor([3, 17, 64, 99])
    pool = pool_of(digits(10), ids=ids)
    found = scores_of("scores-file", pool, path=str(write(tmp_path)))
    assert found.values.tolist() == SCORES[ids.numpy()].tolist()
    assert found.cost_units == 0


BROKEN: list[tuple[str, Callable[[Path], Path], str]] = [
    ("nothing", lambda _: Path(), "give the path"),
    ("another form", lambda f: text(f / "a.txt", "1"), "give the path"),
    ("no such file", lambda f: f / "away.npz", "There is no file"),
    ("a pickle", lambda f: npy(f / "a.npy", np.array([{}])), "cannot be read"),
    ("damaged", lambda f: text(f / "a.npz", "no zip"), "cannot be read"),
    ("another array", lambda f: npz(f / "a.npz", x=IDS), "lacks the arrays"),
    ("a matrix", lambda f: npy(f / "a.npy", np.ones((3, 2))), "2 dimensions"),
    (
        "uneven",
        lambda f: npz(f / "a.npz", ids=IDS[:9], scores=SCORES),
        "equally many",
    ),
    (
        "words",
        lambda f: npz(f / "a.npz", ids=np.array(["a"]), scores=np.ones(1)),
        "must be numbers",
    ),
    (
        "half ids",
        lambda f: npz(f / "a.npz", ids=IDS + 0.5, scores=SCORES),
        "no whole numbers",
    ),
    (
        "negative ids",
        lambda f: npz(f / "a.npz", ids=IDS - 1, scores=SCORES),
        "no whole numbers",
    ),
    (
        "doubled ids",
        lambda f: npz(f / "a.npz", ids=IDS // 2, scores=SCORES),
        "50 ids more than once",
    ),
    (
        "not finite",
        lambda f: npy(f / "a.npy", np.array([1.0, np.nan, np.inf])),
        "2 scores of a.npy are no finite",
    ),
    ("empty", lambda f: npy(f / "a.npy", np.empty(0)), "holds no score"),
    ("no heading", lambda f: text(f / "a.csv", "0,1\n"), "first line"),
    ("no lines", lambda f: text(f / "a.csv", "id,score\n"), "holds no score"),
    ("a word", lambda f: text(f / "a.csv", "id,score\n0,x\n"), "Every line"),
    ("three columns", lambda f: text(f / "a.csv", "id,score\n0,1,2\n"), "Every line"),
]


@pytest.mark.parametrize(
    ("write", "word"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_what_holds_no_scores_is_refused_in_a_sentence(
    write: Callable[[Path], Path], word: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    with pytest.raises(ScoresFileError, match=word) as found:
        read_scores(path)
    assert str(found.value).endswith(".")
    part: Any = selections.get("scores-file")
    problems = part.size_problems(part.Options(path=str(path)), {"T": 90})
    assert [p.field for p in problems] == ["selection.path"]


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = np.empty(1, dtype=object)
    trap[0] = Trap()
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(ScoresFileError):
            read_scores(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_what_unpacks_to_too_much_is_not_unpacked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez_compressed(path, ids=IDS, scores=np.zeros(100))
    else:
        np.save(path, SCORES)
    size = 800 if name.endswith("npz") else path.stat().st_size - 1
    monkeypatch.setattr(scores_file, "MOST_BYTES", size)
    with pytest.raises(ScoresFileError, match="larger than"):
        read_scores(path)


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", np.zeros(5))
    assert read_scores(path)[1].tolist() == [0.0] * 5
    npy(path, np.ones(7))
    assert read_scores(path)[1].tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("ids", "word"),
    [(np.arange(101), "names image 100"), (np.arange(60), "40 of the 100")],
)
def test_scores_of_another_data_set_are_refused(
    ids: np.ndarray, word: str, tmp_path: Path
) -> None:
    path = npz(tmp_path / "a.npz", ids=ids, scores=ids * 1.0)
    with pytest.raises(SearchError, match=word):
        scores_of("scores-file", pool_of(digits(10)), path=str(path))


def test_the_scores_are_named_by_their_file() -> None:
    part: Any = selections.get("scores-file")
    told = part.describe_score(part.Options(path="/data/memorisation.npz"))
    assert told == "score of memorisation.npz"
