"""CIFAR-10: 50,000 training images, 32x32, ten classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..prepare import Published
from ..source import sources
from ._cifar import Cifar, CifarOptions

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10


class Cifar10Options(CifarOptions):
    name: Literal["cifar10"] = "cifar10"


@sources.register
class Cifar10(Cifar):
    name = "cifar10"
    label = "CIFAR-10"
    summary = "50,000 photographs, 32x32, ten classes; downloaded or from a folder."
    source = "A. Krizhevsky, Learning Multiple Layers of Features, 2009."
    Options = Cifar10Options
    augmentation = {"flip": True, "crop_padding": 4}
    base_folder = "cifar-10-batches-py"
    archive_name = "cifar-10-python.tar.gz"
    images_per_class = 5000
    class_names = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    # as in the NAS-Bench-201 code, which trained the benchmark's networks
    published = Published(
        (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)
    )

    @classmethod
    def reader(cls) -> type[CIFAR10]:
        from torchvision.datasets import CIFAR10

        return CIFAR10
