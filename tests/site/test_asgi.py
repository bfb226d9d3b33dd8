"""The process of the site."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT, environment

SHOW = """
import nasweb.asgi
from django.db import connection
cursor = connection.cursor()
cursor.execute("SHOW idle_in_transaction_session_timeout")
print(cursor.fetchone()[0])
"""


@pytest.mark.django_db(transaction=True)
def test_a_site_that_is_frozen_in_mid_verb_keeps_nothing_locked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env=environment(NASWEB_LEASE_SECONDS="7", NASWEB_BEAT_SECONDS="2"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "7s"
