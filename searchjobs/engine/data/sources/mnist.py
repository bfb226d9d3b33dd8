"""MNIST and Fashion-MNIST: 60,000 training images, 28x28, shades of grey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from ..source import sources
from ._torchvision import Torchvision, TorchvisionOptions, in_three_channels

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

#: Of images and labels.
TRAIN = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


class MnistOptions(TorchvisionOptions):
    name: Literal["mnist"] = "mnist"


class FashionMnistOptions(TorchvisionOptions):
    name: Literal["fashion-mnist"] = "fashion-mnist"


class _Idx(Torchvision):
    """A data set in the files of MNIST."""

    size = 28
    folder: ClassVar[str]

    @classmethod
    def reader(cls) -> type[MNIST]:
        """Return torchvision's reader; imported late, because it takes seconds."""
        raise NotImplementedError

    @classmethod
    def is_there(cls, root: Path, *, train: bool) -> bool:
        return all(file.is_file() for file in cls._files(root, train=train))

    @classmethod
    def read(cls, root: Path, *, train: bool, download: bool) -> tuple[Tensor, Tensor]:
        from torchvision.datasets.mnist import read_image_file, read_label_file

        if download:
            cls.reader()(str(root), download=True)
        images, labels = cls._files(root, train=train)
        pixels = read_image_file(str(images))
        return in_three_channels(pixels), read_label_file(str(labels))

    @classmethod
    def _files(cls, root: Path, *, train: bool) -> tuple[Path, Path]:
        folder = root / cls.folder / "raw"
        images, labels = TRAIN if train else TEST
        return folder / images, folder / labels


@sources.register
class Mnist(_Idx):
    name = "mnist"
    label = "MNIST"
    summary = "60,000 handwritten digits, 28x28, ten classes; found or fetched."
    source = "Y. LeCun et al., Gradient-Based Learning, Proc. IEEE 1998."
    Options = MnistOptions
    augmentation = {"flip": False, "crop_padding": 2}
    folder = "MNIST"
    wanted = "MNIST/raw/train-images-idx3-ubyte"
    counts = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    test_counts = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    class_names = tuple("0123456789")

    @classmethod
    def reader(cls) -> type[MNIST]:
        from torchvision.datasets import MNIST

        return MNIST


@sources.register
class FashionMnist(_Idx):
    name = "fashion-mnist"
    label = "Fashion-MNIST"
    summary = "60,000 pictures of clothes, 28x28, ten classes; found or fetched."
    source = "H. Xiao et al., Fashion-MNIST, 2017."
    Options = FashionMnistOptions
    augmentation = {"flip": True, "crop_padding": 2}
    folder = "FashionMNIST"
    wanted = "FashionMNIST/raw/train-images-idx3-ubyte"
    counts = (6000,) * 10
    test_counts = (1000,) * 10
    class_names = (
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )

    @classmethod
    def reader(cls) -> type[MNIST]:
        from torchvision.datasets import FashionMNIST

        return FashionMNIST
