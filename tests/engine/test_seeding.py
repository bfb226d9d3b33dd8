"""One random stream per purpose."""

from __future__ import annotations

import torch

from searchjobs.engine.seeding import Streams, derive_seed


def test_streams_of_one_seed_are_equal_and_of_two_seeds_differ():
    first = torch.rand(4, generator=Streams(1)["order/T"])
    assert torch.equal(first, torch.rand(4, generator=Streams(1)["order/T"]))
    assert not torch.equal(first, torch.rand(4, generator=Streams(2)["order/T"]))


def test_drawing_from_one_stream_does_not_move_another():
    plain, busy = Streams(7), Streams(7)
    torch.rand(100, generator=busy["augment/T"])
    assert torch.equal(
        torch.rand(4, generator=plain["order/T"]),
        torch.rand(4, generator=busy["order/T"]),
    )


def test_a_saved_stream_goes_on_where_it_was():
    streams = Streams(3)
    torch.rand(5, generator=streams["noise"])
    saved = streams.state_dict()
    expected = torch.rand(5, generator=streams["noise"])
    other = Streams(3)
    other.load_state_dict(saved)
    assert torch.equal(torch.rand(5, generator=other["noise"]), expected)


def test_a_generator_that_somebody_holds_goes_on_too_after_a_load():
    streams, other = Streams(3), Streams(3)
    held = other["noise"]
    torch.rand(5, generator=streams["noise"])
    other["drawn by nobody else"]
    other.load_state_dict(streams.state_dict())
    expected = torch.rand(5, generator=streams["noise"])
    assert torch.equal(torch.rand(5, generator=held), expected)
    assert set(other.state_dict()) == {"noise"}


def test_derived_seeds_fit_a_signed_integer_and_differ_by_purpose():
    seeds = {derive_seed(1, purpose) for purpose in ("a", "b", "c")}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_global_generator_is_never_touched():
    before = torch.random.get_rng_state()
    torch.rand(3, generator=Streams(1)["weights"])
    assert torch.equal(before, torch.random.get_rng_state())
