"""Static files, and a policy that tells the browser to load nothing from elsewhere
and to run no inline script."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from nasweb.around import Around

#: Plotly writes style elements and draws its export image from a blob.  Scripts
#: come from our own files only; data reach them as JSON, which is not executed.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class ContentSecurityPolicy(Around):
    """Add the policy to every response that does not bring its own."""

    def after(
        self, request: HttpRequest, response: HttpResponse, known: object
    ) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class NoZeroBytes(Around):
    """Answer 400 to an address or a form with a zero byte, which no text in PostgreSQL
    can hold: looking for one, or keeping it, would be a fault of ours."""

    def before(self, request: HttpRequest) -> None:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("The address holds a zero byte.")

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> None:
        """Look at the form; here, where Django reads it in a thread, and not before."""
        try:
            fields = request.POST.lists()
        except UnreadablePostError:  # the browser has gone
            return
        if any("\0" in text for _, values in fields for text in values):
            raise BadRequest("The form holds a zero byte.")


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, whose answers hold the whole file.

    Its own answers stream; Django reads a synchronous stream into memory all the
    same before it gives it to an ASGI server, and warns each time.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with found.file:
                content = found.file.read()
        response = HttpResponse(content, status=int(found.status))
        del response["Content-Type"]  # what fits is among the file's own headers
        for name, value in found.headers:
            response[name] = value
        return response
