"""Handwritten digits that ship with scikit-learn: 1,797 real images, no download."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch

from ...registry import Options as AnyOptions
from ..prepare import prepare, summarise
from ..source import Images, Source, SourceOptions, Summary, sources

NAMES = tuple("0123456789")


class DigitsOptions(SourceOptions):
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
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, DigitsOptions)
        _, labels = _digits()
        return summarise(NAMES, np.bincount(labels).tolist(), 8, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, DigitsOptions)
        images, labels = _digits()
        # sixteen shades of grey become the full range, in three equal channels
        grey = torch.from_numpy(images).mul(255 / 16).round().to(torch.uint8)
        pixels = grey[:, None].expand(-1, 3, -1, -1).contiguous()
        return prepare(pixels, torch.from_numpy(labels).long(), NAMES, options)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    # imported late, because it takes seconds that other data sets need not wait
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target
