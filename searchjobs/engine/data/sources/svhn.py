"""SVHN: 73,257 photographs of house numbers, 32x32, ten classes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..source import sources
from ._torchvision import Torchvision, TorchvisionOptions


class SvhnOptions(TorchvisionOptions):
    name: Literal["svhn"] = "svhn"


@sources.register
class Svhn(Torchvision):
    name = "svhn"
    label = "SVHN"
    summary = "73,257 photographs of house numbers, 32x32; from a folder or fetched."
    source = "Y. Netzer et al., Reading Digits in Natural Images, NIPS-W 2011."
    Options = SvhnOptions
    augmentation = {"flip": False, "crop_padding": 4}
    size = 32
    wanted = "train_32x32.mat"
    counts = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
    class_names = tuple("0123456789")

    @classmethod
    def is_there(cls, root: Path) -> bool:
        return (root / cls.wanted).is_file()

    @classmethod
    def read(cls, root: Path, *, download: bool) -> tuple[Tensor, Tensor]:
        from torchvision.datasets import SVHN

        # checks the published sum before it reads
        data = SVHN(str(root), split="train", download=download)
        return torch.from_numpy(data.data), torch.from_numpy(data.labels)
