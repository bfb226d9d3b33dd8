"""Stored specs as this version reads them.

A spec that was stored before a setting was there lacks it, and so its fingerprint is
not that of the same search launched today.  Whoever asks whether two searches are the
same asks here: both are read through today's models, which fill in the defaults.
Reading takes milliseconds and a page shows sixty, so each is read once a process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from .engine.controls import on_all_samples
from .engine.spec import SearchSpec

#: Specs that a process keeps as it has read them.
KEPT = 1024


def text_of(spec: Mapping[str, Any]) -> str:
    """Return a stored spec, but for its seed, as text: equal for equal specs."""
    content = {name: value for name, value in spec.items() if name != "seed"}
    return json.dumps(content, sort_keys=True)


@lru_cache(maxsize=KEPT)
def read(text: str) -> SearchSpec | None:
    """Return the spec of a ``text_of`` with all of today's settings, its seed aside;
    None if this version cannot read it any more."""
    try:
        return SearchSpec.model_validate(json.loads(text))
    except (ValidationError, KeyError):
        return None


@lru_cache(maxsize=KEPT)
def _content(text: str) -> dict[str, Any]:
    spec = read(text)
    return spec.model_dump(mode="json", exclude={"seed"}) if spec else json.loads(text)


@lru_cache(maxsize=KEPT)
def _identity(text: str) -> str:
    spec = read(text)
    return spec.fingerprint(with_seed=False) if spec else ""


@lru_cache(maxsize=KEPT)
def _whole_identity(text: str) -> str:
    spec = read(text)
    return on_all_samples(spec).fingerprint(with_seed=False) if spec else ""


def filled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored spec with all of today's settings in the order of their
    definition, which the database does not keep; as it is if this version cannot read
    it.  What is inside is shared: read it, and change nothing."""
    seed = {"seed": spec["seed"]} if "seed" in spec else {}
    return {**_content(text_of(spec)), **seed}


def identity(spec: Mapping[str, Any]) -> str:
    """Return what is equal for stored specs that are the same search today, but for
    their seed: today's fingerprint; empty if this version cannot read the spec."""
    return _identity(text_of(spec))


def whole_identity(spec: Mapping[str, Any]) -> str:
    """Return the ``identity`` of the same search on all samples."""
    return _whole_identity(text_of(spec))
