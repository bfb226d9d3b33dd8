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
    test_counts = (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595)
    class_names = tuple("0123456789")

    @classmethod
    def is_there(cls, root: Path, *, train: bool) -> bool:
        return (root / (cls.wanted if train else "test_32x32.mat")).is_file()

    @classmethod
    def read(cls, root: Path, *, train: bool, download: bool) -> tuple[Tensor, Tensor]:
        from torchvision.datasets import SVHN

        # checks the published sum before it reads
        data = SVHN(str(root), split="train" if train else "test", download=download)
        return torch.from_numpy(data.data), torch.from_numpy(data.labels)
