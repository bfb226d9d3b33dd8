"""AE: noise leaves first, images of any size fit, training goes on to the last bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from searchjobs.engine.selection.autoencoder import (
    Autoencoder,
    AutoencoderLoss,
    AutoencoderOptions,
    image_losses,
)

from ..counted import counted
from .pools import digits, drained, pool_of, scores_of, scoring_of


def test_images_of_noise_leave_first():
    images = digits(40)
    planted = list(range(0, 400, 40))
    noise = torch.Generator().manual_seed(3)
    images.pixels[planted] = torch.randint(
        256, (10, 3, 8, 8), generator=noise, dtype=torch.uint8
    )
    found = scores_of("autoencoder", pool_of(images), epochs=15).values
    first = set(found.argsort(descending=True)[:10].tolist())
    assert len(first & set(planted)) >= 9


@pytest.mark.parametrize(
    ("side", "code"),
    [
        (4, (32, 1)),
        (8, (64, 1)),
        (16, (64, 1)),
        (28, (64, 2)),
        (32, (64, 2)),
        (33, (64, 3)),
    ],
)
def test_images_of_any_size_come_back_in_their_size(side, code):
    network = Autoencoder(side)
    images = torch.rand(2, 3, side, side)
    assert network(images).shape == images.shape
    whole = torch.rand(2, 3, side + network.border, side + network.border)
    assert network.encoder(whole).shape == (2, code[0], code[1], code[1])


def test_at_32_pixels_it_is_the_network_of_the_papers_code():
    network = Autoencoder(32)
    convolutions = [
        (layer.in_channels, layer.out_channels)
        for layer in network.modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    ]
    assert convolutions == [
        *((3, 16), (16, 32), (32, 64), (64, 64)),
        *((64, 64), (64, 32), (32, 16), (16, 3)),
    ]
    norms = [type(layer) for layer in network.modules()].count(torch.nn.BatchNorm2d)
    assert norms == 6
    assert network.encoder(torch.rand(2, 3, 32, 32)).shape == (2, 64, 2, 2)


@pytest.mark.parametrize("side", [4, 8, 28, 32])
def test_a_pass_has_the_multiply_adds_that_pytorch_counts(side):
    network = Autoencoder(side)
    found = AutoencoderLoss.multiply_adds(AutoencoderOptions(), 10, side)
    assert found == counted(lambda: network(torch.zeros(1, 3, side, side)))


def test_losses_by_hand():
    images = torch.tensor([0.0, 1.0, 0.5]).view(1, 3, 1, 1)
    found = torch.tensor([0.2, 0.5, 0.5]).view(1, 3, 1, 1)
    mse = (0.2**2 + 0.5**2) / 3
    assert image_losses("mse", found, images).item() == pytest.approx(mse)
    bce = binary_cross_entropy(found, images).item()
    assert image_losses("bce", found, images).item() == pytest.approx(bce)
    # swapped: 0.2 of a black pixel costs 20, the half of a white one 50
    swapped = (0.2 * 100 + 0.5 * 100 + 0.6931472) / 3
    assert image_losses("bce_swapped", found, images).item() == pytest.approx(swapped)


def test_it_goes_on_from_an_epoch_as_if_nothing_had_happened():
    images = digits()
    options = {"epochs": 4, "batch_size": 16}
    whole = scores_of("autoencoder", pool_of(images), **options)
    pool = pool_of(images)
    scoring = scoring_of("autoencoder", pool, **options)
    snapshot = next(item for item in scoring if getattr(item, "step", 0) == 2)
    held, streams = copy.deepcopy(snapshot.state), pool.streams.state_dict()
    later = pool_of(images)
    later.streams.load_state_dict(streams)
    again, rest = drained(scoring_of("autoencoder", later, held, **options))
    assert [item.step for item in rest] == [3, 4]
    assert torch.equal(again.values, whole.values)
    assert again.cost_units == whole.cost_units == 200 * 13
