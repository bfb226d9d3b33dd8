"""What the engine can be told to do, beside planning and listing: one entry a kind.

Every kind reads a spec of its own, tells events, and goes on from its checkpoints.
Importing this imports no PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import Event


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Attributes:
        command: what the command line calls it.
        help: what it does, for the command line.
        read: makes a spec of YAML text and of a seed that replaces the one in it;
            raises ``SpecError``.
        events: does the work: of a spec, in a folder, from its newest checkpoint on
            if told so.
    """

    command: str
    help: str
    read: Callable[[str, str | None], Any]
    events: Callable[[Any, Path, bool], Iterator[Event]]


def _read_search(text: str, seed: str | None) -> Any:
    from .validation import load_yaml

    return load_yaml(text, seed=seed)


def _search(spec: Any, out: Path, resume: bool) -> Iterator[Event]:
    from .contracts import TableMethod, methods

    if issubclass(methods.get(spec.method.name), TableMethod):
        from .table_search import search_table

        return search_table(spec, out, resume=resume)
    from .search import search

    return search(spec, out, resume=resume)


def _read_subset(text: str, seed: str | None) -> Any:
    from .subset_spec import load_subset_yaml

    return load_subset_yaml(text, seed=seed)


def _subset(spec: Any, out: Path, resume: bool) -> Iterator[Event]:
    from .subset import make_subset

    return make_subset(spec, out, resume=resume)


def _read_check(text: str, _seed: str | None) -> Any:
    from .check import load_check_yaml

    return load_check_yaml(text)


def _check(spec: Any, out: Path, _resume: bool) -> Iterator[Event]:
    from .check import check

    return check(spec, out)


def _read_training(text: str, seed: str | None) -> Any:
    from .training_spec import load_training_yaml

    return load_training_yaml(text, seed=seed)


def _train(spec: Any, out: Path, resume: bool) -> Iterator[Event]:
    from .training import train_cell

    return train_cell(spec, out, resume=resume)


KINDS: dict[str, Kind] = {
    kind.command: kind
    for kind in (
        Kind("run", "run a search", _read_search, _search),
        Kind("proxy", "choose a subset of the samples", _read_subset, _subset),
        Kind("train", "train one architecture from scratch", _read_training, _train),
        Kind("check", "read every image of a data set", _read_check, _check),
    )
}
