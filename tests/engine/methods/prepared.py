"""A tiny search of one method, composed but not run, with a batch of T and one of V."""

from __future__ import annotations

from typing import Any

import torch

from searchjobs.engine.batch import Batch
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Search

from ..conftest import tiny


def prepared(
    name: str, *, train: int = 20, valid: int = 13, **changes: Any
) -> tuple[Search, Batch, Batch]:
    """Return a search at C=2, N=1 in double precision, in its first epoch, and batches
    of different sizes; ``changes`` are sections of the spec, ``method`` the options."""
    data = {"selection": {"name": "full"}, "compute": {"precision": "double"}}
    data |= {key: value for key, value in changes.items() if key != "method"}
    data["compute"] = {"precision": "double", **data["compute"]}
    data["method"] = {"name": name, **changes.get("method", {})}
    search = compose(tiny(**data))
    ids = search.initial_sets
    search.method.start_epoch(1)
    search.supernet.train()
    return (
        search,
        search.data.batch(ids["T"][:train]),
        search.data.batch(ids["V"][:valid]),
    )


def state_of(search: Search) -> dict[str, torch.Tensor]:
    """Return copies of weights and statistics, and of the optimiser's momentum."""
    state = {name: t.clone() for name, t in search.supernet.state_dict().items()}
    saved = search.method.state_dict()["weights"]["state"]
    for number, values in saved.items():
        state[f"momentum {number}"] = values["momentum_buffer"].clone()
    return state


def assert_unchanged(search: Search, before: dict[str, torch.Tensor]) -> None:
    """Compare to the last bit."""
    after = state_of(search)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value), name
