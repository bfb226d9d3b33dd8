"""Refuse a request whose body is too large before it is read.

Django reads a whole body into a temporary file before any view sees it, whoever has
sent it: without a limit here, anybody could fill the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

#: Bytes of a form without a file: a long spec, many notes.
FORM_BYTES = 8 * 10**6
#: What a form adds to the file that it carries.
MARGIN = 10**6


class _TooLargeError(Exception):
    """More has come than is taken."""


class BodyLimit:
    """An ASGI application around another one.

    Args:
        inner: what answers requests that are small enough.
        upload_path: the only path that takes files.
        upload_bytes: the largest of them.
    """

    def __init__(self, inner: Application, upload_path: str, upload_bytes: int) -> None:
        self.inner = inner
        self.upload_path = upload_path
        self.upload_bytes = upload_bytes

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        takes_file = scope["path"] == self.upload_path and _has_session(scope)
        most = self.upload_bytes + MARGIN if takes_file else FORM_BYTES
        if _announced(scope) > most:
            await _refuse(send, most)
            return
        came, begun = 0, False

        async def counted() -> Any:
            nonlocal came
            event = await receive()
            if event["type"] == "http.request":
                came += len(event["body"])
                if came > most:
                    raise _TooLargeError
            return event

        async def noted(event: Any) -> None:
            nonlocal begun
            begun = True
            await send(event)

        try:
            await self.inner(scope, counted, noted)
        except _TooLargeError:
            if not begun:
                await _refuse(send, most)


def _has_session(scope: Any) -> bool:
    """Say whether somebody may be logged in; whether they are, Django asks later."""
    cookies = (value for name, value in scope["headers"] if name == b"cookie")
    return any(b"sessionid=" in value for value in cookies)


def _announced(scope: Any) -> int:
    """Return the bytes that a request says it has; 0 if it does not say."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(send: Send, most: int) -> None:
    sentence = (
        f"This is too large: at most {most // 10**6:,} MB are taken here. Go back and "
        "send less.\n"
    )
    await send(
        {
            "type": "http.response.start",
            "status": 413,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"connection", b"close"),
            ],
            "trailers": False,
        }
    )
    await send(
        {"type": "http.response.body", "body": sentence.encode(), "more_body": False}
    )
