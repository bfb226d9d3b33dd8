"""Handwritten digits that ship with scikit-learn: 1,797 real images, no download."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
from sklearn.datasets import load_digits

from ...registry import Options, setting
from ..source import Images, Source, Summary, sources


class DigitsOptions(Options):
    name: Literal["digits"] = "digits"


@sources.register
class Digits(Source):
    name = "digits"
    label = "Digits"
    summary = "1,797 real images of handwritten digits, 8x8, ten classes, no download."
    source = "E. Alpaydin, C. Kaynak, UCI 1998; shipped with scikit-learn."
    Options = DigitsOptions
    augmentation = {"flip": False, "crop_padding": 1}

    @classmethod
    def look(cls, options: Options) -> Summary:
        counts = torch.bincount(torch.from_numpy(load_digits().target))
        return Summary(tuple(counts.tolist()), tuple("0123456789"), 8)

    @classmethod
    def load(cls, options: Options) -> Images:
        bunch = load_digits()
        grey = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)
        pixels = grey[:, None].expand(-1, 3, -1, -1).contiguous()
        labels = torch.from_numpy(bunch.target).long()
        shares = pixels[:, 0].double() / 255
        mean, std = shares.mean().item(), shares.std(correction=0).item()
        digest = hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().tobytes())
        return Images(
            pixels,
            labels,
            tuple("0123456789"),
            (mean, mean, mean),
            (std, std, std),
            digest.hexdigest()[:16],
        )
