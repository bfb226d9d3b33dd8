"""The pages of subsets: made from the launch form, shown, used, team by team."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image
from pytest_django import DjangoAssertNumQueries

from nasweb import spec_form
from nasweb.explorer import images
from nasweb.explorer.chosen import images_of
from searchjobs.artefacts import storage
from searchjobs.claims import claim
from searchjobs.engine.subset import make_subset
from searchjobs.engine.subset_spec import SubsetSpec
from searchjobs.models import AuditEvent, Dataset, Job, Queue, Subset, Team
from searchjobs.queueing import end
from searchjobs.states import State
from searchjobs.subset_files import FILE
from searchjobs.subset_recording import SubsetRecording
from searchjobs.subsets import launch_subset
from tests.factories import make_team
from tests.jobs.conftest import make_slot

pytestmark = pytest.mark.django_db

CHOICE = {
    "dataset": {"name": "digits"},
    "selection": {"name": "class-random", "keep_train": 0.25},
    "compute": {"device": "cpu"},
}
Log = Callable[[User], Client]


@pytest.fixture
def subset(user: User, team: Team, cpu_queue: Queue) -> Subset:
    return launch_subset(user, team, "A quarter of the digits", CHOICE)


@pytest.fixture
def made(subset: Subset, tmp_path: Path) -> Subset:
    """A subset whose job has ended, as a worker records it."""
    taken = claim(make_slot())
    assert taken is not None
    recording = SubsetRecording(taken)
    for event in make_subset(SubsetSpec.model_validate(subset.spec), tmp_path):
        recording.record(event)
    assert recording.finished
    end(taken.job_id, taken.fence, State.SUCCEEDED, "succeeded", error="")
    subset.refresh_from_db()
    return subset


def test_the_launch_form_makes_a_subset_of_what_stands_in_it(
    client_for: Log, user: User, team: Team, cpu_queue: Queue
) -> None:
    chosen = {"selection.name": "class-random", "dataset.name": "digits"}
    values = spec_form.defaults(chosen) | {"selection.keep_train": "0.5"}
    answer = client_for(user).post(
        reverse("subsets:new"), {**values, "seeds": "7, 8", "compute.device": "cpu"}
    )
    subset = Subset.objects.get()
    assert answer["Location"] == reverse("subsets:detail", args=[subset.uuid])
    assert subset.spec["selection"]["keep_train"] == 0.5
    assert (subset.spec["seed"], subset.spec["whole"]) == (7, False)
    assert subset.job.kind == Job.Kind.SUBSET
    assert AuditEvent.objects.filter(verb="make subset").count() == 1


def test_a_subset_waits_in_the_queue_and_at_the_priority_of_the_form(
    client_for: Log, user: User, team: Team, cpu_queue: Queue
) -> None:
    client = client_for(user)
    other = Queue.objects.create(name="night", device=Queue.Device.CPU)
    chosen = {"selection.name": "class-random", "dataset.name": "digits"}
    form = spec_form.defaults(chosen) | {"seeds": "1", "compute.device": "cpu"}
    low = form | {"queue": other.name, "priority": str(int(Job.Priority.LOW))}
    client.post(reverse("subsets:new"), low)
    job = Subset.objects.get().job
    assert (job.queue, job.priority) == (other, Job.Priority.LOW)

    high = form | {"priority": str(int(Job.Priority.HIGH))}
    refused = client.post(reverse("subsets:new"), high)
    assert "Only maintainers of the team launch at high" in refused.content.decode()
    gone = client.post(reverse("subsets:new"), form | {"queue": "gone"})
    assert "This queue is gone; choose another." in gone.content.decode()
    assert Subset.objects.count() == 1


def test_a_subset_that_has_not_chosen_keeps_nothing_yet(
    client_for: Log, user: User, subset: Subset
) -> None:
    page = client_for(user).get(reverse("subsets:list")).content.decode()
    assert '<td class="num">–</td>' in page
    assert re.search('aria-current="page">Data sets<', page)


def test_a_choice_that_cannot_be_made_comes_back_with_its_sentence(
    client_for: Log, user: User, team: Team, cpu_queue: Queue
) -> None:
    values = spec_form.defaults({"selection.name": "random"})
    values |= {"selection.keep_train": "0.0001", "seeds": "1"}
    answer = client_for(user).post(reverse("subsets:new"), values)
    assert "a batch needs at least two; keep a larger share" in answer.content.decode()
    assert not Subset.objects.exists()


def test_the_page_tells_what_stays_and_how_it_was_chosen(
    client_for: Log, user: User, made: Subset
) -> None:
    text = client_for(user).get(reverse("subsets:detail", args=[made.uuid]))
    page = text.content.decode()
    kept = made.sets["T"]["after"]
    assert f"{kept} <small>of 898</small>" in page
    assert "Random samples of each class (CC-RS)" in page
    assert made.data_fingerprint in page
    assert "scores-T" in page
    assert "scores-V" not in page
    assert "no network scored" in page, "it was drawn"
    Subset.objects.update(cost_units=1200)
    dear = client_for(user).get(reverse("subsets:detail", args=[made.uuid]))
    assert "1,200 passes of one image" in dear.content.decode()


def test_a_finished_subset_leads_to_a_launch_form_that_names_it(
    client_for: Log, user: User, made: Subset
) -> None:
    client = client_for(user)
    assert f"?subset={made.uuid}" in (
        client.get(reverse("subsets:detail", args=[made.uuid])).content.decode()
    )
    form = client.get(reverse("experiments:new"), {"subset": str(made.uuid)})
    page = form.content.decode()
    assert f'<option value="{made.uuid}" selected>{made.name}</option>' in page


def test_the_state_is_drawn_anew_until_the_job_has_ended(
    client_for: Log, user: User, subset: Subset
) -> None:
    client, address = client_for(user), reverse("subsets:status", args=[subset.uuid])
    waiting = client.get(address)
    assert 'hx-trigger="every 2s"' in waiting.content.decode()
    assert "HX-Refresh" not in waiting
    client.post(reverse("work:act", args=[subset.job.uuid, "cancel"]))
    subset.job.refresh_from_db()
    assert subset.job.state == State.CANCELLED
    assert client.get(address)["HX-Refresh"] == "true"


def test_beginning_anew_wants_to_be_confirmed(
    client_for: Log, user: User, viewer: User, subset: Subset
) -> None:
    client = client_for(user)
    client.post(reverse("work:act", args=[subset.job.uuid, "cancel"]))
    page = client.get(reverse("subsets:detail", args=[subset.uuid])).content.decode()
    assert "This drops what was found so far and all files of the job." in page
    anew = reverse("work:act", args=[subset.job.uuid, "restart"])
    assert client_for(viewer).post(anew).status_code == 403

    refused = client.post(anew, follow=True).content.decode()
    assert "Starting again drops what was found: confirm that you want it." in refused
    subset.job.refresh_from_db()
    assert subset.job.state == State.CANCELLED

    client.post(anew, {"confirm": "yes"})
    subset.job.refresh_from_db()
    assert subset.job.state == State.QUEUED


def test_a_subset_outlives_the_package_of_its_selection_and_source(
    client_for: Log, user: User, made: Subset
) -> None:
    spec = made.spec
    spec |= {
        "selection": {**spec["selection"], "name": "best-of"},
        "dataset": {"name": "their-camera", "shots": 3},
    }
    made.save()
    for address in ("list", made):
        where = [address.uuid] if isinstance(address, Subset) else []
        verb = "subsets:detail" if where else "subsets:list"
        page = client_for(user).get(reverse(verb, args=where))
        assert page.status_code == 200
        assert "best-of (not installed here)" in page.content.decode()
        assert "their-camera (not installed here)" in page.content.decode()


def test_a_subset_of_a_registered_data_set_says_its_name(
    client_for: Log,
    user: User,
    team: Team,
    made: Subset,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client, listing = client_for(user), reverse("subsets:list")
    part = {"name": "npz", "path": "/data/pets.npz", "per_class": 5}
    made.spec["dataset"] = part
    made.save()
    with CaptureQueriesContext(connection) as nameless:
        assert "npz file" in client.get(listing).content.decode()
    asked = len(nameless)
    source = {"name": "npz", "path": "/data/pets.npz", "per_class": None}
    pets = Dataset.objects.create(team=team, name="Pets", source=source, author=user)
    link = f'<a href="{reverse("datasets:detail", args=[pets.uuid])}">Pets</a>'
    assert link in client.get(listing).content.decode()
    detail = reverse("subsets:detail", args=[made.uuid])
    assert link in client.get(detail).content.decode()

    # of two on the same file, the one that takes just these images
    Dataset.objects.create(team=team, name="Few pets", source=part, author=user)
    with django_assert_num_queries(asked):
        assert ">Few pets</a>" in client.get(listing).content.decode()
    others = make_team("Others")
    Dataset.objects.update(team=others)
    assert "npz file" in client.get(listing).content.decode()


# The images ------------------------------------------------------------------------


@pytest.fixture
def filed(made: Subset, tmp_path: Path, settings: Any) -> Iterator[Subset]:
    """A subset whose file is in the storage, on a site that has read its images."""
    settings.NASWEB_HOME = tmp_path / "home"
    images.forget()
    content = (tmp_path / FILE).read_bytes()
    path = storage().save(f"{made.job.uuid}/1/{FILE}", ContentFile(content))
    made.job.artefacts.create(name=FILE, fence=1, path=path, size=len(content))
    images_of(made, wait=60)
    yield made
    images.forget()


def shown(page: str) -> list[int]:
    return [int(each) for each in re.findall(r'class="shot-id">(\d+)', page)]


def in_file(folder: Path) -> dict[str, list[int]]:
    with np.load(folder / FILE) as found:
        ids, kept = found["ids_T"], found["kept_T"]
        return {"pruned": ids[~kept].tolist(), "kept": ids[kept].tolist()}


@pytest.mark.parametrize("show", ["pruned", "kept"])
def test_the_page_shows_the_images_that_stay_and_those_left_out(
    client_for: Log, user: User, filed: Subset, tmp_path: Path, show: str
) -> None:
    client, wanted = client_for(user), in_file(tmp_path)[show]
    found: list[int] = []
    for number in range(1, -(-len(wanted) // 96) + 1):
        address = reverse("subsets:detail", args=[filed.uuid])
        page = client.get(f"{address}?show={show}&page={number}").content.decode()
        found += shown(page)
    assert sorted(found) == sorted(wanted)
    assert f"page {number} of {number}" in page
    assert "Left out of T" in page
    assert "Stay in T" in page
    assert "chosen by chance" in page
    assert "/data/images/" not in page, "these images have no pages"


def test_a_class_narrows_the_images_and_the_gallery_comes_alone(
    client_for: Log, user: User, filed: Subset
) -> None:
    address = reverse("subsets:gallery", args=[filed.uuid])
    answer = client_for(user).get(f"{address}?show=kept&class=3")
    page = answer.content.decode()
    assert "<html" not in page
    labels = images_of(filed).labels
    assert shown(page)
    assert {int(labels[sample]) for sample in shown(page)} == {3}
    detail = reverse("subsets:detail", args=[filed.uuid])
    assert answer["HX-Replace-Url"] == f"{detail}?set=T&show=kept&class=3"


def test_a_sheet_of_a_subset_is_kept_by_the_team_and_by_nobody_else(
    client_for: Log, user: User, viewer: User, other_team_user: User, filed: Subset
) -> None:
    client = client_for(user)
    page = client.get(reverse("subsets:detail", args=[filed.uuid])).content.decode()
    address = re.findall(r"url\('([^']+sheet.png[^']+)'\)", page)[0]
    address = address.replace("&amp;", "&")
    answer = client.get(address)
    assert answer["Content-Type"] == "image/png"
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    whole = np.array(Image.open(io.BytesIO(answer.content)))
    first = images_of(filed).pixels[shown(page)[0]]
    assert (whole[1:9, 1:9] == first).all()
    again = client.get(address, headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304

    stranger = client_for(other_team_user)
    gallery = reverse("subsets:gallery", args=[filed.uuid])
    for theirs in (address, gallery):
        assert client_for(viewer).get(theirs).status_code == 200
        assert stranger.get(theirs).status_code == 404
        assert Client().get(theirs).status_code == 302


def test_a_subset_whose_file_is_not_there_says_so(
    client_for: Log, user: User, made: Subset
) -> None:
    page = client_for(user).get(reverse("subsets:detail", args=[made.uuid]))
    assert "is not in the shared storage" in page.content.decode()


def test_a_subset_that_has_not_chosen_has_no_gallery(
    client_for: Log, user: User, subset: Subset
) -> None:
    client = client_for(user)
    page = client.get(reverse("subsets:detail", args=[subset.uuid]))
    assert 'id="gallery"' not in page.content.decode()
    gallery = reverse("subsets:gallery", args=[subset.uuid])
    assert client.get(gallery).status_code == 404
    sheet = reverse("subsets:sheet", args=[subset.uuid])
    assert client.get(f"{sheet}?ids=1").status_code == 404


def test_for_another_team_there_is_no_such_subset(
    client_for: Log, other_team_user: User, made: Subset
) -> None:
    client = client_for(other_team_user)
    for address in (
        reverse("subsets:detail", args=[made.uuid]),
        reverse("subsets:status", args=[made.uuid]),
        f"{reverse('experiments:new')}?subset={made.uuid}",
    ):
        assert client.get(address).status_code == 404
    verb = client.post(reverse("work:act", args=[made.job.uuid, "cancel"]))
    assert verb.status_code == 404
    assert made.name not in client.get(reverse("subsets:list")).content.decode()


def test_a_viewer_sees_a_subset_and_may_not_stop_or_make_one(
    client_for: Log, viewer: User, subset: Subset
) -> None:
    client = client_for(viewer)
    page = client.get(reverse("subsets:detail", args=[subset.uuid]))
    assert page.status_code == 200
    assert "Cancel" not in page.content.decode()
    verb = client.post(reverse("work:act", args=[subset.job.uuid, "cancel"]))
    assert verb.status_code == 403
    assert client.post(reverse("subsets:new"), {}).status_code == 403


def test_the_list_asks_as_often_for_many_as_for_one(
    client_for: Log,
    user: User,
    team: Team,
    subset: Subset,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client, address = client_for(user), reverse("subsets:list")
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        assert client.get(address).status_code == 200
    assert len(few) <= 6
    for number in range(5):
        launch_subset(user, team, f"another {number}", CHOICE)
    with django_assert_num_queries(len(few)):
        client.get(address)
