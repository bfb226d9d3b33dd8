"""The proxy data of Na et al.: weights by hand, the draw by its own law."""

from __future__ import annotations

import math

import pytest
import torch

from searchjobs.engine.selection.entropy_histogram import (
    draw_keys,
    entropies,
    log_likelihoods,
)

from .pools import digits, pool_of, scores_of

#: log10 is -0.75 three times, -0.25 twice, 0 once and on a border: bins of 3, 2, 1.
ENTROPIES = 10 ** torch.tensor([-0.75, -0.25, -0.75, 0.0, -0.25, -0.75]).double()


@pytest.mark.parametrize(
    ("weights", "by_bin"),
    [
        # P1: max h - h + 1 = 1, 2, 3, of 6; P2: alike; P3: 1/3, 1/2, 1, of 11/6
        ("P1", (1 / 6, 2 / 6, 3 / 6)),
        ("P2", (1 / 3, 1 / 3, 1 / 3)),
        ("P3", (2 / 11, 3 / 11, 6 / 11)),
    ],
)
def test_the_weight_of_a_bin_is_shared_by_its_samples(weights, by_bin):
    found = log_likelihoods(ENTROPIES, weights, 0.5).exp()
    low, middle, top = by_bin[0] / 3, by_bin[1] / 2, by_bin[2]
    expected = [low, middle, low, top, middle, low]
    assert found.tolist() == pytest.approx(expected)
    assert float(found.sum()) == pytest.approx(1)


def test_a_value_on_a_border_belongs_to_the_bin_above():
    found = log_likelihoods(torch.tensor([1.0, 10**0.4, 10**-0.1]).double(), "P2", 0.5)
    assert found.exp().tolist() == pytest.approx([0.25, 0.25, 0.5])


def test_an_entropy_of_zero_counts_as_the_least_there_is():
    found = log_likelihoods(torch.tensor([0.0, 1e-30, 0.5]).double(), "P2", 0.5)
    assert found.exp().tolist() == pytest.approx([0.25, 0.25, 0.5])


def test_entropies_run_from_certainty_to_the_logarithm_of_the_classes():
    found = entropies(torch.tensor([[0.0, 0.0, 0.0], [200.0, 0.0, 0.0]]))
    assert found.tolist() == pytest.approx([math.log(3), 0], abs=1e-12)


def test_the_draw_takes_one_after_the_other_by_their_likelihoods():
    likelihoods = torch.tensor([0.5, 0.3, 0.2]).double()
    generator = torch.Generator().manual_seed(1)
    many = likelihoods.log().expand(20_000, 3)
    order = draw_keys(many, generator).argsort(1, descending=True)
    firsts = order[:, 0].bincount(minlength=3) / 20_000
    assert firsts.tolist() == pytest.approx(likelihoods.tolist(), abs=0.015)
    # once 0 is taken, the others are drawn by what is left: 0.3 and 0.2 of 0.5
    seconds = order[order[:, 0] == 0, 1].bincount(minlength=3) / firsts[0] / 20_000
    assert seconds.tolist() == pytest.approx([0, 0.6, 0.4], abs=0.015)


def test_the_samples_that_are_drawn_stay():
    pool = pool_of(digits())
    found = scores_of("entropy-histogram", pool, epochs=1, channels=2)
    likelihoods = log_likelihoods(torch.from_numpy(found.columns["entropy"]), "P1", 0.5)
    again = draw_keys(likelihoods, pool_of(digits()).streams["reduction/T/draw"])
    assert torch.equal(found.values, -again)


def test_tails_come_more_often_by_p1_than_evenly():
    generator = torch.Generator().manual_seed(1)
    spread = 10 ** (torch.randn(2000, generator=generator).double() - 1)
    even = torch.full((2000,), 1 / 2000, dtype=torch.float64)
    away = (spread.log10() + 1).abs() > 2
    found = log_likelihoods(spread, "P1", 0.5).exp()
    assert found[away].sum() > 5 * even[away].sum()
