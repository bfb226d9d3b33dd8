"""GLISTER: T is the subset whose gradients help V most, chosen anew as the search goes.

K. Killamsetty et al., "GLISTER", AAAI 2021; the greedy rounds, the modes and their
defaults are those of its authors' code (CORDS).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ..contracts import Selection, SetName, methods, selections
from ..data.split import share_of, shares_of
from ..diagnostics.accuracy import EVALUATION_BATCH
from ..events import Event, Progress, SamplesPruned
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..registry import setting
from ..schedule import batches
from ._refreshed import error_gradients, greedy, supernet_logits
from .class_limit import balance
from .window_report import describe_scores

if TYPE_CHECKING:
    from ..spec import SearchSpec

Mode = Literal["sample", "class", "batch"]


class RefreshOptions(AnyOptions):
    """How large the subset is, and how and how often it is chosen."""

    keep_train: float = setting(
        0.3,
        "Share of T",
        "T holds this share of its samples at all times; before the first choice they "
        "are drawn. V keeps all of its own.",
        unit="share",
        advanced=False,
        gt=0,
        lt=1,
    )
    every: int = setting(
        10,
        "Epochs between two choices",
        "R: after so many epochs T is chosen anew among all of its samples, by the "
        "supernet as it then is.",
        unit="epochs",
        advanced=False,
        ge=1,
    )
    criterion: Literal["gain", "random"] = setting(
        "gain",
        "Criterion",
        "gain: what makes the loss on V fall; random: as many by chance, as often: the "
        "control for any claim.",
        advanced=False,
        labels={"gain": "gain on V", "random": "random, the control"},
    )
    mode: Mode = setting(
        "class",
        "Choice among",
        "sample: all of T at once; class: the same share of each class, by what helps "
        "the same class of V; batch: whole batches.",
        labels={
            "sample": "all samples",
            "class": "each class by itself",
            "batch": "whole batches",
        },
    )
    rounds: int = setting(
        15,
        "Greedy rounds",
        "r: the subset is chosen in so many parts, and the gradient of V is computed "
        "anew after each; as many as samples is the greedy algorithm itself.",
        ge=1,
        le=100_000,
    )
    eta: float = setting(
        0.01,
        "Step",
        "Length of the step along the chosen gradients by which the logits of V move "
        "between two rounds.",
        gt=0,
        le=10,
    )


class GlisterOptions(RefreshOptions):
    name: Literal["glister"] = "glister"


@dataclass(frozen=True)
class _Chosen:
    """Which of the samples T began with are chosen, bool (n,), and what their scores
    are (n,), float64; both on the CPU."""

    mask: Tensor
    scores: Tensor


@selections.register
class Glister(Selection):
    """Gradients are those of the cross-entropy by the logits, of images as they are.

    An artefact of an event has an entry for each sample that T began with: ``ids``,
    ``scores``, ``before``, ``removed`` and ``added``.
    """

    name = "glister"
    label = "GLISTER"
    summary = (
        "T is a subset that is chosen anew every R epochs: the samples whose gradients "
        "lower the loss on V."
    )
    source = "Killamsetty et al., GLISTER, AAAI 2021, Algorithm 2."
    family = "Refreshed"
    Options: ClassVar[type[RefreshOptions]] = GlisterOptions
    options: Any

    def prepare(self) -> Iterator[Event]:
        everything = torch.ones(len(self._pool), dtype=torch.bool)
        yield self._change(0, everything, self._by_chance())

    def end_epoch(self, epoch: int) -> Iterator[Event]:
        if not _refreshes(self.options, self.search.spec, epoch):
            return
        if self.options.criterion == "random":
            chosen = self._by_chance()
        else:
            chosen = yield from self._by_gain(epoch)
        before = torch.isin(self._pool, self.sets["T"]).cpu()
        yield self._change(epoch, before, chosen)

    @property
    def _pool(self) -> Tensor:
        """All ids that T began with, among which it is chosen."""
        return self.search.initial_sets["T"]

    def _budget(self) -> int:
        return _size(self.options, self.search.spec, len(self._pool))

    def _by_chance(self) -> _Chosen:
        stream = self.search.streams["selection/draw"]
        draws = torch.rand(len(self._pool), generator=stream, dtype=torch.float64)
        labels = self.search.data.labels[self._pool].cpu()
        mask = torch.zeros(len(draws), dtype=torch.bool)
        for group, wanted in self._groups(labels):
            ranked = group[draws[group].argsort(descending=True)]
            mask[ranked[:wanted]] = True
        return _Chosen(mask, draws)

    def _groups(self, labels: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Yield the places of the samples that are chosen among each other, and how
        many of them."""
        if self.options.mode != "class":
            yield torch.arange(len(labels)), self._budget()
            return
        counts = labels.bincount(minlength=self.search.classes).tolist()
        for number, wanted in enumerate(shares_of(counts, self.options.keep_train)):
            yield torch.nonzero(labels == number).flatten(), wanted

    def _by_gain(self, epoch: int) -> Generator[Progress, None, _Chosen]:
        search, options = self.search, self.options
        labels = search.data.labels
        pool, size = self._pool, _batch(options, search.spec, len(self._pool))
        order = self._shuffled(len(pool))
        whole = options.mode == "batch"
        parts = (
            pool[order].split(size) if whole else batches(pool[order], EVALUATION_BATCH)
        )
        valid = self.sets["V"][self._shuffled(len(self.sets["V"]))]
        of_train = yield from supernet_logits(search, epoch, parts, "selection/paths")
        of_valid = yield from supernet_logits(
            search, epoch, batches(valid, EVALUATION_BATCH), "selection/paths"
        )
        gradients = error_gradients(of_train, labels[pool[order]])
        if whole:
            taken, gains = self._of_batches(gradients, of_valid, labels[valid], size)
        else:
            taken, gains = self._of_samples(
                gradients, labels[pool[order]], of_valid, labels[valid]
            )
        mask, scores = torch.empty_like(taken), torch.empty_like(gains)
        mask[order], scores[order] = taken, gains
        # the sums of several devices may differ in their last digits, sets may not
        found = torch.stack((mask.double(), scores.double())).cpu()
        search.parallel.hand_out(found)
        return _Chosen(found[0].bool(), found[1])

    def _shuffled(self, count: int) -> Tensor:
        """Return an order, on the device: batch norm is to see all classes at once."""
        order = torch.randperm(count, generator=self.search.streams["selection/order"])
        return order.to(self.search.device)

    def _of_samples(
        self, gradients: Tensor, labels: Tensor, of_valid: Tensor, valid_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Choose samples: all at once, or each class by what helps the same class."""
        options = self.options
        taken = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        gains = gradients.new_zeros(len(labels))
        by_class = options.mode == "class"
        for number, (group, wanted) in enumerate(self._groups(labels.cpu())):
            places = group.to(labels.device)
            helped = torch.ones_like(valid_labels, dtype=torch.bool)
            if by_class and (valid_labels == number).any():
                helped = valid_labels == number
            taken[places], gains[places] = greedy(
                gradients[places],
                of_valid[helped],
                valid_labels[helped],
                wanted,
                options.rounds,
                options.eta,
            )
        return taken, gains

    def _of_batches(
        self, gradients: Tensor, of_valid: Tensor, valid_labels: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Choose whole batches by their mean gradients; what is left over at the end is
        too few for a batch, and stays out this time."""
        means = torch.stack([part.mean(0) for part in gradients.split(size)])
        excluded = torch.zeros(len(means), dtype=torch.bool, device=means.device)
        excluded[len(gradients) // size :] = True
        taken, gains = greedy(
            means,
            of_valid,
            valid_labels,
            self._budget() // size,
            self.options.rounds,
            self.options.eta,
            excluded,
        )
        count = len(gradients)
        return (
            taken.repeat_interleave(size)[:count],
            gains.repeat_interleave(size)[:count],
        )

    def _change(self, epoch: int, before: Tensor, chosen: _Chosen) -> SamplesPruned:
        """Take the chosen samples as T, and say so."""
        labels = self.search.data.labels[self._pool].cpu()
        classes = self.search.classes
        removed, added = before & ~chosen.mask, chosen.mask & ~before
        held = labels[before].bincount(minlength=classes)
        holds = labels[chosen.mask].bincount(minlength=classes)
        by_chance = epoch == 0 or self.options.criterion == "random"
        event = SamplesPruned(
            epoch=epoch,
            set="T",
            criterion="random" if by_chance else "low",
            score="random draw" if by_chance else "gain on V",
            before=int(before.sum()),
            requested=int(removed.sum()),
            removed=int(removed.sum()),
            added=int(added.sum()),
            after=int(chosen.mask.sum()),
            balance=balance(held),
            balance_after=balance(holds) if epoch == 0 else None,
            class_counts_before=held.tolist(),
            class_counts_after=holds.tolist(),
            artefact=f"prunings/epoch-{epoch:04d}-T.npz",
        )
        scores = chosen.scores.numpy()
        for name, value in describe_scores(scores, (~chosen.mask).numpy()).items():
            setattr(event, name, value)
        self.artefacts[event.artefact] = {
            "ids": self._pool.cpu().numpy(),
            "scores": scores,
            "before": before.numpy(),
            "removed": removed.numpy(),
            "added": added.numpy(),
        }
        self.sets["T"] = self._pool[chosen.mask.to(self._pool.device)]
        return event

    @classmethod
    def remaining(
        cls, options: Any, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        times = spec.training.epochs + 1
        kept = _size(options, spec, sizes["T"])
        return {"T": [kept] * times, "V": [sizes["V"]] * times}

    @classmethod
    def epoch_cost(
        cls, options: Any, spec: SearchSpec, epoch: int, sizes: dict[SetName, int]
    ) -> float:
        if options.criterion == "random" or not _refreshes(options, spec, epoch):
            return 0.0
        return float(sizes["T"] + sizes["V"])

    @classmethod
    def control(cls, options: Any) -> AnyOptions | None:
        if options.criterion == "random":
            return None
        found: AnyOptions = options.model_copy(update={"criterion": "random"})
        return found

    @classmethod
    def problems(
        cls, options: Any, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> list[Problem]:
        found = []
        method = methods.get(spec.method.name)
        if method.streams(spec.method) != "split":
            found.append(
                Problem(
                    "selection",
                    f"{cls.label} chooses T by what helps V, and {method.label} has no "
                    "V apart from T here; choose a method that splits the images.",
                )
            )
        kept = _size(options, spec, sizes["T"])
        if kept < 2:
            found.append(
                Problem(
                    "selection.keep_train",
                    f"{options.keep_train:.2%} of the {sizes['T']:,} samples of T are "
                    f"{kept}, and a batch needs at least two; keep a larger share.",
                )
            )
        if options.every >= spec.training.epochs:
            found.append(
                Problem(
                    "selection.every",
                    f"A search of {spec.training.epochs} epochs would never choose T "
                    f"anew after {options.every}; choose more often or search longer.",
                )
            )
        return found


def _refreshes(options: RefreshOptions, spec: SearchSpec, epoch: int) -> bool:
    """Say whether T is chosen anew after an epoch; after the last nothing trains."""
    return epoch % options.every == 0 and epoch < spec.training.epochs


def _batch(options: RefreshOptions, spec: SearchSpec, samples: int) -> int:
    """Return how many samples a batch that is chosen whole has."""
    return min(spec.training.batch_size, max(share_of(samples, options.keep_train), 1))


def _size(options: RefreshOptions, spec: SearchSpec, samples: int) -> int:
    """Return how many of T's samples it holds."""
    kept = share_of(samples, options.keep_train)
    if options.mode == "batch":
        kept -= kept % _batch(options, spec, samples)
    return kept
