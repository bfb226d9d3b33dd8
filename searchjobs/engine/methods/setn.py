"""SETN: weights on uniformly drawn architectures, alpha on the mixture of all.

X. Dong, Y. Yang, One-Shot Neural Architecture Search via Self-Evaluated Template
Network, ICCV 2019, section 3, in the form of the NAS-Bench-201 code: w descends L_train
of one uniform architecture a batch, so that all are trained alike; alpha descends L_val
of the softmax mixture; at the end the likeliest architectures,

    sum over rows of log softmax(alpha),

are compared by their accuracy with the shared weights (derivation ``sampled``).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..contracts import Batch, methods
from ..registry import Options as AnyOptions
from ..registry import setting
from ..sampling import categorical, encoded, likeliest, uniform
from ._alternating import Alternating
from ._paths import path_loss


class SetnOptions(AnyOptions):
    name: Literal["setn"] = "setn"
    candidates: Literal["likeliest", "drawn"] = setting(
        "likeliest",
        "Candidates",
        "Which architectures a derivation compares. likeliest: those of greatest "
        "probability among all of the space; drawn: by their probability.",
    )


@methods.register
class Setn(Alternating):
    name = "setn"
    label = "SETN"
    summary = (
        "Trains weights on uniformly drawn architectures and alpha on the mixture; "
        "the likeliest architectures are compared at the end."
    )
    source = "Dong, Yang, SETN, ICCV 2019, section 3; Dong, Yang, NAS-Bench-201, 2020."
    family = "Sampled paths"
    Options = SetnOptions
    options: SetnOptions
    defaults = {
        "training": {"epochs": 250, "clip": 0.0},
        "derivation": {"name": "sampled"},
    }
    sampled_paths = 10

    def weight_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """L_train of one uniform architecture; only its operations run."""
        search = self.search
        return path_loss(search, uniform(search.space, search.streams["paths"]), batch)

    def candidates(self, count: int, generator: torch.Generator) -> list[str]:
        space, strengths = self.search.space, self.strengths()
        if self.options.candidates == "likeliest":
            chosen = likeliest(space, strengths, count)
        else:
            chosen = [categorical(space, strengths, generator) for _ in range(count)]
        return [encoded(space, choice) for choice in chosen]
