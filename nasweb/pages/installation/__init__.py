"""Pages of those who maintain the installation: queues, workers, jobs of all teams,
what was done by whom, and what each team used.  They do not exist for others."""

from __future__ import annotations

from django.urls import path

from . import audit, jobs, overview, queues, slots, usage, workers

app_name = "installation"
urlpatterns = [
    path("", overview.index, name="index"),
    path("audit/", audit.index, name="audit"),
    path("usage/", usage.index, name="usage"),
    path("new-queue/", queues.new, name="queue-new"),
    path("queues/<slug:name>/", queues.detail, name="queue"),
    path("queues/<slug:name>/edit/", queues.edit, name="queue-edit"),
    path("queues/<slug:name>/limits/", queues.limits, name="queue-limits"),
    path("queues/<slug:name>/pause/", queues.pause, name="queue-pause"),
    path("queues/<slug:name>/resume/", queues.resume, name="queue-resume"),
    path("queues/<slug:name>/delete/", queues.delete, name="queue-delete"),
    path("workers/", workers.index, name="workers"),
    path("workers/<int:key>/drain/", workers.drain, name="worker-drain"),
    path("workers/<int:key>/undrain/", workers.undrain, name="worker-undrain"),
    path("workers/<int:key>/forget/", workers.forget, name="worker-forget"),
    path("slots/<int:key>/", slots.detail, name="slot"),
    path("slots/<int:key>/drain/", workers.drain_slot, name="slot-drain"),
    path("slots/<int:key>/undrain/", workers.undrain_slot, name="slot-undrain"),
    path("jobs/<uuid:uuid>/", jobs.detail, name="job"),
    path("jobs/<uuid:uuid>/cancel/", jobs.cancel, name="job-cancel"),
    path("jobs/<uuid:uuid>/pause/", jobs.pause, name="job-pause"),
    path("jobs/<uuid:uuid>/resume/", jobs.resume, name="job-resume"),
    path("jobs/<uuid:uuid>/requeue/", jobs.requeue, name="job-requeue"),
    path("jobs/<uuid:uuid>/restart/", jobs.restart, name="job-restart"),
    path("jobs/<uuid:uuid>/hold/", jobs.hold, name="job-hold"),
    path("jobs/<uuid:uuid>/release/", jobs.release, name="job-release"),
    path("jobs/<uuid:uuid>/priority/", jobs.priority, name="job-priority"),
    path("jobs/<uuid:uuid>/move/", jobs.move, name="job-move"),
    path("jobs/<uuid:uuid>/place/", jobs.place, name="job-place"),
    path("jobs/<uuid:uuid>/up/", jobs.up, name="job-up"),
    path("jobs/<uuid:uuid>/down/", jobs.down, name="job-down"),
]
