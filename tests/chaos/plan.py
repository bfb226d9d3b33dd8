"""Which faults, in which order, when and on whom: pure, and given by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds between a fault that hit and the next one, at least.
SHORTEST, LONGEST = 0.2, 2.0
#: Seconds for which a fault lasts: a server is away, a message is late.
BRIEFEST, SLOWEST = 0.5, 4.0


@dataclass(frozen=True)
class Step:
    """One fault of a plan.

    Attributes:
        delay: seconds after the fault before, at least.
        fault: its name.
        choice: which of the victims there are at that time, and which variant.
        lasts: seconds until it is mended, for faults that are.
    """

    delay: float
    fault: str
    choice: int
    lasts: float


def fault_plan(seed: int, count: int, faults: Sequence[str]) -> list[Step]:
    """Return ``count`` steps; the same for the same arguments, on any machine.

    The faults are dealt like cards, a whole deck after the other, so that each occurs
    as often as any other, give or take one.
    """
    source = random.Random(seed)
    names: list[str] = []
    while len(names) < count:
        names += source.sample(sorted(faults), len(faults))
    return [
        Step(
            delay=round(source.uniform(SHORTEST, LONGEST), 2),
            fault=name,
            choice=source.randrange(1000),
            lasts=round(source.uniform(BRIEFEST, SLOWEST), 2),
        )
        for name in names[:count]
    ]
