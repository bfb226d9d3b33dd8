"""Choosing T anew during a search by what helps V: the core of GLISTER.

K. Killamsetty et al., "GLISTER: Generalization Based Data Subset Selection for
Efficient and Robust Learning", AAAI 2021, Algorithm 2, with gradients by the logits.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..collectives import add_up
from ..contracts import ActiveOperations, Search, Tables
from ..diagnostics.statistics import batch_statistics
from ..events import Progress

PROGRESS_SECONDS = 1.0


def greedy(
    gradients: Tensor,
    valid_logits: Tensor,
    valid_labels: Tensor,
    wanted: int,
    rounds: int,
    rate: float,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose candidates whose gradients point where the loss on V falls.

    The gain of a candidate is its gradient times the mean gradient of V: the loss on V
    falls so much by a small step along it (Eq. 5).  The best of each round are taken
    together; then the logits of V move by a step along all that are taken, and the
    gradient of V is computed anew.  Nothing here waits for the device.

    Args:
        gradients: of the candidates by the logits, (n, M): p - onehot.
        valid_logits: of V, (m, M).
        valid_labels: int64 (m,).
        wanted: how many to choose.
        rounds: in so many, as equal as can be.
        rate: eta, the length of a step.
        excluded: bool (n,), candidates that get a gain and are not chosen.

    Returns:
        bool (n,), which are chosen, and (n,) the gain of each when it was chosen; of
        the others that of the last round.  Ties go to the first.
    """
    count, classes = gradients.shape
    device = gradients.device
    taken = torch.zeros(count, dtype=torch.bool, device=device)
    barred = torch.zeros_like(taken) if excluded is None else excluded
    gains = gradients.new_zeros(count)
    step = gradients.new_zeros(classes)
    target = one_hot(valid_labels, classes).to(gradients.dtype)
    rounds = min(rounds, wanted)
    for number in range(rounds):
        size = (number + 1) * wanted // rounds - number * wanted // rounds
        error = (valid_logits - rate * step).softmax(1) - target
        gains = torch.where(taken, gains, gradients @ error.mean(0))
        free = gains.masked_fill(taken | barred, -torch.inf)
        best = free.argsort(descending=True, stable=True)[:size]
        taken[best] = True
        step = step + gradients[best].sum(0)
    return taken, gains


def error_gradients(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradients of the cross-entropy by the logits, (n, M)."""
    return logits.softmax(1) - one_hot(labels, logits.shape[1])


def supernet_logits(
    search: Search, epoch: int, parts: Sequence[Tensor], purpose: str
) -> Generator[Progress, None, Tensor]:
    """Return the logits (n, M) of images as they are, given their ids in batches.

    Batch norm takes the statistics of the batch, and nothing changes.  Weights that
    only ever trained on single architectures are asked through a drawn one a batch.
    Processes that share a search share the batches.

    Args:
        search: its supernet and the mixture of its method answer.
        epoch: after which it is.
        parts: ids (B,) of each batch, on the device.
        purpose: of the random stream that draws architectures.
    """
    parallel = search.parallel
    mixtures = list(_mixtures(search, len(parts), purpose))
    terms = search.method.edge_terms()
    dtype = search.spec.compute.dtype
    found = [
        torch.zeros(len(ids), search.classes, device=search.device, dtype=dtype)
        for ids in parts
    ]
    told = begun = time.perf_counter()
    samples = 0
    own = range(parallel.rank, len(parts), parallel.size)
    search.data.expect("choosing", [parts[number] for number in own])
    with batch_statistics(search.supernet):
        for number in own:
            weights, active = mixtures[number]
            with torch.no_grad():
                images = search.data.batch(parts[number]).images
                found[number] += search.supernet(images, weights, active, terms)
            samples += len(parts[number])
            now = time.perf_counter()
            if now - told >= PROGRESS_SECONDS:
                told = now
                yield Progress(
                    phase="choosing samples",
                    epoch=epoch,
                    epochs=search.spec.training.epochs,
                    step=number + 1,
                    steps=len(parts),
                    samples_per_second=samples / (now - begun),
                )
    whole = torch.cat(found)
    if parallel.size > 1:
        add_up(whole)
    return whole


def _mixtures(
    search: Search, count: int, purpose: str
) -> Generator[tuple[Tables, ActiveOperations | None], None, None]:
    """Yield edge weights, and the operations that they need, for so many batches."""
    method, space = search.method, search.space
    mixture = method.mixture()
    for _ in range(count):
        if not method.sampled_paths:
            yield mixture, space.active()
            continue
        cell = space.discrete_weights(method.sample(search.streams[purpose]))
        active = {
            name: [row.nonzero().flatten().tolist() for row in table]
            for name, table in cell.items()
        }
        dtype = search.spec.compute.dtype
        yield {n: t.to(search.device, dtype) for n, t in cell.items()}, active
