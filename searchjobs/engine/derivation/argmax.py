"""Arg max: on every row the operation of greatest strength, ``none`` included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ..contracts import Derivation, Derived, derivations
from ..registry import Options

if TYPE_CHECKING:
    from ..events import EpochFinished, Event


class ArgmaxOptions(Options):
    name: Literal["argmax"] = "argmax"


@derivations.register
class Argmax(Derivation):
    name = "argmax"
    label = "Arg max"
    summary = "The operation of greatest strength on every edge, at the last epoch."
    source = "Liu et al., DARTS, ICLR 2019, section 2.4; Dong and Yang, NAS-Bench-201."
    Options = ArgmaxOptions

    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        report = next(r for r in reversed(history) if r.epoch == epoch)
        yield Derived(self.name, epoch, report.genotype)
