"""DSNAS: one drawn architecture a batch, and alpha by the score of the draw.

S. Hu, S. Xie, H. Zheng, C. Liu, J. Shi, X. Liu, D. Lin, DSNAS: Direct Neural
Architecture Search without Parameter Retraining, CVPR 2020, section 3: Z ~ Cat(softmax
alpha), one-hot; the loss is the cross-entropy of the network that Z selects, and

    gradient of alpha_e = R_e * gradient of log p(Z_e),    R_e = dL / dZ_e[drawn].

The reward of an edge is the derivative by its drawn entry alone: the others are not in
the network, so they are not computed, and the estimate needs none of them.  With none
of them run, the sum of dL / dZ_e over the operations is that one term.

Weights and alpha are updated together, by one backward of one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..contracts import (
    PAIRING,
    ActiveOperations,
    Search,
    Tables,
    allowed_only,
    methods,
)
from ..events import Progress
from ..registry import Options as AnyOptions
from ..registry import setting
from ..sampling import Choice, categorical, encoded, running
from ._deciding import Deciding
from ._single_level import SingleLevel


class DsnasOptions(AnyOptions):
    name: Literal["dsnas"] = "dsnas"
    decide_margin: float = setting(
        0.0,
        "Margin that decides an edge",
        "After an epoch, an edge whose best operation leads by so much probability "
        "keeps it alone (0.3 in the code for ImageNet); 0: no edge is decided early.",
        unit="share",
        ge=0,
        le=1,
    )


def scored(logits: Tensor, chosen: Tensor) -> Tensor:
    """Return the one-hot rows (R, O) of a draw ``chosen`` (R,) from softmax(logits).

    In value it is Z, exactly.  Its gradient in the logits is that of log p(Z_e) times
    what reaches the drawn entry: R_e.
    """
    hot = one_hot(chosen, logits.shape[-1]).to(logits)
    log_p = logits.log_softmax(-1).gather(-1, chosen[:, None])
    return hot * (1 + (log_p - log_p.detach()))


@methods.register
class Dsnas(SingleLevel, Deciding):
    name = "dsnas"
    label = "DSNAS"
    family = "Sampled paths"
    summary = (
        "Draws one operation an edge and runs it alone; alpha follows the score of the "
        "draw, weights and alpha descend one loss."
    )
    source = "Hu et al., DSNAS, CVPR 2020, section 3."
    Options = DsnasOptions
    options: DsnasOptions
    defaults = {"training": {"recipe": "smooth"}}
    sampled_paths = 10
    ignores = PAIRING

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.drawn: Choice = {}

    @classmethod
    def why_eager(cls, options: Any) -> str:
        return "runs one operation an edge"

    def edge_weights(self) -> Tables:
        """Return Z, drawn anew."""
        search = self.search
        self.drawn = categorical(search.space, self.strengths(), search.streams["draw"])
        return {
            name: scored(
                allowed_only(table, search.space.allowed(name, table.device)),
                self.drawn[name].to(table.device),
            )
            for name, table in self.tables.items()
        }

    def active(self) -> ActiveOperations | None:
        """Return what was drawn last."""
        return running(self.drawn) if self.drawn else super().active()

    def sample(self, generator: torch.Generator) -> str:
        """Draw by softmax(alpha): so the weights meet architectures."""
        space = self.search.space
        return encoded(space, categorical(space, self.strengths(), generator))

    def after_epoch(self, epoch: int) -> Iterator[Progress]:
        """Decide the rows whose best operation leads by the margin."""
        margin = self.options.decide_margin
        for name, table in self.strengths().items() if margin else ():
            best = table.cpu().topk(2, dim=-1)
            leads = best.values[:, 0] - best.values[:, 1] >= margin
            for row in (leads & ~self.decided[name].cpu()).nonzero().flatten().tolist():
                self.decide(name, row, int(best.indices[row, 0]))
        yield from ()
