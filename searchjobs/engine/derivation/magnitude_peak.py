"""Magnitude peak: of one search, one architecture an operation.

J. Zhang, Z. Ding, Delve into the Performance Degradation of Differentiable
Architecture Search, CIKM 2021 (EX-/SS-DARTS), Algorithm 2, with Eq. 12 or 13 as the
criterion (see ``peaks``).  The search runs all its epochs; then every operation brings
the architecture of the epoch at which it was strongest.  An operation whose peak lies
at the first epoch that counts or at the last has none: it brings that epoch's
architecture with a note that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from .. import peaks
from ..contracts import Derivation, Derived, derivations
from ..problems import Problem
from ..registry import Options, setting
from ..watching import first_epoch, min_epoch_setting, offered, space_of, trained_epochs

if TYPE_CHECKING:
    from ..events import EpochFinished, Event
    from ..spec import SearchSpec


class MagnitudePeakOptions(Options):
    name: Literal["magnitude-peak"] = "magnitude-peak"
    operation: str = setting(
        "nor_conv_3x3",
        "Operation that counts",
        "The architecture of its peak is the result of the run; those of the others "
        "are listed beside it.",
        names="operations",
    )
    criterion: peaks.Criterion = peaks.criterion_setting()
    exclude_none_from_residual: bool = peaks.exclude_none_setting()
    min_epoch: int = min_epoch_setting()


@derivations.register
class MagnitudePeak(Derivation):
    name = "magnitude-peak"
    label = "Magnitude peak of each operation (SS)"
    summary = (
        "For each operation, the architecture of the epoch at which it was strongest."
    )
    source = "Zhang and Ding, CIKM 2021 (EX-/SS-DARTS), Algorithm 2, Eq. 12 and 13."
    Options = MagnitudePeakOptions

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        return [
            Problem(f"derivation.{each.field}", each.sentence)
            for each in peaks.problems(
                options.operation, options.min_epoch, spec, "The magnitude peak"
            )
        ]

    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        """Yield the operation that counts first.  A rule that went back to ``epoch``
        does not hide later peaks: Algorithm 2 looks at the whole search."""
        options = self.options
        first = first_epoch(options.min_epoch, self.search.spec)
        trained = trained_epochs(self.search.spec)
        counted = [r for r in history if trained[r.epoch - 1] >= options.min_epoch]
        if not counted:
            yield self._of_the_end(history, epoch, first)
            return
        others = offered(space_of(self.search.spec))
        genotypes = {report.epoch: report.genotype for report in history}
        for operation in dict.fromkeys((options.operation, *others)):
            found = peaks.peak([(r.epoch, self._value(r, operation)) for r in counted])
            equation = peaks.EQUATIONS[options.criterion]
            note = (
                f"{equation} of {operation} peaks here with {found.value:.4f}."
                if found.inner
                else peaks.found_nothing(found, operation)
            )
            architecture = genotypes[found.epoch]
            yield Derived(self.name, found.epoch, architecture, operation, note)

    def _value(self, report: EpochFinished, operation: str) -> float:
        return peaks.value(
            report.magnitudes,
            operation,
            self.options.criterion,
            exclude_none=self.options.exclude_none_from_residual,
        )

    def _of_the_end(
        self, history: list[EpochFinished], epoch: int, first: int
    ) -> Derived:
        """A rule has stopped the search before its first epoch that counts."""
        report = next(r for r in reversed(history) if r.epoch == epoch)
        return Derived(
            self.name,
            epoch,
            report.genotype,
            self.options.operation,
            f"Found nothing: the search ended before epoch {first}, the first that "
            "counts.",
        )
