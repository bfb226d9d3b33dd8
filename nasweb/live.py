"""The live stream of a run: server-sent events.

Redis is the bell, PostgreSQL the store.  A message on the channel of a run only says
that something is new; what is new is read from the rows.  Each process holds one
Redis subscription for all its streams and reads a run's rows once for all who watch
it; each client has a bounded queue, and one that falls behind reads the rows itself.

Events: ``epoch`` with the epoch's number as id, so a browser that reconnects sends
``Last-Event-ID`` and gets what it missed and no more; ``state`` without a number;
``end`` once the job has ended.  Without Redis the rows are read every two seconds.
No database connection is held while a stream is idle.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, connections
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_GET
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from searchjobs.bell import run_channel
from searchjobs.models import Run

from . import access
from .metrics import STREAMS
from .runs.charts import at_the_end, epoch_messages
from .runs.status import status

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 2.0
"""Pause between two looks at the rows while Redis does not answer."""
TRUST_SECONDS = 15.0
"""The same while it does: a message may be lost, so the bell is not trusted alone."""
BURST_SECONDS = 0.1
"""Rings that come closer together than this are answered by one look."""
QUEUE_LENGTH = 64
RETRY_MILLISECONDS = 2000
RIGHTS_SECONDS = 60.0
"""Whether somebody may still watch is asked so often."""

_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live")
T = TypeVar("T")


async def from_rows(read: Callable[..., T], *arguments: Any) -> T:
    """Run a reading function in one of few threads, and keep no connection."""

    def read_and_close() -> T:
        try:
            return read(*arguments)
        finally:
            let_go()

    return await sync_to_async(
        read_and_close, thread_sensitive=False, executor=_readers
    )()


def let_go() -> None:
    """Close this thread's database connections, but for one in a transaction."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close()


@dataclass(frozen=True)
class News:
    """What was new of a run at one look at its rows."""

    epochs: list[dict[str, Any]]
    state: dict[str, Any]


def look(run: int, after: int) -> News:
    """Read state and later epochs; the state first, so that a state of the end
    means that every epoch is among the epochs."""
    row = Run.objects.select_related("job__queue", "job__worker").get(pk=run)
    state = status(row) | at_the_end(row)
    return News(epoch_messages(row, after), state)


@dataclass(eq=False)
class Client:
    """One open stream."""

    queue: asyncio.Queue[News] = field(
        default_factory=lambda: asyncio.Queue(QUEUE_LENGTH)
    )
    lost: bool = False


@dataclass(eq=False)
class Channel:
    """One run that somebody watches."""

    run: int
    last: int
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    clients: set[Client] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class Hub:
    """The open streams of one process."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.connected = False
        self._listener: asyncio.Task[None] | None = None

    def join(self, run: Run) -> Client:
        """Open a queue for what happens from now on."""
        name = run_channel(run.uuid)
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(run.pk, run.epoch)
            channel.task = asyncio.create_task(self._watch(channel))
        client = Client()
        channel.clients.add(client)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        return client

    def leave(self, run: Run, client: Client) -> None:
        """Forget a client; the last one of a run takes its channel along."""
        name = run_channel(run.uuid)
        channel = self.channels.get(name)
        if channel is None:
            return
        channel.clients.discard(client)
        if not channel.clients:
            del self.channels[name]
            if channel.task is not None:
                channel.task.cancel()

    async def _watch(self, channel: Channel) -> None:
        """Look at the rows at each ring, and hand what is new to every client."""
        known: dict[str, Any] | None = None
        while True:
            pause = TRUST_SECONDS if self.connected else POLL_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(channel.bell.wait(), pause)
            await asyncio.sleep(BURST_SECONDS)
            channel.bell.clear()
            try:
                news = await from_rows(look, channel.run, channel.last)
            except Exception:  # the next look may succeed; the streams stay open
                logger.exception("A live run could not be read")
                continue
            if not news.epochs and news.state == known:
                continue
            known = news.state
            channel.last = max([channel.last, *(each["epoch"] for each in news.epochs)])
            for client in channel.clients:
                try:
                    client.queue.put_nowait(news)
                except asyncio.QueueFull:
                    client.lost = True

    async def _listen(self) -> None:
        """Hold the process's one subscription for as long as somebody watches."""
        while self.channels:
            try:
                async with (
                    Redis.from_url(
                        settings.REDIS_URL, socket_connect_timeout=2
                    ) as redis,
                    redis.pubsub() as subscription,
                ):
                    await self._hear(subscription)
            except (OSError, RedisError) as error:
                logger.warning("Redis does not answer, live pages ask anew: %s", error)
                await asyncio.sleep(POLL_SECONDS)
            finally:
                self.connected = False

    async def _hear(self, subscription: PubSub) -> None:
        heard: set[str] = set()
        while self.channels:
            wanted = set(self.channels)
            if wanted - heard:
                await subscription.subscribe(*wanted - heard)
            if heard - wanted:
                await subscription.unsubscribe(*heard - wanted)
            heard = wanted
            self.connected = True
            message = await subscription.get_message(timeout=0.25)
            if message is None or message["type"] not in {"message", "subscribe"}:
                continue
            channel = self.channels.get(message["channel"].decode())
            if channel is not None:  # "subscribe" rings too: look at what was missed
                channel.bell.set()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """Return the hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


@require_GET
async def run_stream(request: HttpRequest, uuid: UUID) -> StreamingHttpResponse:
    """Stream a run from the epoch after ``Last-Event-ID`` (or ``?after=``)."""
    run = await from_rows(access.run_or_404, request, uuid)
    session = request.session.session_key

    def may_watch() -> bool:
        return access.may_still_view(session, run)

    # The middleware has asked who this is, in the request's own thread, whose
    # connection Django would keep until the response ends: hours, for a stream.
    await sync_to_async(let_go)()
    response = StreamingHttpResponse(
        stream(run, _after(request), may_watch), content_type="text/event-stream"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    response["Content-Encoding"] = "identity"  # no compression: it would hold back
    return response


async def stream(
    run: Run, after: int, may_watch: Callable[[], bool]
) -> AsyncIterator[str]:
    """Yield the events of a run: first what is stored, then what happens.

    The stream of somebody who may no longer watch ends within ``RIGHTS_SECONDS``; a
    browser that comes again is told so.
    """
    home = hub()
    client = home.join(run)
    STREAMS.inc()
    asked = time.monotonic()
    try:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        news: News | None = await from_rows(look, run.pk, after)
        log = None
        while True:
            if news is None:
                yield ": still here\n\n"
            else:
                for message in news.epochs:
                    if message["epoch"] > after:
                        after = message["epoch"]
                        yield _event("epoch", message, number=after)
                state = dict(news.state)
                if state["log_tail"] == log:
                    del state["log_tail"]
                else:
                    log = state["log_tail"]
                yield _event("state", state)
                if state["terminal"]:
                    yield _event("end", {})
                    return
            news = await _next(run, client, after)
            if time.monotonic() - asked > RIGHTS_SECONDS:
                if not await _still(may_watch):
                    return
                asked = time.monotonic()
    finally:
        STREAMS.dec()
        home.leave(run, client)


async def _still(may_watch: Callable[[], bool]) -> bool:
    """Ask; while the database is away nobody is sent away."""
    try:
        return await from_rows(may_watch)
    except Error as error:
        logger.warning("Who watches could not be checked: %s", error)
        return True


async def _next(run: Run, client: Client, after: int) -> News | None:
    """Wait for news; None if a heartbeat is due.  A client that fell behind so far
    that its queue was full reads the rows itself."""
    if client.lost:
        client.lost = False
        while not client.queue.empty():
            client.queue.get_nowait()
        return await from_rows(look, run.pk, after)
    try:
        return await asyncio.wait_for(client.queue.get(), HEARTBEAT_SECONDS)
    except TimeoutError:
        return None


def _event(name: str, data: dict[str, Any], number: int | None = None) -> str:
    head = f"id: {number}\n" if number is not None else ""
    body = json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":"))
    return f"{head}event: {name}\ndata: {body}\n\n"


def _after(request: HttpRequest) -> int:
    given = request.headers.get("Last-Event-ID") or request.GET.get("after")
    return epoch_number(given or "")


def epoch_number(text: str) -> int:
    """Read the number of an epoch; 0 for whatever is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


app_name = "live"
urlpatterns = [path("runs/<uuid:uuid>/", run_stream, name="run")]
