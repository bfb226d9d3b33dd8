"""AE: badly reconstructed by an autoencoder of the images themselves.

Moser et al., "Less is More: Proxy Datasets in NAS approaches", 3.2.3, Eq. 4; the
network is that of their code.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, mse_loss, pad

from ..contracts import Pool, Reduction, ReductionOptions, Scores, Scoring, selections
from ..fitting import Fit, drawn, fit
from ..registry import setting
from ..scoring_network import SCORING_BATCH

WIDTHS = (16, 32, 64, 64)
"""Channels behind each halving; small images have fewer halvings."""
RGB, KERNEL = 3, 4
Loss = Literal["mse", "bce", "bce_swapped"]


class AutoencoderOptions(ReductionOptions):
    name: Literal["autoencoder"] = "autoencoder"
    loss: Loss = setting(
        "mse",
        "Loss",
        "mse: squared error, as the paper describes it. bce: cross-entropy of pixels, "
        "as its code trains. bce_swapped: trained so, but scored with input and "
        "reconstruction swapped, as the code does by mistake: saturated pixels decide.",
        labels={
            "mse": "squared error (mse)",
            "bce": "cross-entropy (bce)",
            "bce_swapped": "swapped (bce_swapped)",
        },
    )
    epochs: int = setting(
        50,
        "Epochs",
        "Passes over the set that the autoencoder is trained for.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=1000,
    )
    batch_size: int = setting(
        64, "Batch size", "Of that training.", unit="images", ge=2, le=8192
    )
    learning_rate: float = setting(
        1e-3, "Learning rate", "Of that training (Adam).", gt=0, le=1
    )


@selections.register
class AutoencoderLoss(Reduction):
    name = "autoencoder"
    label = "Autoencoder loss (AE)"
    summary = (
        "Images that an autoencoder reconstructs badly leave, whatever their class."
    )
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.2.3."
    family = "Proxies"
    score_label = "reconstruction loss"
    Options = AutoencoderOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        side = pool.data.pixels.shape[-1]
        stream = pool.streams[f"{pool.purpose}/autoencoder/weights"]
        network = drawn(lambda: Autoencoder(side), stream).to(pool.device)
        # the layout in which convolutions of few channels are quickest on a CPU
        network = network.to(memory_format=torch.channels_last)
        optimiser = torch.optim.Adam(
            network.parameters(), options.learning_rate, fused=True
        )

        def loss(_: int, __: Tensor, ids: Tensor) -> Tensor:
            images = unit_images(pool, ids)
            return pixel_losses(options.loss, network(images), images).mean()

        work = Fit(
            network=network,
            optimiser=optimiser,
            pool=pool,
            purpose=f"{pool.purpose}/autoencoder/order",
            epochs=options.epochs,
            batch_size=options.batch_size,
            loss=loss,
            phase="autoencoder",
        )
        yield from fit(work, state)
        values = _scores(network, options.loss, pool)
        return Scores(values, cls.scoring_cost(options, len(pool.ids)))

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        return samples * (3.0 * options.epochs + 1)

    @classmethod
    def multiply_adds(cls, options: Any, classes: int, side: int) -> float:
        depth, border = halvings(side)
        # a layer back has the numbers of the one that it undoes
        layers = itertools.pairwise((RGB, *WIDTHS[:depth]))
        maps = [(side + border) >> number for number in range(1, depth + 1)]
        return sum(
            2.0 * KERNEL**2 * before * after * map_side**2
            for (before, after), map_side in zip(layers, maps, strict=True)
        )


def halvings(side: int) -> tuple[int, int]:
    """Return how many halvings images of a side have, and the pixels that are missing
    to a side that can be halved so often."""
    depth = min(len(WIDTHS), side.bit_length() - 1)
    return depth, -side % 2**depth


class Autoencoder(nn.Module):
    """Four halvings by convolutions of side 4, and four doublings back.

    Images of less than 16 pixels have as many halvings as leave one pixel.  Where the
    side is no multiple of what the halvings need, the border is repeated outwards
    before and cut off afterwards.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        depth, self.border = halvings(side)
        inner = WIDTHS[:depth]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for before, after in zip((RGB, *inner), inner, strict=False):
            down += [
                nn.Conv2d(before, after, KERNEL, 2, 1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        for before, after in zip(inner[::-1], (*inner[-2::-1], RGB), strict=True):
            up += [nn.ConvTranspose2d(before, after, KERNEL, 2, 1)]
            up += [nn.BatchNorm2d(after), nn.ReLU()]
        # neither the code nor the reconstruction is normalised
        self.encoder = nn.Sequential(*down[:-2])
        self.decoder = nn.Sequential(*up[:-2], nn.Sigmoid())

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, S, S) in [0, 1] to their reconstructions."""
        whole = pad(images, (0, self.border, 0, self.border), mode="replicate")
        found = self.decoder(self.encoder(whole))
        return found[..., : self.side, : self.side]


def unit_images(pool: Pool, ids: Tensor) -> Tensor:
    """Return un-augmented images in [0, 1], float32 (B, 3, S, S), on the device, in
    channels-last layout."""
    pixels = pool.data.pixels[ids].contiguous(memory_format=torch.channels_last)
    return pixels.float().div_(255)


def pixel_losses(kind: Loss, found: Tensor, images: Tensor) -> Tensor:
    """Return the loss of each pixel (B, 3, S, S) that an autoencoder learns from."""
    if kind == "mse":
        return mse_loss(found, images, reduction="none")
    return binary_cross_entropy(found, images, reduction="none")


def image_losses(kind: Loss, found: Tensor, images: Tensor) -> Tensor:
    """Return what the images (B,) are ranked by: the mean loss of their pixels."""
    if kind == "bce_swapped":
        # the image as prediction: PyTorch bounds its logarithms at -100, so every
        # pixel that is exactly 0 or 1 may cost up to 100
        found, images = images, found
    return pixel_losses(kind, found, images).flatten(1).mean(1)


@torch.no_grad()
def _scores(network: nn.Module, kind: Loss, pool: Pool) -> Tensor:
    network.eval()
    parts = pool.ids.split(SCORING_BATCH)
    pool.data.expect("scoring", parts)
    found = []
    for ids in parts:
        images = unit_images(pool, ids)
        found.append(image_losses(kind, network(images), images))
    return torch.cat(found).double().cpu()
