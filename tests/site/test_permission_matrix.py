"""Who gets which answer from which address: one line an address, all of them here.

A new address without a line fails ``test_every_address_has_a_line``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from searchjobs.artefacts import storage
from searchjobs.models import (
    Dataset,
    Evaluation,
    Job,
    Membership,
    Queue,
    Run,
    Slot,
    Subset,
    Team,
    Worker,
)
from tests.factories import make_user
from tests.site.factories import make_run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]

LOG_IN = "log in"
OK, MOVED, DENIED, MISSING = 200, 302, 403, 404


@dataclass(frozen=True)
class Line:
    """What an address answers.

    ``members`` may launch; ``author`` launched the run in question; a maintainer and
    an administrator are answered like the author unless ``admin`` says otherwise.
    """

    method: str
    anonymous: Any
    viewer: int
    member: int
    author: int
    stranger: int
    admin: int | None = None
    about: str = ""
    other_method: int = 405
    other_admin: int | None = None

    def expected(self, role: str) -> Any:
        if role == "admin" and self.admin is not None:
            return self.admin
        return getattr(self, "author" if role in {"maintainer", "admin"} else role)


def page(about: str = "") -> Line:
    """Everybody in the team may read it."""
    stranger = MISSING if about else OK
    return Line("get", LOG_IN, OK, OK, OK, stranger, about=about)


def act(about: str) -> Line:
    """The author, maintainers and administrators may do it."""
    return Line("post", DENIED, DENIED, DENIED, MOVED, MISSING, about=about)


def sealed(about: str = "") -> Line:
    """A page that does not exist for anybody but administrators."""
    return Line(
        "get", LOG_IN, *[MISSING] * 4, OK, about, other_method=MISSING, other_admin=405
    )


def control(about: str) -> Line:
    """A verb of theirs."""
    return Line(
        "post",
        DENIED,
        *[MISSING] * 4,
        MOVED,
        about,
        other_method=MISSING,
        other_admin=405,
    )


LINES = {
    "home": page(),
    "home-now": page(),
    "experiments:list": page(),
    "experiments:detail": page("experiment"),
    "experiments:runs": page("experiment"),
    "experiments:edit": act("experiment"),
    "experiments:cancel": act("experiment"),
    "experiments:controls": Line(
        "post", DENIED, DENIED, MOVED, MOVED, MISSING, about="experiment"
    ),
    "experiments:new": Line(
        "get", LOG_IN, DENIED, OK, OK, OK, other_method=OK
    ),  # a stranger launches for their own team; POST shows the faults
    "experiments:new-form": Line("post", DENIED, DENIED, OK, OK, OK),
    "experiments:new-preview": Line("post", DENIED, DENIED, OK, OK, OK),
    "experiments:new-yaml": Line("post", DENIED, DENIED, OK, OK, OK),
    "runs:detail": page("run"),
    "runs:architecture": page("run"),
    "runs:log": page("run"),
    "runs:files": page("run"),
    "runs:file": page("file"),
    "runs:spec": page("run"),
    "runs:environment": page("run"),
    "runs:epochs": page("run"),
    "runs:outlook": page("run"),
    "runs:found": page("run"),
    "runs:data": page("run"),
    "runs:data-gallery": page("run"),
    "runs:data-image": page("image"),
    "runs:data-overlap": page("pair"),
    "runs:cancel": act("run"),
    "runs:pause": act("run"),
    "runs:resume": act("run"),
    "runs:requeue": act("run"),
    "runs:restart": act("run"),
    "compare:index": page(),
    "analyses:index": page(),
    "analyses:pair": page(),
    "analyses:table": page("table of runs"),
    "reproductions:list": page(),
    "reproductions:detail": Line("get", LOG_IN, OK, OK, OK, OK, about="table"),
    "reproductions:launch": Line(
        "get", LOG_IN, DENIED, OK, OK, OK, about="table", other_method=MOVED
    ),  # a stranger sees and launches for their own team
    "datasets:list": page(),
    "datasets:new": Line("get", LOG_IN, DENIED, OK, OK, OK, other_method=OK),
    "datasets:new-fields": Line("post", DENIED, DENIED, OK, OK, OK),
    "datasets:upload": Line("get", LOG_IN, DENIED, OK, OK, OK, other_method=OK),
    "datasets:detail": page("dataset"),
    "datasets:status": page("dataset"),
    "datasets:edit": act("dataset"),
    "datasets:check": Line(
        "post", DENIED, DENIED, MOVED, MOVED, MISSING, about="dataset"
    ),
    "datasets:remove": act("dataset"),
    "subsets:list": page(),
    "subsets:new": Line("post", DENIED, DENIED, OK, OK, OK),
    "subsets:detail": page("subset"),
    "subsets:status": page("subset"),
    "evaluations:list": page(),
    "evaluations:new": Line(
        "get", LOG_IN, DENIED, OK, OK, MISSING, about="run", other_method=MOVED
    ),
    "evaluations:detail": page("evaluation"),
    "evaluations:points": page("evaluation"),
    "evaluations:status": page("evaluation"),
    "work:act": act("work"),
    "queues:list": page(),
    "installation:index": sealed(),
    "installation:audit": sealed(),
    "installation:usage": sealed(),
    "installation:queue-new": Line(
        "get", LOG_IN, *[MISSING] * 4, OK, other_method=MISSING, other_admin=422
    ),
    "installation:queue": sealed("queue"),
    "installation:workers": sealed(),
    "installation:job": sealed("job"),
    "installation:slot": sealed("slot"),
    **{
        f"installation:{what}-{verb}": control(what)
        for what, verbs in {
            "queue": ("pause", "resume", "delete"),
            "worker": ("drain", "undrain", "forget"),
            "slot": ("drain", "undrain"),
            "job": (
                *("cancel", "pause", "resume", "requeue", "restart"),
                *("hold", "release", "priority", "move", "place", "up", "down"),
            ),
        }.items()
        for verb in verbs
    },
    "installation:queue-limits": control("queue"),
    "installation:queue-edit": replace(control("queue"), admin=422),
    "login": Line("get", OK, MOVED, MOVED, MOVED, MOVED, other_method=MOVED),
    "logout": Line("post", MOVED, MOVED, MOVED, MOVED, MOVED),
    "password_change": Line("get", LOG_IN, OK, OK, OK, OK, other_method=OK),
    "password_change_done": page(),
    "team-switch": Line("post", DENIED, MOVED, MOVED, MOVED, MOVED),
    "healthz": Line("get", OK, OK, OK, OK, OK),
    # Prometheus sends a token instead: tests/site/test_metrics.py.
    "metrics": Line("get", DENIED, DENIED, DENIED, DENIED, DENIED, OK),
}
#: Tested with their own means: a stream does not end, and a sheet needs images
#: (tests/site/explorer/test_sheet.py, tests/site/test_dataset_samples.py,
#: tests/site/test_subsets_pages.py).
ELSEWHERE = {
    "live:run",
    "runs:data-sheet",
    "datasets:sheet",
    "subsets:gallery",
    "subsets:sheet",
}

ROLES = ("anonymous", "viewer", "member", "author", "maintainer", "stranger", "admin")


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(user, team, cpu_queue, finished=2, state="running")


def address(name: str, run: Run) -> str:
    about = LINES[name].about
    given: dict[str, Callable[[], list[Any]]] = {
        "": list,
        "run": lambda: [run.uuid],
        "experiment": lambda: [run.experiment.uuid],
        "queue": lambda: [run.job.queue.name],
        "job": lambda: [run.job.uuid],
        "worker": lambda: [slot_of(run).worker_id],
        "slot": lambda: [slot_of(run).pk],
        "file": lambda: [run.uuid, file_of(run)],
        "dataset": lambda: [dataset_of(run).uuid],
        "table of runs": lambda: ["transfer"],
        "image": lambda: [run.uuid, 3],
        "subset": lambda: [subset_of(run).uuid],
        "evaluation": lambda: [evaluation_of(run).uuid],
        "work": lambda: [subset_of(run).job.uuid, "cancel"],
        "pair": lambda: [run.uuid],
        "table": lambda: ["bdp-1"],
    }
    queries = {"pair": f"?with={run.uuid}", "table of runs": f"?runs={run.uuid}"}
    query = queries.get(about, "")
    return reverse(name, args=given[about]()) + query


def file_of(run: Run) -> str:
    """Return the name of a file of it, put there when it is first asked for."""
    name = "checkpoints/epoch-00002.pt"
    if not run.job.artefacts.filter(name=name).exists():
        path = storage().save(f"{run.job.uuid}/1/{name}", ContentFile(b"weights"))
        run.job.artefacts.create(name=name, epoch=2, fence=1, path=path, size=7)
    return name


def dataset_of(run: Run) -> Dataset:
    """Return a data set of the run's team and author, made when it is first asked."""
    given = {"source": {"name": "npz", "path": "/data/a.npz"}, "author": run.job.author}
    return Dataset.objects.get_or_create(
        team=run.job.team, name="Made", defaults=given
    )[0]


def job_of(run: Run, kind: str) -> Job:
    """Return a waiting job of the run's team and author, of another kind."""
    own = run.job
    shared = {
        "team": own.team,
        "author": own.author,
        "queue": own.queue,
        "subject": "made",
    }
    return Job.objects.get_or_create(
        kind=kind, **shared, defaults={"spec": {}, "queued": timezone.now()}
    )[0]


def subset_of(run: Run) -> Subset:
    """Return a subset of the run's team, made when it is first asked."""
    spec = {
        "selection": {"name": "random"},
        "dataset": {"name": "digits"},
        "split": {},
        "seed": 1,
    }
    job = job_of(run, Job.Kind.SUBSET)
    given = {"spec": spec, "name": "Made"}
    return Subset.objects.get_or_create(job=job, defaults=given)[0]


def evaluation_of(run: Run) -> Evaluation:
    """Return a training of the run's team, made when it is first asked."""
    given = {
        "architecture": run.architecture,
        "spec": {"training": {}, "dataset": {"name": "digits"}, "augmentation": {}},
        "seed": 1,
        "dataset": "digits",
        "channels": 2,
        "cells": 1,
        "epochs": 3,
    }
    job = job_of(run, Job.Kind.TRAINING)
    return Evaluation.objects.get_or_create(job=job, defaults=given)[0]


def slot_of(run: Run) -> Slot:
    """Return the slot that runs it: a silent worker's, made when it is first asked."""
    now = timezone.now()
    worker, _ = Worker.objects.get_or_create(
        name="worker@here",
        defaults={"started": now, "seen": now - timedelta(hours=1)},
    )
    return Slot.objects.get_or_create(worker=worker, number=0)[0]


def person_of(role: str, team: Team, author: User, stranger: User) -> User | None:
    """Return somebody with that role towards ``team``; None is nobody."""
    if role == "viewer":
        return make_user("v", team, Membership.Role.VIEWER)
    if role == "member":
        return make_user("m", team)
    if role == "maintainer":
        return make_user("c", team, Membership.Role.MAINTAINER)
    if role == "admin":
        return User.objects.create_superuser("root")
    return {"author": author, "stranger": stranger}.get(role)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_its_answers(
    role: str, run: Run, team: Team, user: User, other_team_user: User
) -> None:
    person = person_of(role, team, user, other_team_user)
    wrong = {}
    for name, line in LINES.items():
        client = Client()
        if person is not None:
            client.force_login(person)
        answer = getattr(client, line.method)(address(name, run))
        expected = line.expected(role)
        to_login = answer.headers.get("Location", "").startswith("/accounts/login/")
        got = LOG_IN if to_login and name != "logout" else answer.status_code
        if got != expected:
            wrong[name] = f"{got} instead of {expected}"
    assert wrong == {}


@pytest.mark.parametrize("role", ["author", "admin"])
def test_the_wrong_method_is_refused(
    role: str, run: Run, client_for: ClientFor, user: User
) -> None:
    client = client_for(
        user if role == "author" else User.objects.create_superuser("r")
    )
    wrong = {}
    for name, line in LINES.items():
        other = "get" if line.method == "post" else "post"
        answer = getattr(client, other)(address(name, run))
        expected = line.other_method
        if role == "admin" and line.other_admin is not None:
            expected = line.other_admin
        if answer.status_code != expected:
            wrong[name] = answer.status_code
    assert wrong == {}


def test_what_may_be_read_may_be_asked_for_its_head(
    run: Run, client_for: ClientFor, user: User
) -> None:
    client = client_for(user)
    pages = [name for name, line in LINES.items() if line.method == "get"]
    heads = {name: client.head(address(name, run)).status_code for name in pages}
    assert heads == {name: LINES[name].author for name in pages}


def test_a_live_stream_asks_who_one_is_before_anything_else(run: Run) -> None:
    answer = Client().get(reverse("live:run", args=[run.uuid]))
    assert answer.status_code == MOVED
    assert answer.headers["Location"].startswith("/accounts/login/")


def test_every_address_has_a_line() -> None:
    assert set(names()) == set(LINES) | ELSEWHERE


def names(resolver: URLResolver | None = None, namespace: str = "") -> Iterator[str]:
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLPattern):
            yield f"{namespace}{each.name}"
        elif each.namespace != "admin":
            inner = f"{each.namespace}:" if each.namespace else ""
            yield from names(each, f"{namespace}{inner}")
