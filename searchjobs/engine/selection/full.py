"""All samples in every epoch: the search without data reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..contracts import Selection, SetName, selections
from ..registry import Options as AnyOptions

if TYPE_CHECKING:
    from ..spec import SearchSpec


class FullOptions(AnyOptions):
    name: Literal["full"] = "full"


@selections.register
class Full(Selection):
    name = "full"
    label = "All samples"
    summary = "Every sample of T and V in every epoch."
    source = "Liu et al., DARTS, ICLR 2019."
    Options = FullOptions

    @classmethod
    def remaining(
        cls, options: AnyOptions, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        return {
            name: [size] * (spec.training.epochs + 1) for name, size in sizes.items()
        }
