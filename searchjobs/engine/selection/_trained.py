"""What the scores of a training share: statistics that watch it, and resumption."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..contracts import Pool, Snapshot
from ..events import Progress
from ..fitting import Fitting
from ..scoring_network import NetworkOptions, ScoringNetwork
from .sample_error import sample_error


class Statistic(Protocol):
    """Sums over the epochs of a training, one entry an image, on the device.

    ``observe`` is told of every batch (see ``scoring_network.Observe``) and must not
    wait for the device.  Each sample of a pool is in exactly one batch an epoch.
    """

    def observe(self, epoch: int, ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Take note of a forward: 1-based epoch, ids (B,), logits (B, M), labels."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a snapshot is to hold."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""


class Sums:
    """Named sums, float64 (n,) each; n are all images of the data set.

    Statistics build on it: sums in double precision do not depend on their number.
    """

    def __init__(self, pool: Pool, *names: str) -> None:
        self._names = names
        self._sums = torch.zeros(
            len(names), len(pool.data), dtype=torch.float64, device=pool.device
        )

    def __getitem__(self, name: str) -> Tensor:
        """Return one sum (n,), to be read or changed in place."""
        return self._sums[self._names.index(name)]

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums.cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums.copy_(state["sums"])


class MeanError(Sums):
    """Mean error of each sample in the forwards that train."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, "error")

    def observe(self, epoch: int, ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        self["error"][ids] += sample_error(logits, labels)


def watched(
    network: ScoringNetwork,
    statistic: Statistic,
    state: dict[str, Any] | None = None,
    *,
    run: int = 0,
    runs: int = 1,
) -> Fitting:
    """Train a scoring network while a statistic watches.

    Yields as ``ScoringNetwork.train``; snapshots hold the statistic as well, and steps
    and progress count over all ``runs`` of which this is number ``run``.
    """
    if state is not None:
        statistic.load_state_dict(state["statistic"])
    epochs = network.options.epochs
    for item in network.train(state, statistic.observe):
        if isinstance(item, Snapshot):
            held = {**item.state, "statistic": statistic.state_dict()}
            yield Snapshot(run * epochs + item.step, held)
        else:
            yield _over_runs(item, run, runs, network.options)


def _over_runs(
    item: Progress, run: int, runs: int, options: NetworkOptions
) -> Progress:
    """Tell the progress of one of several trainings as that of all."""
    step_seconds = options.batch_size / item.samples_per_second
    to_come = (runs - run - 1) * options.epochs * item.steps * step_seconds
    return item.model_copy(
        update={
            "epoch": run * options.epochs + item.epoch,
            "epochs": runs * options.epochs,
            "seconds_left": (item.seconds_left or 0.0) + to_come,
        }
    )


def column(pool: Pool, values: Tensor) -> np.ndarray:
    """Return, of values (n,) of all images, those of the pool's samples."""
    found: np.ndarray = values[pool.ids].cpu().numpy()
    return found
