"""Bi-level data pruning (BDP): Tu et al., "Efficient Architecture Search via
Bi-level Data Pruning", section 3.2, Algorithm 1.

Every W epochs, T loses the share p_t of its samples with the lowest variance of
the error (VoE, Eq. 4, see ``voe``) and V the share p_v with the highest; an
automatic limit (Eq. 5 and 6, see ``class_limit``) keeps the classes in balance.
The errors come from the forwards that train the supernet anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import field_validator
from torch import Tensor

from ..contracts import Batch, Search, Selection, SetName, selections
from ..data.split import share_of
from ..events import Event, SamplesPruned
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..registry import setting
from ._pruning_plan import SCORED, event_epochs, planned_sizes, seldom_seen
from .class_limit import balance, choose, keep_minimum, limits, strictness
from .sample_error import sample_error
from .voe import VarianceOfError
from .window_report import describe, spearman

if TYPE_CHECKING:
    from ..spec import SearchSpec

MIN_OBSERVATIONS = 2  # one error has no variance
SHARE_FIELDS: dict[SetName, str] = {"T": "prune_train", "V": "prune_valid"}


class PruningOptions(AnyOptions):
    name: Literal["bdp"] = "bdp"
    window: int = setting(
        5,
        "Window",
        "W: epochs from one pruning to the next, and the window over which the "
        "variance of each sample's error is taken; one epoch has no variance.",
        unit="epochs",
        advanced=False,
        ge=2,
    )
    prune_train: float = setting(
        0.15,
        "Share pruned from T",
        "p_t: share of the training set that leaves at each pruning.",
        unit="share",
        advanced=False,
        ge=0,
        lt=1,
    )
    prune_valid: float = setting(
        0.15,
        "Share pruned from V",
        "p_v: share of the validation set that leaves at each pruning.",
        unit="share",
        advanced=False,
        ge=0,
        lt=1,
    )
    criterion: Literal["low-high", "low-low", "high-low", "high-high", "random"] = (
        setting(
            "low-high",
            "Criterion",
            "Which end leaves T and which leaves V: low-high removes the lowest "
            "variance from T and the highest from V. random removes as many by "
            "chance, under the same class limit: the control for any claim.",
            advanced=False,
            labels={
                "low-high": "T low, V high (low-high)",
                "low-low": "T low, V low (low-low)",
                "high-low": "T high, V low (high-low)",
                "high-high": "T high, V high (high-high)",
                "random": "random, the control",
            },
        )
    )
    prune_start: int | Literal["learned"] = setting(
        0,
        "Start of pruning",
        "An epoch before which nothing is pruned (0: from the first window on, as in "
        "the paper), or learned: a set is pruned from the window on in which the "
        "variance rises with the error; before that, low variance means never "
        "learned.",
        unit="epoch",
    )
    class_limit: bool = setting(
        True,
        "Class limit",
        "Limit what a class may lose at an event, the stricter the less balanced the "
        "classes are (Eq. 5 and 6).",
    )
    overflow: Literal["skip", "redistribute"] = setting(
        "skip",
        "Where the limit binds",
        "skip: prune fewer samples; redistribute: take other classes' samples "
        "instead, further along the ranking.",
    )
    limit_slack: float = setting(
        0.0,
        "Slack of the limit",
        "Imbalance between two classes that chance explains is ignored up to so many "
        "standard deviations; 0 counts all of it, as in the paper. Small sets need "
        "about 2, or chance alone throttles the pruning.",
        unit="standard deviations",
        ge=0,
        le=10,
    )
    base: Literal["current", "initial"] = setting(
        "current",
        "Shares refer to",
        "current: what remains of the set, so it shrinks geometrically; initial: "
        "what the set started with.",
        labels={
            "current": "what remains (current)",
            "initial": "the first size (initial)",
        },
    )
    voe_mean: Literal["window", "running"] = setting(
        "window",
        "Mean of the variance",
        "Reading of Eq. 4: window: one mean over the window, the population "
        "variance; running: the mean of the errors so far.",
    )
    min_keep: int = setting(
        4,
        "Samples always kept",
        "Neither T nor V is pruned below this size.",
        unit="samples",
        ge=2,
    )
    min_per_class: int = setting(
        1,
        "Samples kept a class",
        "No class of T or V is pruned below this size.",
        unit="samples",
        ge=0,
    )

    @field_validator("prune_start", mode="before")
    @classmethod
    def _epoch_or_learned(cls, given: Any) -> Any:
        text = str(given).strip()
        if text == "learned":
            return text
        if isinstance(given, bool) or not text.isdecimal():
            raise ValueError(
                "Start of pruning must be an epoch (0 or more) or 'learned'; "
                f"you gave {given!r}."
            )
        return int(text)

    def share(self, name: SetName) -> float:
        """Return p_t for T and p_v for V."""
        return self.prune_train if name == "T" else self.prune_valid

    def direction(self, name: SetName) -> str:
        """Return which end leaves a set: low, high or random."""
        if self.criterion == "random":
            return "random"
        of_train, of_valid = self.criterion.split("-")
        return of_train if name == "T" else of_valid


@selections.register
class Pruning(Selection):
    """Index sets that shrink every W epochs.

    An artefact of an event holds ``ids``, ``scores`` (VoE), ``mean_error``,
    ``observations`` and ``removed``, one entry a sample of the set before the event.
    """

    name = "bdp"
    label = "Bi-level data pruning (BDP)"
    summary = (
        "Every W epochs T and V lose the samples whose error varies least or most."
    )
    source = "Tu et al., Efficient Architecture Search via Bi-level Data Pruning, 3.2."
    Options = PruningOptions
    options: PruningOptions

    def __init__(
        self, options: AnyOptions, search: Search, sets: dict[SetName, Tensor]
    ) -> None:
        super().__init__(options, search, sets)
        samples = len(search.data.labels)
        self.voe = {
            name: VarianceOfError(
                samples,
                search.device,
                self.options.voe_mean,
                search.spec.compute.dtype,
            )
            for name in sets
        }
        self._initial = {name: len(ids) for name, ids in sets.items()}
        self._used = dict.fromkeys(sets, False)
        self._epochs_seen = dict.fromkeys(sets, 0)
        self._learned = dict.fromkeys(sets, False)
        self._stage_start = 0

    def observe(self, name: SetName, batch: Batch, logits: Tensor) -> None:
        self.voe[name].update(batch.ids, sample_error(logits, batch.labels))
        self._used[name] = True

    def start_stage(self) -> None:
        self._stage_start = self.search.epoch
        self._restart_windows()

    def end_epoch(self, epoch: int) -> list[Event]:
        for name, used in self._used.items():
            self._epochs_seen[name] += used
            self._used[name] = False
        if (epoch - self._stage_start) % self.options.window:
            return []
        # a set that no step has used in this window has nothing to tell
        events: list[Event] = [
            self._prune(name, epoch) for name in self.sets if self._epochs_seen[name]
        ]
        self._restart_windows()
        return events

    def _restart_windows(self) -> None:
        for name in self.sets:
            self.voe[name].reset()
            self._epochs_seen[name] = 0

    def _prune(self, name: SetName, epoch: int) -> SamplesPruned:
        """Shrink one set by the scores of the window that ends here."""
        ids = self.sets[name]
        voe = self.voe[name]
        # the only place that waits for the device, once a window
        scores, errors = voe.scores(ids).cpu(), voe.mean[ids].cpu()
        observations = voe.count[ids].cpu()
        labels = self.search.data.labels[ids].cpu()
        counts = labels.bincount(minlength=self.search.classes)
        eligible = observations >= MIN_OBSERVATIONS
        event = SamplesPruned(
            epoch=epoch,
            set=name,
            criterion=self.options.direction(name),
            before=len(ids),
            requested=self._requested(name),
            removed=0,
            after=len(ids),
            balance=balance(counts),
            class_counts_before=counts.tolist(),
            class_counts_after=counts.tolist(),
        )
        if self._epochs_seen[name] < self.options.window:
            event.reason = f"{name} was not used in every epoch of the window."
            return event
        if int(eligible.sum()) < SCORED * len(ids):
            event.reason = (
                f"Fewer than half of the samples of {name} were seen twice in the "
                "window."
            )
            return event
        event.reason = self._reason_to_wait(
            name, epoch, spearman(scores[eligible].numpy(), errors[eligible].numpy())
        )
        removed = torch.zeros(len(ids), dtype=torch.bool)
        if not event.reason:
            chosen = self._choose(event, scores, labels, counts, eligible)
            removed[chosen] = True
            if len(chosen) and event.criterion != "random":
                event.cut = scores[chosen[-1]].item()
        self._report(event, ids, scores, errors, observations, removed)
        event.removed = int(removed.sum())
        event.after = event.before - event.removed
        left = labels[~removed].bincount(minlength=self.search.classes)
        event.class_counts_after = left.tolist()
        self.sets[name] = ids[~removed.to(ids.device)]
        return event

    def _requested(self, name: SetName) -> int:
        current = self.options.base == "current"
        base = len(self.sets[name]) if current else self._initial[name]
        return share_of(base, self.options.share(name))

    def _reason_to_wait(
        self, name: SetName, epoch: int, correlation: float | None
    ) -> str:
        """Say why a set with complete scores is not pruned yet; empty if it is."""
        start = self.options.prune_start
        if start == "learned":
            self._learned[name] |= correlation is not None and correlation > 0
            if not self._learned[name]:
                return f"The supernet has not learned {name}: VoE falls with the error."
        elif epoch < start:
            return f"Pruning starts at epoch {start}."
        if self._requested(name) == 0:
            return f"The share to prune from {name} is less than one sample."
        if len(self.sets[name]) <= self.options.min_keep:
            return f"{name} is at its smallest size, {self.options.min_keep} samples."
        return ""

    def _choose(
        self,
        event: SamplesPruned,
        scores: Tensor,
        labels: Tensor,
        counts: Tensor,
        eligible: Tensor,
    ) -> Tensor:
        """Return the positions that leave the set, first the most extreme one; fill
        in the limit, and the reason if there is none."""
        options = self.options
        candidates = torch.nonzero(eligible).flatten()
        if event.criterion == "random":
            stream = self.search.streams["selection/random"]
            keys = torch.rand(event.before, generator=stream, dtype=torch.float64)
        else:
            keys = scores
        # stable, and ids ascend: ties leave in the order of their ids
        order = keys[candidates].argsort(
            stable=True, descending=event.criterion == "high"
        )
        ranked = candidates[order]
        allowed, overflow = counts, "redistribute"
        if options.class_limit:
            events = len(event_epochs(options, self.search.spec, event.set))
            event.limit = strictness(balance(counts, options.limit_slack), events)
            allowed, overflow = limits(counts, event.limit), options.overflow
        wanted = min(event.requested, event.before - options.min_keep)
        chosen = choose(
            ranked,
            labels[ranked],
            wanted,
            keep_minimum(allowed, counts, options.min_per_class),
            "skip" if overflow == "skip" else "redistribute",
        )
        if not len(chosen):
            event.reason = "The class limit lets no sample go."
        return chosen

    def _report(
        self,
        event: SamplesPruned,
        ids: Tensor,
        scores: Tensor,
        errors: Tensor,
        observations: Tensor,
        removed: Tensor,
    ) -> None:
        """Describe the scores in the event and lay the arrays out for a file."""
        eligible = observations >= MIN_OBSERVATIONS
        columns = (column[eligible].numpy() for column in (scores, errors, removed))
        for field, value in describe(*columns).items():
            setattr(event, field, value)
        event.artefact = f"prunings/epoch-{event.epoch:04d}-{event.set}.npz"
        self.artefacts[event.artefact] = {
            "ids": ids.cpu().numpy(),
            "scores": scores.numpy(),
            "mean_error": errors.numpy(),
            "observations": observations.numpy().astype(np.int32),
            "removed": removed.numpy(),
        }

    @classmethod
    def remaining(
        cls, options: AnyOptions, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        assert isinstance(options, PruningOptions)
        return {
            name: planned_sizes(options, spec, name, size, options.min_keep)
            for name, size in sizes.items()
        }

    @classmethod
    def lower_bound(
        cls, options: AnyOptions, remaining: dict[SetName, list[int]], classes: int
    ) -> bool:
        """A set that is to hold fewer images than its classes keep may not get there:
        the classes may be uneven."""
        assert isinstance(options, PruningOptions)
        if options.class_limit or options.prune_start == "learned":
            return True
        kept = classes * options.min_per_class
        return any(sizes[-1] < min(kept, sizes[0]) for sizes in remaining.values())

    @classmethod
    def control(cls, options: AnyOptions) -> AnyOptions | None:
        assert isinstance(options, PruningOptions)
        if options.criterion == "random":
            return None
        return options.model_copy(update={"criterion": "random"})

    @classmethod
    def problems(
        cls, options: AnyOptions, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> list[Problem]:
        assert isinstance(options, PruningOptions)
        found = []
        for name, size in sizes.items():
            left = planned_sizes(options, spec, name, size, 0)[-1]
            if left < min(options.min_keep, size):
                events = len(event_epochs(options, spec, name))
                found.append(
                    Problem(
                        f"selection.{SHARE_FIELDS[name]}",
                        f"Pruning {options.share(name):.0%} of {name} {events} times "
                        f"leaves {left} of its {size} samples, and at least "
                        f"{options.min_keep} are kept; prune a smaller share, or "
                        "less often.",
                    )
                )
            found += seldom_seen(options, spec, name, sizes)
        return found

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "voe": {name: voe.state_dict() for name, voe in self.voe.items()},
            "initial": dict(self._initial),
            "epochs_seen": dict(self._epochs_seen),
            "learned": dict(self._learned),
            "stage_start": self._stage_start,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, saved in state["voe"].items():
            self.voe[name].load_state_dict(saved)
        self._initial = dict(state["initial"])
        self._epochs_seen = dict(state["epochs_seen"])
        self._learned = dict(state["learned"])
        self._stage_start = state["stage_start"]
