"""What a job that is a search reads, and what it leaves behind."""

from __future__ import annotations

from django.db.models import Max, Min

from . import subset_files, table_file
from .claims import Claim
from .models import Job, Run

#: Columns of a run that sum up its epochs.
SUMMARY = (
    "epoch",
    "architecture_id",
    "architectures",
    "repeats",
    "train_accuracy",
    "valid_accuracy",
    "inherited_accuracy",
    "remaining_train",
    "remaining_valid",
    "skips",
    "eigenvalue",
    "cost_units",
    "seconds_search",
    "seconds_evaluation",
)


def bring(claim: Claim) -> None:
    """Put the imported table and the subset where the engine looks for them."""
    plan = Run.objects.values_list("plan", flat=True).get(job_id=claim.job_id)
    table_file.refresh_for(plan, claim.spec)
    subset_files.bring_for(claim.spec)


def forget(job: Job) -> str:
    """Delete what a search has found; return its epochs, ``none`` or ``1-20``, and
    nothing if it has no run."""
    run = Run.objects.filter(job=job).first()
    if run is None:
        return ""
    found = run.epochs_recorded.aggregate(first=Min("epoch"), last=Max("epoch"))
    run.dataset_statistics.all().delete()
    run.epochs_recorded.all().delete()
    fresh = Run()
    Run.objects.filter(pk=run.pk).update(
        **{name: getattr(fresh, name) for name in SUMMARY}
    )
    return "none" if found["first"] is None else f"{found['first']}-{found['last']}"
