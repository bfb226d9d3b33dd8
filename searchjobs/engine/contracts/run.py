"""What the parts of one running search share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batch import SetName
from ..parallel import ALONE, Parallel
from .space import Space, Supernet

if TYPE_CHECKING:
    from ..data.dataset import ResidentImages
    from ..sections import Compute
    from ..seeding import Streams
    from ..spec import SearchSpec
    from .method import Method
    from .selection import Selection


@dataclass
class Search:
    """The parts of one running search and what they share.

    A method with stages may replace ``space`` and ``supernet`` (``lay_out``);
    everybody else reads them anew at every use.
    """

    spec: SearchSpec
    device: torch.device
    streams: Streams
    data: ResidentImages
    space: Space
    supernet: Supernet
    classes: int
    initial_sets: dict[SetName, Tensor]
    """Ids of T and V before any pruning, on the device."""
    parallel: Parallel = ALONE
    """This process among those that share each batch (see ``Method``)."""
    method: Method = field(init=False)
    selection: Selection = field(init=False)
    epoch: int = 0

    def lay_out(self, space: Space, *, partial: int = 1) -> None:
        """Go on with another space and a fresh supernet of it (a stage)."""
        self.space = space
        self.supernet = fresh_supernet(
            space, self.classes, self.streams, self.device, self.spec.compute, partial
        )


def fresh_supernet(
    space: Space,
    classes: int,
    streams: Streams,
    device: torch.device,
    compute: Compute,
    partial: int = 1,
) -> Supernet:
    """Return a supernet with weights from the stream of weights, on the device, in the
    precision and with the backend that the spec asks for."""
    supernet = space.supernet(classes, streams["weights"], partial=partial)
    supernet = supernet.to(device, compute.dtype)
    supernet.use_backend(compute.backend)
    return supernet
