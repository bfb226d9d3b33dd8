"""CC-OR: distance to the mean image of the own class."""

from __future__ import annotations

import pytest
import torch

from searchjobs.engine.selection.reducing import choose_kept

from .pools import digits, images_of, pool_of, scores_of


def test_distances_are_those_of_raw_pixels_to_the_class_mean():
    images = digits()
    found = scores_of("class-outlier", pool_of(images))
    pixels = images.pixels.flatten(1).double() / 255
    means = torch.stack([pixels[images.labels == label].mean(0) for label in range(10)])
    expected = (pixels - means[images.labels]).square().sum(1).sqrt()
    assert found.values.numpy() == pytest.approx(expected.numpy(), rel=1e-5)


def test_the_planted_outlier_of_each_class_leaves_first():
    noise = torch.Generator().manual_seed(2)
    labels = torch.arange(3).repeat_interleave(20)
    around = torch.tensor([40, 120, 200])[labels].view(-1, 1, 1, 1)
    pixels = around + torch.randint(-9, 10, (60, 3, 8, 8), generator=noise)
    planted = [4, 25, 59]
    # images of another class: no outliers of all images, but of their own class
    pixels[planted] = pixels[[30, 50, 1]]
    images = images_of(pixels.to(torch.uint8), labels)
    found = scores_of("class-outlier", pool_of(images)).values
    kept = choose_kept(found, labels, 0.95, "highest", "stratified")
    assert torch.nonzero(~kept).flatten().tolist() == planted


def test_a_class_that_is_not_in_the_set_does_no_harm():
    images = digits()
    without = torch.nonzero(images.labels != 4).flatten()
    found = scores_of("class-outlier", pool_of(images, ids=without))
    assert found.values.isfinite().all()
