"""What pruning would do, from the spec alone: when, down to which sizes, and whether
the steps of a window meet enough samples twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contracts import SetName, methods
from ..data.split import share_of
from ..plan import count, trains_architecture
from ..problems import Problem

if TYPE_CHECKING:
    from ..spec import SearchSpec
    from .pruning import PruningOptions

SCORED = 0.5  # share of a set that must have two errors a sample, or it is not pruned


def event_epochs(options: PruningOptions, spec: SearchSpec, name: SetName) -> list[int]:
    """Return the epochs after which a set is pruned if nothing speaks against it: n
    of them.  Windows begin anew with a supernet; V needs architecture steps in every
    epoch of the window."""
    method = methods.get(spec.method.name)
    first = 0 if options.prune_start == "learned" else options.prune_start
    window, stage_start, found = options.window, 0, []
    for epoch in range(1, spec.training.epochs + 1):
        if method.starts_stage(spec, epoch):
            stage_start = epoch - 1
        if (epoch - stage_start) % window or epoch < first:
            continue
        if name == "T" or all(
            trains_architecture(spec, earlier)
            for earlier in range(epoch - window + 1, epoch + 1)
        ):
            found.append(epoch)
    return found


def seldom_seen(
    options: PruningOptions,
    spec: SearchSpec,
    name: SetName,
    sizes: dict[SetName, int],
) -> list[Problem]:
    """Say if the steps of a window meet too few samples of a set twice, so that it
    would never be pruned though the plan says so (several weight steps for each of
    alpha, a policy that leaves batches out)."""
    epochs = event_epochs(options, spec, name)
    if not epochs or options.share(name) == 0 or min(sizes.values()) == 0:
        return []
    counted = count(spec, epochs[0], sizes)
    met = counted.weight_samples if name == "T" else counted.architecture_samples
    share = min(1.0, met / sizes[name])
    if share == 0 or _met_twice(share, options.window) >= SCORED:
        return []
    enough = options.window
    while _met_twice(share, enough) < SCORED:
        enough += 1
    return [
        Problem(
            "selection.window",
            f"An epoch meets {share:.0%} of {name}, so a window of {options.window} "
            "leaves most of its samples without two errors, and it would never be "
            f"pruned; take a window of at least {enough} epochs, or prune nothing "
            f"from {name}.",
        )
    ]


def _met_twice(share: float, epochs: int) -> float:
    """Return the share of a set that is met at least twice, if each epoch meets a
    ``share`` of it by chance."""
    missed = 1 - share
    return 1 - missed**epochs - epochs * share * missed ** (epochs - 1)


def planned_sizes(
    options: PruningOptions, spec: SearchSpec, name: SetName, size: int, floor: int
) -> list[int]:
    """Return the size of a set before epoch 1 and after each epoch, without class
    limits, never below ``floor``."""
    events = set(event_epochs(options, spec, name))
    sizes = [size]
    for epoch in range(1, spec.training.epochs + 1):
        left = sizes[-1]
        if epoch in events:
            base = left if options.base == "current" else size
            gone = share_of(base, options.share(name))
            left -= min(gone, max(left - floor, 0))
        sizes.append(left)
    return sizes
