"""DrNAS: draws from Dirichlet distributions, KL, and stages that widen the supernet."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Dirichlet, kl_divergence
from torch.nn.functional import cross_entropy, elu, one_hot

from searchjobs.engine.compose import compose
from searchjobs.engine.methods import _dirichlet as dirichlet
from searchjobs.engine.optimisation import cosine
from searchjobs.engine.parallel import ALONE
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny
from ..ranks import on_ranks
from ..test_resume import run_until, told

ALPHA = torch.tensor([-1.0, -0.2, 0.0, 0.7, 1.5], dtype=torch.float64)
MASKED = torch.tensor([True, False, True, True, False])
PROGRESSIVE = {"progressive": True}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def spec_of(options=None, **changes):
    data = {
        "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
        "method": {"name": "drnas", **(options or {})},
        "selection": {"name": "full"},
        "training": {"epochs": 4, "batch_size": 50, "warmup_epochs": 1},
    }
    for section, values in changes.items():
        data[section] = {**data.get(section, {}), **values}
    return tiny(**data)


# -- draws ----------------------------------------------------------------------------


def test_draws_come_from_the_stream_and_leave_the_default_generator_alone():
    table = ALPHA.expand(6, 5)
    before, stream = torch.get_rng_state(), seeded(3)
    one = [dirichlet.drawn(table, None, stream) for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    again = seeded(3)
    first = dirichlet.drawn(table, None, again)
    saved = again.get_state()
    rest = [dirichlet.drawn(table, None, again) for _ in range(2)]
    assert all(map(torch.equal, one, [first, *rest]))
    assert not torch.equal(one[0], one[1])
    other = seeded(9)
    other.set_state(saved)
    assert torch.equal(dirichlet.drawn(table, None, other), one[1])


def test_the_default_generator_is_put_back_after_an_error():
    before = torch.get_rng_state()

    def fails():
        with dirichlet.drawing_from(seeded(3)):
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mask", [None, MASKED])
def test_mean_and_variance_are_those_of_the_distribution(mask):
    """Over what a row may take, it is the Dirichlet distribution of those alone."""
    count = 40_000
    allowed = None if mask is None else mask.expand(count, 5)
    found = dirichlet.drawn(ALPHA.expand(count, 5), allowed, seeded(1))
    chosen = torch.ones(5, dtype=torch.bool) if mask is None else mask
    expected = Dirichlet((elu(ALPHA) + 1)[chosen])
    assert (found[:, ~chosen] == 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(count).double())
    error = (expected.variance / count).sqrt()
    distance = (found[:, chosen].mean(0) - expected.mean).abs()
    assert (distance < 4 * error).all()
    torch.testing.assert_close(
        found[:, chosen].var(0), expected.variance, rtol=0.05, atol=0
    )
    alpha = ALPHA.unsqueeze(0)
    means = dirichlet.mean(alpha, None if mask is None else mask.unsqueeze(0))[0]
    torch.testing.assert_close(means[chosen], expected.mean)
    assert (means[~chosen] == 0).all()


@pytest.mark.parametrize("mask", [None, MASKED])
def test_the_pathwise_gradient_is_that_of_the_mean(mask):
    """The gradient of a draw, averaged, against finite differences of the mean."""
    count, step = 60_000, 1e-4
    slopes = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0]).double()

    def of_mean(alpha):
        allowed = None if mask is None else mask.unsqueeze(0)
        return dirichlet.mean(alpha.unsqueeze(0), allowed)[0] @ slopes

    table = ALPHA.expand(count, 5).clone().requires_grad_()
    allowed = None if mask is None else mask.expand(count, 5)
    drawn = dirichlet.drawn(table, allowed, seeded(2)) @ slopes
    (gradients,) = torch.autograd.grad(drawn.sum(), table)
    offsets = step * torch.eye(5).double()
    expected = torch.stack(
        [(of_mean(ALPHA + d) - of_mean(ALPHA - d)) / (2 * step) for d in offsets]
    )
    error = gradients.std(0) / count**0.5
    assert ((gradients.mean(0) - expected).abs() <= 4 * error + 1e-9).all()
    if mask is not None:
        assert (gradients[:, ~mask] == 0).all()
    assert expected.abs().max() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    centre=st.floats(-6, 6),
    keep=st.integers(1, 5),
    single=st.booleans(),
)
def test_mixtures_lie_on_the_simplex_of_what_is_allowed(seed, centre, keep, single):
    generator = seeded(seed)
    dtype = torch.float32 if single else torch.float64
    table = centre + torch.randn(6, 5, generator=generator, dtype=dtype)
    order = torch.rand(6, 5, generator=generator).argsort(-1)
    allowed = order < keep
    drawn = dirichlet.drawn(table, allowed, generator)
    for mixture in (drawn, dirichlet.mean(table, allowed)):
        assert (mixture[~allowed] == 0).all()
        assert (mixture >= 0).all()
        torch.testing.assert_close(mixture.sum(-1), torch.ones(6, dtype=dtype))


def test_the_divergence_is_the_closed_form():
    """ln G(S) - ln G(O) - sum of ln G(c) + sum of (c - 1)(psi(c) - psi(S))."""
    table = torch.stack((ALPHA, -ALPHA)).requires_grad_()
    c = elu(table) + 1
    total = c.sum(-1, keepdim=True)
    expected = (
        total.lgamma().sum()
        - 2 * torch.tensor(5.0).double().lgamma()
        - c.lgamma().sum()
        + ((c - 1) * (c.digamma() - total.digamma())).sum()
    )
    found = dirichlet.divergence(table, None)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        found, kl_divergence(Dirichlet(c), Dirichlet(torch.ones_like(c))).sum()
    )
    assert dirichlet.divergence(torch.zeros(6, 5), None).abs() < 1e-5
    slopes = torch.autograd.grad(found, table)[0]
    theirs = torch.autograd.grad(expected, table)[0]
    torch.testing.assert_close(slopes, theirs)


# -- steps ----------------------------------------------------------------------------


def prepared(options=None, **changes):
    run = compose(spec_of(options, **changes))
    ids = run.initial_sets
    return run, run.data.batch(ids["T"][:20]), run.data.batch(ids["V"][:20])


def test_every_forward_draws_anew_and_measurements_use_the_mean():
    run, train, _ = prepared()
    first, second = (run.method.edge_weights()["cell"] for _ in range(2))
    assert not torch.equal(first, second)
    alpha = run.method.alpha()["cell"]
    c = elu(alpha) + 1
    strengths = run.method.strengths()["cell"]
    torch.testing.assert_close(strengths, c / c.sum(-1, keepdim=True))
    assert torch.equal(strengths.argmax(-1), alpha.argmax(-1))
    run.method.start_epoch(2)
    same = run.method.weight_half(train)[0].loss
    assert run.method.weight_half(train)[0].loss != same


@pytest.mark.parametrize("regulariser", ["l2", "kl"])
def test_the_step_of_alpha_is_adam_on_the_drawn_loss_and_its_regulariser(regulariser):
    training = {"alpha_weight_decay": 0.5, "alpha_lr": 0.1}
    run, _, valid = prepared({"regulariser": regulariser}, training=training)
    stream = seeded(0)
    stream.set_state(run.streams.on_device("dirichlet").get_state())
    alpha = run.method.alpha()["cell"].clone().requires_grad_()
    decay = 0.5 if regulariser == "l2" else 0.0
    adam = torch.optim.Adam([alpha], 0.1, (0.5, 0.999), weight_decay=decay)
    for _ in range(3):
        mixture = {"cell": dirichlet.drawn(alpha, None, stream)}
        loss = cross_entropy(run.supernet(valid.images, mixture), valid.labels)
        if regulariser == "kl":
            anchor = Dirichlet(torch.ones(6, 5))
            loss = loss + 0.5 * kl_divergence(Dirichlet(elu(alpha) + 1), anchor).sum()
        adam.zero_grad()
        loss.backward(inputs=[alpha])
        adam.step()
        run.method.architecture_step(valid, ())
    torch.testing.assert_close(run.method.alpha()["cell"], alpha.detach())


# -- stages ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged():
    """Six epochs in two stages, K from 4 to 2, operations from 5 to 3."""
    spec = spec_of(PROGRESSIVE, training={"epochs": 6})
    return spec, list(search(spec))


def test_stages_prune_operations_warm_up_anew_and_share_a_schedule(staged):
    spec, events = staged
    reports = epochs_of(events)
    assert [r.method.stage for r in reports] == [1, 1, 1, 2, 2, 2]
    assert [r.architecture_steps for r in reports] == [0, 2, 2, 0, 2, 2]
    for report in reports[:3]:
        assert all(all(row) for row in report.method.allowed["cell"])
    best = torch.tensor(reports[2].alpha["cell"]).topk(3, dim=-1).indices
    kept = one_hot(best, 5).sum(1).bool()
    for report in reports[3:]:
        assert report.method.allowed["cell"] == kept.tolist()
        strengths = torch.tensor(report.strengths["cell"])
        assert (strengths[~kept] == 0).all()
        torch.testing.assert_close(strengths.sum(-1), torch.ones(6))
        chosen = strengths.argmax(-1)
        assert kept[torch.arange(6), chosen].all()
    rates = [r.learning_rates["weights"] for r in reports]
    high, low = spec.training.weight_lr, spec.training.weight_lr_min
    assert rates == [cosine(epoch, 6, high, low) for epoch in range(1, 7)]


def test_a_progressive_search_costs_what_its_plan_says(staged):
    spec, events = staged
    assert plan(spec).architecture_steps == [0, 2, 2, 0, 2, 2]
    assert epochs_of(events)[-1].cost_units == plan(spec).cost_units


@pytest.mark.parametrize("stop", [3, 4])
def test_a_progressive_search_resumes_bit_identically(staged, tmp_path, stop):
    """Before the supernet widens, and after it."""
    spec, events = staged
    first = run_until(spec, tmp_path, stop)
    rest = list(search(spec, tmp_path, resume=True))
    assert told(first) + told(rest) == told(events)


@pytest.fixture(scope="module")
def grown():
    """A search at the start of stage 2, and its supernet and momentum before it."""
    spec = spec_of(
        PROGRESSIVE,
        space={"channels": 8, "affine": True, "track_running_stats": True},
    )
    run = compose(spec)
    run.method.start_epoch(1)
    run.supernet.train()
    for first in (0, 20):
        batch = run.data.batch(run.initial_sets["T"][first : first + 20])
        run.method.weight_step(batch)
    narrow, optimiser = run.supernet, run.method.weights.optimiser
    momenta = {
        name: optimiser.state[parameter]["momentum_buffer"].clone()
        for name, parameter in narrow.named_parameters()
    }
    assert run.method.start_epoch(3)
    return run, narrow, momenta


def sources_of(wide, narrow, dimension):
    """Which channel of a narrow weight each channel of the wide one copies."""
    other = 1 - dimension
    kept = wide.index_select(other, torch.arange(narrow.shape[other]))
    wanted = narrow.movedim(dimension, 0).flatten(1)
    given = kept.movedim(dimension, 0).flatten(1)
    return (given.unsqueeze(1) == wanted).all(-1).int().argmax(-1)


def test_the_supernet_doubles_the_channels_of_its_operations_and_nothing_else(grown):
    run, narrow, _ = grown
    before, after = narrow.state_dict(), run.supernet.state_dict()
    assert before["body.0.nor_conv_3x3.0.weight"].shape == (2, 2, 3, 3)
    assert after["body.0.nor_conv_3x3.0.weight"].shape == (4, 4, 3, 3)
    same = [name for name in after if "nor_conv" not in name]
    assert len(same) > 10
    for name in same:
        assert torch.equal(after[name], before[name]), name


def test_old_channels_stay_and_new_ones_copy_weights_statistics_and_momentum(grown):
    run, narrow, momenta = grown
    before, after = narrow.state_dict(), run.supernet.state_dict()
    parameters = dict(run.supernet.named_parameters())
    state = run.method.weights.optimiser.state
    drawn = set()
    for name in [n for n in after if "nor_conv" in n and n.endswith(".weight")]:
        outputs = sources_of(after[name], before[name], 0)
        inputs = sources_of(after[name], before[name], 1)
        old = torch.arange(len(before[name]))
        assert outputs[: len(old)].equal(old)
        assert inputs[: len(old)].equal(old)
        drawn.add((*outputs.tolist(), *inputs.tolist()))
        assert after[name].equal(before[name][outputs][:, inputs])
        found = state[parameters[name]]["momentum_buffer"]
        assert found.equal(momenta[name][outputs][:, inputs])
        for field in ("gamma", "beta", "running_mean", "running_var"):
            other = name.replace("weight", field)
            assert after[other].equal(before[other][outputs]), other
            if field in ("gamma", "beta"):
                found = state[parameters[other]]["momentum_buffer"]
                assert found.equal(momenta[other][outputs])
    assert len(drawn) > 5, "every convolution draws its own"


def test_a_widened_operation_keeps_its_function_on_the_old_channels(grown):
    """As far as the paper's rule does: new inputs add to it, so they are zero here;
    each new output is that of the channel it copies, whatever comes in."""
    run, narrow, _ = grown
    wide_edge = run.supernet.body[0].nor_conv_3x3[2]
    narrow_edge = narrow.body[0].nor_conv_3x3[2]
    x = torch.rand(5, 4, 6, 6, generator=seeded(1))
    silent = torch.cat((x[:, :2], torch.zeros(5, 2, 6, 6)), dim=1)
    scale = torch.ones(4)
    for edge in (wide_edge, narrow_edge):
        edge.eval()
    expected = narrow_edge(x[:, :2], scale[:2])
    torch.testing.assert_close(wide_edge(silent, scale)[:, :2], expected)
    outputs = sources_of(wide_edge.weight, narrow_edge.weight, 0)
    full = wide_edge(x, scale)
    torch.testing.assert_close(full, full[:, outputs])


def test_errors_are_measured_anew_once_the_supernet_is_another_one():
    """Stage 2 begins in the middle of the second window: neither set loses samples
    there, as the plan says."""
    spec = spec_of(
        PROGRESSIVE,
        training={"epochs": 6, "warmup_epochs": 0},
        selection={
            "name": "bdp",
            "window": 2,
            "prune_train": 0.2,
            "prune_valid": 0.2,
            "class_limit": False,
        },
    )
    reports = epochs_of(list(search(spec)))
    for name in ("T", "V"):
        sizes = [report.sets[name].remaining for report in reports]
        assert sizes == plan(spec).remaining[name][1:]
        assert sizes[1] == sizes[3] < 100
        assert sizes[5] < sizes[3]


# -- several processes ----------------------------------------------------------------


def stepped(ours):
    spec = spec_of(
        PROGRESSIVE | {"regulariser": "kl"},
        training={"warmup_epochs": 0},
        compute={"devices": ours.size, "precision": "double"},
    )
    run = compose(spec)
    ids = run.initial_sets
    for epoch in (2, 3):
        run.method.start_epoch(epoch)
        run.method.weight_step(run.data.batch(ids["T"][:31]))
        run.method.architecture_step(run.data.batch(ids["V"][:31]), ())
    tables = [table.numpy() for table in run.method.alpha().values()]
    return tables + [p.detach().numpy() for p in run.supernet.parameters()]


def test_two_processes_draw_widen_and_step_as_one():
    expected = stepped(ALONE)
    first, second = on_ranks(stepped)
    for one, other, alone in zip(first, second, expected, strict=True):
        assert (one == other).all()
        assert abs(one - alone).max() < 1e-9


# -- what cannot be run ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "changes", "sentence"),
    [
        ({"operations": [3, 5]}, {}, "must fall from stage to stage"),
        ({"operations": [5, 3, 2]}, {}, "has 2 values for 3 stages; give one a"),
        ({"partial": [2, 4]}, {}, "must not rise"),
        ({"operations": [4, 3]}, {}, "searches all 5 operations of an edge, not 4"),
        ({"partial": [3, 1]}, {}, "4 channels cannot be parted in 3 equal groups"),
        ({}, {"training": {"warmup_epochs": 2}}, "2 stages share 4 epochs"),
    ],
)
def test_stages_that_do_not_fit_are_refused_in_a_sentence(options, changes, sentence):
    with pytest.raises(SpecError, match=sentence) as caught:
        spec_of(PROGRESSIVE | options, **changes)
    assert len(caught.value.problems) == 1
