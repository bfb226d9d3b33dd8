"""A search resumed from a checkpoint is bit-identical to one never interrupted."""

from __future__ import annotations

import pytest
import torch

from searchjobs.engine import checkpoint, files
from searchjobs.engine.search import SearchError, search

from .conftest import epochs_of, tiny, without_clock


def told(events):
    return [
        without_clock(e)
        for e in events
        if e.type in {"epoch_finished", "samples_pruned", "finished"}
    ]


def run_until(spec, folder, epoch):
    """Search until the checkpoint of an epoch is written, then drop the search."""
    events = []
    for event in search(spec, folder):
        events.append(event)
        if event.type == "checkpointed" and event.epoch == epoch:
            break
    return events


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_resuming_after_any_epoch_changes_nothing(tiny_events, tmp_path, stop):
    """Window 2: stops after 1, 3 and 5 lie in the middle of a VoE window."""
    first = run_until(tiny(), tmp_path, stop)
    rest = list(search(tiny(), tmp_path, resume=True))
    assert told(first) + told(rest) == told(tiny_events)


def test_the_weights_themselves_are_equal_to_the_last_bit(tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    spec = tiny(training={"epochs": 4})
    list(search(spec, straight))
    run_until(spec, broken, 2)
    list(search(spec, broken, resume=True))
    one, two = checkpoint.load_newest(straight), checkpoint.load_newest(broken)
    assert one["epoch"] == two["epoch"] == 4
    for name, tensor in one["supernet"].items():
        assert torch.equal(tensor, two["supernet"][name]), name
    for name, saved in one["streams"].items():
        assert torch.equal(saved["state"], two["streams"][name]["state"]), name


def test_seconds_and_cost_go_on_where_they_were(tmp_path):
    first = run_until(tiny(), tmp_path, 3)
    before = epochs_of(first)[-1]
    after = epochs_of(list(search(tiny(), tmp_path, resume=True)))[0]
    assert after.epoch == 4
    assert after.seconds_search > before.seconds_search
    assert after.cost_units > before.cost_units


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tiny_events, tmp_path):
    run_until(tiny(), tmp_path, 4)
    newest, older = checkpoint.newest_first(tmp_path)
    newest.write_bytes(newest.read_bytes()[:1000])
    rest = list(search(tiny(), tmp_path, resume=True))
    assert epochs_of(rest)[0].epoch == 4
    assert told(rest)[-1] == told(tiny_events)[-1]
    assert older.exists() or len(checkpoint.newest_first(tmp_path)) == 2


@pytest.mark.parametrize(
    "content", [b"", bytes(5000), b"somebody's", b"PK\x03\x04" + bytes(900)]
)
def test_no_kind_of_damage_stops_a_resume(tmp_path, content):
    checkpoint.save(tmp_path, 1, {"good": True})
    checkpoint.path_of(tmp_path, 2).write_bytes(content)
    assert checkpoint.load_newest(tmp_path)["good"]


def test_a_pickle_of_something_else_is_passed_over(tmp_path):
    checkpoint.save(tmp_path, 1, {"good": True})
    torch.save([1, 2], checkpoint.path_of(tmp_path, 2))
    assert checkpoint.load_newest(tmp_path)["good"]


def test_only_the_newest_two_checkpoints_stay(tmp_path):
    list(search(tiny(), tmp_path))
    names = [path.name for path in checkpoint.newest_first(tmp_path)]
    assert names == ["epoch-00006.pt", "epoch-00005.pt"]


def test_a_checkpoint_of_another_spec_is_refused_in_a_sentence(tmp_path):
    run_until(tiny(), tmp_path, 1)
    with pytest.raises(SearchError, match="belongs to another spec"):
        next(iter(search(tiny(seed=2), tmp_path, resume=True)))


def with_changed(folder, **changes):
    """Write the newest checkpoint again with some of its entries changed."""
    state = checkpoint.load_newest(folder)
    checkpoint.save(folder, state["epoch"], state | changes)


def test_changed_images_are_refused_in_a_sentence(tmp_path):
    run_until(tiny(), tmp_path, 1)
    with_changed(tmp_path, data="of other images")
    with pytest.raises(SearchError, match="images of the data set have changed"):
        next(iter(search(tiny(), tmp_path, resume=True)))


def test_another_kind_of_device_is_refused_in_a_sentence(tmp_path):
    run_until(tiny(), tmp_path, 1)
    with_changed(tmp_path, device="cuda")
    with pytest.raises(SearchError, match="began on cuda and this is cpu") as caught:
        next(iter(search(tiny(), tmp_path, resume=True)))
    assert caught.value.kind == "spec"


def test_pruned_ids_are_kept_as_an_artefact(tmp_path):
    import numpy as np

    events = list(search(tiny(), tmp_path))
    pruned = [e for e in events if e.type == "samples_pruned"]
    assert pruned
    gone = {"T": set(), "V": set()}
    for event in pruned:
        with np.load(tmp_path / event.artefact) as arrays:
            removed = set(arrays["ids"][arrays["removed"]].tolist())
        assert len(removed) == event.removed
        assert not removed & gone[event.set], "a sample was pruned twice"
        gone[event.set] |= removed


def test_a_finished_search_resumed_says_only_that_it_is_finished(tmp_path):
    list(search(tiny(), tmp_path))
    kinds = [event.type for event in search(tiny(), tmp_path, resume=True)]
    assert kinds == ["started", "finished"]


def test_a_write_that_breaks_off_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"good": True})

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(files.os, "fsync", full)
        for epoch in (1, 2):
            with pytest.raises(OSError, match="No space"):
                checkpoint.save(tmp_path, epoch, {"good": False})
    assert [p.name for p in checkpoint.newest_first(tmp_path)] == ["epoch-00001.pt"]
    assert checkpoint.load_newest(tmp_path)["good"]
