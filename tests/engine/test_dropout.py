"""Dropout behind identities: exact, never while something is measured, and the same
mask however many processes share a batch."""

from __future__ import annotations

import pytest
import torch

from searchjobs.engine import parallel
from searchjobs.engine.compose import compose
from searchjobs.engine.diagnostics.accuracy import probe_batches, supernet_accuracy
from searchjobs.engine.diagnostics.eigenvalue import alpha_hessian
from searchjobs.engine.diagnostics.statistics import batch_statistics
from searchjobs.engine.dropout import drop
from searchjobs.engine.shared_norm import over_all_processes
from searchjobs.engine.spaces.nas_bench_201.cell import SearchCell, prepare
from searchjobs.engine.spaces.nas_bench_201.encoding import FOUR, OPERATIONS

from .conftest import tiny
from .ranks import on_ranks

SKIP = OPERATIONS.index("skip_connect")


def seeded(seed=4):
    return torch.Generator().manual_seed(seed)


def dropping(share=0.4, **changes):
    """A search whose identities are dropped, as a method would have it."""
    search = compose(tiny(**changes))
    search.supernet.skip_dropout = share
    search.supernet.noise = search.streams.on_device("skip dropout")
    return search


@pytest.mark.parametrize("share", [0.1, 0.2, 0.7])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(share):
    x = 1 + torch.rand(40, 3, 20, 20, generator=seeded(), dtype=torch.float64)
    dropped = drop(x, share, seeded(5))
    kept = torch.rand(x.shape, generator=seeded(5)) >= share
    assert torch.equal(dropped == 0, ~kept)
    torch.testing.assert_close(dropped[kept], x[kept] / (1 - share))
    assert kept.double().mean().item() == pytest.approx(1 - share, abs=0.01)
    assert dropped.mean().item() == pytest.approx(x.mean().item(), abs=0.02)


def test_the_gradient_goes_where_the_value_went():
    x = torch.rand(4, 3, 5, 5, generator=seeded()).requires_grad_()
    dropped = drop(x, 0.5, seeded(5))
    (slope,) = torch.autograd.grad(dropped.sum(), x)
    torch.testing.assert_close(slope, (dropped != 0) * 2.0)


def test_a_process_drops_the_rows_of_the_whole_batch_that_it_has():
    x = torch.rand(7, 3, 5, 5, generator=seeded())
    whole = drop(x, 0.5, seeded(5))
    for first, end in ((0, 3), (3, 7)):
        with over_all_processes((first, end, 7)):
            mine = drop(x[first:end], 0.5, seeded(5))
        assert torch.equal(mine, whole[first:end])


def test_every_identity_of_a_cell_has_a_mask_of_its_own():
    """Only skips run: each node is the sum of its sources, each dropped anew."""
    cell = SearchCell(2, seeded(), affine=False, track_running_stats=False)
    x = torch.rand(3, 2, 4, 4, generator=seeded(6))
    weights = torch.rand(len(FOUR.edges), len(OPERATIONS), generator=seeded(7))
    only_skips = tuple(tuple(o == SKIP for o in range(5)) for _ in FOUR.edges)

    noise = seeded(8)
    stage = prepare(weights, x, drop=lambda kept: drop(kept, 0.5, noise))
    found = cell(x, stage, only_skips)

    noise, nodes = seeded(8), [x, 0, 0, 0]
    for source in range(3):
        for row, (target, start) in enumerate(FOUR.edges):
            if start == source:
                kept = drop(nodes[source], 0.5, noise)
                nodes[target] = nodes[target] + weights[row, SKIP] * kept
    torch.testing.assert_close(found, nodes[3])


def test_other_operations_are_not_dropped():
    search = dropping(share=0.9)
    batch = search.data.batch(search.initial_sets["V"][:10])
    others = [[o for o in range(5) if o != SKIP]] * 6
    given = batch.images, search.method.strengths(), {"cell": others}
    search.supernet.train()
    dropped = search.supernet(*given)
    search.supernet.skip_dropout = 0.0
    assert torch.equal(dropped, search.supernet(*given))


def test_it_drops_only_in_training():
    search = dropping()
    batch = search.data.batch(search.initial_sets["V"][:10])
    weights = search.method.strengths()
    search.supernet.train()
    one, two = (search.supernet(batch.images, weights) for _ in range(2))
    assert not torch.equal(one, two)
    search.supernet.eval()
    one, two = (search.supernet(batch.images, weights) for _ in range(2))
    assert torch.equal(one, two)


def test_nothing_is_dropped_or_drawn_while_something_is_measured():
    search, plain = dropping(), compose(tiny())
    probe = probe_batches(search, search.initial_sets["V"][:30])
    before = search.supernet.noise.get_state()
    assert supernet_accuracy(search, probe) == supernet_accuracy(plain, probe)
    assert torch.equal(alpha_hessian(search, probe[0]), alpha_hessian(plain, probe[0]))
    assert torch.equal(search.supernet.noise.get_state(), before)
    assert search.supernet.skip_dropout == 0.4


def test_dropout_is_back_even_if_a_measurement_fails():
    search, seen = dropping(), []

    def fail():
        with batch_statistics(search.supernet):
            seen.append(search.supernet.skip_dropout)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [0]
    assert search.supernet.skip_dropout == 0.4


def stepped(ours, devices):
    """Weights and alpha after a weight step and an architecture step of 31 images."""
    search = dropping(compute={"precision": "double", "devices": devices})
    search.supernet.train()
    search.method.start_epoch(1)
    search.supernet.skip_dropout = 0.4
    for name, step in (
        ("T", search.method.weight_step),
        ("V", lambda batch: search.method.architecture_step(batch, ())),
    ):
        step(search.data.batch(search.initial_sets[name][:31]))
    weights = torch.cat([p.detach().flatten() for p in search.supernet.parameters()])
    return weights.numpy(), search.method.alpha()["cell"].numpy()


def test_two_processes_drop_what_one_drops():
    weights, alpha = stepped(parallel.ALONE, 1)
    first, second = on_ranks(stepped, 2)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert abs(first[0] - weights).max() < 1e-10
    assert abs(first[1] - alpha).max() < 1e-10
