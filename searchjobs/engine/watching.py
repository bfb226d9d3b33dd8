"""What those share that watch a search from outside: rules and some derivations.

From which epoch on does an architecture say something?  Alpha begins as small noise:
on NAS-Bench-201 the cell that it then names has two or more skip connections with
probability .345 (methods spec 15.3), and a rule that looked at the first epochs would
fire on that noise.  A search in stages has such epochs at the start of each: alpha may
begin anew there, and it stands still in the warm-up of the stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contracts import Space, derivations, methods, spaces
from .plan import trains_architecture
from .problems import Problem
from .registry import setting

if TYPE_CHECKING:
    from .spec import SearchSpec


def min_epoch_setting(default: int = 10) -> Any:
    """The first epoch that counts, as rules and derivations offer it."""
    return setting(
        default,
        "First epoch that counts",
        "Counted from the end of the warm-up, in each stage if there are several. What "
        "alpha names before is little more than its random start.",
        unit="epochs",
        ge=1,
    )


def first_epoch(min_epoch: int, spec: SearchSpec) -> int:
    """Return that epoch, counted from the start of the search."""
    return spec.training.warmup_epochs + min_epoch


def trained_epochs(spec: SearchSpec) -> list[int]:
    """Return, for each epoch of a search, in how many epochs alpha has trained with
    the present supernet; 0 where alpha stands still."""
    method, found, trained = methods.get(spec.method.name), [], 0
    for epoch in range(1, spec.training.epochs + 1):
        if method.starts_stage(spec, epoch):
            trained = 0
        trains = _trains(spec, epoch)
        trained += trains
        found.append(trained if trains else 0)
    return found


def _trains(spec: SearchSpec, epoch: int) -> bool:
    """Say whether alpha moves in an epoch, by steps of its own or in another way: with
    the weights (SNAS), or between the epochs (ENAS)."""
    method = methods.get(spec.method.name)
    steps = method.streams(spec.method) != "single"
    if steps and getattr(method, "gradient_based", False):
        return trains_architecture(spec, epoch)
    return epoch > spec.training.warmup_epochs


def counts(min_epoch: int, spec: SearchSpec, epoch: int) -> bool:
    """Say whether an epoch counts for those that begin at ``min_epoch``."""
    return epoch > 0 and trained_epochs(spec)[epoch - 1] >= min_epoch


def counted(min_epoch: int, spec: SearchSpec) -> int:
    """Return how many epochs of the search count."""
    return sum(trained >= min_epoch for trained in trained_epochs(spec))


def ending(spec: SearchSpec) -> str:
    """Say when the first epochs that could count are over."""
    method, epochs = methods.get(spec.method.name), spec.training.epochs
    for epoch in range(2, epochs + 1):
        if method.starts_stage(spec, epoch):
            return f"the first stage ends at epoch {epoch - 1}"
    return f"the search ends at epoch {epochs}"


def held_alpha(spec: SearchSpec, what: str) -> list[Problem]:
    """Return the problem of a rule in a search whose derivation wants alpha as it
    began: there is nothing to watch."""
    derivation = derivations.get(spec.derivation.name)
    if not derivation.holds_alpha(spec.derivation):
        return []
    return [
        Problem(
            "",
            f"{what} watches alpha, and the derivation {derivation.label} is told to "
            "leave it as it began; remove the rule or choose another derivation.",
        )
    ]


def space_of(spec: SearchSpec) -> Space:
    """Return the search space as it is before the search, restrictions included."""
    space: Space = spaces.get(spec.space.name)(spec.space)
    return space


def offered(space: Space) -> tuple[str, ...]:
    """Return the operations that some row of the space may take, in their order."""
    found = set()
    for table in space.tables:
        allowed = space.allowed(table)
        for place, name in enumerate(space.columns(table)):
            if allowed is None or bool(allowed[:, place].any()):
                found.add(name)
    return tuple(name for name in space.operations if name in found)
