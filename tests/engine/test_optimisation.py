"""Schedules and optimisers (methods spec sections 0, 5.3, 12.3 and 12.6)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from searchjobs.engine.optimisation import Rates, WeightOptimiser, cosine, rates
from searchjobs.engine.plan import plan
from searchjobs.engine.search import search
from searchjobs.engine.sections import Training

from .conftest import epochs_of, tiny

RATE = st.floats(1e-5, 1.0)


@st.composite
def trainings(draw: Any) -> Training:
    """Any learning rates and lengths that the spec admits."""
    epochs = draw(st.integers(1, 60))
    high, alpha = draw(RATE), draw(RATE)
    longer = draw(st.integers(0, 40))
    return Training(
        epochs=epochs,
        schedule_epochs=epochs + longer if longer else 0,
        weight_lr=high,
        weight_lr_min=high * draw(st.floats(0, 1)),
        alpha_lr=alpha,
        alpha_lr_min=draw(st.none() | st.floats(0, 1).map(lambda s: s * alpha)),
        exchange=draw(st.sampled_from(["off", "schedules", "values"])),
    )


def every_epoch(training: Training) -> list[Rates]:
    return [rates(training, epoch) for epoch in range(1, training.epochs + 1)]


def test_the_cosine_starts_high_and_ends_almost_low():
    assert cosine(1, 50, 0.025, 0.001) == 0.025
    assert cosine(50, 50, 0.025, 0.001) == pytest.approx(0.00102, abs=5e-6)


def test_a_weight_step_is_nesterov_sgd_on_the_clipped_gradient():
    torch.manual_seed(0)
    ours, reference = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    reference.load_state_dict(ours.state_dict())
    training = Training(weight_lr=0.1, weight_lr_min=0.01, epochs=5, clip=0.5)
    optimiser = WeightOptimiser(ours, training)
    plain = torch.optim.SGD(
        reference.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True
    )
    images = torch.randn(6, 4, dtype=torch.float64)
    for epoch in range(1, 6):
        optimiser.start_epoch(epoch)
        loss = ours(images).square().sum()
        optimiser.step(torch.autograd.grad(loss, optimiser.parameters))
        plain.param_groups[0]["lr"] = cosine(epoch, 5, 0.1, 0.01)
        plain.zero_grad()
        reference(images).square().sum().backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        plain.step()
    assert optimiser.learning_rate == plain.param_groups[0]["lr"]
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@given(trainings())
def test_no_rate_ever_rises_whatever_is_exchanged(training):
    """The trap of 5.3: an end of 0.001 above an exchanged start of 3e-4."""
    found = every_epoch(training)
    for before, after in pairwise(found):
        assert after.weights <= before.weights * (1 + 1e-12)
        assert after.architecture <= before.architecture * (1 + 1e-12)
    assert min(found[-1]) >= 0


@given(trainings())
def test_exchanged_schedules_are_those_of_the_other_level(training):
    off = every_epoch(training.model_copy(update={"exchange": "off"}))
    exchanged = every_epoch(training.model_copy(update={"exchange": "schedules"}))
    assert exchanged == [Rates(alpha, weights) for weights, alpha in off]


@given(trainings())
def test_exchanged_values_start_as_the_other_level_and_keep_their_own_shape(training):
    found = every_epoch(training.model_copy(update={"exchange": "values"}))
    assert found[0].weights == pytest.approx(training.alpha_lr)
    assert found[0].architecture == pytest.approx(training.weight_lr)
    if training.alpha_lr_min is None:
        assert {each.architecture for each in found} == {training.weight_lr}
    length = training.schedule_epochs or training.epochs
    end = min(training.weight_lr_min, training.alpha_lr)
    for epoch, each in enumerate(found, start=1):
        expected = cosine(epoch, length, training.alpha_lr, end)
        assert each.weights == pytest.approx(expected)


def test_the_exchange_with_the_defaults_is_that_of_the_paper():
    found = every_epoch(Training(exchange="schedules"))
    assert {each.weights for each in found} == {3e-4}
    assert found[0].architecture == 0.025
    assert found[-1].architecture == pytest.approx(0.00102, abs=5e-6)
    values = every_epoch(Training(exchange="values"))
    assert values[0] == values[-1] == Rates(3e-4, 0.025)


def test_a_longer_schedule_is_cut_off_and_a_stage_has_its_own():
    training = Training(epochs=25, schedule_epochs=50, alpha_lr=0.1, alpha_lr_min=0.0)
    assert rates(training, 25).weights == cosine(25, 50, 0.025, 0.001)
    assert rates(training, 25).architecture == cosine(25, 50, 0.1, 0.0)
    assert rates(training, 3, 10).weights == cosine(3, 10, 0.025, 0.001)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight_lr": 3e-4}, "Final weight learning rate (0.001) is above"),
        ({"alpha_lr_min": 1e-3}, "Final alpha learning rate (0.001) is above"),
        ({"schedule_epochs": 20}, "the rates would rise again"),
        ({"warmup_epochs": 50}, "leaves none of the 50 to train alpha in"),
    ],
)
def test_a_schedule_that_would_rise_is_refused_in_a_sentence(given, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        Training(**given)


@pytest.mark.parametrize("exchange", ["off", "schedules", "values"])
def test_a_search_steps_at_the_rates_that_it_reports(exchange):
    """Scaled to a number of weight steps, of which few images make too few."""
    training = {"epochs": 2, "exchange": exchange, "weight_lr_steps": 40}
    spec = tiny(selection={"name": "full"}, training=training)
    scale = 40 / sum(plan(spec).weight_steps)
    for report in epochs_of(list(search(spec))):
        expected = rates(spec.training, report.epoch)
        assert report.learning_rates == {
            "weights": pytest.approx(scale * expected.weights),
            "architecture": pytest.approx(expected.architecture),
        }


class TwoShares(nn.Module):
    """Two numbers under a softmax, as the example of EX-/SS-DARTS, section 2.2."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([0.001, 0.001], dtype=torch.float64))


@pytest.mark.parametrize(("rate", "steps"), [(0.001, 34), (0.01, 44)])
def test_a_larger_rate_takes_longer_to_turn_back_as_the_paper_computes(rate, steps):
    """dl/dy = [1, -1] for 25 steps, then [-1, 1]: so many until the order turns."""
    net = TwoShares()
    plain = Training(
        weight_lr=rate,
        weight_lr_min=rate,
        momentum=0.9,
        nesterov=False,
        weight_decay=0,
        clip=0,
    )
    optimiser = WeightOptimiser(net, plain)
    optimiser.start_epoch(1)

    def step(of_y: list[float]) -> None:
        loss = net.x.softmax(0) @ torch.tensor(of_y, dtype=torch.float64)
        optimiser.step(torch.autograd.grad(loss, optimiser.parameters))

    for _ in range(25):
        step([1, -1])
    assert net.x[0] < net.x[1]
    taken = 0
    while net.x[0] < net.x[1]:
        step([-1, 1])
        taken += 1
    assert taken == steps
