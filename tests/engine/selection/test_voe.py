"""The variance of the error, online, equals the one of two passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from searchjobs.engine.selection.voe import Mean, VarianceOfError

CPU = torch.device("cpu")
VECTOR = (0.9, 0.7, 0.8, 0.4, 0.2)


def observed(errors: tuple[float, ...], mean: Mean = "window") -> VarianceOfError:
    voe = VarianceOfError(3, CPU, mean)
    for error in errors:
        voe.update(torch.tensor([1]), torch.tensor([error]))
    return voe


@pytest.mark.parametrize(("mean", "expected"), [("window", 0.068), ("running", 0.052)])
def test_the_two_readings_of_equation_4(mean: Mean, expected: float) -> None:
    scores = observed(VECTOR, mean).scores(torch.arange(3))

    assert scores[1].item() == pytest.approx(expected, abs=1e-6)
    assert scores[[0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("mean", ["window", "running"])
def test_a_constant_error_has_no_variance(mean: Mean) -> None:
    assert observed((0.3,) * 9, mean).scores(torch.tensor([1])).item() == pytest.approx(
        0, abs=1e-12
    )


def test_two_epochs_give_a_quarter_of_the_squared_difference() -> None:
    score = observed((0.9, 0.3)).scores(torch.tensor([1])).item()

    assert score == pytest.approx(0.6**2 / 4, abs=1e-6)


def test_the_increments_follow_their_identities() -> None:
    window, running = observed(()), observed((), "running")
    mean = 0.0
    for count, error in enumerate(VECTOR, start=1):
        before = [voe._state[1, 2].item() for voe in (window, running)]
        for voe in (window, running):
            voe.update(torch.tensor([1]), torch.tensor([error]))
        step = [
            voe._state[1, 2].item() - old
            for voe, old in zip((window, running), before, strict=True)
        ]
        d = error - mean
        mean += d / count
        assert step[0] == pytest.approx(d**2 * (count - 1) / count, abs=1e-6)
        assert step[1] == pytest.approx((d * (count - 1) / count) ** 2, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), epochs=st.integers(1, 8), samples=st.integers(1, 40))
def test_online_equals_two_passes_in_any_order_of_visits(
    data: st.DataObject, epochs: int, samples: int
) -> None:
    seed = data.draw(st.integers(0, 10_000))
    size = data.draw(st.integers(1, samples))
    generator = np.random.default_rng(seed)
    errors = generator.uniform(0, 2**0.5, (epochs, samples))
    window, running = (
        VarianceOfError(samples, CPU, "window"),
        VarianceOfError(samples, CPU, "running"),
    )

    for row in errors:
        order = generator.permutation(samples)
        for start in range(0, samples, size):
            ids = order[start : start + size]
            for voe in (window, running):
                voe.update(torch.from_numpy(ids), torch.from_numpy(row[ids]).float())

    everything = torch.arange(samples)
    np.testing.assert_allclose(window.scores(everything), errors.var(axis=0), atol=1e-5)
    np.testing.assert_allclose(window.mean, errors.mean(axis=0), atol=1e-5)
    assert (window.count == epochs).all()
    means = errors.cumsum(axis=0) / np.arange(1, epochs + 1)[:, None]
    expected = ((errors - means) ** 2).mean(axis=0)
    np.testing.assert_allclose(running.scores(everything), expected, atol=1e-5)
    assert (window.scores(everything) <= 0.5 + 1e-5).all()


def test_samples_with_different_numbers_of_visits_divide_by_their_own() -> None:
    voe = VarianceOfError(2, CPU)
    voe.update(torch.tensor([0, 1]), torch.tensor([0.2, 0.2]))
    voe.update(torch.tensor([1, 0]), torch.tensor([0.6, 0.4]))
    voe.update(torch.tensor([1]), torch.tensor([1.0]))

    expected = [np.var([0.2, 0.4]), np.var([0.2, 0.6, 1.0])]
    assert voe.scores(torch.arange(2)).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_new_window_forgets_the_old_one() -> None:
    voe = observed(VECTOR)
    voe.reset()
    voe.update(torch.tensor([1]), torch.tensor([0.5]))

    assert voe.count.tolist() == [0, 1, 0]
    assert voe.mean[1].item() == 0.5
    assert voe.scores(torch.tensor([1])).item() == 0


def test_a_saved_window_goes_on_bit_for_bit() -> None:
    whole = observed(VECTOR)
    half = observed(VECTOR[:2])
    resumed = VarianceOfError(3, CPU)
    resumed.load_state_dict(half.state_dict())
    half.reset()  # what was saved is a copy

    for error in VECTOR[2:]:
        resumed.update(torch.tensor([1]), torch.tensor([error]))

    assert torch.equal(resumed._state, whole._state)
