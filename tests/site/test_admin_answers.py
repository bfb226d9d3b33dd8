"""What the administrators' pages answer: sentences, ways back, JSON, wrong values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from searchjobs.models import AuditEvent, Job, Queue, Run, Team
from searchjobs.states import State
from tests.factories import make_queue
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


@pytest.fixture
def admin(admin_user: User, client_for: Callable[[User], Client]) -> Client:
    return client_for(admin_user)


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(
        user, team, cpu_queue, spec=digits_spec(epochs=3), finished=2, state="queued"
    )


def verb(name: str, row: Job | Queue | Run) -> str:
    key = row.name if isinstance(row, Queue) else row.uuid
    return reverse(name, args=[key])


def said(client: Client, url: str, **fields: str) -> list[str]:
    answer = client.post(url, fields)
    assert answer.status_code == 302
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_verb_leads_back_to_where_it_was_asked_for(
    admin: Client, cpu_queue: Queue
) -> None:
    url = verb("installation:queue-pause", cpu_queue)
    assert admin.post(url).headers["Location"] == "/queues/"
    assert admin.post(url, {"next": "/queues/?x=1"}).headers["Location"] == (
        "/queues/?x=1"
    )


@pytest.mark.parametrize(
    "elsewhere", ["https://elsewhere.example/", "//elsewhere.example", "javascript:x"]
)
def test_a_verb_never_leads_to_another_site(
    admin: Client, cpu_queue: Queue, elsewhere: str
) -> None:
    url = verb("installation:queue-pause", cpu_queue)
    answer = admin.post(url, {"next": elsewhere})
    assert answer.headers["Location"] == "/queues/"


def test_a_script_is_answered_in_json(
    admin: Client, run: Run, cpu_queue: Queue
) -> None:
    up = verb("installation:job-up", run.job)
    answer = admin.post(up, headers=JSON)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "changed": False,
            "message": "The job is the first of its team and priority.",
        },
    )
    Job.objects.filter(pk=run.job_id).update(state=State.RUNNING)
    refused = admin.post(up, headers=JSON)
    assert refused.status_code == 409
    assert "only a waiting job has a place" in refused.json()["message"]
    wrong = admin.post(
        verb("installation:job-priority", run.job), {"priority": "7"}, headers=JSON
    )
    assert (wrong.status_code, wrong.json()["changed"]) == (422, False)


@pytest.mark.parametrize("before", ["nonsense", "0" * 32, "é"])
def test_a_place_before_nothing_is_refused(
    admin: Client, run: Run, before: str
) -> None:
    url = verb("installation:job-place", run.job)
    assert said(admin, url, before=before) == [
        "The job at that place is gone; reload the page."
    ]


@pytest.mark.parametrize("priority", ["", "7", "high", "1e1"])
def test_a_priority_that_does_not_exist_is_refused(
    admin: Client, run: Run, priority: str
) -> None:
    url = verb("installation:job-priority", run.job)
    assert said(admin, url, priority=priority) == [
        "Priority must be low, normal or high; choose one."
    ]


def test_a_move_to_a_queue_that_is_gone_is_refused(admin: Client, run: Run) -> None:
    url = verb("installation:job-move", run.job)
    assert said(admin, url, queue="gone") == ["This queue is gone; choose another."]


@pytest.mark.parametrize("name", ["runs:restart", "installation:job-restart"])
def test_a_start_from_the_start_wants_a_confirmation(
    admin: Client, run: Run, name: str
) -> None:
    Job.objects.filter(pk=run.job_id).update(state=State.FAILED)
    url = verb(name, run if name.startswith("runs") else run.job)
    assert said(admin, url) == [
        "Starting again drops what was found: confirm that you want it."
    ]
    assert run.epochs_recorded.count() == 2
    assert not AuditEvent.objects.exists()


def test_a_viewer_is_not_even_asked_whether_they_are_sure(
    run: Run, viewer: User, client_for: Callable[[User], Client]
) -> None:
    assert client_for(viewer).post(verb("runs:restart", run)).status_code == 403


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "cpu", "device": "cpu", "min_memory_gib": "0"}, "already exists"),
        ({"name": "a b", "device": "cpu", "min_memory_gib": "0"}, "valid “slug”"),
        ({"name": "a", "device": "tpu", "min_memory_gib": "0"}, "valid choice"),
        ({"name": "a", "device": "cpu", "min_memory_gib": "-1"}, "greater than"),
    ],
)
def test_a_new_queue_with_wrong_values_is_shown_again_with_what_is_wrong(
    admin: Client, cpu_queue: Queue, fields: dict[str, str], sentence: str
) -> None:
    answer = admin.post(reverse("installation:queue-new"), fields)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert Queue.objects.get() == cpu_queue


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("queue-limits", {"max_hours": "0"}),
        ("queue-limits", {"max_running": "many"}),
        ("queue-edit", {"device": "cpu", "min_memory_gib": "much"}),
    ],
)
def test_wrong_values_of_a_queue_are_shown_beside_their_field(
    admin: Client, cpu_queue: Queue, name: str, fields: dict[str, str]
) -> None:
    answer = admin.post(verb(f"installation:{name}", cpu_queue), fields)
    assert answer.status_code == 422
    assert 'class="field-error"' in answer.content.decode()
    assert not AuditEvent.objects.exists()


def test_limits_are_lifted_by_empty_fields(admin: Client, cpu_queue: Queue) -> None:
    url = verb("installation:queue-limits", cpu_queue)
    admin.post(url, {"max_running": "2", "max_hours": "1.5"})
    admin.post(url, {"max_running": "", "max_hours": ""})
    cpu_queue.refresh_from_db()
    assert (cpu_queue.max_running, cpu_queue.max_hours) == (None, None)


def test_a_queue_with_a_history_is_not_deleted_and_the_page_says_why(
    admin: Client, run: Run, cpu_queue: Queue
) -> None:
    (sentence,) = said(admin, verb("installation:queue-delete", cpu_queue))
    assert sentence.startswith("1 job waits, runs or pauses in cpu")


def test_what_is_gone_is_not_there(admin: Client) -> None:
    nothing = "00000000-0000-4000-8000-000000000000"
    for name, key in (
        ("queue-pause", "gone"),
        ("worker-drain", 1),
        ("slot-drain", 1),
        ("job-hold", nothing),
    ):
        url = reverse(f"installation:{name}", args=[key])
        assert admin.post(url).status_code == 404


def test_an_anonymous_visitor_is_told_to_log_in_and_is_not_redirected(
    cpu_queue: Queue,
) -> None:
    url = verb("installation:queue-pause", cpu_queue)
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(Client(), method)(url)
        assert answer.status_code == 403
        assert "You are not logged in" in answer.content.decode()
        assert reverse("login") in answer.content.decode()
    assert Client().get("/installation/").status_code == 302
    assert Client().options("/installation/").status_code == 302


def test_a_part_of_a_page_that_is_posted_after_the_session_loads_the_page_anew(
    cpu_queue: Queue,
) -> None:
    url = verb("installation:queue-pause", cpu_queue)
    answer = Client().post(url, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (403, "true")


def test_a_job_without_a_run_has_its_page_and_its_verbs(
    admin: Client, run: Run
) -> None:
    job = run.job
    run.delete()
    make_queue("other")
    page = admin.get(verb("installation:job", job))
    assert page.status_code == 200
    assert "search run" in page.content.decode()
    admin.post(verb("installation:job-hold", job), {"reason": "wait"})
    admin.post(verb("installation:job-move", job), {"queue": "other"})
    job.refresh_from_db()
    assert (job.held, job.queue.name) == (True, "other")
    html = admin.get(verb("installation:job", job)).content.decode()
    assert "</span>held</span>" in html
    assert "wait" in html


def test_a_form_with_a_zero_byte_is_refused_and_changes_nothing(
    admin: Client, cpu_queue: Queue, run: Run
) -> None:
    pause = verb("installation:queue-pause", cpu_queue)
    assert admin.post(pause, {"reason": "a\0b"}).status_code == 400
    move = verb("installation:job-move", run.job)
    assert admin.post(move, {"queue": "g\0pu"}).status_code == 400
    cpu_queue.refresh_from_db()
    assert (cpu_queue.paused, cpu_queue.pause_reason) == (False, "")
