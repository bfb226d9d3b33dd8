"""The Data tab of a run and the pages below it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from nasweb.explorer import images
from nasweb.explorer.images import pictures
from nasweb.explorer.subject import subject
from searchjobs.artefacts import storage
from searchjobs.engine.data.split import split
from searchjobs.engine.spec import SearchSpec
from searchjobs.models import DatasetStatistics, Job, Membership, Queue, Run, Team
from tests.site.explorer.conftest import Searched
from tests.site.explorer.made_up import digits, event, on_images, prune, store
from tests.site.factories import add_epoch, digits_spec, make_run
from tests.site.test_run_page import embedded

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


@pytest.fixture
def member(run: Run, user: User, client_for: ClientFor) -> Client:
    """A member of the team, on a site that has read the images."""
    pictures(run, wait=60)
    return client_for(user)


@pytest.fixture
def plain(fresh: None, user: User, team: Team, cpu_queue: Queue) -> Run:
    """A run on all digits without any event."""
    spec = digits_spec(selection={"name": "full"})
    run = make_run(user, team, cpu_queue, spec=spec, finished=3)
    return on_images(run, digits())


def tab(run: Run, query: str = "") -> str:
    return reverse("runs:data", args=[run.uuid]) + query


def text(response: Any) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def words(response: Any) -> str:
    """Return a page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text(response)))


def shown(page: str) -> list[int]:
    """Return the ids of the images of a page."""
    found = re.findall(r'class="shot" href="[^"]*/data/images/(\d+)/"', page)
    return [int(sample) for sample in found]


def pruned(of: Searched, name: str, epoch: int) -> list[int]:
    with np.load(of.folder / f"prunings/epoch-{epoch:04d}-{name}.npz") as arrays:
        return sorted(arrays["ids"][arrays["removed"]].tolist())


@pytest.mark.parametrize("name", ["T", "V"])
def test_the_tab_shows_every_event_and_what_each_pruned(
    name: str, run: Run, member: Client, bdp: Searched
) -> None:
    for epoch in (2, 4):
        page = member.get(tab(run, f"?set={name}&epoch={epoch}"))
        assert sorted(shown(text(page))) == pruned(bdp, name, epoch)
        assert f"Events of {name}" in words(page)
        assert f"Pruned at epoch {epoch}" in words(page)
        charts = embedded(page, "told-figures")
        assert charts["event-scores"]["data"]
        assert f"pruned at epoch {epoch}" in str(charts["event-classes"])
        assert embedded(page, "figures")["remaining"]["data"]
        assert len(charts["balance"]["data"][2]["x"]) == 2  # N of T, an event each
    row = DatasetStatistics.objects.get(run=run, epoch=4, set=name)
    assert f"{row.remaining}" in words(page)


def test_the_first_to_go_stands_in_front(
    run: Run, member: Client, bdp: Searched
) -> None:
    for name, sign in (("T", 1), ("V", -1)):
        with np.load(bdp.folder / f"prunings/epoch-0002-{name}.npz") as arrays:
            score = dict(zip(arrays["ids"].tolist(), arrays["scores"], strict=True))
        ids = shown(text(member.get(tab(run, f"?set={name}&epoch=2&show=pruned"))))
        assert [score[i] * sign for i in ids] == sorted(score[i] * sign for i in ids)
        kept = shown(text(member.get(tab(run, f"?set={name}&epoch=2&show=kept"))))
        assert set(kept) == set(score) - set(ids)


def test_survivors_are_those_of_the_last_event_and_all_tell_when_they_left(
    run: Run, member: Client, bdp: Searched
) -> None:
    gone = pruned(bdp, "T", 2) + pruned(bdp, "T", 4)
    page = member.get(tab(run, "?set=T&show=in"))
    left = shown(text(page))
    assert "Survive to the end" in words(page)
    assert not set(left) & set(gone)
    everything = text(member.get(tab(run, "?set=T&show=all&page=1")))
    second = text(member.get(tab(run, "?set=T&show=all&page=2")))
    assert set(shown(everything) + shown(second)) == set(left) | set(gone)
    assert everything.count("out at ") + second.count("out at ") >= len(gone)
    assert "page 1 of 2" in everything


def test_a_class_and_ids_narrow_the_gallery(run: Run, member: Client) -> None:
    labels = pictures(run).labels
    threes = shown(text(member.get(tab(run, "?show=in&class=3"))))
    assert threes
    assert {int(labels[sample]) for sample in threes} == {3}
    one, other = threes[:2] if len(threes) > 1 else (threes[0], threes[0])
    found = member.get(tab(run, f"?find={one},{other},1"), follow=True)
    assert set(shown(text(found))) >= {one, other} - {1}
    assert len(shown(text(found))) <= 3


def test_a_search_for_one_id_opens_the_image(run: Run, member: Client) -> None:
    answer = member.get(tab(run, "?find=17"))
    assert answer.status_code == 302
    assert answer["Location"] == reverse("runs:data-image", args=[run.uuid, 17])
    by_class = member.get(tab(run, "?find=7+8"))
    assert "show=all" in by_class["Location"]


def test_a_search_in_vain_is_answered_at_its_field(run: Run, member: Client) -> None:
    page = text(member.get(tab(run, "?find=%3Cb%3Edog")))
    assert 'aria-invalid="true" aria-describedby="find-error"' in page
    assert "There is no class “&lt;b&gt;dog”" in page
    beyond = text(member.get(tab(run, "?find=200")))
    assert "There is no image 200: the ids go from 0 to 199." in beyond


def test_the_gallery_alone_keeps_the_address_of_the_tab(
    run: Run, member: Client
) -> None:
    address = reverse("runs:data-gallery", args=[run.uuid])
    answer = member.get(f"{address}?set=V&show=in&page=2")
    assert "<html" not in answer.content.decode()
    assert answer["HX-Replace-Url"] == tab(run, "?set=V&show=in&page=2")


def test_an_image_tells_why_it_went(run: Run, member: Client, bdp: Searched) -> None:
    sample = pruned(bdp, "T", 4)[0]
    page = words(member.get(reverse("runs:data-image", args=[run.uuid, sample])))
    with np.load(bdp.folder / "prunings/epoch-0004-T.npz") as arrays:
        at = arrays["ids"].tolist().index(sample)
        rank = int((arrays["scores"] < arrays["scores"][at]).sum()) + 1
        count = len(arrays["ids"])
        error = float(arrays["mean_error"][at])
    label = int(pictures(run).labels[sample])
    assert f"{label} · image {sample}" in page
    assert "left T after epoch 4" in page
    assert re.search(rf"the {rank}\w\w lowest of {count};|the lowest of", page)
    assert f"of class {label}, and among those it was number" in page
    assert f"{error:.4f}" in page
    assert re.search(r"removed .*", page)


def test_an_image_that_is_still_in_tells_its_last_rank(
    run: Run, member: Client
) -> None:
    sample = shown(text(member.get(tab(run, "?set=V&show=in"))))[0]
    page = words(member.get(reverse("runs:data-image", args=[run.uuid, sample])))
    assert "in V" in page
    assert "highest of 90" in page
    assert embedded(
        member.get(reverse("runs:data-image", args=[run.uuid, sample])), "figures"
    )["journey-V"]["data"]


def test_an_image_beyond_the_data_set_does_not_exist(run: Run, member: Client) -> None:
    address = reverse("runs:data-image", args=[run.uuid, 200])
    assert member.get(address).status_code == 404


def test_two_runs_are_compared_against_chance(
    run: Run, control: Run, member: Client, bdp: Searched, by_chance: Searched
) -> None:
    assert "By chance · seed 1" in words(member.get(tab(run)))
    query = {"with": str(control.uuid)}
    address = reverse("runs:data-overlap", args=[run.uuid])
    page = member.get(address, query)
    with np.load(bdp.folder / "prunings/epoch-0002-T.npz") as arrays:
        everything = set(arrays["ids"].tolist())
    kept = [
        everything - set(pruned(of, "T", 2)) - set(pruned(of, "T", 4))
        for of in (bdp, by_chance)
    ]
    both, either = kept[0] & kept[1], kept[0] | kept[1]
    table = words(page)
    assert f" {len(both)} " in table
    assert f"{len(both) / len(either):.2f}" in table
    assert set(shown(text(page))) == both
    alone = member.get(address, {**query, "who": "first"})
    assert set(shown(text(alone))) == kept[0] - kept[1]
    curve = embedded(page, "figures")["agreement"]["data"][0]
    assert curve["x"] == [0, 2, 4]
    assert curve["y"][0] == 1
    assert "Class by class, T (weights)" in table


def test_runs_on_other_images_are_not_compared(
    run: Run, plain: Run, member: Client
) -> None:
    address = reverse("runs:data-overlap", args=[run.uuid])
    page = words(member.get(address, {"with": str(plain.uuid)}))
    assert "The two runs use different images" in page
    assert member.get(address).status_code == 404
    assert member.get(address, {"with": "nothing"}).status_code == 404


def test_nobody_compares_with_a_run_of_another_team(
    run: Run, other_team_user: User, client_for: ClientFor, member: Client
) -> None:
    other = Membership.objects.get(user=other_team_user).team
    theirs = make_run(other_team_user, other, run.job.queue, name="theirs")
    on_images(theirs, digits())
    address = reverse("runs:data-overlap", args=[run.uuid])
    assert member.get(address, {"with": str(theirs.uuid)}).status_code == 404
    assert "theirs" not in words(member.get(tab(run)))
    stranger = client_for(other_team_user)
    for name in ("data", "data-gallery", "data-overlap"):
        answer = stranger.get(
            reverse(f"runs:{name}", args=[run.uuid]), {"with": str(theirs.uuid)}
        )
        assert answer.status_code == 404
    image = reverse("runs:data-image", args=[run.uuid, 1])
    assert stranger.get(image).status_code == 404


def test_without_the_images_all_else_is_there(
    run: Run, user: User, client_for: ClientFor, bdp: Searched, monkeypatch: Any
) -> None:
    def nothing(*given: Any) -> Any:
        raise images.UnavailableError("The images are not on the site's machine.")

    monkeypatch.setattr(images, "read", nothing)
    client = client_for(user)
    with pytest.raises(images.UnavailableError):
        pictures(run, wait=30)
    page = client.get(tab(run, "?set=T&epoch=2"))
    assert "The images are not on the site&#x27;s machine." in text(page)
    assert sorted(shown(text(page))) == pruned(bdp, "T", 2)
    assert "sheet.png" not in text(page)
    sample = pruned(bdp, "T", 2)[0]
    image = words(client.get(reverse("runs:data-image", args=[run.uuid, sample])))
    assert "left T after epoch 2" in image
    assert "lowest of 100" in image


def test_while_the_images_are_read_the_gallery_asks_again(
    run: Run, user: User, client_for: ClientFor, monkeypatch: Any
) -> None:
    def still(*given: Any, **more: Any) -> Any:
        raise images.ReadingError("The images are being read.")

    monkeypatch.setattr(images, "pictures", still)
    page = text(client_for(user).get(tab(run)))
    assert 'hx-trigger="load delay:1s, ' in page
    assert "The images are being read." in page
    assert shown(page) == []


def test_an_event_whose_file_is_not_there_yet_is_told(run: Run, member: Client) -> None:
    run.job.artefacts.filter(name="prunings/epoch-0004-T.npz").delete()
    page = words(member.get(tab(run, "?set=T")))
    assert "The samples of T at epoch 4 are not in the shared storage yet" in page
    assert "Events of T" in page
    assert "load delay" not in text(member.get(tab(run)))  # the run has ended
    Job.objects.filter(pk=run.job_id).update(state="running")
    assert "load delay:4s" in text(member.get(tab(run)))
    earlier = shown(text(member.get(tab(run, "?set=T&epoch=2"))))
    assert earlier
    address = reverse("runs:data-image", args=[run.uuid, earlier[0]])
    image = words(member.get(address))
    assert "are not in the shared storage yet" in image


def test_a_damaged_file_is_told(run: Run, member: Client) -> None:
    row = run.job.artefacts.get(name="prunings/epoch-0004-T.npz")
    with storage().open(row.path, "wb") as file:
        file.write(b"not an archive")
    assert "is damaged, so they cannot be shown" in words(member.get(tab(run)))


def test_a_run_that_prunes_nothing_shows_its_sets(
    plain: Run, user: User, client_for: ClientFor
) -> None:
    known = pictures(plain, wait=60)
    page = client_for(user).get(tab(plain, "?set=V"))
    assert "This run uses every sample in every epoch" in words(page)
    spec = SearchSpec.model_validate(plain.job.spec)
    ids = split(digits().labels, spec.split)["V"].tolist()
    assert shown(text(page)) == ids[:96]
    found = subject(plain)
    assert found.survivors("V").tolist() == ids  # type: ignore[union-attr]
    image = words(
        client_for(user).get(reverse("runs:data-image", args=[plain.uuid, ids[0]]))
    )
    assert "No event has touched V" in image
    assert len(known) == 1797


def test_a_set_drawn_anew_shows_what_came_in(
    plain: Run, user: User, client_for: ClientFor
) -> None:
    pictures(plain, wait=60)
    ids = np.arange(0, 40)
    before, added = ids < 20, (ids >= 20) & (ids < 30)
    told = event(
        0,
        "T",
        20,
        20,
        removed=10,
        added=10,
        score="gain",
        class_counts_before=[2] * 10,
        class_counts_after=[2] * 10,
    )
    store(
        plain,
        told,
        ids=ids,
        scores=ids / 40,
        removed=ids < 10,
        before=before,
        added=added,
    )
    client = client_for(user)
    page = client.get(tab(plain, "?set=T&show=added"))
    assert shown(text(page)) == list(range(20, 30))
    assert "Came in before epoch 1" in words(page)
    assert "before" in str(embedded(page, "told-figures")["event-classes"]["data"])
    left = words(client.get(reverse("runs:data-image", args=[plain.uuid, 3])))
    assert "left T before epoch 1" in left
    never = words(client.get(reverse("runs:data-image", args=[plain.uuid, 35])))
    assert "never in T" in never


def test_what_was_chosen_before_the_first_epoch_is_news_of_a_run_that_is_open(
    fresh: None, user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    spec = digits_spec(selection={"name": "random", "keep_train": 0.5})
    run = on_images(make_run(user, team, cpu_queue, spec=spec), digits())
    client = client_for(user)
    news = reverse("runs:epochs", args=[run.uuid])
    before = client.get(news).json()["state"]
    assert (before["chosen"], before["tile"]) == (0, None)
    assert "event-scores" in embedded(client.get(tab(run)), "told-figures")

    counts = {"class_counts_before": [4] * 10, "class_counts_after": [2] * 10}
    removed = np.arange(40) % 2 == 0
    told = event(0, "T", 40, 20, removed=20, criterion="random", **counts)
    store(run, told, ids=np.arange(40), scores=np.arange(40) / 40, removed=removed)
    state = client.get(news).json()["state"]
    assert state["chosen"] == 1
    size = run.plan["sizes"]["T"]
    assert f"T 20 of {size:,}" in state["tile"]["note"]
    assert state["tile"]["note"] in client.get(tab(run)).content.decode()

    # with the first epoch it comes as the events of any other do
    add_epoch(run)
    found = client.get(news).json()
    assert (found["state"]["chosen"], found["state"]["tile"]) == (0, None)
    (message,) = found["epochs"]
    assert message["point"]["events"]["T"]["epoch"] == 0
    assert "left out" in str(message["charts"]["classes-T"])
    (line,) = [
        t for t in message["charts"]["remaining"]["data"] if "(weights)" in t["name"]
    ]
    after = message["point"]["sets"]["T"]["remaining"]
    assert (line["x"], line["y"]) == ([0, 0, 1], [size, 20, after])


def test_addresses_that_make_no_sense_show_the_tab(run: Run, member: Client) -> None:
    for query in ("?set=X&epoch=zzz&page=-4", "?show=../../&class=99", "?page=99999"):
        assert member.get(tab(run, query)).status_code == 200


def test_the_tab_needs_as_many_queries_for_many_events_as_for_few(
    fresh: None,
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = client_for(user)
    images_ = digits()
    for name, events in (("few", 1), ("many", 12)):
        run = make_run(user, team, cpu_queue, name=name, finished=1)
        on_images(run, images_)
        pictures(run, wait=60)
        for which in ("T", "V"):
            prune(run, which, images_.labels.numpy(), events)
        sample = reverse("runs:data-image", args=[run.uuid, 4])
        for address, most in (
            (tab(run), 20),
            (tab(run, "?show=all"), 20),
            (sample, 19),
            (reverse("runs:data-gallery", args=[run.uuid]), 7),
            (reverse("runs:data-sheet", args=[run.uuid]) + "?ids=1,2", 4),
        ):
            with django_assert_max_num_queries(most):
                assert client.get(address).status_code == 200
    address = reverse("runs:data-overlap", args=[run.uuid])
    other = Run.objects.exclude(pk=run.pk).get()
    with django_assert_max_num_queries(24):
        assert client.get(address, {"with": str(other.uuid)}).status_code == 200
