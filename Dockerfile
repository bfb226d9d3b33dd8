# One image for site, workers, housekeeping and migrations (docker-compose.yml).
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    DJANGO_SETTINGS_MODULE=nasweb.settings.production \
    NASWEB_HOME=/var/lib/nasweb \
    NASWEB_ARTEFACTS_DIR=/var/lib/artefacts \
    NASWEB_STATIC_ROOT=/srv/static

WORKDIR /srv/nasweb

# The dependencies change seldom and are large: a layer of their own.
COPY pyproject.toml README.md LICENSE ./
COPY nasweb/__init__.py nasweb/
COPY searchjobs/__init__.py searchjobs/
RUN pip install --editable '.[s3]'

COPY . .

# Static files are hashed and compressed once, here; the values are not kept.
RUN SECRET_KEY=build DATABASE_URL=postgresql://build@build/build \
    REDIS_URL=redis://build NASWEB_HOSTS=build \
    python manage.py collectstatic --noinput --verbosity 0 \
    && useradd --system --home-dir /var/lib/nasweb --create-home nasweb \
    && install --directory --owner nasweb /var/lib/artefacts

USER nasweb
VOLUME /var/lib/nasweb /var/lib/artefacts
EXPOSE 8000
CMD ["uvicorn", "nasweb.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--lifespan", "off", "--no-access-log", "--timeout-graceful-shutdown", "5"]
