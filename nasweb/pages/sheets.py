"""Answer with a sheet: many images in one picture, kept by the browser for good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from numpy.typing import NDArray

from nasweb.explorer import sheet
from nasweb.explorer.images import Pictures, ReadingError, UnavailableError

#: Seconds that a sheet waits for images that are being read.
PATIENCE = 20.0
#: A year: what a sheet shows never changes, but it is for the team alone.
FOREVER = "private, max-age=31536000, immutable"


def answer(
    request: HttpRequest,
    version: str,
    ids: Sequence[int],
    images: Callable[[], NDArray[np.uint8]],
) -> HttpResponse:
    """Return the sheet, or that the browser has it.

    Args:
        request: may tell what the browser has.
        version: changes with the images.
        ids: which they are.
        images: gives them, uint8 (k, S, S, 3), if they are needed.
    """
    etag = sheet.etag(version, ids)
    found = get_conditional_response(request, etag=etag)
    if found is None:
        found = HttpResponse(sheet.sheet(images()), content_type="image/png")
    found["ETag"] = etag
    found["Cache-Control"] = FOREVER
    return found


def asked_for(request: HttpRequest, known: Callable[[float], Pictures]) -> HttpResponse:
    """Return the sheet of the images of ``?ids=``.

    ``known`` gives all images after so many seconds at most, or raises ReadingError or
    UnavailableError.  Raises Http404.
    """
    ids = _ids(request.GET.get("ids", ""))
    try:
        pictures = known(PATIENCE)
    except ReadingError as error:
        response = HttpResponse(str(error), status=503, content_type="text/plain")
        response["Retry-After"] = "5"
        return response
    except UnavailableError as error:
        raise Http404(str(error)) from None
    if max(ids) >= len(pictures):
        raise Http404(f"The data set has {len(pictures):,} images.")
    return answer(request, pictures.fingerprint, ids, lambda: pictures.pixels[ids])


def _ids(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise Http404("The ids of a sheet are whole numbers with commas between.")
    if len(parts) > sheet.MOST:
        raise Http404(f"A sheet holds at most {sheet.MOST} images.")
    return [int(part[:18]) for part in parts]
