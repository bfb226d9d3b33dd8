"""k-center: the greedy farthest-first choice, against brute force."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA

from .pools import digits, drained, images_of, pool_of, scores_of, scoring_of


def greedy(points: torch.Tensor, first: int, count: int) -> list[int]:
    """The textbook: add the point whose nearest chosen one is farthest."""
    chosen = [first]
    while len(chosen) < count:
        nearest = {
            i: min(float((points[i] - points[j]).norm()) for j in chosen)
            for i in range(len(points))
            if i not in chosen
        }
        chosen.append(max(nearest, key=lambda i: nearest[i]))
    return chosen


@pytest.mark.parametrize("rule", ["none", "stratified"])
def test_the_order_is_that_of_brute_force(rule):
    images = digits(3)  # thirty points
    pixels = images.pixels.flatten(1).numpy() / 255
    points = torch.from_numpy(PCA(5, svd_solver="full").fit_transform(pixels))
    pool = pool_of(images, keep=0.5)
    found = scores_of("k-center", pool, components=5, class_rule=rule).values
    order = found.argsort().tolist()
    count = 15 if rule == "none" else 30  # stratified classes need the whole order
    assert order[:count] == greedy(points, order[0], count)
    assert sorted(found.tolist()) == list(range(30))


def test_after_the_chosen_come_the_farthest_from_all_of_them():
    images = digits(3)
    pixels = images.pixels.flatten(1).numpy() / 255
    points = torch.from_numpy(PCA(5, svd_solver="full").fit_transform(pixels))
    found = scores_of("k-center", pool_of(images, keep=0.2), components=5).values
    order = found.argsort().tolist()
    away = torch.cdist(points, points[order[:6]]).min(1).values[order[6:]]
    assert (away.diff() <= 1e-6).all()


def test_doubles_of_a_chosen_image_come_last():
    noise = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (8, 3, 8, 8), generator=noise, dtype=torch.uint8)
    doubled = pixels.repeat(3, 1, 1, 1)
    images = images_of(doubled, torch.arange(24) % 2)
    order = scores_of("k-center", pool_of(images, keep=1)).values.argsort()
    assert sorted((order[:8] % 8).tolist()) == list(range(8))
    assert sorted(order.tolist()) == list(range(24))


def test_the_seed_alone_says_where_it_begins():
    images = digits()
    firsts = [
        int(scores_of("k-center", pool_of(images, seed=seed)).values.argmin())
        for seed in (1, 1, 2, 3)
    ]
    assert firsts[0] == firsts[1]
    assert len(set(firsts)) > 1


def test_it_goes_on_from_a_snapshot_as_if_nothing_had_happened(monkeypatch):
    monkeypatch.setattr("searchjobs.engine.selection.k_center.STRIDE", 10)
    images = digits()
    whole, snapshots = drained(scoring_of("k-center", pool_of(images)))
    assert len(snapshots) >= 4
    for state in (snapshots[0].state, snapshots[3].state):
        again = scores_of("k-center", pool_of(images, seed=9), state)
        assert torch.equal(again.values, whole.values)
