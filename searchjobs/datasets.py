"""Register data sets, check them by a job, and remove them again.

Uploads are unpacked in ``uploads``; what a check tells is written by
``dataset_recording``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from . import artefacts, audit, bell, belongings, uploads
from .engine.problems import Problem, SpecError
from .job_control import end_of_line
from .lifecycle import NotAllowedError
from .models import Artefact, Dataset, Evaluation, Experiment, Job, Subset, Team
from .permissions import User, can_view, require_act, require_launch
from .placing import queue_of
from .states import TERMINAL, State


@dataclass(frozen=True)
class Uses:
    """What was launched on a data set, whatever it chooses of it; newest first."""

    experiments: QuerySet[Experiment]
    subsets: QuerySet[Subset]
    evaluations: QuerySet[Evaluation]

    def count(self) -> int:
        """Return how many there are: three queries."""
        return sum(
            rows.count() for rows in (self.experiments, self.subsets, self.evaluations)
        )


def register(
    actor: User, team: Team, name: str, source: Mapping[str, Any], *, licence: str = ""
) -> Dataset:
    """Store a data set and queue the check that reads all of its images.

    Args:
        actor: a member of the team.
        team: to whom it belongs.
        name: what people call it; no other of the team has it.
        source: the section ``dataset`` of a spec.
        licence: whose images they are, on which terms.

    Raises:
        PermissionDenied: the actor may not launch for this team.
        SpecError: every problem as a sentence, at ``name`` or ``dataset....``; no row
            was made.
    """
    require_launch(actor, team)
    options = checked_source(actor, team, name, source)
    return _store(actor, team, name, options, licence, uploaded=False)


def register_upload(
    actor: User,
    team: Team,
    name: str,
    file: Any,
    *,
    image_size: int | str | None = None,
    licence: str = "",
) -> Dataset:
    """Unpack a zip file of images and store it as ``register`` does.

    ``file`` is open for reading.  Problems of it stand at ``file``.  Whatever fails,
    no file stays behind.
    """
    require_launch(actor, team)
    if problems := name_problems(team, name):
        raise SpecError(problems)
    with uploads.unpacked(team, file) as upload:
        given = {"name": "uploaded", "upload": upload}
        if image_size not in {None, ""}:
            given["image_size"] = str(image_size)
        options = checked_source(actor, team, name, given, upload=upload)
        return _store(actor, team, name, options, licence, uploaded=True)


def checked_source(
    actor: User, team: Team, name: str, source: Mapping[str, Any], *, upload: str = ""
) -> dict[str, Any]:
    """Return the options of a source that an actor registers, complete.

    Raises SpecError with all that is wrong with the name or the source; ``upload`` is
    the one that is just being made.
    """
    from .engine.check import validate_check  # brings PyTorch

    problems = name_problems(team, name)
    if source.get("upload") != upload:
        problems += belongings.problems(actor, team, {"dataset": source})
    if problems:  # before anybody looks at the images of others
        raise SpecError(problems)
    checked = validate_check({"dataset": dict(source)})
    found: dict[str, Any] = checked.model_dump(mode="json")["dataset"]
    return found


def name_problems(
    team: Team, name: str, present: Dataset | None = None
) -> list[Problem]:
    """Return what is wrong with the name of a data set."""
    longest = Dataset._meta.get_field("name").max_length or 0
    if not name.strip():
        return [Problem("name", "Give the data set a name.")]
    if len(name.strip()) > longest:
        return [Problem("name", f"Use at most {longest} characters in a name.")]
    others = Dataset.objects.filter(team=team, name=name.strip())
    if present is not None:
        others = others.exclude(pk=present.pk)
    return [_taken()] if others.exists() else []


def _taken() -> Problem:
    return Problem(
        "name", "Your team has a data set of this name; choose another name."
    )


@transaction.atomic
def _store(
    actor: User,
    team: Team,
    name: str,
    options: dict[str, Any],
    licence: str,
    *,
    uploaded: bool,
) -> Dataset:
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                team=team,
                name=name.strip(),
                source=options,
                licence=licence.strip(),
                uploaded=uploaded,
                author_id=int(actor.pk),  # type: ignore[arg-type]
            )
    except IntegrityError:  # somebody was faster
        raise SpecError([_taken()]) from None
    audit.record(
        actor, "register", dataset, after={"name": dataset.name, "source": options}
    )
    _queue_check(actor, dataset)
    return dataset


@transaction.atomic
def check(actor: User, dataset: Dataset) -> Job:
    """Read all images of a data set anew.

    Raises:
        PermissionDenied: the actor may not launch for its team.
        NotAllowedError: a check of it is under way.
    """
    _require_member(actor, dataset)
    row = _locked(dataset)
    _require_rest(row)
    former = row.check_job
    job = _queue_check(actor, row)
    audit.record(actor, "check", row)
    if former is not None:
        _drop_files(former)
    return job


@transaction.atomic
def edit(actor: User, dataset: Dataset, *, name: str, licence: str) -> bool:
    """Change what people call it and its licence; False if all was so already.

    Raises:
        PermissionDenied: the actor is neither its author nor a maintainer.
        SpecError: the name is wrong or taken.
    """
    require_act(actor, dataset)
    row = _locked(dataset)
    if problems := name_problems(row.team, name, row):
        raise SpecError(problems)
    before = {"name": row.name, "licence": row.licence}
    after = {"name": name.strip(), "licence": licence.strip()}
    if before == after:
        return False
    Dataset.objects.filter(pk=row.pk).update(**after)
    audit.record(actor, "edit", row, before, after)
    return True


@transaction.atomic
def remove(actor: User, dataset: Dataset) -> None:
    """Remove a data set that nothing uses; the files of an upload go with it.

    Raises:
        PermissionDenied: the actor is neither its author nor a maintainer.
        NotAllowedError: something uses it, or a check of it is under way.
    """
    require_act(actor, dataset)
    row = _locked(dataset)
    _require_rest(row)
    if count := uses(row).count():
        raise NotAllowedError(
            f"{count} experiment{'s' if count > 1 else ''}, subset"
            f"{'s' if count > 1 else ''} or training"
            f"{'s' if count > 1 else ''} of your team use it, and their pages show its "
            "images: it stays."
        )
    audit.record(actor, "remove", row, before={"name": row.name, "source": row.source})
    former = row.check_job
    upload = str(row.source.get("upload", "")) if row.uploaded else ""
    row.delete()
    if former is not None:
        _drop_files(former)
    if upload:
        transaction.on_commit(lambda: uploads.remove(upload))


def searched_source(dataset: Dataset) -> dict[str, Any]:
    """Return the section ``dataset`` of a search on it: a source that reads its images
    while searching is told which of them the check has found broken."""
    source = dict(dataset.source)
    if "leave_out" in source:
        broken = [file["path"] for file in dataset.unreadable]
        source["leave_out"] = [*source["leave_out"], *broken]
    return source


def uses(dataset: Dataset) -> Uses:
    """Return what the team has launched on the images of a data set."""
    which = belongings.images_named(dataset.source)
    section = {"spec__contains": {"dataset": which}}
    return Uses(
        Experiment.objects.filter(team=dataset.team_id, **section).order_by("-created"),
        Subset.objects.filter(job__team=dataset.team_id, **section),
        Evaluation.objects.filter(job__team=dataset.team_id, **section),
    )


def _locked(dataset: Dataset) -> Dataset:
    # Locked first and read then: a row that was waited for is joined to old rows, and
    # would come without the check that somebody else has just begun.
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    return Dataset.objects.select_related("team", "check_job").get(pk=dataset.pk)


def _require_member(actor: User, dataset: Dataset) -> None:
    if not can_view(actor, dataset):
        raise PermissionDenied("This data set belongs to a team that is not yours.")
    require_launch(actor, dataset.team)


def _require_rest(dataset: Dataset) -> None:
    job = dataset.check_job
    if job is not None and job.state not in TERMINAL:
        raise NotAllowedError(
            f"A check of it is {State(job.state).label}: wait for its end, or cancel "
            "it first."
        )


def _queue_check(actor: User, dataset: Dataset) -> Job:
    """Queue a check of a new or locked row, and wake a slot."""
    queue = queue_of("cpu", None)
    job = Job.objects.create(
        kind=Job.Kind.CHECK,
        subject=f"check of {dataset.name}",
        team=dataset.team,
        author_id=int(actor.pk),  # type: ignore[arg-type]
        spec={"dataset": dataset.source},
        state=State.QUEUED,
        queue=queue,
        position=end_of_line(),
        queued=Now(),
    )
    Dataset.objects.filter(pk=dataset.pk).update(check_job=job)
    dataset.check_job = job
    bell.wake(queue.name, 1)
    return job


def _drop_files(job: Job) -> None:
    """Remove what a check that is past has left in the shared storage."""
    rows = Artefact.objects.filter(job=job)
    paths = list(rows.values_list("path", flat=True))
    rows.delete()
    transaction.on_commit(lambda: artefacts.remove(*paths))
