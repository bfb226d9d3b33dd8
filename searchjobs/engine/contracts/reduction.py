"""The contract of a reduction: a selection that chooses once, before the search."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ..batch import SetName
from ..data.split import share_of
from ..events import Event, Progress
from ..problems import Problem
from ..registry import Options, setting
from ..selection.reducing import choose_set
from .method import Method
from .selection import Selection

if TYPE_CHECKING:
    from ..data.dataset import ResidentImages
    from ..data.source import Summary
    from ..sections import Augmentation
    from ..seeding import Streams
    from ..spec import SearchSpec

End = Literal["highest", "lowest"]
ClassRule = Literal["none", "stratified", "limit"]


class ReductionOptions(Options):
    """How much of each set stays, and which end of the scores leaves."""

    keep_train: float = setting(
        0.5,
        "Share of T that is kept",
        "r: T keeps this share of its samples, chosen once before the search; 1 keeps "
        "all.",
        unit="share",
        advanced=False,
        gt=0,
        le=1,
    )
    keep_valid: float = setting(
        1.0,
        "Share of V that is kept",
        "The same for V; 1 leaves V alone, as the proxies of Less is More do.",
        unit="share",
        advanced=False,
        gt=0,
        le=1,
    )
    drop_train: End = setting(
        "highest",
        "End that leaves T",
        "highest: the samples with the highest scores leave (outliers, hard ones) and "
        "easy ones stay; lowest: the other way round.",
    )
    drop_valid: End = setting("highest", "End that leaves V", "The same for V.")
    class_rule: ClassRule = setting(
        "none",
        "Class rule",
        "none: one ranking of all samples; stratified: the same share of every class, "
        "to less than one sample; "
        "limit: the class limit of BDP (Eq. 5 and 6 with one event), which keeps more "
        "where it binds.",
    )

    def keep(self, name: SetName) -> float:
        """Return the share that stays of T or V."""
        return self.keep_train if name == "T" else self.keep_valid

    def drop(self, name: SetName) -> End:
        """Return which end of the scores leaves T or V."""
        return self.drop_train if name == "T" else self.drop_valid


#: What every reduction is told, and its control with it.
SHARED = ("keep_train", "keep_valid", "class_rule")


@dataclass(frozen=True)
class Pool:
    """The samples of one set, among which a reduction chooses.

    Attributes:
        data: all images, on the device.
        name: T or V.
        ids: int64 (n,), sorted, on the device.
        keep: how many are to stay.
        classes: M.
        augmentation: of the search, for scores that a training measures.
        streams: random streams; purposes are to begin with ``reduction/``.
    """

    data: ResidentImages
    name: SetName
    ids: Tensor
    keep: int
    classes: int
    augmentation: Augmentation
    streams: Streams

    @property
    def labels(self) -> Tensor:
        """Classes int64 (n,) of the samples, on the device."""
        return self.data.labels[self.ids]

    @property
    def device(self) -> torch.device:
        return self.ids.device

    @property
    def purpose(self) -> str:
        """How the purposes of its random streams begin: T and V draw apart."""
        return f"reduction/{self.name}"


@dataclass(frozen=True)
class Scores:
    """One score a sample of the pool, in its order; higher means harder.

    Attributes:
        values: float64 (n,), on the CPU, finite.
        cost_units: what they took, as ``Reduction.scoring_cost`` counts.
        columns: more that is known of each sample, (n,) each, for the explorer:
            ``mean_error``, ``observations``.
    """

    values: Tensor
    cost_units: float = 0.0
    columns: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A point from which a scoring can go on; ``step`` counts upwards."""

    step: int
    state: dict[str, Any]


Scoring = Generator[Progress | Snapshot, None, Scores]


class Reduction(Selection):
    """A selection that chooses once, before the first epoch, from scores.

    A sample's score is measured on its own set.  The choice needs no supernet, so a
    job of its own can make it for many searches (``proxy``), and it is the same there
    and here: it depends on data set, split, options and seed alone.
    """

    Options: ClassVar[type[ReductionOptions]]
    options: Any

    score_label: ClassVar[str] = "score"
    """What the scores are, for pages."""
    by_chance: ClassVar[bool] = False
    """Whether the scores are draws, so that neither end means anything."""

    @classmethod
    @abstractmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        """Score the samples of a pool: yield ``Progress`` and ``Snapshot``, return
        ``Scores``.  ``state`` is that of a snapshot to go on from, with the same
        result to the last bit on the CPU."""

    @classmethod
    def describe_score(cls, options: Any) -> str:
        """Return what the scores are with these options, for pages."""
        return cls.score_label

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        """Return the forward passes of one image that the scoring of a set of so many
        samples takes, through the network that scores: a sample of a step that trains
        takes three.  Distances between images take none."""
        return 0.0

    @classmethod
    def multiply_adds(cls, options: Any, classes: int, side: int) -> float:
        """Return the multiply-adds of one such pass, for an image of ``side`` pixels;
        0 where nothing passes a network."""
        return 0.0

    @classmethod
    def weight(cls, options: Any, spec: SearchSpec, classes: int, side: int) -> float:
        """Return how many forwards of one image through the supernet a pass of the
        scoring counts as: the ratio of their multiply-adds.  So the scoring costs a
        search what it takes, however small the network that scores.

        The supernet is that of the first weight step: all operations on the channels
        that the method gives them, or one an edge if it draws them.
        """
        from . import methods, spaces  # they are of these contracts

        passed = cls.multiply_adds(options, classes, side)
        if not passed:
            return 0.0
        method = methods.get(spec.method.name)
        assert issubclass(method, Method), "a search on a table has no samples"
        whole = spaces.get(spec.space.name)(spec.space).multiply_adds(
            classes,
            side,
            partial=method.partial_channels(spec.method),
            drawn=method.sampled_paths > 0,
        )
        return passed / whole

    def prepare(self) -> Iterator[Event]:
        for name, ids in self.sets.items():
            share = self.options.keep(name)
            if share == 1:
                continue
            pool = Pool(
                data=self.search.data,
                name=name,
                ids=ids,
                keep=share_of(len(ids), share),
                classes=self.search.classes,
                augmentation=self.search.spec.augmentation,
                streams=self.search.streams,
            )
            scores = yield from self._scored(pool)
            self.preparation_units += scores.cost_units * self.weight(
                self.options,
                self.search.spec,
                self.search.classes,
                self.search.data.pixels.shape[-1],
            )
            chosen = choose_set(type(self), self.options, pool, scores)
            self.sets[name] = ids[chosen.kept.to(ids.device)]
            self.artefacts[chosen.event.artefact] = chosen.arrays
            yield chosen.event

    def _scored(self, pool: Pool) -> Generator[Progress, None, Scores]:
        """Score a pool; of several processes the leading one, for all: a training need
        not be the same to the last bit on every device, and what decides the sets must.
        The others know of no further columns, for they write none."""
        parallel, scores = self.search.parallel, None
        told = torch.empty(len(pool.ids) + 1, dtype=torch.float64)
        if parallel.leads:
            scores = yield from _progress_only(self.score(self.options, pool))
            told[:-1], told[-1] = scores.values, scores.cost_units
        parallel.hand_out(told)
        return scores or Scores(told[:-1], told[-1].item())

    @classmethod
    def remaining(
        cls, options: Any, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        return {
            name: [share_of(size, options.keep(name))] * (spec.training.epochs + 1)
            for name, size in sizes.items()
        }

    @classmethod
    def preparation_cost(
        cls,
        options: Any,
        spec: SearchSpec,
        sizes: dict[SetName, int],
        summary: Summary,
    ) -> float:
        passes = sum(
            cls.scoring_cost(options, size)
            for name, size in sizes.items()
            if options.keep(name) < 1
        )
        classes, side = len(summary.classes), summary.image_size
        return passes * cls.weight(options, spec, classes, side)

    @classmethod
    def control(cls, options: Any) -> ReductionOptions | None:
        """Return a random proxy of the same size, under the same class rule."""
        from ..selection.random_samples import RandomOptions  # a reduction itself

        if cls.by_chance:
            return None
        return RandomOptions(**options.model_dump(include=set(SHARED)))

    @classmethod
    def lower_bound(
        cls, options: Any, remaining: dict[SetName, list[int]], classes: int
    ) -> bool:
        return bool(options.class_rule == "limit")

    @classmethod
    def problems(
        cls, options: Any, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> list[Problem]:
        return cls.size_problems(options, sizes)

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        """Return what cannot work with sets of these sizes, for a search and for a
        subset of its own alike."""
        fields: dict[SetName, str] = {"T": "keep_train", "V": "keep_valid"}
        return [
            Problem(
                f"selection.{fields[name]}",
                f"{options.keep(name):.2%} of the {size:,} samples of {name} are "
                f"{share_of(size, options.keep(name))}, and a batch needs at least "
                "two; keep a larger share.",
            )
            for name, size in sizes.items()
            if share_of(size, options.keep(name)) < 2
        ]


def _progress_only(scoring: Scoring) -> Generator[Progress, None, Scores]:
    while True:
        try:
            item = next(scoring)
        except StopIteration as end:
            result: Scores = end.value
            return result
        if isinstance(item, Progress):
            yield item
