"""Reports of epochs made by hand, and what the rules of a spec say of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Space
from searchjobs.engine.diagnostics import tables
from searchjobs.engine.events import EpochFinished, StopSuggested
from searchjobs.engine.jury import Jury
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.spaces.nas_bench_201.encoding import OPERATIONS

from ..conftest import tiny

EPOCHS = 50


def spec_of(*rules: dict[str, Any], **changes: Any) -> Any:
    """A spec of 50 epochs with these rules."""
    training = {"epochs": EPOCHS, **changes.pop("training", {})}
    return tiny(
        stopping=list(rules),
        training=training,
        selection={"name": "full"},
        **changes,
    )


def jury_of(*rules: dict[str, Any], **changes: Any) -> Jury:
    return Jury(compose(spec_of(*rules, **changes)))


def problems_of(*rules: dict[str, Any], **changes: Any) -> list[Problem]:
    """What the engine says of a spec with these rules."""
    try:
        spec_of(*rules, **changes)
    except SpecError as error:
        return error.problems
    return []


def report(
    epoch: int,
    alpha: Sequence[Sequence[float]] | None = None,
    *,
    epochs: int = EPOCHS,
    **more: Any,
) -> EpochFinished:
    """An epoch of a DARTS search whose alpha, (6, 5), is given; else all zeros."""
    space = _space()
    table = torch.tensor(alpha if alpha is not None else [[0.0] * 5] * 6)
    strengths = {"cell": table.softmax(-1)}
    genotype = tables.genotype(space, strengths)
    content: dict[str, Any] = {
        "epoch": epoch,
        "epochs": epochs,
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "valid_loss": 1.0,
        "valid_accuracy": 0.5,
        "alpha": {"cell": table.tolist()},
        "strengths": tables.as_lists(strengths),
        "magnitudes": tables.magnitudes(space, strengths),
        "genotype": genotype,
        "genotype_without_none": genotype,
        "connected": True,
        "skips": 0,
        "nones": 0,
        "parameter_free": 0,
        "entropy": {},
        "margins": {},
        "alpha_travel": 0.0,
        "sets": {},
        "weight_steps": 1,
        "architecture_steps": 1,
        "learning_rates": {},
        "cost_units": 0.0,
        "seconds_search": 0.0,
        "seconds_evaluation": 0.0,
        "peak_memory_bytes": 0,
    }
    return EpochFinished(**{**content, **more})


@cache
def _space() -> Space:
    return compose(tiny()).space


def leaning(operation: str, edges: int, other: str = "nor_conv_3x3") -> Any:
    """Alpha (6, 5) whose arg max is ``operation`` on the first so many edges."""
    table = torch.zeros(6, 5)
    for row in range(6):
        table[row, OPERATIONS.index(operation if row < edges else other)] = 1.0
    return table.tolist()


def with_magnitude(epoch: int, operation: str, strength: float, **more: Any) -> Any:
    """An epoch at which an operation has this magnitude and the others share the
    rest alike."""
    rest = (1 - strength) / (len(OPERATIONS) - 1)
    shares = {name: strength if name == operation else rest for name in OPERATIONS}
    return report(epoch, magnitudes=shares, **more)


def heard(jury: Jury, reports: Iterable[EpochFinished]) -> list[StopSuggested]:
    """What the rules say, until one of them stops."""
    told = []
    for each in reports:
        told += list(jury.hear(each))
        if jury.decision.stop:
            break
    return told


def heard_with_breaks(
    reports: Sequence[EpochFinished], *rules: dict[str, Any], **changes: Any
) -> list[StopSuggested]:
    """The same, by rules that are saved and restored after every epoch."""
    told: list[StopSuggested] = []
    state = jury_of(*rules, **changes).state_dict()
    for each in reports:
        jury = jury_of(*rules, **changes)
        jury.load_state_dict(_as_saved(state))
        told += list(jury.hear(each))
        state = jury.state_dict()
        if jury.decision.stop:
            break
    return told


def _as_saved(state: dict[str, Any]) -> dict[str, Any]:
    """The state as it comes out of a file of plain numbers, lists and words."""
    text = json.dumps({**state, "said": list(state["said"].items())})
    back = json.loads(text)
    return {**back, "said": dict(back["said"])}
