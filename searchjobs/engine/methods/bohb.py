"""BOHB on the benchmark table: hyperband, whose proposals come from a density model.

S. Falkner, A. Klein, F. Hutter, BOHB: Robust and Efficient Hyperparameter Optimization
at Scale, ICML 2018.  Hyperband (section 3.1): a bracket starts n architectures on a low
rung and promotes the best 1/eta of each rung to the next.  Model (section
3.2): l(x) is a kernel density of the best 15 % seen on a rung, g(x) of the others;
of some draws from l the one with the greatest l(x)/g(x) is proposed.  Algorithm 2: the
model is that of the highest rung with enough observations; before there is one,
proposals are random.

Settings of NAS-Bench-201's code: one categorical parameter a row, eta 3, 4 draws, no
random fraction, bandwidths of at least 0.3.  Its bandwidth factor of 3 widens numeric
parameters only, and there are none.  The space of the parameters and its random draws
are ConfigSpace's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..contracts import Query, Repeats, TableMethod, TableOptions, methods
from ..contracts.table import Choices, Floats, Mask
from ..registry import setting

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

TOP_SHARE = 15
"""Per cent of the observations that make l(x)."""
TINY = 1e-32


class BohbOptions(TableOptions):
    name: Literal["bohb"] = "bohb"
    form: Literal["nats-bench", "nas-bench-201"] = setting(
        "nats-bench",
        "Form",
        "nats-bench: rungs of 1, 4 and 12 epochs of the 12-epoch training, as far as "
        "the table tells them. nas-bench-201: three rungs that all ask for the "
        "200-epoch accuracy and pay all 200 epochs, as that code does, so only some "
        "six architectures fit into 12,000 s.",
        advanced=False,
        labels={"nats-bench": "NATS-Bench", "nas-bench-201": "NAS-Bench-201 code"},
    )
    missing: Literal["leave-out", "stand-in"] = setting(
        "leave-out",
        "Rungs that the table lacks",
        "leave-out: no such rung; with none but the last, the model proposes and "
        "nothing is halved. stand-in: the accuracy after 12 epochs stands in for it at "
        "the price of the rung, which flatters the method.",
        labels={"leave-out": "leave out", "stand-in": "stand in: 12 epochs"},
    )
    eta: int = setting(
        3, "Eta", "A rung promotes one of so many, and costs so much less.", ge=2, le=12
    )
    draws: int = setting(
        4, "Draws", "Of the model for each proposal.", unit="draws", ge=1, le=256
    )
    random_fraction: float = setting(
        0.0, "Random fraction", "Of the proposals, once there is a model.", ge=0, le=1
    )
    min_bandwidth: float = setting(
        0.3,
        "Smallest bandwidth",
        "Of the kernels; the largest is that of the uniform distribution.",
        gt=0,
        le=1,
    )


@dataclass(frozen=True)
class Rung:
    """One fidelity: what is asked of the table and what is paid."""

    epochs: int
    protocol: Literal["12", "200"]
    decisive: bool


@dataclass(frozen=True)
class Stage:
    """``size`` evaluations on one rung; ``begins``: they are new proposals, else the
    best of the stage before."""

    rung: int
    size: int
    begins: bool


@methods.register
class Bohb(TableMethod):
    name = "bohb"
    label = "BOHB"
    summary = (
        "Hyperband whose proposals come from densities of good and bad cells; keep the "
        "best cell of the highest rung."
    )
    source = "Falkner, Klein, Hutter, ICML 2018: hyperband and density model."
    family = "Trials on the benchmark table"
    Options = BohbOptions
    curves = {
        "epochs of the model": "of the trainings that the model is fitted to",
    }

    def __init__(self, options: BohbOptions, repeats: Repeats) -> None:
        super().__init__(options, repeats)
        self.rungs = rungs_of(options, repeats.curve)
        self.stages = stages(len(self.rungs), options.eta)
        self.allowed = repeats.allowed()
        self.levels = np.array([len(columns) for columns in self.allowed])
        self.parameters = configuration_space(self.levels)
        self.stage, self.place = 0, 0
        R, E = repeats.count, repeats.rows
        # What was seen on each rung, in order; places, not columns, of what is allowed.
        self.seen = [np.zeros((R, 0, E), dtype=np.int64) for _ in self.rungs]
        self.scores = [np.zeros((R, 0)) for _ in self.rungs]
        self.promoted = np.zeros((R, 0, E), dtype=np.int64)
        self.asked = np.zeros((R, E), dtype=np.int64)
        """What the present query asks for, between ``ask`` and ``tell``."""

    @classmethod
    def signal(cls, options: BohbOptions) -> str:
        epochs = 200 if options.form == "nas-bench-201" else 12
        return f"{epochs}-epoch validation accuracy"

    def ask(self) -> Query:
        stage = self.stages[self.stage]
        rung = self.rungs[stage.rung]
        places = self.propose() if stage.begins else self.promoted[:, self.place]
        self.asked = places
        padded = np.zeros((len(self.allowed), max(map(len, self.allowed))), np.int64)
        for row, columns in enumerate(self.allowed):
            padded[row, : len(columns)] = columns
        choices = padded[np.arange(len(self.allowed)), places]
        return Query(choices, rung.epochs, rung.protocol, rung.decisive)

    def tell(self, query: Query, accuracies: Floats, alive: Mask) -> None:
        """Note the observation; after the last of a stage, promote the best."""
        stage = self.stages[self.stage]
        at = stage.rung
        self.seen[at] = np.concatenate([self.seen[at], self.asked[:, None]], axis=1)
        self.scores[at] = np.concatenate([self.scores[at], accuracies[:, None]], axis=1)
        self.place += 1
        if self.place < stage.size:
            return
        self.place = 0
        self.stage = (self.stage + 1) % len(self.stages)
        after = self.stages[self.stage]
        if not after.begins:
            best = _descending(self.scores[at][:, -stage.size :])[:, : after.size]
            self.promoted = _take(self.seen[at][:, -stage.size :], best)

    def propose(self) -> Choices:
        """Algorithm 2: of some draws from l(x) that with the greatest l(x)/g(x)."""
        repeats = self.repeats
        random = self._random()
        rung = self._model_rung()
        if rung is None:
            return random
        order = _descending(self.scores[rung])
        n = order.shape[1]
        least = repeats.rows + 1
        good = _take(self.seen[rung], order[:, : max(least, TOP_SHARE * n // 100)])
        rest = order[:, good.shape[1] :]
        bad = _take(
            self.seen[rung], rest[:, : max(least, (100 - TOP_SHARE) * n // 100)]
        )
        good_width, bad_width = (
            bandwidths(points, self.levels, self.options.min_bandwidth)
            for points in (good, bad)
        )
        drawn = self._draw(good, good_width)
        ratio = np.maximum(density(drawn, good, good_width, self.levels), TINY)
        ratio /= np.maximum(density(drawn, bad, bad_width, self.levels), TINY)
        best = np.take_along_axis(drawn, ratio.argmax(axis=1)[:, None, None], axis=1)
        is_random = repeats.uniform("random fraction", repeats.count) < (
            self.options.random_fraction
        )
        return np.where(is_random[:, None], random, best[:, 0])

    def _model_rung(self) -> int | None:
        """Return the highest rung with enough observations for both densities."""
        least = 2 * (self.repeats.rows + 1)
        enough = [
            number
            for number, scores in enumerate(self.scores)
            if scores.shape[1] >= least
        ]
        return max(enough, default=None)

    def _random(self) -> Choices:
        seed = int(self.repeats.below(2**32, "configurations", 1)[0])
        state = np.random.RandomState(seed)
        count = self.repeats.count
        drawn = [hp.sample_vector(count, seed=state) for hp in self.parameters.values()]
        return np.stack(drawn, axis=1).astype(np.int64)

    def _draw(self, good: Choices, width: Floats) -> Choices:
        """Draw (R, draws, E) from l(x): an observation, each parameter of which is
        kept with probability 1 - bandwidth, else drawn anew."""
        repeats, draws = self.repeats, self.options.draws
        shape = (repeats.count, draws, repeats.rows)
        chosen = repeats.below(good.shape[1], "kernels", *shape[:2])
        centres = _take(good, chosen)
        kept = repeats.uniform("kept", *shape) < 1 - width[:, None]
        anew = repeats.below(self.levels, "anew", *shape)
        return np.where(kept, centres, anew)

    def scalars(self) -> dict[str, float]:
        rung = self._model_rung()
        return {} if rung is None else {"epochs of the model": self.rungs[rung].epochs}

    def state_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "place": self.place,
            "seen": list(self.seen),
            "scores": list(self.scores),
            "promoted": self.promoted,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def rungs_of(options: BohbOptions, curve: frozenset[int]) -> list[Rung]:
    """Return the rungs from low to high; ``curve`` holds what the table tells of the
    12-epoch training before its end."""
    lowest, highest = (12, 200) if options.form == "nas-bench-201" else (1, 12)
    steps = range(int(math.log(highest / lowest) / math.log(options.eta)), -1, -1)
    if options.form == "nas-bench-201":
        return [Rung(200, "200", True) for _ in steps]
    # The reference trains a fractional budget for its whole epochs.
    budgets = [int(highest * options.eta**-step) for step in steps]
    known = {highest, *curve} if options.missing == "leave-out" else set(budgets)
    return [
        Rung(epochs, "12", epochs == highest) for epochs in budgets if epochs in known
    ]


def stages(rungs: int, eta: int) -> list[Stage]:
    """Return the stages of hyperband's brackets, which then begin anew: from that
    with all rungs to that with the highest alone."""
    found = []
    for s in range(rungs - 1, -1, -1):
        start = rungs // (s + 1) * eta**s
        for step in range(s + 1):
            size = max(int(start * float(eta) ** -step), 1)
            found.append(Stage(rungs - 1 - s + step, size, step == 0))
    return found


def configuration_space(levels: NDArray[np.int64]) -> ConfigurationSpace:
    """Return one categorical parameter a row, whose values are places."""
    # late: it takes a second to import, and only this method needs it
    from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

    space = ConfigurationSpace()
    space.add(
        [
            CategoricalHyperparameter(f"row {row:02d}", list(range(count)))
            for row, count in enumerate(levels.tolist())
        ]
    )
    return space


def bandwidths(points: Choices, levels: NDArray[np.int64], least: float) -> Floats:
    """Return the kernels' bandwidths (R, E) by the normal reference rule, between
    ``least`` and that at which every value is as likely."""
    _, n, E = points.shape
    reference = 1.06 * points.std(axis=1) * n ** (-1 / (4 + E))
    return np.clip(reference, np.minimum(least, 1 - 1 / levels), 1 - 1 / levels)


def density(
    at: Choices, points: Choices, width: Floats, levels: NDArray[np.int64]
) -> Floats:
    """Return the kernel density (R, D) of ``points`` (R, n, E) at ``at`` (R, D, E):
    products of the kernels of Aitchison and Aitken (Biometrika 1976), 1 - h on the
    value of a point and h / (levels - 1) on every other."""
    same = at[:, :, None] == points[:, None]
    h = width[:, None, None]
    kernels = np.where(same, 1 - h, h / np.maximum(levels - 1, 1))
    return np.asarray(kernels.prod(axis=3).mean(axis=2))


def _descending(scores: Floats) -> NDArray[np.int64]:
    """Return the order (R, n) from the best; of equals the earlier one first."""
    return np.argsort(-scores, axis=1, kind="stable")


def _take(points: Choices, order: NDArray[np.int64]) -> Choices:
    """Return points (R, k, E) in an order (R, k)."""
    return np.take_along_axis(points, order[..., None], axis=1)
