"""Every verb at the level of a request: it works for an administrator and leaves one
audit event; a viewer, a member of another team and an anonymous visitor are refused,
and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from searchjobs.models import (
    AuditEvent,
    EpochRecord,
    Job,
    Queue,
    Run,
    Slot,
    Team,
    Worker,
)
from searchjobs.states import State
from tests.factories import make_queue
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db

Fields = dict[str, str]


@dataclass
class Scene:
    """A queue with two jobs that wait, another queue, and a silent worker."""

    run: Run
    job: Job
    other: Job
    queue: Queue
    empty: Queue
    slot: Slot


@dataclass(frozen=True)
class Verb:
    """What is posted where, and what it must have changed.

    Attributes:
        about: what the address names.
        posted: the fields of the form.
        audit: verb of the audit event.
        changed: says whether it was done.
        before: what must be so first.
    """

    about: str
    audit: str
    changed: Callable[[Scene], bool]
    posted: Callable[[Scene], Fields] = lambda _: {}
    before: Callable[[Scene], Any] = lambda _: None


def put(row: Any, **columns: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**columns)


def now(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


def state_is(state: str) -> Callable[[Scene], bool]:
    return lambda scene: now(scene.job).state == state


def is_first(scene: Scene) -> bool:
    waiting = Job.objects.filter(queue=scene.queue).order_by("position", "pk")
    return waiting[0].pk == scene.job.pk


def is_last(scene: Scene) -> bool:
    return not is_first(scene)


def behind(scene: Scene) -> None:
    put(scene.job, position=scene.other.position + 10)


def failed(scene: Scene) -> None:
    put(scene.job, state=State.FAILED)


def pausing(scene: Scene) -> None:
    put(scene.job, state=State.PAUSED)


VERBS = {
    "installation:queue-pause": Verb(
        "queue",
        "pause",
        lambda scene: now(scene.queue).paused,
        lambda _: {"reason": "new driver"},
    ),
    "installation:queue-resume": Verb(
        "queue",
        "resume",
        lambda scene: not now(scene.queue).paused,
        before=lambda scene: put(scene.queue, paused=True),
    ),
    "installation:queue-edit": Verb(
        "queue",
        "edit",
        lambda scene: now(scene.queue).description == "proxies",
        lambda _: {"device": "cpu", "min_memory_gib": "0", "description": "proxies"},
    ),
    "installation:queue-limits": Verb(
        "queue",
        "limit",
        lambda scene: now(scene.queue).max_running == 3,
        lambda _: {"max_running": "3"},
    ),
    "installation:queue-delete": Verb(
        "empty", "delete", lambda _: not Queue.objects.filter(name="empty").exists()
    ),
    "installation:queue-new": Verb(
        "",
        "create",
        lambda _: Queue.objects.filter(name="a100", device="cuda").exists(),
        lambda _: {"name": "a100", "device": "cuda", "min_memory_gib": "0"},
    ),
    "installation:worker-drain": Verb(
        "worker", "drain", lambda scene: now(scene.slot.worker).drain_requested
    ),
    "installation:worker-undrain": Verb(
        "worker",
        "undrain",
        lambda scene: not now(scene.slot.worker).drain_requested,
        before=lambda scene: put(scene.slot.worker, drain_requested=True),
    ),
    "installation:worker-forget": Verb(
        "worker", "forget", lambda _: not Worker.objects.exists()
    ),
    "installation:slot-drain": Verb(
        "slot", "drain", lambda scene: now(scene.slot).drain_requested
    ),
    "installation:slot-undrain": Verb(
        "slot",
        "undrain",
        lambda scene: not now(scene.slot).drain_requested,
        before=lambda scene: put(scene.slot, drain_requested=True),
    ),
    "installation:job-hold": Verb(
        "job",
        "hold",
        lambda scene: now(scene.job).hold_reason == "wait",
        lambda _: {"reason": "wait"},
    ),
    "installation:job-release": Verb(
        "job",
        "release",
        lambda scene: not now(scene.job).held,
        before=lambda scene: put(scene.job, held=True),
    ),
    "installation:job-priority": Verb(
        "job",
        "priority",
        lambda scene: now(scene.job).priority == 10,
        lambda _: {"priority": "10"},
    ),
    "installation:job-move": Verb(
        "job",
        "move",
        lambda scene: now(scene.job).queue == scene.empty,
        lambda _: {"queue": "empty"},
    ),
    "installation:job-place": Verb(
        "job",
        "reorder",
        is_first,
        lambda scene: {"before": str(scene.other.uuid)},
        behind,
    ),
    "installation:job-up": Verb("job", "reorder", is_first, before=behind),
    "installation:job-down": Verb("job", "reorder", is_last),
    "installation:job-cancel": Verb("job", "cancel", state_is(State.CANCELLED)),
    "installation:job-pause": Verb("job", "pause", state_is(State.PAUSED)),
    "installation:job-resume": Verb(
        "job", "resume", state_is(State.QUEUED), before=pausing
    ),
    "installation:job-requeue": Verb(
        "job", "requeue", state_is(State.QUEUED), before=failed
    ),
    "installation:job-restart": Verb(
        "job",
        "restart",
        lambda scene: (
            now(scene.job).state == State.QUEUED
            and not EpochRecord.objects.filter(run=scene.run).exists()
        ),
        lambda _: {"confirm": "yes"},
        failed,
    ),
    "runs:cancel": Verb("run", "cancel", state_is(State.CANCELLED)),
    "runs:pause": Verb("run", "pause", state_is(State.PAUSED)),
    "runs:resume": Verb("run", "resume", state_is(State.QUEUED), before=pausing),
    "runs:requeue": Verb("run", "requeue", state_is(State.QUEUED), before=failed),
    "runs:restart": Verb(
        "run",
        "restart",
        state_is(State.QUEUED),
        lambda _: {"confirm": "yes"},
        failed,
    ),
}
EACH_VERB = pytest.mark.parametrize("name", VERBS)


@pytest.fixture
def scene(user: User, team: Team, cpu_queue: Queue) -> Scene:
    spec = digits_spec(epochs=3)
    runs = [
        make_run(
            user, team, cpu_queue, name=name, spec=spec, finished=2, state="queued"
        )
        for name in ("one", "two")
    ]
    long_ago = timezone.now() - timedelta(hours=1)
    worker = Worker.objects.create(name="w@here", started=long_ago, seen=long_ago)
    return Scene(
        run=runs[0],
        job=runs[0].job,
        other=runs[1].job,
        queue=cpu_queue,
        empty=make_queue("empty"),
        slot=Slot.objects.create(worker=worker, number=0),
    )


def post(client: Client, name: str, scene: Scene, **headers: str) -> Any:
    verb = VERBS[name]
    named = {
        "": [],
        "queue": [scene.queue.name],
        "empty": [scene.empty.name],
        "worker": [scene.slot.worker_id],
        "slot": [scene.slot.pk],
        "job": [scene.job.uuid],
        "run": [scene.run.uuid],
    }[verb.about]
    return client.post(reverse(name, args=named), verb.posted(scene), headers=headers)


def everything() -> list[list[dict[str, Any]]]:
    """Return all rows that a verb could change, or tell of."""
    models = (Job, Queue, Worker, Slot, Run, EpochRecord, AuditEvent)
    return [list(m.objects.order_by("pk").values()) for m in models]  # type: ignore[attr-defined]


@EACH_VERB
def test_an_administrator_does_it_and_it_is_told_once(
    name: str, scene: Scene, admin_user: User, client_for: Callable[[User], Client]
) -> None:
    verb = VERBS[name]
    verb.before(scene)
    assert not verb.changed(scene)
    answer = post(client_for(admin_user), name, scene)
    assert answer.status_code == 302
    assert verb.changed(scene)
    event = AuditEvent.objects.get()
    assert (event.actor, event.verb) == (admin_user, verb.audit)
    assert event.before != event.after


@EACH_VERB
@pytest.mark.parametrize("who", ["viewer", "other_team_user", "anonymous"])
def test_others_are_refused_and_nothing_is_changed(
    name: str, who: str, scene: Scene, request: pytest.FixtureRequest
) -> None:
    VERBS[name].before(scene)
    client = Client()
    if who != "anonymous":
        client.force_login(request.getfixturevalue(who))
    before = everything()
    answer = post(client, name, scene)
    hidden = who != "anonymous" and (
        name.startswith("installation:") or who == "other_team_user"
    )
    assert answer.status_code == (404 if hidden else 403)
    assert everything() == before


@pytest.mark.parametrize("name", [n for n in VERBS if n.startswith("installation:")])
@pytest.mark.parametrize("who", ["user", "maintainer"])
def test_who_acts_on_their_own_runs_has_no_verb_of_an_administrator(
    name: str, who: str, scene: Scene, request: pytest.FixtureRequest
) -> None:
    VERBS[name].before(scene)
    client = Client()
    client.force_login(request.getfixturevalue(who))
    before = everything()
    assert post(client, name, scene).status_code == 404
    assert everything() == before


@EACH_VERB
def test_a_request_from_another_site_is_refused(
    name: str, scene: Scene, admin_user: User
) -> None:
    VERBS[name].before(scene)
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    before = everything()
    answer = post(client, name, scene)
    assert answer.status_code == 403
    assert "without the token of its page" in answer.content.decode()
    assert everything() == before


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, verb in VERBS.items()
        if name.startswith("installation:")
        and verb.audit not in {"delete", "create", "forget", "reorder", "resume"}
        and not name.endswith(("-requeue", "-restart"))
    ],
)
def test_what_is_so_already_is_said_and_not_told_again(
    name: str, scene: Scene, admin_user: User, client_for: Callable[[User], Client]
) -> None:
    VERBS[name].before(scene)
    client = client_for(admin_user)
    post(client, name, scene)
    post(client, name, scene, Accept="application/json")
    assert AuditEvent.objects.count() == 1
