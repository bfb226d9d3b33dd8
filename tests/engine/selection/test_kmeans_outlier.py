"""KM-OR: clusters are scikit-learn's own, and outliers leave first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from searchjobs.engine.problems import SpecError
from searchjobs.engine.seeding import derive_seed
from searchjobs.engine.selection import _pixels
from searchjobs.engine.selection._pixels import principal_components
from searchjobs.engine.selection.kmeans_outlier import KMeansOutlier, own_distances
from searchjobs.engine.subset_spec import validate_subset

from ..conftest import tiny
from .pools import digits, drained, pool_of, scores_of, scoring_of


def test_distances_are_those_to_scikit_learns_own_centroids():
    images = digits()
    found = scores_of("kmeans-outlier", pool_of(images), clusters=7, restarts=3)
    features = StandardScaler().fit_transform(images.pixels.flatten(1).numpy() / 255)
    best = min(
        (
            KMeans(7, init="random", n_init=1, random_state=seed % 2**32).fit(features)
            for seed in (derive_seed(1, f"reduction/T/k-means-{k}") for k in range(3))
        ),
        key=lambda estimator: estimator.inertia_,
    )
    expected = best.transform(features).min(1)
    assert found.values.numpy() == pytest.approx(expected, rel=1e-4)


def test_planted_outliers_leave_first():
    images = digits()
    planted = [3, 50, 121, 177]
    noise = torch.Generator().manual_seed(3)
    images.pixels[planted] = torch.randint(
        256, (4, 3, 8, 8), generator=noise, dtype=torch.uint8
    )
    found = scores_of("kmeans-outlier", pool_of(images), restarts=3)
    assert sorted(found.values.argsort(descending=True)[:4].tolist()) == planted


@pytest.mark.parametrize("options", [{"components": 8}, {"mini_batch": True}])
def test_shortcuts_rank_much_as_the_whole_does(options):
    pool = pool_of(digits())
    whole = scores_of("kmeans-outlier", pool, restarts=3).values
    quick = scores_of("kmeans-outlier", pool, restarts=3, **options).values
    ranks = [values.argsort().argsort().double() for values in (whole, quick)]
    assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.5


def test_as_many_clusters_as_classes_unless_asked_otherwise():
    pool = pool_of(digits(5))
    found = scores_of("kmeans-outlier", pool, restarts=2).values
    ten = scores_of("kmeans-outlier", pool, restarts=2, clusters=10).values
    twenty = scores_of("kmeans-outlier", pool, restarts=2, clusters=20).values
    assert torch.equal(found, ten)
    assert twenty.mean() < ten.mean()


def test_the_distance_to_a_near_centroid_is_exact():
    centroids = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    points = torch.tensor([[1000.0, 1e-3], [0.5, 1000.0]])
    found = own_distances(points, centroids).numpy()
    assert found == pytest.approx(np.array([1e-3, 0.5]), rel=1e-6)


def test_more_clusters_than_samples_are_refused_at_their_field():
    with pytest.raises(SpecError) as refused:
        tiny(selection={"name": "kmeans-outlier", "clusters": 150})
    (problem,) = refused.value.problems
    assert problem.field == "selection.clusters"
    assert "150 clusters are more than the 100 samples of T" in problem.sentence


@pytest.mark.parametrize("name", ["kmeans-outlier", "k-center"])
def test_images_that_make_too_large_a_matrix_are_refused_before_anything(
    name, monkeypatch
):
    """100 images of T, 3 x 8 x 8 numbers each, of four bytes: 76,800."""
    monkeypatch.setattr(_pixels, "MOST_BYTES", 76_800)
    assert tiny(selection={"name": name})
    monkeypatch.setattr(_pixels, "MOST_BYTES", 76_799)
    alone = {
        "dataset": {"name": "digits", "per_class": 20},
        "selection": {"name": name},
    }
    for refusing in (
        lambda: tiny(selection={"name": name}),
        lambda: validate_subset(alone),
    ):
        with pytest.raises(SpecError) as refused:
            refusing()
        (problem,) = refused.value.problems
        assert problem.field == "selection"
        assert "100 images of 8x8 pixels make one of" in problem.sentence
        assert "smaller image size" in problem.sentence
    # what goes through them in batches has no such limit
    assert tiny(selection={"name": "class-outlier"})


def test_imagenet_as_one_matrix_is_refused():
    (problem,) = KMeansOutlier.memory_problems(
        KMeansOutlier.Options(), {"T": 640_583, "V": 640_584}, 224
    )
    assert "640,583 images of 224x224 pixels make one of 386 GB" in problem.sentence


@pytest.mark.parametrize("count", [12, 300])
def test_components_are_the_same_however_many_images_there_are(count):
    """Fewer images than pixels have another way to their components."""
    noise = np.random.default_rng(2).random((count, 40), dtype=np.float32)
    noise *= np.arange(40, dtype=np.float32)  # so that no two components are close
    found = principal_components(noise, 5)
    expected = PCA(5, svd_solver="full").fit_transform(noise.astype(np.float64))
    assert np.abs(found) == pytest.approx(np.abs(expected), abs=1e-2)


def test_the_best_restart_so_far_is_not_lost_on_the_way():
    pool = pool_of(digits(10))
    whole, snapshots = drained(scoring_of("kmeans-outlier", pool, restarts=5))
    least = [snapshot.state["least"] for snapshot in snapshots]
    assert least[-1] == least[-2], "the last restart is the best: take another seed"
    for snapshot in snapshots:
        again = scores_of("kmeans-outlier", pool, snapshot.state, restarts=5)
        assert torch.equal(again.values, whole.values)
