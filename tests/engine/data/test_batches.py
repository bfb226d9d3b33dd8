"""Batches on the device: normalised, augmented as the naive version would."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from searchjobs.engine.data.augment import draw
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import Images
from searchjobs.engine.sections import Augmentation

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def resident(count: int = 20, size: int = 6) -> ResidentImages:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (count, 3, size, size), generator=generator)
    labels = torch.arange(count) % 4
    images = Images(pixels.to(torch.uint8), labels, tuple("abcd"), MEAN, STD, "x")
    return ResidentImages(images, torch.device("cpu"))


def normalised(pixels: Tensor) -> Tensor:
    shares = pixels.double() / 255
    mean = torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    return ((shares - mean) / std).float()


def test_without_augmentation_images_are_only_normalised() -> None:
    data = resident()
    ids = torch.tensor([7, 0, 19])

    batch = data.batch(ids)

    assert torch.equal(batch.ids, ids)
    assert torch.equal(batch.labels, ids % 4)
    expected = torch.stack([normalised(data.pixels[i]) for i in ids])
    torch.testing.assert_close(batch.images, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("cutout", [0, 3, 4, 64])
def test_a_batch_equals_the_naive_loop_over_its_images(
    padding: int, flip: bool, cutout: int
) -> None:
    data, size = resident(), 6
    augmentation = Augmentation(crop_padding=padding, flip=flip, cutout=cutout)
    ids = torch.tensor([5, 1, 13, 4, 2, 8, 16, 0])
    draws = draw(len(ids), size, augmentation, torch.Generator().manual_seed(11))

    batch = data.batch(ids, augmentation, torch.Generator().manual_seed(11))

    for position, number in enumerate(ids.tolist()):
        image = data.pixels[number]
        if draws.flips is not None and draws.flips[position]:
            image = image.flip(-1)
        if draws.offsets is not None:
            top, left = draws.offsets[:, position].tolist()
            padded = torch.zeros(3, size + 2 * padding, size + 2 * padding)
            padded[:, padding : padding + size, padding : padding + size] = image
            image = padded[:, top : top + size, left : left + size]
        expected = normalised(image)
        if draws.centres is not None:
            row, column = draws.centres[:, position].tolist()
            top, left = row - cutout // 2, column - cutout // 2
            rows = slice(max(top, 0), max(top + cutout, 0))
            columns = slice(max(left, 0), max(left + cutout, 0))
            expected[:, rows, columns] = 0
        torch.testing.assert_close(
            batch.images[position], expected, atol=1e-5, rtol=1e-5
        )


def test_every_crop_and_both_flips_occur() -> None:
    augmentation = Augmentation(crop_padding=2, flip=True, cutout=2)
    draws = draw(2000, 6, augmentation, torch.Generator().manual_seed(1))

    assert draws.offsets is not None
    assert draws.flips is not None
    assert draws.centres is not None
    assert draws.offsets.unique().tolist() == [0, 1, 2, 3, 4]
    assert draws.centres.unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert 0.45 < draws.flips.float().mean() < 0.55


def test_what_is_switched_off_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()

    draw(8, 6, Augmentation(crop_padding=0, flip=False, cutout=0), generator)

    assert torch.equal(generator.get_state(), before)


def test_the_stored_images_are_never_changed() -> None:
    data = resident()
    before = data.pixels.clone()

    data.batch(
        torch.arange(20), Augmentation(cutout=4), torch.Generator().manual_seed(1)
    )

    assert torch.equal(data.pixels, before)


def test_augmentation_without_a_generator_is_an_error() -> None:
    with pytest.raises(ValueError, match="generator"):
        resident().batch(torch.tensor([0, 1]), Augmentation())
