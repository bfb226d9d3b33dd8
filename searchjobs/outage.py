"""A database that is away: tell it from a statement that is wrong, and wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.db import (
    DatabaseError,
    Error,
    InterfaceError,
    OperationalError,
    close_old_connections,
)

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

#: How often a database that is away is asked, and how often the log says so.
RETRY_SECONDS = 1.0
SAY_SECONDS = 60.0

#: SQLSTATE of a server that takes no writes: a standby that is about to take over.
READ_ONLY = "25006"


def database_is_away(error: Exception) -> bool:
    """Say whether an error means that the connection to the database is gone.

    OperationalError alone would not do: to the first statement after a crash of
    PostgreSQL psycopg answers with a plain DatabaseError, which has no SQLSTATE, since
    no server was there to give one.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    state = getattr(error.__cause__, "pgcode", "")
    return state == READ_ONLY or (type(error) is DatabaseError and state is None)


class LeftBehindError(RuntimeError):
    """This process is to stop while the database is away: nobody can be told."""


@dataclass
class Patience:
    """Wait for a database that is away, however long that lasts.

    Attributes:
        who: what goes on meanwhile, for the log.
        stopping: asked at every try; True raises LeftBehindError.
    """

    who: str
    stopping: Callable[[], bool]
    _away_since: float | None = None
    _said: float = 0.0

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask the database, and again for as long as it is away."""
        while True:
            try:
                answer = question()
            except Error as error:
                self.outlast(error)
                continue
            self.end()
            return answer

    def outlast(self, error: Error) -> None:
        """Wait a moment for a database that is away; raise any other error."""
        if not database_is_away(error):
            raise error
        close_old_connections()
        now = time.monotonic()
        if self._away_since is None:
            self._away_since, self._said = now, now - SAY_SECONDS
        if now >= self._said + SAY_SECONDS:
            self._said = now
            logger.warning(
                "The database is away for %.0f s (%s); %s goes on, and is recorded "
                "when it is back",
                *(now - self._away_since, _first_line(error), self.who),
            )
        if self.stopping():
            raise LeftBehindError from None
        time.sleep(RETRY_SECONDS)

    def end(self) -> None:
        """Say that the database is back, if it was away."""
        if self._away_since is not None:
            away = time.monotonic() - self._away_since
            logger.warning("The database is back after %.0f s; %s", away, self.who)
            self._away_since = None


def _first_line(error: Error) -> str:
    return str(error).strip().partition("\n")[0]
