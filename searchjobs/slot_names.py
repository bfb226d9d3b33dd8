"""On which slots an attempt ran: what its column says, and the question back.

Slots come and go with their worker; an attempt keeps their names: ``node1 : 0, 2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Q

from .models import Attempt, Slot

_AFTER_WORKER, _BETWEEN = " : ", ", "
_LONGEST: int = Attempt._meta.get_field("slot_name").max_length or 0


def name_of(slots: Sequence[Slot]) -> str:
    """Return what an attempt says of its slots, which are all of one worker.

    Of so many that the column does not hold them, the last ones are left out.
    """
    numbers = sorted(slot.number for slot in slots)
    while len(name := _name(str(slots[0].worker), numbers)) > _LONGEST:
        numbers.pop()
    return name


def slots_of(attempt: Attempt) -> list[str]:
    """Return the names of the slots on which an attempt ran, each as a slot's own."""
    worker, _, numbers = attempt.slot_name.rpartition(_AFTER_WORKER)
    return [_name(worker, [number]) for number in numbers.split(_BETWEEN)]


def ran_on(slot: Slot) -> Q:
    """Return the condition on attempts that ran on a slot, alone or with others."""
    several = rf"{_AFTER_WORKER}(\d+{_BETWEEN})*{slot.number}({_BETWEEN}\d+)*$"
    return Q(slot_name=str(slot)) | Q(
        devices__gt=1, worker_name=slot.worker.name, slot_name__regex=several
    )


def may_have_run_on(slots: Iterable[Slot]) -> Q:
    """Return the condition on attempts that ran on one of these slots, or with others
    of their workers; ``slots_of`` tells on which."""
    names, workers = set(), set()
    for slot in slots:
        names.add(str(slot))
        workers.add(slot.worker.name)
    return Q(slot_name__in=names) | Q(devices__gt=1, worker_name__in=workers)


def _name(worker: str, numbers: Sequence[int | str]) -> str:
    return f"{worker}{_AFTER_WORKER}{_BETWEEN.join(map(str, numbers))}"
