"""k-center: samples that cover all others, chosen farthest first.

Shim et al., "Core-set Sampling for Efficient Neural Architecture Search", 2021; the
greedy 2-approximation of T. Gonzalez, 1985.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..batch import SetName
from ..contracts import (
    Pool,
    Reduction,
    ReductionOptions,
    Scores,
    Scoring,
    Snapshot,
    selections,
)
from ..events import Progress
from ..problems import Problem
from ..registry import setting
from ._pixels import matrix, matrix_problems, principal_components

#: Centres between two snapshots.
STRIDE = 2000


class KCenterOptions(ReductionOptions):
    name: Literal["k-center"] = "k-center"
    components: int = setting(
        64,
        "Principal components",
        "Of the pixels, in which distances are measured.",
        ge=1,
        le=4096,
    )


@selections.register
class KCenter(Reduction):
    name = "k-center"
    label = "k-center core-set"
    summary = "Adds the image farthest from all chosen ones until the share is reached."
    source = "Shim et al., Core-set Sampling for Efficient NAS, 2021."
    family = "Proxies"
    score_label = "place in the order of choice"
    Options = KCenterOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        embedding = principal_components(
            matrix(pool, standardise=False), options.components
        )
        points = torch.from_numpy(embedding).to(pool.device)
        count = len(points)
        # classes and the other end ask for the whole order, not for its beginning
        begins = options.class_rule == "none" and options.drop(pool.name) == "highest"
        wanted = pool.keep if begins else count
        if state is None:
            stream = pool.streams[f"{pool.purpose}/first"]
            first = torch.randint(count, (1,), generator=stream)
            state = {"order": first, "distances": torch.full((count,), torch.inf)}
        order = torch.empty(wanted, dtype=torch.int64, device=pool.device)
        done = len(state["order"])
        order[:done] = state["order"].to(pool.device)
        distances = state["distances"].to(pool.device)
        norms = points.square().sum(1)
        for place in range(done, wanted):
            cover(points, norms, distances, order[place - 1 : place])
            order[place] = distances.argmax()
            if place % STRIDE == 0:
                yield Progress(
                    phase="k-center", epoch=0, epochs=0, step=place, steps=wanted
                )
                held = {"order": order[: place + 1].cpu(), "distances": distances.cpu()}
                yield Snapshot(place // STRIDE, held)
        cover(points, norms, distances, order[-1:])
        return Scores(_places(order, distances).cpu())

    @classmethod
    def memory_problems(
        cls, options: Any, sizes: dict[SetName, int], side: int
    ) -> list[Problem]:
        return matrix_problems(options, sizes, side)


def cover(points: Tensor, norms: Tensor, distances: Tensor, centre: Tensor) -> None:
    """Take a new centre into account; nothing here waits for the device.

    Args:
        points: (n, d).
        norms: their squared lengths (n,).
        distances: (n,), squared, to the nearest centre; negative for centres, so that
            one comes after all its doubles.  Changed in place.
        centre: int64 (1,), which point it is.
    """
    away = torch.addmv(norms, points, points[centre].squeeze(0), alpha=-2)
    torch.minimum(distances, (away + norms[centre]).clamp_(min=0), out=distances)
    distances[centre] = -1


def _places(order: Tensor, distances: Tensor) -> Tensor:
    """Return the place of every point, float64 (n,): first those that were chosen, then
    the others, the farther from all chosen the earlier."""
    rest = distances.clone()
    rest[order] = -torch.inf
    others = rest.argsort(descending=True, stable=True)[: len(rest) - len(order)]
    places = torch.empty(len(rest), dtype=torch.float64, device=rest.device)
    steps = torch.arange(len(rest), dtype=torch.float64, device=rest.device)
    places[torch.cat((order, others))] = steps
    return places
