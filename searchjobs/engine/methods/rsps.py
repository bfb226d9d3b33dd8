"""RSPS: random search with parameter sharing.

L. Li, A. Talwalkar, Random Search and Reproducibility for Neural Architecture Search,
UAI 2019, section 3: every batch trains the weights of one architecture drawn evenly;
afterwards drawn architectures are compared by their accuracy with the shared weights,
and the best is the result (derivation ``sampled``).  There is no alpha.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..contracts import PAIRING, Search, SetName, Tables, methods
from ..events import MethodReport, Progress
from ..registry import Options as AnyOptions
from ..registry import setting
from ..sampling import Choice, encoded, uniform
from ..scoring import samples_scored, scores, shuffled_parts
from ._paths import SinglePath

if TYPE_CHECKING:
    from ..spec import SearchSpec

NONE = "none"


class RspsOptions(AnyOptions):
    name: Literal["rsps"] = "rsps"
    nodes_with_input: bool = setting(
        False,
        "Nodes with an input",
        "Draw the operations into a node anew as long as all of them are none, as the "
        "NATS-Bench code does while it trains.",
    )
    epoch_candidates: int = setting(
        10,
        "Candidates an epoch",
        "After each epoch so many drawn architectures are compared, each on one batch "
        "of V, so that the page can show the best. 0: none, and the page shows equal "
        "shares.",
        unit="architectures",
        ge=0,
        le=10_000,
    )
    epoch_images: int = setting(
        512,
        "Images a candidate",
        "Size of that batch.",
        unit="images",
        ge=2,
        le=100_000,
    )


@methods.register
class Rsps(SinglePath):
    name = "rsps"
    label = "RSPS"
    summary = (
        "Trains the weights of one evenly drawn architecture a batch, without any "
        "alpha; the best of drawn architectures wins."
    )
    source = "Li, Talwalkar, Random Search and Reproducibility for NAS, UAI 2019, 3."
    family = "Sampled paths"
    Options = RspsOptions
    curves = {
        "accuracy of the best drawn": "on V with shared weights, as a share",
    }
    options: RspsOptions
    defaults = {"training": {"epochs": 250}, "derivation": {"name": "sampled"}}
    strength_label = "best drawn architecture"
    #: There is no alpha that could wait, or learn.
    ignores = PAIRING | {
        "training.warmup_epochs",
        "training.alpha_lr",
        "training.alpha_lr_min",
        "training.alpha_beta1",
        "training.alpha_beta2",
        "training.alpha_weight_decay",
    }

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.best = ""
        self.accuracy: float | None = None

    @classmethod
    def pass_cost(
        cls, spec: SearchSpec, epoch: int, sizes: Mapping[SetName, int]
    ) -> float:
        options: RspsOptions = spec.method
        return samples_scored(
            sizes["V"], options.epoch_candidates, options.epoch_images
        )

    def draw(self, generator: torch.Generator) -> Choice:
        unless_all = NONE if self.options.nodes_with_input else None
        return uniform(self.search.space, generator, unless_all=unless_all)

    def candidates(self, count: int, generator: torch.Generator) -> list[str]:
        """Draw from the whole space, whatever the weights have met."""
        space = self.search.space
        return [encoded(space, uniform(space, generator)) for _ in range(count)]

    def after_epoch(self, epoch: int) -> Iterator[Progress]:
        """Find the best of a few, for the page."""
        search, count = self.search, self.options.epoch_candidates
        if count == 0:
            return
        generator = search.streams["candidates"]
        found = self.candidates(count, generator)
        parts = shuffled_parts(search, self.options.epoch_images, generator)
        epochs = search.spec.training.epochs
        accuracies: list[float] = []
        for number, architecture in enumerate(found):
            batch = search.data.batch(parts[number % len(parts)])
            accuracies += scores(search, [architecture], [batch])
            yield Progress(
                phase="candidates",
                epoch=epoch,
                epochs=epochs,
                step=number + 1,
                steps=count,
            )
        self.accuracy = max(accuracies)
        self.best = found[accuracies.index(self.accuracy)]

    def alpha(self) -> Tables:
        """Return the best of the last epoch as one-hot rows (R, O), or equal shares."""
        space, like = self.search.space, self.weights.parameters[0]
        if self.best:
            tables = space.discrete_weights(self.best)
        else:
            allowed = {name: space.mask(name) for name in space.tables}
            tables = {name: a / a.sum(-1, keepdim=True) for name, a in allowed.items()}
        return {name: table.to(like.detach()) for name, table in tables.items()}

    def report(self) -> MethodReport:
        if self.accuracy is None:
            return MethodReport()
        return MethodReport(scalars={"accuracy of the best drawn": self.accuracy})

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": self.best, "accuracy": self.accuracy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best, self.accuracy = state["best"], state["accuracy"]
