"""What those share that watch a search from outside: rules and some derivations.

From which epoch on does an architecture say something?  Alpha begins as small noise:
on NAS-Bench-201 the cell that it then names has two or more skip connections with
probability .345 (methods spec 15.3), and a rule that looked at the first epochs would
fire on that noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contracts import Space, spaces
from .registry import setting

if TYPE_CHECKING:
    from .spec import SearchSpec


def min_epoch_setting(default: int = 10) -> Any:
    """The first epoch that counts, as rules and derivations offer it."""
    return setting(
        default,
        "First epoch that counts",
        "Counted from the end of the warm-up. What alpha names before is little more "
        "than its random start.",
        unit="epochs",
        ge=1,
    )


def first_epoch(min_epoch: int, spec: SearchSpec) -> int:
    """Return that epoch, counted from the start of the search."""
    return spec.training.warmup_epochs + min_epoch


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
