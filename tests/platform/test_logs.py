from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from structlog.contextvars import bound_contextvars

from nasweb.logs import HEADER, formatter

Lines = Callable[[], list[str]]


@pytest.fixture(params=["json"])
def lines(request: pytest.FixtureRequest) -> Iterator[Lines]:
    """A function that returns what was logged so far, as NASWEB_LOG_FORMAT says."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(request.param))
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: stream.getvalue().splitlines()
    root.removeHandler(handler)


def test_a_line_for_machines_is_one_object(lines: Lines) -> None:
    with bound_contextvars(job="j-1", run="r-1", attempt="2"):
        logging.getLogger("searchjobs.x").warning("Job %s went", "j-1")
    (line,) = map(json.loads, lines())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "searchjobs.x",
        "message": "Job j-1 went",
        "job": "j-1",
        "run": "r-1",
        "attempt": "2",
    }


def fail() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("nasweb").exception("It failed")


def test_a_traceback_stays_in_its_line_for_machines(lines: Lines) -> None:
    fail()
    (line,) = map(json.loads, lines())
    assert line["message"] == "It failed"
    assert "ValueError: no" in line["exception"]


@pytest.mark.parametrize("lines", ["text"], indirect=True)
def test_a_line_for_people_is_a_sentence_and_whom_it_is_about(lines: Lines) -> None:
    with bound_contextvars(attempt="2"):
        logging.getLogger("nasweb").warning("It is late")
    logging.getLogger("nasweb").warning("It is later")
    fail()
    first, second, third, *traceback = lines()
    assert first == "WARNING nasweb: It is late [attempt=2]"
    assert second == "WARNING nasweb: It is later"
    assert third == "ERROR nasweb: It failed"
    assert traceback[-1] == "ValueError: no"


@pytest.mark.parametrize("lines", ["text", "json"], indirect=True)
def test_no_password_of_an_address_is_written(lines: Lines) -> None:
    log = logging.getLogger("nasweb")
    log.warning("postgresql://me:pass-w0rd@host/db is away")
    log.warning("rediss://:pass-w0rd@host:6379/0 is away, see http://host:80/a@b")
    text = "\n".join(lines())
    assert "pass-w0rd" not in text
    assert "postgresql://me:***@host/db" in text
    assert "http://host:80/a@b" in text


@pytest.mark.django_db
def test_lines_of_a_request_say_which_and_whose(
    lines: Lines, user: User, client_for: Callable[[User], Client]
) -> None:
    answer = client_for(user).get(f"/runs/{uuid4()}/")
    assert answer.status_code == 404
    (line,) = [each for each in map(json.loads, lines()) if "Not Found" in str(each)]
    assert line["user"] == user.pk
    assert line["request"] == answer.headers[HEADER]
    again = client_for(user).get("/healthz")
    assert again.headers[HEADER] != answer.headers[HEADER]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "taken"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False)]
)
def test_an_id_of_a_proxy_is_taken_over_if_it_is_one(
    client: Client, given: str, taken: bool
) -> None:
    answer = client.get("/healthz", headers={HEADER: given})
    assert (answer.headers[HEADER] == given) is taken
