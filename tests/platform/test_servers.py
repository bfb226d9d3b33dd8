from __future__ import annotations

import redis
from django.conf import settings
from django.db import connection


def test_the_database_is_a_real_postgresql(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        assert cursor.fetchone()[0].startswith("PostgreSQL")


def test_redis_answers_at_the_address_of_the_settings(servers: None) -> None:
    assert redis.Redis.from_url(settings.REDIS_URL).ping()
