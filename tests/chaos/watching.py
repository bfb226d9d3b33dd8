"""Read the live stream of a run as an open page does: again and again, from where it
was."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

#: A stream that says nothing for longer, not even that it is there, is dead.
SILENT_SECONDS = 40
RETRY_SECONDS = 0.5


@dataclass
class Watcher:
    """A page on a run.

    Attributes:
        epochs: those that it was told, in the order in which they came.
        connections: how often it began to listen.
        ended: the stream said that the run is over.
    """

    address: str
    path: str
    cookie: str
    epochs: list[int] = field(default_factory=list)
    connections: int = 0
    ended: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    closed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._watch, name="page", daemon=True).start()

    def close(self) -> None:
        self.closed.set()

    def _watch(self) -> None:
        while not (self.ended or self.closed.is_set()):
            # The site may be away, or go away while it answers.
            with suppress(OSError, http.client.HTTPException):
                self._listen()
            self.closed.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        site = http.client.HTTPConnection(
            urlsplit(self.address).netloc, timeout=SILENT_SECONDS
        )
        headers = {"Cookie": self.cookie, "Accept": "text/event-stream"}
        if self.epochs:
            headers["Last-Event-ID"] = str(self.epochs[-1])
        try:
            site.request("GET", self.path, headers=headers)
            response = site.getresponse()
            if response.status != http.client.OK:
                return  # PostgreSQL is away
            self.connections += 1
            self._read(response)
        finally:
            site.close()

    def _read(self, response: http.client.HTTPResponse) -> None:
        event: dict[str, str] = {}
        while not self.closed.is_set():
            line = response.readline()
            if not line.endswith(b"\n"):
                return  # the end, perhaps in mid-line
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
                continue
            self._take(event)
            event = {}
            if self.ended:
                return

    def _take(self, event: dict[str, str]) -> None:
        name = event.get("event")
        if name == "epoch":
            self.epochs.append(int(event["id"]))
        elif name == "state":
            self.state = json.loads(event["data"])
        elif name == "end":
            self.ended = True
