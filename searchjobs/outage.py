"""Tell a database that is away from a statement that is wrong."""

from __future__ import annotations

from django.db import DatabaseError, InterfaceError, OperationalError

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
