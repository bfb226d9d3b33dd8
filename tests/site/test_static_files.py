from __future__ import annotations

from pathlib import Path
from typing import Any

from django.test import Client

STYLES = "/static/css/base.css"


def test_a_file_comes_whole_and_not_as_a_stream_that_asgi_warns_of(
    client: Client,
) -> None:
    answer = client.get(STYLES)
    assert answer.status_code == 200
    assert not answer.streaming
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 1000
    assert answer.headers["Content-Type"] == 'text/css; charset="utf-8"'


def test_a_file_that_the_browser_has_is_not_sent_again(client: Client) -> None:
    known = client.get(STYLES).headers["Last-Modified"]
    again = client.get(STYLES, headers={"If-Modified-Since": known})
    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Type" not in again.headers
    head = client.head(STYLES)
    assert (head.status_code, head.content) == (200, b"")


def test_a_part_of_a_file_may_be_asked_for(client: Client) -> None:
    whole = client.get(STYLES).content
    part = client.get(STYLES, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])


def test_a_file_that_was_edited_while_the_site_runs_comes_as_it_is_now(
    client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.WHITENOISE_ROOT = str(tmp_path)
    file = tmp_path / "note.txt"
    file.write_text("short")
    assert client.get("/note.txt").content == b"short"
    file.write_text("a longer text")
    answer = client.get("/note.txt")
    assert answer.content == b"a longer text"
    assert answer.headers["Content-Length"] == "13"
