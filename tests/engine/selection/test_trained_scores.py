"""The scores of a training, against two passes of numpy over its recorded history."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from searchjobs.engine.contracts import Pool, Snapshot, selections
from searchjobs.engine.data.source import Images
from searchjobs.engine.scoring_network import ScoringNetwork
from searchjobs.engine.selection.sample_error import sample_error

from .pools import digits, pool_of, scores_of, scoring_of

EPOCHS = 5
SMALL: dict[str, Any] = {"channels": 2, "epochs": EPOCHS}
#: Every reduction that trains, with options under which that takes half a second.
TRAINED: dict[str, dict[str, Any]] = {
    "el2n": {**SMALL, "epochs": 2, "runs": 2},
    "voe": {**SMALL, "window": 3},
    "forgetting": SMALL,
    "dynamic-uncertainty": {**SMALL, "window": 3},
    "coverage": SMALL,
    "loss": {**SMALL, "epochs": 2},
    "entropy": {**SMALL, "epochs": 2},
    "margin": {**SMALL, "epochs": 2},
}


@pytest.fixture(scope="module")
def images() -> Images:
    return digits(10)


@pytest.fixture(scope="module")
def history(images: Images) -> np.ndarray:
    """Probabilities (epochs, n, M) of the forwards that train."""
    pool = pool_of(images)
    options: Any = selections.get("forgetting").Options(**SMALL)
    found = np.full((EPOCHS, len(pool.ids), pool.classes), np.nan)

    def observe(epoch: int, ids: Any, logits: Any, _: Any) -> None:
        found[epoch - 1, ids.numpy()] = logits.double().softmax(1).numpy()

    drained_of_training(ScoringNetwork(pool, options).train(observe=observe))
    assert np.isfinite(found).all(), "every sample once an epoch"
    return found


def drained_of_training(training: Any) -> None:
    for _ in training:
        pass


@pytest.fixture(scope="module")
def errors(history: np.ndarray, images: Images) -> np.ndarray:
    """Errors (epochs, n) by the textbook form of the norm."""
    wanted = np.eye(history.shape[2])[images.labels.numpy()]
    return np.linalg.norm(history - wanted, axis=2)


def test_el2n_off_clean_images_is_the_mean_norm_of_the_trainings_forwards(
    images: Images, errors: np.ndarray
) -> None:
    found = scores_of("el2n", pool_of(images), runs=1, clean=False, **SMALL)
    assert found.values.numpy() == pytest.approx(errors.mean(0), abs=1e-6)


def test_el2n_on_clean_images_is_the_mean_norm_over_independent_trainings(
    images: Images,
) -> None:
    options = {**SMALL, "epochs": 2}
    alone = []
    for run in range(2):
        pool = pool_of(images)
        network = ScoringNetwork(pool, selections.get("el2n").Options(**options), run)
        drained_of_training(network.train())
        chances = network.logits().softmax(1).double()
        wanted = torch.eye(pool.classes, dtype=torch.float64)[pool.labels]
        alone.append((chances - wanted).norm(dim=1))
    assert not torch.allclose(alone[0], alone[1]), "the trainings are independent"
    found = scores_of("el2n", pool_of(images), runs=2, **options)
    mean = (alone[0] + alone[1]) / 2
    assert found.values.numpy() == pytest.approx(mean.numpy(), abs=1e-5)


def test_the_error_is_the_explicit_norm_and_stays_in_its_range() -> None:
    noise = torch.Generator().manual_seed(1)
    logits = 20 * torch.randn(200, 7, generator=noise, dtype=torch.float64)
    labels = torch.randint(7, (200,), generator=noise)
    wanted = torch.eye(7, dtype=torch.float64)[labels]
    found = sample_error(logits, labels)
    assert torch.allclose(found, (logits.softmax(1) - wanted).norm(dim=1))
    assert 0 <= float(found.min()) <= float(found.max()) <= 2**0.5
    assert float(sample_error(1e3 * wanted, labels).max()) == 0


def test_voe_is_the_variance_of_the_last_errors(
    images: Images, errors: np.ndarray
) -> None:
    found = scores_of("voe", pool_of(images), window=3, **SMALL)
    assert found.values.numpy() == pytest.approx(errors[-3:].var(0), abs=1e-7)
    mean = errors[-3:].mean(0)
    assert found.columns["mean_error"] == pytest.approx(mean, abs=1e-6)
    assert set(found.columns["observations"]) == {3}


def test_forgetting_counts_the_falls_from_correct_to_wrong(
    images: Images, history: np.ndarray, errors: np.ndarray
) -> None:
    correct = history.argmax(2) == images.labels.numpy()
    falls = (correct[:-1] & ~correct[1:]).sum(0)
    assert falls.max() >= 1, "something is forgotten"
    never = ~correct.any(0)
    assert never.any(), "something is never learned"
    expected = np.where(never, EPOCHS, falls) + errors.mean(0) / 2
    found = scores_of("forgetting", pool_of(images), **SMALL).values.numpy()
    assert found == pytest.approx(expected, abs=1e-6)
    assert found[never].min() > found[~never].max()


def test_dynamic_uncertainty_is_the_mean_deviation_of_sliding_windows(
    images: Images, history: np.ndarray
) -> None:
    labels = images.labels.numpy()
    own = history[:, np.arange(len(labels)), labels]
    windows = [own[first : first + 3].std(0, ddof=1) for first in range(EPOCHS - 2)]
    found = scores_of("dynamic-uncertainty", pool_of(images), window=3, **SMALL)
    assert found.values.numpy() == pytest.approx(np.mean(windows, axis=0), abs=1e-9)


def test_the_difficulty_of_coverage_is_the_negative_area_under_the_margin(
    images: Images, history: np.ndarray
) -> None:
    labels = images.labels.numpy()
    places = np.arange(len(labels))
    own = history[:, places, labels]
    others = history.copy()
    others[:, places, labels] = -np.inf
    expected = -(own - others.max(2)).mean(0)
    found = scores_of("coverage", pool_of(images), **SMALL)
    assert found.columns["difficulty"] == pytest.approx(expected, abs=1e-9)


def test_loss_entropy_and_margin_are_read_off_the_clean_logits(images: Images) -> None:
    pool = pool_of(images)
    options = {**SMALL, "epochs": 2}
    network = ScoringNetwork(pool, selections.get("loss").Options(**options))
    drained_of_training(network.train())
    chances = network.logits().double().softmax(1).numpy()
    ordered = np.sort(chances, axis=1)
    expected = {
        "loss": -np.log(chances[np.arange(len(chances)), images.labels.numpy()]),
        "entropy": -(chances * np.log(chances)).sum(1),
        "margin": 1 - (ordered[:, -1] - ordered[:, -2]),
    }
    for name, values in expected.items():
        found = scores_of(name, pool_of(images), **options).values.numpy()
        assert found == pytest.approx(values, abs=1e-6), name


@pytest.mark.parametrize("name", ["loss", "entropy", "margin"])
def test_scores_of_certain_and_hopeless_samples_are_finite(name: str) -> None:
    """A margin of a thousand leaves no chance to the others."""
    part: Any = selections.get(name)
    logits = torch.tensor([[1e3, 0.0, 0.0], [0.0, 1e3, 0.0]], dtype=torch.float64)
    found = part.read(logits, torch.tensor([0, 0]))
    assert found.isfinite().all()
    assert found[0] == 0


def interrupted(name: str, pool: Pool, options: dict[str, Any]) -> list[Any]:
    """The snapshots of a scoring, each with the streams as they then were."""
    scoring = scoring_of(name, pool, **options)
    found = []
    while True:
        try:
            item = next(scoring)
        except StopIteration:
            return found
        if isinstance(item, Snapshot):
            buffer = {"step": item.step, "state": saved(item.state)}
            found.append({**buffer, "streams": pool.streams.state_dict()})


def saved(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize("name", TRAINED)
def test_it_goes_on_from_any_snapshot_to_the_same_bits(
    name: str, images: Images
) -> None:
    options = TRAINED[name]
    whole = scores_of(name, pool_of(images), **options)
    points = interrupted(name, pool_of(images), options)
    runs = options.get("runs", 1)
    assert [p["step"] for p in points] == list(range(1, runs * options["epochs"] + 1))
    for point in (points[0], points[len(points) // 2], points[-1]):
        pool = pool_of(images)
        pool.streams.load_state_dict(point["streams"])
        again = scores_of(name, pool, point["state"], **options)
        assert torch.equal(again.values, whole.values), point["step"]
        for column, values in whole.columns.items():
            assert np.array_equal(again.columns[column], values)


@pytest.mark.parametrize("name", TRAINED)
def test_the_cost_is_what_was_announced(name: str, images: Images) -> None:
    options, count = TRAINED[name], len(images.labels)
    found = scores_of(name, pool_of(images), **options)
    part: Any = selections.get(name)
    assert found.cost_units == part.scoring_cost(part.Options(**options), count)
    trained = 3 * options["epochs"] * options.get("runs", 1) * count
    passes = {"el2n": 2, "loss": 1, "entropy": 1, "margin": 1}.get(name, 0)
    assert found.cost_units == trained + passes * count


def test_several_trainings_tell_one_progress(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchjobs.engine.fitting.PROGRESS_SECONDS", 0.0)
    scoring = scoring_of("el2n", pool_of(images), **TRAINED["el2n"])
    told = [item for item in scoring if not isinstance(item, Snapshot)]
    assert [item.epoch for item in told] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert {item.epochs for item in told} == {4}
    assert all(item.seconds_left >= 0 for item in told)


@pytest.mark.parametrize("name", ["voe", "dynamic-uncertainty"])
def test_a_window_longer_than_the_training_is_refused(name: str) -> None:
    part: Any = selections.get(name)
    problems = part.size_problems(part.Options(epochs=3, window=4), {"T": 90})
    assert [p.field for p in problems] == ["selection.window"]
    assert "does not fit" in problems[0].sentence
    assert not part.size_problems(part.Options(epochs=4, window=4), {"T": 90})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("el2n", {"epochs": 6, "runs": 1}),
        ("forgetting", {"epochs": 8}),
        ("loss", {"epochs": 6}),
    ],
)
def test_wrong_labels_gather_among_the_hardest_samples(
    name: str, options: dict[str, Any]
) -> None:
    """Test 9 of the data specification: at least 1.5 times as many as by chance."""
    plain = digits(60)
    noise = torch.Generator().manual_seed(3)
    wrong = torch.randperm(len(plain.labels), generator=noise)[:90]
    labels = plain.labels.clone()
    shift = torch.randint(1, 10, (90,), generator=noise)
    labels[wrong] = (labels[wrong] + shift) % 10
    spoiled = Images(
        plain.pixels, labels, plain.classes, plain.mean, plain.std, "spoiled"
    )
    found = scores_of(name, pool_of(spoiled), channels=4, **options).values
    hardest = found.argsort(descending=True)[:90]
    hits = int(torch.isin(hardest, wrong).sum())
    assert hits / 90 > 1.5 * 90 / 600, hits
