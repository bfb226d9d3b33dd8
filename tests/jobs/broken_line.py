"""A line to PostgreSQL that breaks at a chosen message: a real one, in our hands."""

from __future__ import annotations

import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

PORT = 5432
#: Requests for a password and its rounds: after these the client speaks next.
ASKS_CLIENT = {3, 5, 10, 11}


@dataclass
class Line:
    """Passes messages on, and counts statements.

    Attributes:
        break_at: number of the statement at which the line breaks, once; 0: never.
        answered: it breaks after the server has done the statement, before we hear.
        statements: how many have been sent.
    """

    break_at: int = 0
    answered: bool = False
    statements: int = 0

    def serve(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError, EOFError):
            (size,) = struct.unpack("!I", first := _exactly(client, 4))
            server.sendall(first + _exactly(client, size - 4))
            while _pass_answer(server, client):
                kind, message = _message(client)
                self.statements += kind == b"Q"
                breaks = kind == b"Q" and self.statements == self.break_at
                if breaks and not self.answered:
                    return
                server.sendall(message)
                if breaks:
                    _pass_answer(server, None)
                    return


@contextmanager
def line_to_the_database() -> Iterator[Line]:
    """Lead this thread's connection through a line, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="nasweb-line-"))
    given = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    line, listener = Line(), socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / f".s.PGSQL.{PORT}"))
    listener.listen()

    def accept() -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                ends = client, _server(*given)
                threading.Thread(target=line.serve, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    _lead(str(folder), str(PORT))
    try:
        yield line
    finally:
        _lead(*given)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        shutil.rmtree(folder)


def _lead(host: str, port: str) -> None:
    connection.close()
    connection.settings_dict.update(HOST=host, PORT=port)


def _server(host: str, port: str) -> socket.socket:
    number = port or str(PORT)
    if not host.startswith("/"):
        return socket.create_connection((host or "localhost", int(number)))
    found = socket.socket(socket.AF_UNIX)
    found.connect(f"{host}/.s.PGSQL.{number}")
    return found


def _pass_answer(server: socket.socket, client: socket.socket | None) -> bool:
    """Pass on what the server says until it is the client's turn."""
    while True:
        kind, message = _message(server)
        if client is not None:
            client.sendall(message)
        if kind == b"Z":
            return True
        if kind == b"R" and struct.unpack("!I", message[5:9])[0] in ASKS_CLIENT:
            return True


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(source, 5)
    (size,) = struct.unpack("!I", head[1:])
    return head[:1], head + _exactly(source, size - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found
