"""`manage.py worker_status`: who works on what, and what waits."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count, Prefetch, Q
from django.utils import timezone

from searchjobs.liveness import is_answering
from searchjobs.models import Job, Queue, Worker
from searchjobs.states import HELD, State


class Command(BaseCommand):
    help = "Show workers, the jobs in their slots, and the length of each queue."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        held = Prefetch("jobs", Job.objects.filter(state__in=HELD).order_by("slot"))
        workers = Worker.objects.prefetch_related(held, "slots")
        for worker in workers:
            age = now - worker.seen
            health = "alive" if is_answering(age) else "silent"
            if worker.drain_requested:
                health += ", draining"
            queues = ", ".join(worker.only_queues) or "all that fit"
            slots = [slot.device_name for slot in worker.slots.all()]
            self.stdout.write(
                f"{worker.name}: {health}, seen {age.total_seconds():.0f} s ago, "
                f"{len(slots)} slots ({', '.join(slots)}), queues: {queues}"
            )
            for job in worker.jobs.all():
                self.stdout.write(f"  {job.slot}: {job.uuid} {job.get_state_display()}")
        if not workers:
            self.stdout.write("No worker has ever registered; `make run` starts one.")
        for queue in Queue.objects.annotate(
            waiting=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
            running=Count("jobs", filter=Q(jobs__state__in=HELD)),
        ):
            paused = " (paused)" if queue.paused else ""
            self.stdout.write(
                f"queue {queue.name}{paused}: {queue.waiting} wait, {queue.running} run"
            )
