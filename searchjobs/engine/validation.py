"""From what a person gave to a spec that can run, or to sentences that say why not."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import ValidationError

from .contracts import methods, spaces
from .plan import data_problems
from .problems import Problem, SpecError, sentences
from .spec import SearchSpec
from .whole_spec import mapping_of


def validate(data: dict[str, Any], *, check_data: bool = True) -> SearchSpec:
    """Return the spec, or raise ``SpecError`` with every problem as a sentence.

    ``check_data`` also looks whether the data set is there and large enough.
    """
    try:
        spec = SearchSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(sentences(error, SearchSpec)) from None
    problems = _device_problems(spec)
    if check_data:
        problems += data_problems(spec)
    if problems:
        raise SpecError(problems)
    return spec


def _device_problems(spec: SearchSpec) -> list[Problem]:
    """Return what the chosen devices or backend cannot do."""
    compute, size = spec.compute, spec.training.batch_size
    problems = []
    if compute.devices > size:
        problems.append(
            Problem(
                "compute.devices",
                f"Each of the {compute.devices} devices takes at least one image of "
                f"each batch, and a batch has {size}; ask for fewer devices or raise "
                "the batch size.",
            )
        )
    if compute.devices > 1 and compute.backend != "eager":
        problems.append(
            Problem(
                "compute.backend",
                f"The {compute.backend} backend runs on one device only; choose "
                "backend eager, or one device.",
            )
        )
    method = methods.get(spec.method.name)
    if compute.backend == "graphs" and not getattr(method, "capturable", False):
        problems.append(
            Problem(
                "compute.backend",
                f"{method.label} does not do the same at every step, so its steps "
                "cannot be recorded as CUDA graphs; choose backend eager.",
            )
        )
    if compute.backend == "compiled" and (sentence := _compiles_nothing(spec)):
        problems.append(Problem("compute.backend", sentence))
    return problems


def _compiles_nothing(spec: SearchSpec) -> str:
    """Say why every step would be eager; empty where some are compiled."""
    what = "compiled cells run all operations on all channels; choose backend eager."
    method = methods.get(spec.method.name)
    if why := method.why_eager(spec.method):
        return f"{method.label} {why}, and {what}"
    space = spaces.get(spec.space.name)(spec.space)
    for table in space.tables:
        silent = torch.tensor([o in space.silent for o in space.columns(table)])
        if not bool((space.mask(table) | silent).all()):
            return f"The search space leaves operations out, and {what}"
    return ""


def load_yaml(
    text: str, *, seed: str | None = None, check_data: bool = True
) -> SearchSpec:
    """Read a spec from YAML; every fault becomes a ``SpecError``.

    ``seed`` replaces the one in the text.
    """
    return validate(mapping_of(text, seed), check_data=check_data)
