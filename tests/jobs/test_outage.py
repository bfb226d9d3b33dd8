"""A lost connection is told from a wrong statement, whatever its class."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from nasweb import embedded
from nasweb.settings.parsers import database
from searchjobs.models import Team
from searchjobs.outage import database_is_away
from tests.factories import make_team


@pytest.fixture
def postgres() -> Iterator[embedded.Server]:
    """A PostgreSQL of this test alone, for it is to crash."""
    home = Path(tempfile.mkdtemp(prefix="nasweb-outage-"))
    with embedded.servers(home, redis=False, durable=False) as (server,):
        yield server
    shutil.rmtree(home)


def connected(server: embedded.Server) -> BaseDatabaseWrapper:
    settings = {"default": database(embedded.postgres_url(server.home))}
    return ConnectionHandler(settings)["default"]


def refusal(connection: BaseDatabaseWrapper, statement: str) -> Exception:
    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(statement)
    return caught.value


@pytest.mark.django_db
def test_a_crash_and_a_shutdown_are_outages_and_a_wrong_statement_is_none(
    postgres: embedded.Server,
) -> None:
    for number in (signal.SIGQUIT, signal.SIGINT):
        connection = connected(postgres)
        assert not database_is_away(refusal(connection, "SELECT nonsense"))
        assert postgres.process is not None
        postgres.process.send_signal(number)
        postgres.process.wait()
        assert database_is_away(refusal(connection, "SELECT 1"))
        connection.close()
        with pytest.raises(OperationalError) as caught:
            connection.ensure_connection()
        assert database_is_away(caught.value)
        postgres.start()


@pytest.mark.django_db
def test_a_row_that_is_there_already_is_no_outage(team: Team) -> None:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        make_team(team.name, team.slug)
    assert not database_is_away(caught.value)
    assert not database_is_away(DatabaseError("Django says that no row was saved"))
    assert not database_is_away(ValueError("something else"))
