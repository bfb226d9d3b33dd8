"""A body that is too large is refused before it is read, whoever sends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nasweb.body_limit import FORM_BYTES, MARGIN, BodyLimit

UPLOAD = "/datasets/upload/"
MOST = 100 * 10**6


class Answered:
    """An application that reads all of a body, as Django does, and counts it."""

    def __init__(self) -> None:
        self.read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            event = await receive()
            self.read += len(event["body"])
            if not event["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def send(
    size: int, path: str = UPLOAD, *, cookie: str = "sessionid=x", told: bool = True
) -> tuple[int, int]:
    """Send so many bytes; return the status and how many were read."""
    inner, statuses, left = Answered(), [], size
    headers = [(b"cookie", cookie.encode())]
    if told:
        headers.append((b"content-length", str(size).encode()))

    async def receive() -> dict[str, Any]:
        nonlocal left
        part = min(left, 10**6)
        left -= part
        return {"type": "http.request", "body": bytes(part), "more_body": left > 0}

    async def sent(event: Any) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    limit = BodyLimit(inner, UPLOAD, MOST)
    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(limit(scope, receive, sent))
    assert len(statuses) == 1
    return statuses[0], inner.read


@pytest.mark.parametrize("told", [True, False])
def test_a_file_up_to_the_limit_is_taken(told: bool) -> None:
    assert send(MOST, told=told) == (200, MOST)


def test_a_larger_one_is_refused_unread() -> None:
    assert send(MOST + MARGIN + 1) == (413, 0)


def test_one_that_does_not_tell_its_size_is_cut_off() -> None:
    status, read = send(3 * MOST, told=False)

    assert status == 413
    assert read <= MOST + MARGIN


@pytest.mark.parametrize(
    ("path", "cookie"),
    [("/datasets/new/", "sessionid=x"), ("/", "sessionid=x"), (UPLOAD, "theme=dark")],
)
def test_other_pages_and_people_without_a_session_send_only_forms(
    path: str, cookie: str
) -> None:
    assert send(FORM_BYTES, path, cookie=cookie) == (200, FORM_BYTES)
    assert send(FORM_BYTES + 1, path, cookie=cookie) == (413, 0)


def test_what_is_no_request_passes() -> None:
    passed = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    limit = BodyLimit(inner, UPLOAD, MOST)
    asyncio.run(limit({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert passed == ["lifespan"]
