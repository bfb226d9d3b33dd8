"""ENAS: the controller against an enumeration, the update against brute force."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from searchjobs.engine.methods import _controller
from searchjobs.engine.methods._controller import Controller
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search as run
from searchjobs.engine.spec import SearchSpec

from ..conftest import epochs_of, tiny
from ..test_sampling import assert_frequencies
from .paths import convolutions_run, wanted
from .prepared import assert_unchanged, prepared, state_of

SMALL = {"updates": 2, "samples": 3}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def controller(allowed=None, *, sharp=True):
    """Three rows of three operations, far from even, in double precision."""
    allowed = torch.ones(3, 3, dtype=torch.bool) if allowed is None else allowed
    made = Controller(allowed, seeded()).double()
    if sharp:
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(8)
    return made


def everything(rows=3, columns=3):
    return torch.tensor(list(itertools.product(range(columns), repeat=rows)))


# -- the controller -------------------------------------------------------------------


def test_the_probabilities_of_all_architectures_sum_to_one():
    p = controller().judge(everything()).log_probability.exp()
    assert p.sum().item() == pytest.approx(1)
    assert p.max() > 3 * p.min(), "nothing to be seen in an even distribution"


def test_drawing_and_judging_agree():
    made = controller()
    drawn = made.sample(50, seeded(1))
    judged = made.judge(drawn.columns)
    torch.testing.assert_close(judged.log_probability, drawn.log_probability)
    torch.testing.assert_close(judged.entropy, drawn.entropy)


def test_draws_follow_the_probabilities():
    made, codes = controller(), torch.tensor([9, 3, 1])
    p = made.judge(everything()).log_probability.exp().detach()
    assert_frequencies(made.sample(20_000, seeded(2)).columns @ codes, p)


def test_mean_entropy_of_the_rows_is_the_entropy_of_the_whole():
    """The chain rule: H(pi) is the mean of the summed conditional entropies."""
    judged = controller().judge(everything())
    p = judged.log_probability.exp()
    whole = -(p * judged.log_probability).sum().item()
    assert (p * judged.entropy).sum().item() == pytest.approx(whole)


def test_logits_stay_within_their_bound():
    made = controller(torch.ones(1, 3, dtype=torch.bool))
    with torch.no_grad():
        made.head.bias.copy_(torch.tensor([1e6, -1e6, 0]))
    log_p = made.judge(everything(1)).log_probability
    assert (log_p[0] - log_p[1]).item() == pytest.approx(2 * 2.5)


def test_it_begins_within_a_tenth_of_zero_and_moves_no_other_random_state():
    before = torch.get_rng_state()
    made = Controller(torch.ones(6, 5, dtype=torch.bool), seeded())
    assert torch.equal(torch.get_rng_state(), before)
    values = torch.cat([p.detach().flatten() for p in made.parameters()])
    assert values.abs().max() <= 0.1
    assert values.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)


def test_marginals_are_those_of_an_enumeration():
    made = controller()
    p = made.judge(everything()).log_probability.exp()
    expected = torch.zeros(3, 3).double()
    for columns, share in zip(everything(), p, strict=True):
        expected[range(3), columns] += share
    torch.testing.assert_close(made.marginals(), expected.detach())


def test_marginals_of_a_large_space_are_near_those_of_an_enumeration(monkeypatch):
    made = controller()
    exact = made.marginals()
    monkeypatch.setattr(_controller, "BEGINNINGS", 5)
    assert not torch.equal(made.marginals(), exact)
    monkeypatch.setattr(_controller, "BEGINNINGS", 8)
    found = made.marginals()
    torch.testing.assert_close(found.sum(-1), torch.ones(3).double())
    torch.testing.assert_close(found, exact, atol=0.3, rtol=0)
    assert torch.equal(made.marginals(), found), "the same noise at every call"


def test_what_is_not_allowed_is_never_drawn_and_has_finite_gradients():
    allowed = torch.tensor([[True, False, True]] * 3)
    made = controller(allowed)
    drawn = made.sample(200, seeded())
    assert (drawn.columns != 1).all()
    loss = (drawn.log_probability + drawn.entropy).sum()
    for gradient in torch.autograd.grad(loss, list(made.parameters())):
        assert gradient.isfinite().all()
    assert (made.marginals()[:, 1] == 0).all()


# -- the update -----------------------------------------------------------------------


def tiny_enas(**method):
    """ENAS whose controller draws among 27 architectures, and their accuracies."""
    search, *_ = prepared("enas", method={**SMALL, **method})
    enas = search.method
    enas.controller = controller()
    accuracies = torch.rand(27, generator=seeded(3), dtype=torch.float64)
    return enas, list(enas.controller.parameters()), accuracies


def flat(gradients):
    return torch.cat([g.flatten() for g in gradients])


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_the_expected_step_is_the_gradient_of_the_expected_accuracy(baseline):
    """Over all architectures by their probability, whatever the baseline."""
    enas, parameters, accuracies = tiny_enas(entropy_weight=0)
    judged = enas.controller.judge(everything())
    p = judged.log_probability.exp()
    true = flat(torch.autograd.grad(-(p * accuracies).sum(), parameters))
    found = torch.zeros_like(true)
    for columns, share, accuracy in zip(everything(), p, accuracies, strict=True):
        enas.baseline = baseline
        loss = enas.loss(enas.controller.judge(columns[None]), [accuracy.item()])
        found += share.item() * flat(torch.autograd.grad(loss, parameters))
    torch.testing.assert_close(found, true, rtol=1e-7, atol=1e-10)
    assert true.norm() > 1e-3


def test_the_entropy_has_a_term_of_its_own():
    enas, parameters, _ = tiny_enas(entropy_weight=0.5)
    drawn = enas.controller.sample(4, seeded())
    enas.baseline = 0.3
    found = torch.autograd.grad(enas.loss(drawn, [0.3] * 4), parameters)
    drawn = enas.controller.sample(4, seeded())
    expected = torch.autograd.grad(-0.5 * drawn.entropy.mean(), parameters)
    torch.testing.assert_close(flat(found), flat(expected))


def test_the_baseline_is_a_moving_average_that_each_reward_joins_after_its_use():
    enas, *_ = tiny_enas(baseline_decay=0.9)
    assert enas.advantages([0.5, 0.7]) == pytest.approx([0, 0.2])
    assert enas.baseline == pytest.approx(0.52)
    assert enas.advantages([0.4, 0.52]) == pytest.approx([-0.12, 0.012])
    assert enas.baseline == pytest.approx(0.9 * 0.508 + 0.1 * 0.52)


def test_the_loss_is_a_mean_over_the_architectures():
    enas, *_ = tiny_enas(entropy_weight=0.1)
    drawn = enas.controller.sample(2, seeded())
    loss = enas.loss(drawn, [0.5, 0.8])
    log_p, entropy = drawn.log_probability.tolist(), drawn.entropy.tolist()
    expected = (-log_p[1] * 0.3 - 0.1 * entropy[0] - 0.1 * entropy[1]) / 2
    assert loss.item() == pytest.approx(expected)


# -- the published code ---------------------------------------------------------------


def published(kind, accuracies, baseline=None, weight=0.1):
    enas, parameters, _ = tiny_enas(compat=kind, entropy_weight=weight)
    enas.baseline = baseline
    drawn = enas.controller.sample(len(accuracies), seeded())
    return enas, parameters, drawn, enas.loss(drawn, accuracies)


def test_as_published_the_first_epoch_knows_only_the_entropy():
    *_, drawn, loss = published("nas-bench-201", [0.2, 0.9])
    expected = -(drawn.log_probability * 0.1 * drawn.entropy).mean()
    torch.testing.assert_close(loss, expected)


def test_as_published_the_baseline_stands_still_within_an_epoch():
    *_, drawn, loss = published("nas-bench-201", [0.2, 0.9], baseline=0.5)
    rewards = torch.tensor([0.2, 0.9]).double() + 0.1 * drawn.entropy
    expected = -(drawn.log_probability * 0.99 * (rewards - 0.5)).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("kind", "kept"), [("nas-bench-201", [1]), ("nats-bench", [0, 1])]
)
def test_as_published_the_last_or_the_mean_is_kept_for_the_next_epoch(kind, kept):
    enas, _, drawn, _ = published(kind, [0.2, 0.9], baseline=0.5)
    assert enas.baseline == 0.5
    enas.end_phase()
    rewards = [
        r + 0.1 * h for r, h in zip([0.2, 0.9], drawn.entropy.tolist(), strict=True)
    ]
    all_of_them = [0.99 * 0.5 + 0.01 * reward for reward in rewards]
    expected = sum(all_of_them[place] for place in kept) / len(kept)
    assert enas.baseline == pytest.approx(expected)


def test_as_published_the_step_lowers_the_entropy_that_it_means_to_raise():
    """With all accuracies at the baseline, what is left is the entropy's term."""
    slopes = {}
    for kind in ("off", "nas-bench-201"):
        enas, _, drawn, _ = published(kind, [0.5] * 4, baseline=0.5, weight=1e-4)
        detached = drawn._replace(
            log_probability=drawn.log_probability.detach(),
            entropy=drawn.entropy.detach().requires_grad_(),
        )
        enas.baseline = 0.5
        loss = enas.loss(detached, [0.5] * 4)
        (slopes[kind],) = torch.autograd.grad(loss, detached.entropy)
    assert (slopes["off"] < 0).all()
    expected = 0.99e-4 * detached.log_probability.abs() / 4
    torch.testing.assert_close(slopes["nas-bench-201"], expected)


# -- in a search ----------------------------------------------------------------------


def test_a_weight_step_runs_one_architecture_of_the_controller():
    search, train, _ = prepared("enas", method=SMALL)
    stream = search.streams["paths"]
    for _ in range(3):
        state = stream.get_state()
        path = search.method.controller.sample(1, stream).columns[0]
        stream.set_state(state)
        counts, _ = convolutions_run(search, lambda: search.method.weight_step(train))
        assert search.method.drawn["cell"].equal(path)
        assert counts == wanted(path.tolist())


def test_training_the_controller_moves_nothing_else():
    search, train, _ = prepared("enas", method=SMALL)
    search.method.weight_step(train)
    before = state_of(search)
    was = [p.detach().clone() for p in search.method.controller.parameters()]
    phases = {progress.phase for progress in search.method.after_epoch(1)}
    assert phases == {"controller"}
    assert_unchanged(search, before)
    now = list(search.method.controller.parameters())
    assert any((a != b).any() for a, b in zip(was, now, strict=True))
    assert search.supernet.training


def test_a_weight_step_leaves_the_controller_alone():
    search, train, _ = prepared("enas", method=SMALL)
    before = search.method.alpha()["cell"].clone()
    search.method.weight_step(train)
    assert torch.equal(search.method.alpha()["cell"], before)


def test_the_page_shows_marginal_probabilities():
    search, *_ = prepared("enas", method=SMALL)
    alpha = search.method.alpha()["cell"]
    assert torch.equal(alpha, search.method.strengths()["cell"])
    torch.testing.assert_close(alpha.sum(-1), torch.ones(6).double())
    drawn = search.method.controller.sample(4000, seeded()).columns
    share = (drawn[:, 2] == 3).double().mean()
    assert alpha[2, 3].item() == pytest.approx(share.item(), abs=0.03)


def test_reports_tell_reward_baseline_and_entropy_but_not_in_a_warm_up():
    spec = tiny(
        method={"name": "enas", **SMALL},
        selection={"name": "full"},
        training={"epochs": 2, "warmup_epochs": 1},
    )
    first, second = epochs_of(list(run(spec)))
    assert first.method.scalars == {}
    scalars = second.method.scalars
    assert scalars.keys() == {"reward", "baseline", "entropy of the controller"}
    assert 0 <= scalars["reward"] <= 1
    assert scalars["entropy of the controller"] == pytest.approx(
        6 * math.log(5), abs=0.05
    )
    assert second.learning_rates["architecture"] == spec.training.alpha_lr


@pytest.mark.parametrize(("half", "again"), [(10, 0.05), (0, None)])
def test_the_weight_rate_comes_back_only_as_published(half, again):
    """Methods spec 12.3: with a half period of 10, e=20 has the rate of e=0."""
    data = {
        "method": {"name": "enas", "half_period": half, **SMALL},
        "training": {"epochs": 250, "weight_lr": 0.05, "weight_lr_min": 5e-4},
    }
    search, *_ = prepared("enas", **data)
    found = []
    for epoch in (1, 11, 21, 250):
        search.method.start_epoch(epoch)
        found.append(search.method.learning_rates()["weights"])
    assert found[0] == pytest.approx(0.05)
    if half:
        assert found[1:3] == pytest.approx([5e-4, again])
    else:
        assert found == sorted(found, reverse=True)
        assert found[-1] < 6e-4


def test_the_defaults_are_those_of_the_published_search():
    spec = SearchSpec.model_validate({"method": {"name": "enas"}})
    training, method = spec.training, spec.method
    assert (training.epochs, training.batch_size, training.clip) == (250, 128, 5)
    assert (training.weight_lr, training.weight_lr_min) == (0.05, 5e-4)
    assert training.weight_decay == 2.5e-4
    assert training.nesterov
    assert (training.alpha_lr, training.alpha_beta1, training.alpha_beta2) == (
        1e-3,
        0,
        0.999,
    )
    assert (method.updates, method.samples, method.entropy_weight) == (50, 20, 1e-4)
    assert (method.baseline_decay, method.compat) == (0.99, "off")
    assert spec.derivation.name == "sampled"


def test_there_is_no_learning_rate_to_exchange():
    with pytest.raises(SpecError, match="switch the exchange off"):
        tiny(method={"name": "enas"}, training={"exchange": "values"})
