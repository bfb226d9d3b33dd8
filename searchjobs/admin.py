"""Django's admin: look at everything; change users and teams.

Queues, workers, jobs and what a search left behind are not edited here: the verbs in
``launch``, ``lifecycle`` and the ``..._control`` modules keep rules, leases and audit
together, and the site has their pages.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest

from . import audit
from .models import (
    Architecture,
    Artefact,
    Attempt,
    AuditEvent,
    BenchmarkImport,
    BenchmarkResult,
    Dataset,
    DatasetStatistics,
    EpochRecord,
    Evaluation,
    Experiment,
    Job,
    Membership,
    Queue,
    Run,
    Slot,
    SlotSample,
    Subset,
    Team,
    Worker,
)
from .states import HELD, State


class ReadOnly(admin.ModelAdmin):
    """Rows that the jobs themselves write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False


class Audited(admin.ModelAdmin):
    """Rows that an administrator changes; each change is an audit event."""

    def save_model(
        self, request: HttpRequest, obj: Model, form: Any, change: bool
    ) -> None:
        before = {name: str(form.initial.get(name)) for name in form.changed_data}
        super().save_model(request, obj, form, change)
        after = {name: str(form.cleaned_data[name]) for name in form.changed_data}
        audit.record(
            request.user,
            "change" if change else "add",
            obj,
            before=before if change else None,
            after=after,
        )

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        audit.record(request.user, "delete", obj, before={"name": str(obj)})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def save_formset(
        self, request: HttpRequest, form: Any, formset: Any, change: bool
    ) -> None:
        """Write down the rows inside a form too: who came into a team, who left."""
        super().save_formset(request, form, formset, change)
        for obj in formset.new_objects:
            audit.record(request.user, "add", obj, after={"name": str(obj)})
        for obj, changed in formset.changed_objects:
            after = {"name": str(obj), "changed": list(changed)}
            audit.record(request.user, "change", obj, after=after)
        for obj in formset.deleted_objects:
            audit.record(request.user, "delete", obj, before={"name": str(obj)})


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Team)
class TeamAdmin(Audited):
    list_display = ("name", "slug", "people", "created")
    search_fields = ("name",)
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MembershipInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        return super().get_queryset(request).annotate(count=Count("memberships"))

    @admin.display(ordering="count")
    def people(self, team: Any) -> int:
        return int(team.count)


@admin.register(Queue)
class QueueAdmin(ReadOnly):
    list_display = ("name", "device", "paused", "max_running", "waiting", "running")
    list_filter = ("device", "paused")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                waits=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
                runs=Count("jobs", filter=Q(jobs__state__in=HELD)),
            )
        )

    @admin.display(ordering="waits")
    def waiting(self, queue: Any) -> int:
        return int(queue.waits)

    @admin.display(ordering="runs")
    def running(self, queue: Any) -> int:
        return int(queue.runs)


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "host", "drain_requested", "seen", "started")
    list_filter = ("drain_requested",)


@admin.register(Slot)
class SlotAdmin(ReadOnly):
    list_display = ("worker", "number", "device_name", "drain_requested", "job")
    list_filter = ("device", "drain_requested")
    list_select_related = ("worker", "job")


@admin.register(SlotSample)
class SlotSampleAdmin(ReadOnly):
    list_display = ("slot", "at", "utilisation", "memory_used_mib", "power")
    list_select_related = ("slot__worker",)
    date_hierarchy = "at"


class AttemptInline(admin.TabularInline):
    model = Attempt
    fields = ("number", "worker_name", "outcome", "detail", "started", "ended")
    extra = 0
    can_delete = False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def has_add_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnly):
    list_display = (
        "uuid",
        "kind",
        "state",
        "team",
        "author",
        "queue",
        "priority",
        "worker",
        "lease_expires",
        "created",
    )
    list_filter = ("state", "kind", "queue", "priority", "team")
    list_select_related = ("team", "author", "queue", "worker")
    search_fields = ("uuid", "error")
    date_hierarchy = "created"
    inlines = (AttemptInline,)


@admin.register(Artefact)
class ArtefactAdmin(ReadOnly):
    list_display = ("name", "job", "epoch", "fence", "size", "created")
    list_select_related = ("job",)
    search_fields = ("job__uuid", "name")


@admin.register(Experiment)
class ExperimentAdmin(ReadOnly):
    list_display = ("name", "team", "author", "seeds", "tags", "created")
    list_filter = ("team",)
    list_select_related = ("team", "author")
    search_fields = ("name", "fingerprint", "uuid")
    date_hierarchy = "created"


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = (
        "experiment",
        "seed",
        "state",
        "epoch",
        "epochs",
        "valid_accuracy",
        "cost_units",
        "architecture",
    )
    list_filter = ("job__state", "experiment__team")
    list_select_related = ("experiment", "job", "architecture")
    search_fields = ("experiment__name", "uuid")

    @admin.display(ordering="job__state")
    def state(self, run: Run) -> str:
        return run.job.get_state_display()


@admin.register(EpochRecord)
class EpochRecordAdmin(ReadOnly):
    list_display = ("run", "epoch", "valid_accuracy", "genotype", "recorded")
    list_select_related = ("run__experiment",)
    search_fields = ("run__uuid", "genotype")


@admin.register(DatasetStatistics)
class DatasetStatisticsAdmin(ReadOnly):
    list_display = ("run", "epoch", "set", "remaining", "balance")
    list_filter = ("set",)
    list_select_related = ("run__experiment",)
    search_fields = ("run__uuid",)


@admin.register(Dataset)
class DatasetAdmin(ReadOnly):
    list_display = ("name", "team", "image_size", "unreadable_count", "checked")
    list_filter = ("team",)
    list_select_related = ("team",)
    search_fields = ("name", "uuid", "fingerprint")


@admin.register(Subset)
class SubsetAdmin(ReadOnly):
    list_display = ("name", "job", "data_fingerprint", "seconds", "created")
    list_select_related = ("job",)
    search_fields = ("name", "uuid", "fingerprint")
    date_hierarchy = "created"


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnly):
    list_display = (
        "architecture",
        "dataset",
        "channels",
        "cells",
        "seed",
        "epoch",
        "accuracy",
        "split",
    )
    list_filter = ("dataset", "split")
    list_select_related = ("architecture",)
    search_fields = ("architecture__encoding", "uuid")
    date_hierarchy = "created"


@admin.register(Architecture)
class ArchitectureAdmin(ReadOnly):
    list_display = ("encoding", "space", "index", "parameters", "flops")
    list_filter = ("space",)
    search_fields = ("encoding", "index")


@admin.register(BenchmarkImport)
class BenchmarkImportAdmin(ReadOnly):
    list_display = ("source", "space", "architectures", "imported")
    list_filter = ("space",)


@admin.register(BenchmarkResult)
class BenchmarkResultAdmin(ReadOnly):
    list_display = ("architecture", "dataset", "split", "protocol", "value", "rank")
    list_filter = ("dataset", "split", "protocol")
    list_select_related = ("architecture",)
    search_fields = ("architecture__encoding",)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly):
    list_display = ("at", "actor", "verb", "object_type", "object_name", "team")
    list_filter = ("verb", "object_type", "team")
    list_select_related = ("actor", "team")
    search_fields = ("object_id", "object_name")
    date_hierarchy = "at"
