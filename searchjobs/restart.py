"""Queue a job again from the start: what its former attempts have found is dropped."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F

from .artefacts import LOGS, remove
from .kinds import KINDS
from .lifecycle import ANEW, Values, act, counted_anew, waiting
from .models import Job
from .permissions import User

#: For who asks for it without having said that they mean it.
UNCONFIRMED = "Starting again drops what was found: confirm that you want it."


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
    epochs = KINDS[job.kind].forget(job)
    if not epochs:
        return {"files": files}, {"files": 0}
    return {"epochs": epochs, "files": files}, {"epochs": "none", "files": 0}
