"""Random proxies: RS and CC-RS of "Less is More: Proxy Datasets in NAS approaches"
(Moser et al., sections 3.2.1 and 3.3.1), the controls of every other reduction."""

from __future__ import annotations

from typing import Any, Literal

import torch

from ..contracts import Pool, Reduction, ReductionOptions, Scores, Scoring, selections
from ..contracts.reduction import ClassRule
from ..registry import setting


class RandomOptions(ReductionOptions):
    name: Literal["random"] = "random"


class _Drawn(Reduction):
    """Scores that are draws."""

    family = "Proxies"
    score_label = "random draw"
    by_chance = True

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        stream = pool.streams[f"{pool.purpose}/draw"]
        values = torch.rand(len(pool.ids), generator=stream, dtype=torch.float64)
        return Scores(values)
        yield  # a scoring that takes no time has nothing to tell on the way


@selections.register
class RandomSamples(_Drawn):
    name = "random"
    label = "Random samples (RS)"
    summary = "A share of the samples, drawn evenly without replacement."
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.2.1."
    Options = RandomOptions


class ClassRandomOptions(ReductionOptions):
    name: Literal["class-random"] = "class-random"
    class_rule: ClassRule = setting(
        "stratified",
        "Class rule",
        "stratified, as in the paper: the same share of every class.",
    )


@selections.register
class ClassRandomSamples(_Drawn):
    name = "class-random"
    label = "Random samples of each class (CC-RS)"
    summary = "The same share of each class, drawn evenly without replacement."
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.3.1."
    Options = ClassRandomOptions
