"""Addresses: nouns, then verbs.  Each page family keeps its own beside its views."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from nasweb.pages import accounts, health, home, metrics

urlpatterns = [
    path("", home.index, name="home"),
    path("now/", home.now, name="home-now"),
    path("experiments/", include("nasweb.pages.experiments")),
    path("runs/", include("nasweb.pages.runs")),
    path("compare/", include("nasweb.pages.compare")),
    path("compare/analyses/", include("nasweb.pages.analyses")),
    path("reproductions/", include("nasweb.pages.reproductions")),
    path("datasets/", include("nasweb.pages.datasets")),
    path("subsets/", include("nasweb.pages.subsets")),
    path("evaluations/", include("nasweb.pages.evaluations")),
    path("work/", include("nasweb.pages.work")),
    path("live/", include("nasweb.live")),
    path("queues/", include("nasweb.pages.queues")),
    path("installation/", include("nasweb.pages.installation")),
    path("accounts/", include(accounts.urlpatterns)),
    path("teams/switch/", accounts.switch_team, name="team-switch"),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("metrics", metrics.metrics, name="metrics"),
]
