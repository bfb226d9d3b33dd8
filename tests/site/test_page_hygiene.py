"""What holds of every page: nothing from elsewhere, a strict policy, no bare parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from searchjobs.models import Queue, Run, Team
from tests.site.factories import make_run
from tests.site.test_permission_matrix import LINES, address

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
#: A name, not an address: nothing is loaded from it.
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
#: Read, but not as pages: a file, and numbers for a machine that has a token.
NO_PAGES = {"runs:file", "analyses:table", "metrics"}
PAGES = [n for n, line in LINES.items() if line.method == "get" and n not in NO_PAGES]
#: Attributes by which a browser loads or goes somewhere.
LOADS = re.compile(
    r"""\b(?:src|href|action|formaction|srcset|poster|data|hx-get|hx-post)\s*=\s*
    ["']\s*((?:https?:)?//[^"']*)""",
    re.VERBOSE | re.IGNORECASE,
)


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(user, team, cpu_queue, finished=6, state="running")


@pytest.fixture
def answers(
    run: Run, user: User, client_for: Callable[[User], Client]
) -> dict[str, HttpResponse]:
    """Every page as its author sees it, those of administrators as one of them, and
    the log-in page as nobody."""
    author, admin = client_for(user), client_for(User.objects.create_superuser("root"))
    found = {
        name: (admin if name.startswith("installation:") else author).get(
            address(name, run)
        )
        for name in PAGES
        if name != "login"
    }
    return {**found, "login": Client().get(address("login", run))}


def test_every_page_was_looked_at(answers: dict[str, HttpResponse]) -> None:
    assert {answer.status_code for answer in answers.values()} == {200}
    assert len(answers) > 15


def test_no_page_names_another_host(answers: dict[str, HttpResponse]) -> None:
    for name, answer in answers.items():
        assert not LOADS.findall(answer.content.decode()), name


def test_every_page_carries_a_policy_without_eval(
    answers: dict[str, HttpResponse],
) -> None:
    for name, answer in answers.items():
        policy = answer.headers["Content-Security-Policy"]
        rules = dict(part.split(" ", 1) for part in policy.split("; "))
        assert rules["default-src"] == "'self'", name
        assert rules["script-src"] == "'self'", name
        assert "unsafe-eval" not in policy, name
        assert "http" not in policy, name


def test_pages_hold_no_inline_script_and_no_handler(
    answers: dict[str, HttpResponse],
) -> None:
    for name, answer in answers.items():
        html = answer.content.decode()
        scripts = re.findall(r"<script\b([^>]*)>", html)
        assert all("src=" in s or "application/json" in s for s in scripts), name
        assert not re.search(r"<[a-z][^>]*\son\w+\s*=\s*[\"']", html), name


def test_a_whole_page_has_one_heading_a_title_and_a_skip_link(
    answers: dict[str, HttpResponse],
) -> None:
    whole = {
        name: answer.content.decode()
        for name, answer in answers.items()
        if b"<html" in answer.content
    }
    assert len(whole) > 10
    for name, html in whole.items():
        assert html.count("<h1") == 1, name
        assert re.search(r"<title>[^<]+ · nasweb</title>", html), name
        assert 'href="#content"' in html, name


def test_every_field_of_the_launch_form_has_a_label(
    answers: dict[str, HttpResponse],
) -> None:
    html = answers["experiments:new"].content.decode()
    labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', html))
    fields = re.findall(r"<(?:input|select|textarea)\b[^>]*>", html)
    for field in fields:
        if 'type="hidden"' in field or 'type="radio"' in field or "aria-label" in field:
            continue
        found = re.search(r'\bid="([^"]+)"', field)
        assert found is not None
        assert found[1] in labelled, field


def test_an_address_that_is_not_there_says_so_in_our_words(client: Client) -> None:
    answer = client.get("/nothing/here/")
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.content.decode()


def test_our_scripts_and_styles_name_no_other_host() -> None:
    for folder in ("js", "css"):
        for file in (ROOT / "static" / folder).iterdir():
            text = file.read_text(encoding="utf-8").replace(SVG_NAMESPACE, "")
            assert not re.search(r"https?://", text), file
