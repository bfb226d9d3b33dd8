"""The live stream: against a real site, and scenes of its own on one event loop."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import AsyncClient, Client
from django.urls import reverse
from redis import Redis

from nasweb import live
from searchjobs import bell
from searchjobs.models import Job, Queue, Run, Team
from tests.site.factories import add_epoch, make_run

ClientFor = Callable[[User], Client]
Event = dict[str, Any]
SECONDS = 20


@pytest.fixture
def run(transactional_db: None, user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(user, team, cpu_queue, finished=3)


def parsed(line: str, found: Event) -> Event | None:
    """Add a line of a stream to an event; return the event if it is complete."""
    if not line:
        complete = dict(found) if "event" in found else None
        found.clear()
        return complete
    name, _, value = line.partition(": ")
    if name in {"id", "event", "data"}:
        found[name] = json.loads(value) if name == "data" else value
    return None


# A real site ----------------------------------------------------------------------


class Stream:
    """One open stream of a real site, read event by event."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def __iter__(self) -> Iterator[Event]:
        found: Event = {}
        while line := self.response.readline():
            event = parsed(line.decode().rstrip("\n"), found)
            if event is not None:
                yield event

    def first(self, name: str) -> Event:
        return next(event for event in self if event["event"] == name)


@contextmanager
def watching(site: str, run: Run, client: Client) -> Iterator[Stream]:
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    address = http.client.HTTPConnection(urlsplit(site).netloc, timeout=SECONDS)
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
    address.request("GET", reverse("live:run", args=[run.uuid]), headers=headers)
    try:
        yield Stream(address.getresponse())
    finally:
        address.close()


def subscribers(run: Run) -> int:
    with Redis.from_url(settings.REDIS_URL) as redis:
        return int(redis.pubsub_numsub(bell.run_channel(run.uuid))[0][1])


def connections_of_others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            [connection.settings_dict["NAME"]],
        )
        return int(cursor.fetchone()[0])


def test_two_people_watch_a_run_and_leave_nothing_behind(
    live_site: str, run: Run, user: User, client_for: ClientFor, wait_until: Any
) -> None:
    client = client_for(user)
    before = connections_of_others()
    with (
        watching(live_site, run, client) as one,
        watching(live_site, run, client) as two,
    ):
        assert one.response.headers["Content-Type"] == "text/event-stream"
        assert one.response.headers["Cache-Control"] == "no-store"
        assert one.response.headers["X-Accel-Buffering"] == "no"
        for stream in (one, two):
            told = [stream.first("epoch")["id"] for _ in range(3)]
            assert told == ["1", "2", "3"]
            stream.first("state")
        # One subscription a process, and no database connection while they wait.
        wait_until(lambda: subscribers(run) == 1, what="the subscription")
        wait_until(lambda: connections_of_others() <= before, what="idle streams")
        add_epoch(run)
        bell.ring(run.uuid, "4")
        assert one.first("epoch")["id"] == two.first("epoch")["id"] == "4"
    wait_until(lambda: subscribers(run) == 0, what="the end of the subscription")


# Scenes on one event loop ---------------------------------------------------------


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scene(), SECONDS)

    asyncio.run(limited())


@asynccontextmanager
async def opened(
    run: Run, user: User, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """Open a stream by the view; give its events."""
    client = AsyncClient()
    await live.from_rows(client.force_login, user)
    response = await client.get(
        reverse("live:run", args=[run.uuid]) + query, headers=headers
    )
    assert response.status_code == 200
    async with (
        aclosing(aiter(response)) as parts,
        aclosing(_events(parts)) as events,
    ):
        yield events


async def _events(parts: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    found: Event = {}
    async for part in parts:
        for line in part.decode().split("\n"):
            event = parsed(line, found)
            if event is not None:
                yield event


async def first(events: AsyncIterator[Event], name: str) -> Event:
    async for event in events:
        if event["event"] == name:
            return event
    raise AssertionError(f"the stream ended without an event {name}")


async def epochs(events: AsyncIterator[Event], count: int) -> list[str]:
    return [(await first(events, "epoch"))["id"] for _ in range(count)]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?after=2", {}),
        ("", {"Last-Event-ID": "2"}),
        ("?after=0", {"Last-Event-ID": "2"}),  # a browser that reconnects sends both
    ],
)
def test_a_browser_that_returns_gets_what_it_missed_and_no_more(
    query: str, headers: dict[str, str], run: Run, user: User
) -> None:
    add_epoch(run)

    async def scene() -> None:
        async with opened(run, user, query, **headers) as events:
            told = [await anext(events) for _ in range(3)]
        assert [event.get("id") for event in told] == ["3", "4", None]
        assert told[2]["event"] == "state"
        assert told[2]["data"]["epoch"] == 4

    play(scene)


def test_an_epoch_carries_what_its_charts_need(run: Run, user: User) -> None:
    async def scene() -> None:
        async with opened(run, user, "?after=3") as events:
            await first(events, "state")
            await live.from_rows(add_epoch, run)
            await live.from_rows(add_epoch, run)
            await live.from_rows(bell.ring, run.uuid, "5")
            four, five = await first(events, "epoch"), await first(events, "epoch")
        assert (four["id"], five["id"]) == ("4", "5")
        point = five["data"]["point"]
        assert point["sets"]["T"]["remaining"] < run.plan["sizes"]["T"]
        assert point["events"].keys() == {"T", "V"}
        assert len(point["cell"]) == 6
        assert "scores-T" in five["data"]["charts"]
        assert four["data"]["charts"] == {}
        assert len(five["data"]["tiles"]) == 5

    play(scene)


def test_progress_comes_as_a_state_without_a_number(run: Run, user: User) -> None:
    progress = {"epoch": 4, "step": 5, "steps": 10, "seconds_left": 90.0}

    def advance() -> None:
        Job.objects.filter(pk=run.job_id).update(progress=progress)
        bell.ring(run.uuid)

    async def scene() -> None:
        async with opened(run, user, "?after=3") as events:
            assert "log_tail" in (await first(events, "state"))["data"]
            await live.from_rows(advance)
            told = await first(events, "state")
        assert "id" not in told
        assert "1 min 30 s left" in told["data"]["summary"]
        assert told["data"]["share"] == pytest.approx(3.5 / 20)
        assert "log_tail" not in told["data"]  # it has not changed

    play(scene)


def test_the_end_of_the_job_ends_the_stream(run: Run, user: User) -> None:
    def finish() -> None:
        Job.objects.filter(pk=run.job_id).update(state="succeeded")
        bell.ring(run.uuid)

    async def scene() -> None:
        async with opened(run, user, "?after=3") as events:
            await first(events, "state")
            await live.from_rows(finish)
            told = (await first(events, "state"))["data"]
            assert told["terminal"] is True
            labels = {tile["key"]: tile["label"] for tile in told["tiles"]}
            assert labels["cost"] == "Search cost", "as a whole, no longer so far"
            assert set(told["alert"]) == {"words", "tone"}
            assert (await anext(events))["event"] == "end"
            assert await anext(events, None) is None
        assert live.hub().channels == {}

    play(scene)


def test_without_redis_the_rows_are_asked(
    run: Run, user: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    monkeypatch.setattr(live, "POLL_SECONDS", 0.2)

    async def scene() -> None:
        async with opened(run, user, "?after=3") as events:
            await first(events, "state")
            await live.from_rows(add_epoch, run)
            assert await epochs(events, 1) == ["4"]

    play(scene)


def test_a_client_that_falls_behind_reads_the_rows_itself(
    run: Run, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUEUE_LENGTH", 1)
    monkeypatch.setattr(live, "BURST_SECONDS", 0.01)

    async def scene() -> None:
        async with opened(run, user, "?after=3") as events:
            await first(events, "state")
            (channel,) = live.hub().channels.values()
            (client,) = channel.clients
            while not client.lost:  # it reads nothing, while epochs go on
                await live.from_rows(add_epoch, run)
                await live.from_rows(bell.ring, run.uuid)
                await asyncio.sleep(0.05)
            last = run.epoch
            assert await epochs(events, last - 3) == [
                str(epoch) for epoch in range(4, last + 1)
            ]

    play(scene)


def test_a_silent_stream_beats(
    run: Run, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)

    async def scene() -> None:
        async with aclosing(live.stream(run, 3, lambda: True)) as parts:
            told = [await anext(parts) for _ in range(3)]
        assert told[0].startswith("retry: ")
        assert told[1].startswith("event: state\n")
        assert told[2] == ": still here\n\n"

    play(scene)


def leave_team(user: User) -> None:
    user.memberships.all().delete()


def log_out(user: User) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize("leave", [leave_team, log_out])
def test_a_stream_ends_for_those_who_may_no_longer_watch(
    run: Run, user: User, monkeypatch: pytest.MonkeyPatch, leave: Callable[[User], None]
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(live, "RIGHTS_SECONDS", 0.1)

    async def scene() -> None:
        async with opened(run, user, "?after=3") as events:
            await first(events, "state")
            await asyncio.sleep(0.3)
            await live.from_rows(add_epoch, run)
            await live.from_rows(bell.ring, run.uuid)
            assert await epochs(events, 1) == ["4"]  # a member may go on
            await live.from_rows(leave, user)
            assert [event["event"] async for event in events] == ["state"]
        assert live.hub().channels == {}

    play(scene)


def test_a_database_that_is_away_sends_nobody_away() -> None:
    def may_watch() -> bool:
        raise OperationalError("it restarts")

    assert asyncio.run(live._still(may_watch))


def test_strangers_other_teams_and_posts_get_no_stream(
    run: Run, user: User, other_team_user: User, client_for: ClientFor
) -> None:
    url = reverse("live:run", args=[run.uuid])
    assert client_for(other_team_user).get(url).status_code == 404
    assert Client().get(url).status_code in {302, 401}
    assert client_for(user).post(url).status_code == 405
