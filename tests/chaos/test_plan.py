"""A plan of faults is given by its seed, and deals every fault equally often."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.faults import FAULTS
from tests.chaos.plan import BRIEFEST, LONGEST, SHORTEST, SLOWEST, fault_plan


@given(seed=st.integers(0, 2**32), count=st.integers(0, 200))
def test_a_seed_gives_the_same_plan_again_and_every_fault_its_share(
    seed: int, count: int
) -> None:
    plan = fault_plan(seed, count, list(FAULTS))
    assert plan == fault_plan(seed, count, list(reversed(FAULTS)))
    dealt = Counter(step.fault for step in plan)
    least = count // len(FAULTS)
    assert all(least <= dealt[name] <= least + 1 for name in FAULTS)
    assert all(SHORTEST <= step.delay <= LONGEST for step in plan)
    assert all(BRIEFEST <= step.lasts <= SLOWEST for step in plan)


def test_another_seed_gives_another_plan() -> None:
    assert fault_plan(1, 100, list(FAULTS)) != fault_plan(2, 100, list(FAULTS))
