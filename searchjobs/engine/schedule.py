"""The order of weight steps and architecture steps inside one epoch.

T and V may have different sizes once data are pruned (data spec A.3); how they
share an epoch is a policy of its own, the same for every method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from .batch import Level

if TYPE_CHECKING:
    from .sections import Training


def batch_count(samples: int, batch_size: int) -> int:
    """Number of batches of an epoch; a last batch of one joins the one before,
    because batch norm cannot learn from a single image (data spec H.4)."""
    count = -(-samples // batch_size)
    return count - 1 if count > 1 and samples % batch_size == 1 else count


def batches(ids: Tensor, batch_size: int) -> list[Tensor]:
    """Cut ids (n,) into batches, none of them of one sample unless n is one."""
    count = batch_count(len(ids), batch_size)
    if count == 0:
        return []
    head = [ids[i * batch_size : (i + 1) * batch_size] for i in range(count - 1)]
    return [*head, ids[(count - 1) * batch_size :]]


def step_counts(
    weight_batches: int, architecture_batches: int, training: Training
) -> tuple[int, int]:
    """Return the weight steps and architecture steps of an epoch under the policy."""
    T, V = weight_batches, architecture_batches
    if T == 0 or V == 0:
        return T, V
    if training.policy == "train-driven":
        V = T
    elif training.policy == "zip-min":
        T = V = min(T, V)
    elif training.policy == "zip-max":
        T = V = max(T, V)
    elif training.cap_architecture_steps:
        V = min(T, V)
    return T, -(-V // training.alpha_every)


def order(
    weight_steps: int, architecture_steps: int, training: Training
) -> Iterator[tuple[Level, int]]:
    """Yield (level, step number) in order, the rarer kind spread evenly.

    After weight step s, floor((s + 1) n_V / n_T) architecture steps have been
    made; those of a pair stand before or after it by ``training.order``.
    """
    alpha_first = training.order == "architecture-first"
    done = 0
    for step in range(weight_steps):
        due = (step + 1) * architecture_steps // weight_steps
        if not alpha_first:
            yield "weights", step
        for number in range(done, due):
            yield "architecture", number
        done = due
        if alpha_first:
            yield "weights", step
    if weight_steps == 0:
        for number in range(architecture_steps):
            yield "architecture", number


@dataclass(frozen=True)
class EpochCount:
    """Steps and samples of one epoch, by level."""

    weight_steps: int
    architecture_steps: int
    weight_samples: int
    architecture_samples: int


def count_epoch(
    train_samples: int,
    valid_samples: int,
    training: Training,
    *,
    architecture: bool = True,
    batch_size: int | None = None,
) -> EpochCount:
    """Count one epoch without running it; ``architecture`` is False in a warm-up,
    ``batch_size`` that of the epoch where it is not the spec's."""
    size = batch_size or training.batch_size
    T = batch_count(train_samples, size)
    V = batch_count(valid_samples, size) if architecture else 0
    weight_steps, architecture_steps = step_counts(T, V, training)
    return EpochCount(
        weight_steps,
        architecture_steps,
        samples_of(train_samples, T, weight_steps, size),
        samples_of(valid_samples, V, architecture_steps, size),
    )


def samples_of(total: int, available: int, steps: int, size: int) -> int:
    """Return the samples of ``steps`` batches of ``size`` when ``available`` batches
    hold ``total`` and are gone through again and again."""
    if available == 0:
        return 0
    rounds, rest = divmod(steps, available)
    return rounds * total + min(rest * size, total)
