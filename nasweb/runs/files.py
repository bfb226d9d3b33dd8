"""The files of a run for its page, and how one of them reaches the browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from searchjobs.artefacts import CHECKPOINTS, LOGS, PRUNINGS, open_artefact
from searchjobs.models import Artefact, Run

CHUNK = 256 * 1024
#: The parts of the page, in their order: folder, title, what the files are.
GROUPS = (
    (
        CHECKPOINTS,
        "Checkpoints",
        "the last two and the best epoch stay, others go within minutes; the engine "
        "goes on from one with --resume",
    ),
    (LOGS, "Logs", "what the engine of each attempt wrote for people"),
    (
        PRUNINGS,
        "Prunings",
        "ids, scores and what was removed, as NumPy arrays, for each pruning event",
    ),
)


def groups(run: Run) -> list[dict[str, Any]]:
    """Return the files of a run by kind, the newest epoch first; no empty kind."""
    rows = list(run.job.artefacts.order_by("-epoch", "name"))
    found = []
    for folder, title, note in GROUPS:
        files = [row for row in rows if row.name.startswith(f"{folder}/")]
        if files:
            size = sum(row.size for row in files)
            found.append(
                {
                    "key": folder,
                    "title": title,
                    "note": note,
                    "files": files,
                    "size": size,
                }
            )
    return found


def attachment(request: HttpRequest, run: Run, row: Artefact) -> StreamingHttpResponse:
    """Send a file in pieces; raises StorageAwayError before anything is sent."""
    file = open_artefact(row)
    # Under ASGI Django would read all of a synchronous iterator into memory first.
    pieces = _pieces_async(file) if isinstance(request, ASGIRequest) else _pieces(file)
    response = StreamingHttpResponse(pieces, content_type="application/octet-stream")
    name = f"run-{run.uuid}-{row.name.rpartition('/')[2]}"
    response["Content-Disposition"] = content_disposition_header(True, name)
    response["Content-Length"] = row.size
    response["Cache-Control"] = "private, no-store"
    return response


def _pieces(file: File) -> Iterator[bytes]:
    with file:
        while piece := file.read(CHUNK):
            yield piece


async def _pieces_async(file: File) -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    try:
        while piece := await read(CHUNK):
            yield piece
    finally:
        file.close()
