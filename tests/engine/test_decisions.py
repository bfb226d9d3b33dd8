"""What stopping rules and derivations do to a search, and to a search that resumes."""

from __future__ import annotations

from typing import Any

import pytest

from searchjobs.engine import search as search_module
from searchjobs.engine.contracts import (
    Decision,
    Derivation,
    Derived,
    StoppingRule,
    derivations,
    stopping_rules,
)
from searchjobs.engine.events import Progress
from searchjobs.engine.search import search

from .conftest import epochs_of, tiny, without_clock


def rule_saying(**said: Decision) -> type[StoppingRule]:
    """A rule that says ``e3=Decision(...)`` after epoch 3."""

    class Rule(StoppingRule):
        name = "none"
        title = "a rule"

        def observe(self, report):
            return said.get(f"e{report.epoch}", Decision())

    return Rule


def watched_by(
    monkeypatch: pytest.MonkeyPatch,
    *rules: type[StoppingRule],
    watch: list[bool] | None = None,
) -> Any:
    """A spec with as many rules as are given, in their order."""
    waiting = iter(rules * 2)  # a resumed search asks for them again

    class OneOfThem(rules[0]):  # type: ignore[name-defined, misc]
        def __new__(cls, options, search):
            chosen = next(waiting)
            rule = object.__new__(chosen)
            rule.__init__(options, search)
            return rule

    monkeypatch.setitem(stopping_rules._parts, "none", OneOfThem)
    watching = [{"name": "none", "watch": watch} for watch in watch or [False] * 9]
    return tiny(selection={"name": "full"}, stopping=watching[: len(rules)])


STOP = Decision(stop=True, epoch=2, reason="It has seen enough.")


def test_a_stopped_search_gives_the_architecture_of_the_epoch_that_is_named(
    monkeypatch,
):
    events = list(search(watched_by(monkeypatch, rule_saying(e3=STOP))))
    reports = epochs_of(events)
    assert [report.epoch for report in reports] == [1, 2, 3]
    (told,) = (e for e in events if e.type == "stop_suggested")
    assert (told.epoch, told.architecture_epoch, told.stopped) == (3, 2, True)
    found, of_the_rule = events[-1].architectures
    assert (events[-1].epoch, found.epoch) == (3, 2)
    assert found.architecture == of_the_rule.architecture == reports[1].genotype
    assert (of_the_rule.criterion, of_the_rule.note) == ("a rule", STOP.reason)


def test_a_search_that_stopped_stays_stopped_when_it_resumes(monkeypatch, tmp_path):
    spec = watched_by(monkeypatch, rule_saying(e3=STOP))
    whole = list(search(spec, tmp_path / "whole"))
    monkeypatch.undo()
    spec = watched_by(monkeypatch, rule_saying(e3=STOP))
    for event in search(spec, tmp_path / "broken"):
        if event.type == "checkpointed" and event.epoch == 3:
            break
    rest = list(search(spec, tmp_path / "broken", resume=True))
    assert [event.type for event in rest] == ["started", "finished"]
    assert without_clock(rest[-1]) == without_clock(whole[-1])


def test_every_rule_is_heard_and_the_one_that_stops_decides(monkeypatch):
    watcher = rule_saying(e3=Decision(epoch=1, reason="A peak."))
    silent = rule_saying()
    spec = watched_by(monkeypatch, watcher, rule_saying(e3=STOP), silent)
    events = list(search(spec))
    told = [e for e in events if e.type == "stop_suggested"]
    assert [(e.architecture_epoch, e.stopped) for e in told] == [(1, False), (2, True)]
    assert events[-1].architectures[0].epoch == 2


def test_an_epoch_named_at_the_end_counts_whatever_other_rules_say(monkeypatch):
    watcher = rule_saying(e6=Decision(epoch=4, reason="A peak."))
    events = list(search(watched_by(monkeypatch, watcher, rule_saying())))
    assert len(epochs_of(events)) == 6
    assert events[-1].architectures[0].epoch == 4


def test_a_rule_that_only_watches_marks_its_epoch_and_stops_nothing(monkeypatch):
    rules = (rule_saying(e3=STOP, e4=STOP, e6=STOP), rule_saying())
    events = list(search(watched_by(monkeypatch, *rules, watch=[True, False])))
    reports = epochs_of(events)
    assert len(reports) == 6
    (told,) = (e for e in events if e.type == "stop_suggested")
    assert (told.epoch, told.architecture_epoch, told.stopped) == (3, 2, False)
    last, marked = events[-1].architectures
    assert (last.derivation, last.epoch) == ("argmax", 6)
    assert (marked.derivation, marked.epoch) == ("none", 2)
    assert marked.architecture == reports[1].genotype


def test_what_a_rule_has_marked_outlasts_a_resume(monkeypatch, tmp_path):
    def spec():
        monkeypatch.undo()
        return watched_by(monkeypatch, rule_saying(e3=STOP), watch=[True])

    whole = list(search(spec()))
    for event in search(spec(), tmp_path):
        if event.type == "checkpointed" and event.epoch == 4:
            break
    rest = list(search(spec(), tmp_path, resume=True))
    assert not [e for e in rest if e.type == "stop_suggested"]
    assert without_clock(rest[-1]) == without_clock(whole[-1])


class Counting(Derivation):
    """Counts to five, slowly as it were, and tells how often it counted."""

    name = "argmax"
    counted = 0

    def derive(self, history, epoch):
        while self.counted < 5:
            self.counted += 1
            yield Progress(
                phase="derive", epoch=epoch, epochs=epoch, step=self.counted, steps=5
            )
        yield Derived("argmax", epoch, history[-1].genotype)

    def state_dict(self):
        return {"counted": self.counted}

    def load_state_dict(self, state):
        self.counted = state["counted"]


def test_a_long_derivation_goes_on_where_it_was(monkeypatch, tmp_path):
    monkeypatch.setitem(derivations._parts, "argmax", Counting)
    monkeypatch.setattr(search_module, "DERIVATION_SAVE_SECONDS", 0.0)
    spec = tiny(training={"epochs": 1}, selection={"name": "full"})

    def steps(events):
        return [e.step for e in events if e.type == "progress" and e.phase == "derive"]

    first = []
    for event in search(spec, tmp_path):
        first.append(event)
        if event.type == "checkpointed" and steps(first) == [1, 2, 3]:
            break
    rest = list(search(spec, tmp_path, resume=True))
    assert steps(rest) == [4, 5]
    assert [e.type for e in rest][-1] == "finished"
    assert rest[-1].architectures[0].architecture == epochs_of(first)[-1].genotype


@pytest.mark.parametrize("order", ["architecture-first", "weights-first"])
def test_an_unrolling_method_gets_the_batches_of_its_weight_steps(monkeypatch, order):
    """The batches beside alpha are those, to the pixel, that the weight steps use."""
    from searchjobs.engine.methods.darts import Darts

    beside, used = [], []
    architecture_step, weight_step = Darts.architecture_step, Darts.weight_step

    def watch_alpha(self, batch, train):
        beside.append(train)
        return architecture_step(self, batch, train)

    def watch_weights(self, batch):
        used.append(batch)
        return weight_step(self, batch)

    monkeypatch.setattr(Darts, "unrolls", classmethod(lambda _cls, _options: 2))
    monkeypatch.setattr(Darts, "architecture_step", watch_alpha)
    monkeypatch.setattr(Darts, "weight_step", watch_weights)
    list(
        search(tiny(selection={"name": "full"}, training={"epochs": 1, "order": order}))
    )
    assert len(used) == len(beside) == 4
    for step, (here, after) in enumerate(beside):
        assert here is used[step]
        assert step == 3 or after is used[step + 1]
