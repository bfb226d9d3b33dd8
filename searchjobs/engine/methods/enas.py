"""ENAS: a controller draws architectures and learns from their accuracy.

H. Pham et al., Efficient Neural Architecture Search via Parameter Sharing, ICML 2018,
section 2.2: w by its gradient on architectures m drawn from the controller pi; the
controller by REINFORCE with a moving baseline.  For accuracies r of drawn architectures
on V:

    loss = mean of -log pi(m) (r - b) - c H(pi),    b <- d b + (1 - d) r,

b as it stood before r, so that the gradient is unbiased.  The published NAS-Bench code
does otherwise: see ``compat``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils import clip_grad_norm_

from ..contracts import Batch, Search, SetName, Tables, methods
from ..epoch import Stream
from ..events import MethodReport, Progress
from ..optimisation import rates
from ..registry import Options as AnyOptions
from ..registry import setting
from ..sampling import Choice, encoded, parted
from ..scoring import samples_scored, scores
from ._controller import Controller, Drawn
from ._paths import SinglePath

if TYPE_CHECKING:
    from ..spec import SearchSpec

ADAM_EPSILON = 1e-3


class EnasOptions(AnyOptions):
    name: Literal["enas"] = "enas"
    updates: int = setting(
        50,
        "Controller updates",
        "Steps of the controller after each epoch of the weights.",
        unit="steps",
        ge=1,
        le=10_000,
    )
    samples: int = setting(
        20,
        "Architectures an update",
        "Drawn for one step of the controller, each judged on its own batch of V.",
        unit="architectures",
        ge=1,
        le=1000,
    )
    entropy_weight: float = setting(
        1e-4, "Entropy weight", "Reward for a controller that stays open.", ge=0, le=10
    )
    baseline_decay: float = setting(
        0.99,
        "Decay of the baseline",
        "Of the moving average of the accuracy that an architecture is compared with.",
        ge=0,
        lt=1,
    )
    controller_clip: float = setting(
        5.0,
        "Gradient clip of the controller",
        "Largest global norm of the controller's gradient; 0 switches clipping off.",
        ge=0,
    )
    half_period: int = setting(
        0,
        "Half period of the weight learning rate",
        "0: it falls over the whole search. The published code asks for 10 without a "
        "restart, so the rate falls for 10 epochs and rises for 10.",
        unit="epochs",
        ge=0,
        le=5000,
    )
    compat: Literal["off", "nas-bench-201", "nats-bench"] = setting(
        "off",
        "Like the published code",
        "off: as the paper means it. nas-bench-201: the baseline stands still within "
        "an epoch, the last architecture alone moves it on, and the entropy is part of "
        "a reward that has a gradient, so that the step lowers it. nats-bench: the "
        "same, but the epoch's mean moves the baseline.",
        labels={
            "off": "off, as in the paper",
            "nas-bench-201": "NAS-Bench-201 code",
            "nats-bench": "NATS-Bench code",
        },
    )


@methods.register
class Enas(SinglePath):
    name = "enas"
    label = "ENAS"
    summary = (
        "Trains the weights of architectures that an LSTM controller draws, and the "
        "controller by their accuracy on V."
    )
    source = "Pham et al., ENAS, ICML 2018, section 2.2."
    family = "Sampled paths"
    Options = EnasOptions
    curves = {
        "reward": "mean accuracy of the drawn cells on V, as a share",
        "baseline": "moving mean that is taken off the reward, as a share",
        "entropy of the controller": "mean over the drawn cells, nats",
    }
    options: EnasOptions
    defaults = {
        "training": {
            "epochs": 250,
            "batch_size": 128,
            "weight_lr": 0.05,
            "weight_lr_min": 5e-4,
            "weight_decay": 2.5e-4,
            "alpha_lr": 1e-3,
            "alpha_beta1": 0.0,
            "alpha_beta2": 0.999,
            "alpha_weight_decay": 0.0,
        },
        "derivation": {"name": "sampled"},
    }
    strength_label = "probability under the controller"

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        training, space = search.spec.training, search.space
        masks = [space.mask(name) for name in space.tables]
        width = max(mask.shape[1] for mask in masks)
        padded = [pad(mask, (0, width - mask.shape[1])) for mask in masks]
        self.controller = Controller(torch.cat(padded), search.streams["controller"])
        self.controller.to(search.device, search.spec.compute.dtype)
        self.optimiser = torch.optim.Adam(
            self.controller.parameters(),
            lr=training.alpha_lr,
            betas=(training.alpha_beta1, training.alpha_beta2),
            eps=ADAM_EPSILON,
            weight_decay=training.alpha_weight_decay,
        )
        self.baseline: float | None = None
        self.told: dict[str, float] = {}
        self._epoch = _Epoch()

    @classmethod
    def pass_cost(
        cls, spec: SearchSpec, epoch: int, sizes: Mapping[SetName, int]
    ) -> float:
        """Count the forwards that judge architectures."""
        if epoch <= spec.training.warmup_epochs:
            return 0.0
        options: EnasOptions = spec.method
        count = options.updates * options.samples
        return samples_scored(sizes["V"], count, spec.training.batch_size)

    def start_epoch(self, epoch: int) -> bool:
        self.weights.start_epoch(epoch, self.options.half_period or None)
        for group in self.optimiser.param_groups:
            group["lr"] = rates(self.search.spec.training, epoch).architecture
        return False

    def draw(self, generator: torch.Generator) -> Choice:
        """One architecture of the controller, which a weight step leaves alone."""
        return self.draw_many(1, generator)[0]

    @torch.no_grad()
    def draw_many(self, count: int, generator: torch.Generator) -> list[Choice]:
        drawn = self.controller.sample(count, generator)
        return [parted(self.search.space, row) for row in drawn.columns.cpu()]

    def candidates(self, count: int, generator: torch.Generator) -> list[str]:
        space = self.search.space
        return [encoded(space, choice) for choice in self.draw_many(count, generator)]

    def after_epoch(self, epoch: int) -> Iterator[Progress]:
        """Train the controller on batches of V, augmented as in training."""
        search, options = self.search, self.options
        self.told = {}
        if epoch <= search.spec.training.warmup_epochs:
            return
        self._epoch = _Epoch()
        stream = Stream(search, "V", search.spec.training.batch_size)
        generator = search.streams["controller"]
        for update in range(options.updates):
            drawn = self.controller.sample(options.samples, generator)
            first = update * options.samples
            parts = [stream.take(first + n) for n in range(options.samples)]
            self.step(self.loss(drawn, self.judge(drawn, parts)))
            yield Progress(
                phase="controller",
                epoch=epoch,
                epochs=search.spec.training.epochs,
                step=update + 1,
                steps=options.updates,
            )
        self.end_phase()

    def judge(self, drawn: Drawn, parts: Sequence[Batch]) -> list[float]:
        """Return the accuracy, 0 to 1, of each architecture on its batch."""
        space = self.search.space
        found = [encoded(space, parted(space, row)) for row in drawn.columns.cpu()]
        return scores(self.search, found, parts)

    def loss(self, drawn: Drawn, accuracies: list[float]) -> Tensor:
        """Return what the controller descends: -log pi (r - b) - c H, a mean."""
        weight = self.options.entropy_weight
        self._epoch.accuracies += accuracies
        self._epoch.entropies += drawn.entropy.tolist()
        if self.options.compat != "off":
            return self.published_loss(drawn, accuracies)
        advantages = drawn.log_probability.new_tensor(self.advantages(accuracies))
        gained = drawn.log_probability * advantages + weight * drawn.entropy
        return -gained.mean()

    def advantages(self, accuracies: list[float]) -> list[float]:
        """Return r - b of each accuracy; it moves the baseline for those after it."""
        decay, found = self.options.baseline_decay, []
        for accuracy in accuracies:
            baseline = accuracy if self.baseline is None else self.baseline
            found.append(accuracy - baseline)
            self.baseline = decay * baseline + (1 - decay) * accuracy
        return found

    def published_loss(self, drawn: Drawn, accuracies: list[float]) -> Tensor:
        """Return the loss of the published code, its two slips included.

        The baseline of each reward takes 1 - d of that reward and the rest of the last
        epoch's; without one, it is the accuracy, so that the entropy alone is left.
        And the entropy in the reward has a gradient: d loss / d H = d c |log pi| > 0.
        """
        decay, weight = self.options.baseline_decay, self.options.entropy_weight
        known = drawn.log_probability.new_tensor(accuracies)
        rewards = known + weight * drawn.entropy
        baselines = known
        if self.baseline is not None:
            baselines = self.baseline + (1 - decay) * (rewards - self.baseline)
        self._epoch.baselines += baselines.tolist()
        return -(drawn.log_probability * (rewards - baselines)).mean()

    def step(self, loss: Tensor) -> None:
        """Step the controller; every process holds the same loss."""
        parameters = list(self.controller.parameters())
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.options.controller_clip > 0:
            clip_grad_norm_(parameters, self.options.controller_clip)
        self.optimiser.step()

    def end_phase(self) -> None:
        """Keep a baseline as the published code does, and note what to tell."""
        known = self._epoch
        if self.options.compat == "nas-bench-201":
            self.baseline = known.baselines[-1]
        elif self.options.compat == "nats-bench":
            self.baseline = fmean(known.baselines)
        assert self.baseline is not None
        self.told = {
            "reward": fmean(known.accuracies),
            "baseline": self.baseline,
            "entropy of the controller": fmean(known.entropies),
        }

    def alpha(self) -> Tables:
        """Return the probability (R, O) of each operation, whatever the rest takes."""
        space, rows = self.search.space, self.controller.marginals()
        lengths = [len(names) for names in space.tables.values()]
        parts = zip(space.tables, rows.split(lengths), strict=True)
        return {name: part[:, : len(space.columns(name))] for name, part in parts}

    def report(self) -> MethodReport:
        return MethodReport(scalars=self.told)

    def learning_rates(self) -> dict[str, float]:
        rate = self.optimiser.param_groups[0]["lr"]
        return super().learning_rates() | {"architecture": rate}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "controller": self.controller.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.controller.load_state_dict(state["controller"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.baseline = state["baseline"]


@dataclass
class _Epoch:
    """What one phase of the controller has seen, an entry an architecture."""

    accuracies: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    baselines: list[float] = field(default_factory=list)
