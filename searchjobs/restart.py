"""Queue a job again from the start: what its former attempts have found is dropped."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, Max, Min

from .artefacts import LOGS, remove
from .lifecycle import ANEW, Values, act, counted_anew, waiting
from .models import Job, Run
from .permissions import User

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

#: For who asks for it without having said that they mean it.
UNCONFIRMED = (
    "Starting again drops the epochs that were found: confirm that you want it."
)


def restart(actor: User, job: Job) -> bool:
    """Give a failed or cancelled job another try that begins at its first epoch.

    Its epochs, data set statistics and files are dropped in the same transaction, and
    the audit event says which they were; attempts and logs of the past stay to be read.

    Raises:
        PermissionDenied, NotAllowedError: with a sentence; nothing was changed.
    """
    updates: dict[str, Any] = {
        **waiting(),
        **counted_anew(),
        "files_from": F("fence") + 1,
        "progress": {},
        "started": None,
    }
    return act(actor, "restart", job, ANEW, updates, also=_drop)


def _drop(job: Job) -> tuple[Values, Values]:
    """Delete what the job has found; return what there was, and what there is."""
    dropped = job.artefacts.exclude(name__startswith=f"{LOGS}/")
    paths = list(dropped.values_list("path", flat=True))
    dropped.delete()
    transaction.on_commit(lambda: remove(*paths))
    files = len(paths)
    run = Run.objects.filter(job=job).first()
    if run is None:
        return {"files": files}, {"files": 0}
    found = run.epochs_recorded.aggregate(first=Min("epoch"), last=Max("epoch"))
    run.dataset_statistics.all().delete()
    run.epochs_recorded.all().delete()
    fresh = Run()
    Run.objects.filter(pk=run.pk).update(
        **{name: getattr(fresh, name) for name in SUMMARY}
    )
    epochs = "none" if found["first"] is None else f"{found['first']}-{found['last']}"
    return {"epochs": epochs, "files": files}, {"epochs": "none", "files": 0}
