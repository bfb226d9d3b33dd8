"""A search shared by two processes is the search of one with the same batches.

In double precision: rounding then stays far below every difference that decides
something, over all windows.  In single precision two processes differ from one as two
machines do.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy

from searchjobs.engine import parallel
from searchjobs.engine.batch import Batch
from searchjobs.engine.compose import compose
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search
from searchjobs.engine.sections import Split
from searchjobs.engine.shared_norm import share_norms
from searchjobs.engine.validation import validate

from .conftest import tiny, without_clock
from .ranks import on_ranks

#: 100 images a set: batches of 31, 31, 31 and 7, none of which halves.
UNEVEN = 31


def spec_of(devices, **compute):
    """BDP on digits, three prunings in six epochs, at C=3 and N=1."""
    return tiny(
        space={"name": "nas-bench-201", "channels": 3, "cells": 1},
        training={"batch_size": UNEVEN},
        diagnostics={"eigenvalue_every": 3},
        compute={"devices": devices, "precision": "double", **compute},
    )


def told(events):
    kinds = {"epoch_finished", "samples_pruned", "finished"}
    return [without_clock(event) for event in events if event.type in kinds]


# -- one half-step --------------------------------------------------------------------


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)
    ).double()


def batch_of(size):
    generator = torch.Generator().manual_seed(size)
    images = torch.randn(size, 3, 6, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (size,), generator=generator)
    return Batch(images, labels, torch.arange(size))


def half_step_of(model):
    """The mean loss of a batch, a term that belongs to no sample, an unused tensor."""
    wanted = [*model.parameters(), torch.zeros(2).double().requires_grad_()]

    def loss_of(batch):
        logits = model(batch.images)
        penalty = 0.1 * sum((p**2).sum() for p in model.parameters())
        return cross_entropy(logits, batch.labels) + penalty, logits

    return loss_of, wanted


def shared_half_step(ours, size):
    model = network()
    share_norms(model)
    result, gradients = ours.half_step(*half_step_of(model), batch_of(size))
    arrays = [None if g is None else g.numpy() for g in gradients]
    return result.loss.item(), result.logits.numpy(), arrays


@pytest.mark.parametrize(("size", "processes"), [(7, 2), (8, 3), (2, 3)])
def test_gradient_loss_and_logits_are_those_of_the_whole_batch(size, processes):
    """Uneven shares, and a batch that is smaller than the number of processes."""
    loss_of, wanted = half_step_of(network())
    loss, logits = loss_of(batch_of(size))
    expected = torch.autograd.grad(loss, wanted, allow_unused=True)
    everybody = on_ranks(shared_half_step, size, size=processes)
    for found_loss, found_logits, found in everybody:
        assert found_loss == pytest.approx(loss.item(), abs=1e-12)
        assert abs(found_logits - logits.detach().numpy()).max() < 1e-10
        assert found[-1] is None
        assert expected[-1] is None
        for ours, theirs in zip(found[:-1], expected[:-1], strict=True):
            assert abs(ours - theirs.numpy()).max() < 1e-10
        assert found_loss == everybody[0][0], "equal to the last bit"


@pytest.mark.parametrize("size", [3, 4, 5, 64, 97])
def test_shares_cover_the_batch_in_order_and_are_near_equal(size):
    batch = batch_of(size)
    shares = [parallel.Parallel(rank, 3).share(batch).ids for rank in range(3)]
    assert torch.cat(shares).equal(batch.ids)
    sizes = [len(ids) for ids in shares]
    assert max(sizes) - min(sizes) <= 1


def leaders_word(ours):
    made = []

    def make():
        made.append(1)
        return Split(seed=7 + ours.rank)

    told_seed = ours.by_leader(make, Split).seed
    alike = ours.agree(lambda: [torch.ones(3)])
    apart = ours.agree(lambda: [torch.full((3,), float(ours.rank))])
    return told_seed, len(made), alike, apart


def test_the_leader_alone_measures_and_disagreement_is_seen_by_all():
    assert on_ranks(leaders_word) == [(7, 1, True, False), (7, 0, True, False)]


# -- whole searches -------------------------------------------------------------------


def searched(ours, folder, devices):
    return told(search(spec_of(devices), folder))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same search in one process and in two: events by rank, and folders."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    alone = searched(parallel.ALONE, one, 1)
    return alone, on_ranks(searched, two, 2), one, two


def test_two_processes_prune_the_same_ids_as_one(both):
    alone, _, one, two = both
    prunings = [event for event in alone if event["type"] == "samples_pruned"]
    assert len(prunings) == 6
    for event in prunings:
        assert event["removed"] > 0
        ours = np.load(two / event["artefact"])
        theirs = np.load(one / event["artefact"])
        for name in ("ids", "removed", "observations"):
            assert (ours[name] == theirs[name]).all(), (event["artefact"], name)
        for name in ("scores", "mean_error"):
            assert abs(ours[name] - theirs[name]).max() < 1e-9, (
                event["artefact"],
                name,
            )
    assert len(list(two.rglob("*.npz"))) == len(prunings)


def test_every_epoch_tells_what_one_process_tells(both):
    alone, shared, *_ = both
    assert len(alone) == len(shared[0])
    for theirs, ours in zip(alone, shared[0], strict=True):
        assert close(ours, theirs), (ours, theirs)


def close(ours, theirs):
    """Say whether two events are equal, their numbers to nine digits."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(
            close(ours[key], theirs[key]) for key in theirs
        )
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    if isinstance(theirs, float):
        return ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    return ours == theirs


def test_all_processes_hold_the_same_state_and_one_writes(both):
    _, shared, one, two = both
    assert shared[0] == shared[1]
    names = sorted(path.relative_to(one) for path in one.rglob("*"))
    assert names == sorted(path.relative_to(two) for path in two.rglob("*"))


def broken(ours, folder, stop):
    """Search until the checkpoint of an epoch is written, and drop the search."""
    # only the leader is told of the checkpoint; the others end where it is due
    last = "checkpointed" if ours.leads else "epoch_finished"
    events = []
    for event in search(spec_of(2), folder):
        events.append(event)
        if event.type == last and event.epoch == stop:
            break
    return told(events)


def resumed(ours, folder):
    return told(search(spec_of(2), folder, resume=True))


def unbroken(ours):
    return told(search(spec_of(2)))


def test_two_processes_resume_bit_for_bit(tmp_path):
    """In the middle of a window, in single precision."""
    first = on_ranks(broken, tmp_path, 3)
    rest = on_ranks(resumed, tmp_path)
    whole = on_ranks(unbroken)
    assert first[0] + rest[0] == whole[0]
    assert rest[0] == rest[1]


# -- samples that are chosen before the first epoch -----------------------------------

#: Two epochs of an autoencoder: what two processes with other rounding would rank
#: otherwise.
REDUCED = {"name": "autoencoder", "epochs": 2, "keep_train": 0.3, "keep_valid": 0.5}


def reduced(ours, devices):
    """Choose T and V; a process that does not lead may score nothing."""
    run = compose(tiny(selection=REDUCED, compute={"devices": devices}))
    if not ours.leads:
        run.selection.score = refuse_to_score
    events = [without_clock(each) for each in run.selection.prepare()]
    events = [each for each in events if each["type"] == "samples_pruned"]
    sets = {name: ids.tolist() for name, ids in run.selection.sets.items()}
    return events, sets, run.selection.preparation_units


def refuse_to_score(*_):
    raise AssertionError("a process scores that does not lead")


def test_one_process_scores_and_all_choose_by_its_scores():
    alone = reduced(parallel.ALONE, 1)
    shared = on_ranks(reduced, 2)
    assert shared == [alone, alone]
    assert [len(ids) for ids in alone[1].values()] == [30, 50]


# -- one process ----------------------------------------------------------------------


def test_one_process_calls_no_collective_and_changes_no_bit(tiny_events, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a collective in a search of one process")

    for name in ("all_reduce", "all_gather", "broadcast", "init_process_group"):
        monkeypatch.setattr(dist, name, refuse)
    assert told(search(tiny(compute={"devices": 1}))) == told(tiny_events)


# -- what cannot be run ---------------------------------------------------------------


def problem_of(data):
    with pytest.raises(SpecError) as caught:
        validate(data)
    return {found.field: found.sentence for found in caught.value.problems}


@pytest.mark.parametrize("backend", ["graphs", "compiled"])
def test_other_backends_are_for_one_device(backend):
    found = problem_of({"compute": {"devices": 2, "backend": backend}})
    assert "choose backend eager" in found["compute.backend"]


def test_a_batch_has_an_image_for_each_device():
    data = {"compute": {"devices": 8}, "training": {"batch_size": 4}}
    assert "at least one image of" in problem_of(data)["compute.devices"]


def test_a_search_without_its_processes_says_how_to_start_it():
    with pytest.raises(SpecError, match="1 process was started; start it by python -m"):
        next(iter(search(spec_of(2))))


def test_more_gpus_than_there_are_is_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SpecError, match="asks for 2 GPUs, and there is 1 here"):
        next(iter(search(spec_of(2, device="auto"))))


def test_the_plan_is_that_of_one_device():
    from searchjobs.engine.plan import plan

    assert plan(spec_of(2)) == plan(spec_of(1))
