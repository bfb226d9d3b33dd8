"""Draws: exactly one-hot, by the right shares, never outside of what is allowed.

Statistical tests use fixed seeds, so these draws never change: a chi-square test at the
99.9 % point has been passed once and for all.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from searchjobs.engine import sampling
from searchjobs.engine.contracts import spaces

OPERATIONS = 5
ROWS = 6


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def space(*, without: tuple[str, ...] = (), allowed: torch.Tensor | None = None):
    part = spaces.get("nas-bench-201")
    found = part(part.Options(without=without))
    if allowed is not None:
        found.restrict("cell", allowed)
    return found


def masks(rows: int = ROWS):
    """Any bool (rows, 5) that leaves each row something."""
    row = st.lists(st.booleans(), min_size=5, max_size=5).filter(any)
    return st.lists(row, min_size=rows, max_size=rows).map(torch.tensor)


def assert_frequencies(drawn: torch.Tensor, expected: torch.Tensor) -> None:
    """A chi-square test at the 99.9 % point: drawn (n,) against shares."""
    counts = drawn.bincount(minlength=len(expected)).numpy()
    possible = expected.numpy() > 0
    assert counts[~possible].sum() == 0
    wanted = expected.double().numpy()[possible]
    wanted = wanted / wanted.sum() * len(drawn)
    assert chisquare(counts[possible], wanted).pvalue > 0.001


def test_gumbel_noise_has_the_moments_of_its_law():
    noise = sampling.gumbel((200_000,), seeded())
    assert noise.isfinite().all()
    assert noise.mean().item() == pytest.approx(np.euler_gamma, abs=0.01)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, rel=0.02)


def test_gumbel_noise_is_drawn_again_where_it_is_not_finite(monkeypatch):
    real = torch.Tensor.exponential_
    calls = []

    def zero_at_first(self, *, generator):
        calls.append(1)
        return self.zero_() if len(calls) == 1 else real(self, generator=generator)

    monkeypatch.setattr(torch.Tensor, "exponential_", zero_at_first)
    assert sampling.gumbel((4,), seeded()).isfinite().all()
    assert len(calls) == 2


def test_the_arg_max_of_noisy_logits_follows_their_softmax():
    p = torch.tensor([0.5, 0.25, 0.15, 0.1])
    noisy = p.log() + sampling.gumbel((40_000, 4), seeded(1))
    assert_frequencies(noisy.argmax(-1), p)


@settings(deadline=None)
@given(seed=st.integers(0, 1000), tau=st.sampled_from([0.1, 1.0, 10.0]))
def test_straight_through_is_one_hot_in_value_and_soft_in_gradient(seed, tau):
    logits = torch.randn(ROWS, OPERATIONS, generator=seeded(seed)).requires_grad_()
    soft = (logits / tau).softmax(-1)
    chosen = torch.randint(5, (ROWS,), generator=seeded(seed))
    hard = sampling.straight_through(soft, chosen)
    assert torch.equal(hard, torch.eye(5)[chosen]), "to the last bit"
    slopes = torch.randn(ROWS, OPERATIONS, generator=seeded(seed + 1))
    (found,) = torch.autograd.grad(hard, logits, slopes, retain_graph=True)
    (expected,) = torch.autograd.grad(soft, logits, slopes)
    assert torch.equal(found, expected)


def test_uniform_draws_are_uniform_on_every_row():
    whole, generator = space(), seeded(2)
    drawn = torch.stack(
        [sampling.uniform(whole, generator)["cell"] for _ in range(5000)]
    )
    for row in drawn.T:
        assert_frequencies(row, torch.full((5,), 0.2))
    pairs = drawn[:, 0] * 5 + drawn[:, 5]
    assert_frequencies(pairs, torch.full((25,), 0.04))


@settings(deadline=None)
@given(allowed=masks(), seed=st.integers(0, 1000))
def test_no_draw_takes_what_a_row_may_not_take(allowed, seed):
    limited, generator = space(allowed=allowed), seeded(seed)
    shares = {"cell": torch.rand(ROWS, 5, generator=generator) + 0.01}
    for choice in (
        sampling.uniform(limited, generator),
        sampling.uniform(limited, generator, unless_all="none"),
        sampling.categorical(limited, shares, generator),
        *sampling.likeliest(limited, shares, 3),
    ):
        assert allowed[range(ROWS), choice["cell"]].all()


def test_nodes_drawn_anew_are_even_over_what_is_left():
    """Node 1 has four choices, node 2 has 24, node 3 has 124: all but only none."""
    whole, generator = space(), seeded(3)
    drawn = torch.stack(
        [
            sampling.uniform(whole, generator, unless_all="none")["cell"]
            for _ in range(3000)
        ]
    )
    for rows in ((0,), (1, 2), (3, 4, 5)):
        codes = sum(drawn[:, row] * 5**place for place, row in enumerate(rows))
        even = torch.ones(5 ** len(rows))
        even[0] = 0
        assert_frequencies(codes, even / even.sum())


def test_a_node_that_can_only_be_empty_stays_so():
    allowed = torch.ones(ROWS, 5, dtype=torch.bool)
    allowed[1:3, 1:] = False
    choice = sampling.uniform(space(allowed=allowed), seeded(), unless_all="none")
    assert choice["cell"][1:3].tolist() == [0, 0]
    assert choice["cell"][0] != 0


def test_categorical_draws_follow_the_shares():
    whole, generator = space(), seeded(4)
    shares = torch.rand(ROWS, 5, generator=generator).softmax(-1)
    drawn = torch.stack(
        [
            sampling.categorical(whole, {"cell": shares}, generator)["cell"]
            for _ in range(4000)
        ]
    )
    for row, expected in zip(drawn.T, shares, strict=True):
        assert_frequencies(row, expected)


@pytest.mark.parametrize("without", [(), ("none", "avg_pool_3x3")])
def test_the_likeliest_are_those_of_an_enumeration(without):
    limited = space(without=without)
    p = torch.randn(ROWS, 5, generator=seeded(5), dtype=torch.float64).softmax(-1)
    kept = [o for o in range(5) if limited.operations[o] not in without]
    log_p = p.log().tolist()
    everything = sorted(
        itertools.product(kept, repeat=ROWS),
        key=lambda columns: -sum(log_p[row][o] for row, o in enumerate(columns)),
    )
    found = sampling.likeliest(limited, {"cell": p}, 100)
    assert [tuple(choice["cell"].tolist()) for choice in found] == everything[:100]


def test_all_architectures_are_there_if_all_are_asked_for():
    shares = {"cell": torch.rand(6, 5, generator=seeded(6)) + 0.01}
    found = sampling.likeliest(space(without=("none",)), shares, 9999)
    assert len({tuple(choice["cell"].tolist()) for choice in found}) == 4**6


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_a_choice_is_the_same_as_string_as_weights_and_as_what_runs(columns):
    whole, choice = space(), {"cell": torch.tensor(columns)}
    text = sampling.encoded(whole, choice)
    names = whole.decode(text)["cell"]
    assert [whole.operations.index(name) for name in names] == columns
    weights = sampling.one_hots(whole, choice, torch.zeros(1, dtype=torch.float64))
    assert weights["cell"].dtype == torch.float64
    assert weights["cell"].equal(whole.discrete_weights(text)["cell"].double())
    assert sampling.running(choice) == {"cell": [(column,) for column in columns]}
