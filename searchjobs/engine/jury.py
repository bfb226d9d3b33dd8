"""The stopping rules of a search: each is heard until it has named an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from .contracts import Decision, Derived, Search, StoppingRule, stopping_rules
from .events import EpochFinished, StopSuggested


class Jury:
    """Several rules over one run; those that only watch never end it.

    Attributes:
        decision: what counts so far; its ``stop`` ends the search.
    """

    def __init__(self, run: Search) -> None:
        self.rules: list[StoppingRule] = [
            stopping_rules.get(options.name)(options, run)
            for options in run.spec.stopping
        ]
        self.decision = Decision()
        self._said: dict[int, Decision] = {}

    def hear(self, report: EpochFinished) -> Iterator[StopSuggested]:
        """Ask every rule that has not spoken yet, and tell what it says."""
        said = []
        for number, rule in enumerate(self.rules):
            if number in self._said:
                continue
            decision = rule.observe(report)
            if rule.options.watch:
                decision = replace(decision, stop=False)
            if decision != Decision():
                yield self._take(number, decision, report)
            if not rule.options.watch:
                said.append(decision)
        self.decision = min(
            said, key=lambda d: (not d.stop, d.epoch is None), default=Decision()
        )
        if self.decision.stop:
            yield from self._cut_short(report)

    def _cut_short(self, report: EpochFinished) -> Iterator[StopSuggested]:
        """Tell of the rules that waited for an end which does not come now."""
        for number, rule in enumerate(self.rules):
            reason = "" if number in self._said else rule.cut_short(report)
            if reason:
                yield self._take(number, Decision(reason=reason), report)

    def _take(
        self, number: int, decision: Decision, report: EpochFinished
    ) -> StopSuggested:
        """Keep what a rule says, and return it as the event that tells it."""
        rule, named = self.rules[number], decision.epoch or report.epoch
        self._said[number] = replace(decision, epoch=named)
        return StopSuggested(
            rule=rule.name,
            title=rule.title,
            epoch=report.epoch,
            architecture_epoch=named,
            stopped=decision.stop,
            reason=decision.reason,
        )

    def architectures(self, history: list[EpochFinished]) -> Iterator[Derived]:
        """Yield the architecture of every epoch that a rule has named."""
        genotypes = {report.epoch: report.genotype for report in history}
        for number, said in sorted(self._said.items()):
            rule = self.rules[number]
            assert said.epoch is not None
            yield Derived(
                rule.name, said.epoch, genotypes[said.epoch], rule.title, said.reason
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "rules": [rule.state_dict() for rule in self.rules],
            "decision": asdict(self.decision),
            "said": {number: asdict(said) for number, said in self._said.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for rule, saved in zip(self.rules, state["rules"], strict=True):
            rule.load_state_dict(saved)
        self.decision = Decision(**state["decision"])
        self._said = {n: Decision(**said) for n, said in state["said"].items()}
