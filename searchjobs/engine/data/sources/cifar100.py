"""CIFAR-100: 50,000 training images, 32x32, a hundred (fine) classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..prepare import Published
from ..source import sources
from ._cifar import Cifar, CifarOptions

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

FINE_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
bowl boy bridge bus butterfly camel can castle caterpillar cattle
chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
plain plate poppy porcupine possum rabbit raccoon ray road rocket
rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class Cifar100Options(CifarOptions):
    name: Literal["cifar100"] = "cifar100"


@sources.register
class Cifar100(Cifar):
    name = "cifar100"
    label = "CIFAR-100"
    summary = "50,000 photographs, 32x32, 100 classes; downloaded or from a folder."
    source = "A. Krizhevsky, Learning Multiple Layers of Features, 2009."
    Options = Cifar100Options
    augmentation = {"flip": True, "crop_padding": 4}
    base_folder = "cifar-100-python"
    archive_name = "cifar-100-python.tar.gz"
    images_per_class = 500
    class_names = tuple(FINE_CLASSES.split())
    # as in the NAS-Bench-201 code, which trained the benchmark's networks
    published = Published(
        (129.3 / 255, 124.1 / 255, 112.4 / 255), (68.2 / 255, 65.4 / 255, 70.4 / 255)
    )

    @classmethod
    def reader(cls) -> type[CIFAR10]:
        from torchvision.datasets import CIFAR100

        return CIFAR100
