"""The site: what a browser, an API client or an admin sees."""

from __future__ import annotations

from .celery import app as celery_app

__all__ = ["__version__", "celery_app"]

__version__ = "0.1.0"
