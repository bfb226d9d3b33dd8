"""Events of a search -> rows: one transaction an epoch (see ``recording``)."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, When

from . import bell
from .claims import Claim
from .engine.events import (
    ArchitectureFound,
    EpochFinished,
    Event,
    Finished,
    SamplesPruned,
    Started,
    StopSuggested,
)
from .models import Architecture, DatasetStatistics, EpochRecord, Job, Run
from .recording import Recording

#: What an epoch record and its event call by the same name.
COLUMNS = (
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_accuracy",
    "inherited_accuracy",
    "eigenvalue",
    "alpha",
    "strengths",
    "magnitudes",
    "genotype",
    "skips",
    "cost_units",
    "seconds_search",
    "seconds_evaluation",
)
#: What the summary row of a run takes over from each epoch.
SUMMARY = (
    "epoch",
    "train_accuracy",
    "valid_accuracy",
    "inherited_accuracy",
    "skips",
    "cost_units",
    "seconds_search",
    "seconds_evaluation",
)


class Recorder(Recording):
    """Write the events of one attempt at a search; an epoch told twice stands once."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.run = Run.objects.only("uuid").get(job_id=claim.job_id)
        self.rings = self.run.uuid
        self._pruned: dict[str, SamplesPruned] = {}
        self._architectures: dict[str, Architecture] = {}
        self.look()

    def look(self) -> None:
        epochs = EpochRecord.objects.filter(run=self.run)
        self.known = set(epochs.values_list("epoch", flat=True))

    def replay(self, event: Event) -> None:
        if isinstance(event, Started):
            self._pruned.clear()
        else:
            super().replay(event)

    def write(self, event: Event) -> None:
        if isinstance(event, SamplesPruned):
            self._samples_pruned(event)
        elif isinstance(event, EpochFinished):
            if event.epoch not in self.known:
                self._epoch(event)
            self._pruned.clear()
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, StopSuggested):
            self._stop_suggested(event)
        elif isinstance(event, Finished):
            self._finish(event)

    def _samples_pruned(self, event: SamplesPruned) -> None:
        """Keep it for the row of its epoch; what was chosen before the first epoch
        has a row of its own."""
        if event.epoch:
            self._pruned[event.set] = event
            return
        told = {
            "remaining": event.after,
            "class_counts": event.class_counts_after,
            "balance": event.balance_after,
            "event": event.model_dump(mode="json", exclude={"type"}),
        }
        with self.fenced():
            DatasetStatistics.objects.update_or_create(
                run=self.run, epoch=0, set=event.set, defaults=told
            )
        bell.ring(self.run.uuid, "0")

    def _start(self, event: Started) -> None:
        self._pruned.clear()
        with self.fenced() as state:
            self.run_if_starting(state)
            Job.objects.filter(pk=self.claim.job_id).update(
                environment=event.environment
            )
            Run.objects.filter(pk=self.run.pk).update(
                epochs=event.epochs,
                plan=event.plan.model_dump(mode="json"),
                baseline_units=event.plan.baseline_units,
                structure=event.model_dump(
                    mode="json",
                    include={
                        "edges",
                        "operations",
                        "strengths",
                        "classes",
                        "weight_count",
                        "data_fingerprint",
                    },
                ),
            )
        bell.ring(self.run.uuid)

    def _epoch(self, event: EpochFinished) -> None:
        # A search on a table has none before its first evaluation ends.
        architecture = self._architecture(event.genotype) if event.genotype else None
        with self.fenced():
            EpochRecord.objects.create(
                run=self.run,
                epoch=event.epoch,
                architecture=architecture,
                report=event.model_dump(
                    mode="json", exclude={"type", "epoch", *COLUMNS}
                ),
                **event.model_dump(mode="json", include=set(COLUMNS)),
            )
            DatasetStatistics.objects.bulk_create(
                DatasetStatistics(
                    run=self.run,
                    epoch=event.epoch,
                    set=name,
                    remaining=state.remaining,
                    class_counts=state.class_counts,
                    balance=state.balance,
                    event=self._pruning(name),
                )
                for name, state in event.sets.items()
            )
            self._summarise(event, architecture)
            self.attempt().update(epochs=F("epochs") + 1)
        self.known.add(event.epoch)
        bell.ring(self.run.uuid, str(event.epoch))

    def _pruning(self, name: str) -> dict[str, Any] | None:
        event = self._pruned.get(name)
        return event.model_dump(mode="json", exclude={"type"}) if event else None

    def _summarise(
        self, event: EpochFinished, architecture: Architecture | None
    ) -> None:
        values = event.model_dump(mode="json", include=set(SUMMARY))
        if event.eigenvalue is not None:  # measured every few epochs only
            values["eigenvalue"] = event.eigenvalue
        if event.repeats is not None:
            kept = {"repeats", "seconds", "evaluations", "signal", "accuracies"}
            values["repeats"] = event.repeats.model_dump(mode="json", include=kept)
        for column, name in (("remaining_train", "T"), ("remaining_valid", "V")):
            state = event.sets.get(name)  # type: ignore[call-overload]
            values[column] = state.remaining if state else None
        Run.objects.filter(pk=self.run.pk).update(architecture=architecture, **values)

    def _stop_suggested(self, event: StopSuggested) -> None:
        told = event.model_dump(mode="json", exclude={"type"})
        with self.fenced():
            record = EpochRecord.objects.only("report").get(
                run=self.run, epoch=event.epoch
            )
            others = [
                other
                for other in record.report.get("stop_suggestions", [])
                if (other["rule"], other.get("title")) != (event.rule, event.title)
            ]
            record.report["stop_suggestions"] = [*others, told]
            record.save(update_fields=["report"])
            self._add_architecture(event)
        bell.ring(self.run.uuid, str(event.epoch))

    def _add_architecture(self, event: StopSuggested) -> None:
        """List what a rule named while the search goes on; the end tells all anew."""
        named = EpochRecord.objects.get(run=self.run, epoch=event.architecture_epoch)
        found = ArchitectureFound(
            derivation=event.rule,
            epoch=event.architecture_epoch,
            architecture=named.genotype,
            connected=named.report["connected"],
            criterion=event.title,
            note=event.reason,
            without_none=named.report["genotype_without_none"],
        ).model_dump(mode="json")
        same = {name: found[name] for name in ("derivation", "criterion")}
        known = Run.objects.values_list("architectures", flat=True).get(pk=self.run.pk)
        others = [each for each in known if not same.items() <= each.items()]
        Run.objects.filter(pk=self.run.pk).update(architectures=[*others, found])

    def _finish(self, event: Finished) -> None:
        values: dict[str, Any] = {
            "architectures": [
                found.model_dump(mode="json") for found in event.architectures
            ],
            "cost_units": event.cost_units,
            "seconds_search": event.seconds_search,
            "seconds_evaluation": event.seconds_evaluation,
        }
        if event.architectures:
            final = event.architectures[0]
            values["architecture"] = self._architecture(final.architecture)
            values["inherited_accuracy"] = self._inherited(final)
        with self.fenced():
            Run.objects.filter(pk=self.run.pk).update(**values)
        self.finished = True
        bell.ring(self.run.uuid)

    def _inherited(self, found: ArchitectureFound) -> float | None:
        """Return what an epoch measured of the architecture that it held; None of one
        that no epoch held."""
        held = EpochRecord.objects.filter(run=self.run, genotype=found.architecture)
        # That of its own epoch, else the newest: False sorts before True.
        order = Case(When(epoch=found.epoch, then=0), default=1), "-epoch"
        known = held.order_by(*order).values_list("inherited_accuracy", flat=True)
        return known.first()

    def _architecture(self, encoding: str) -> Architecture:
        """Return the row of an architecture, outside of any lock: a new one is
        described first (index, parameters, FLOPs)."""
        if encoding not in self._architectures:
            from .benchmark import resolve_one  # brings PyTorch: only when needed

            space = self.claim.spec["space"]["name"]
            self._architectures[encoding] = resolve_one(space, encoding)
        return self._architectures[encoding]
