"""`manage.py launch_search`: what the launch form does, from a spec file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError

from searchjobs.engine.problems import SpecError
from searchjobs.engine.seeds import parse_seeds
from searchjobs.engine.validation import load_yaml
from searchjobs.launch import launch
from searchjobs.models import Job, Queue, Team

_PRIORITIES = {priority.label: priority.value for priority in Job.Priority}


class Command(BaseCommand):
    help = "Launch an experiment from a spec file, as the launch form does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("spec", type=Path, help="spec as YAML")
        parser.add_argument("--user", required=True, help="who launches")
        parser.add_argument("--team", required=True, help="slug of the team")
        parser.add_argument("--name", help="of the experiment; else the file's name")
        parser.add_argument("--seeds", help="1, 2, 3 or 1-5; else the seed of the spec")
        parser.add_argument("--queue", help="else the one that fits the spec's device")
        parser.add_argument(
            "--priority",
            choices=sorted(_PRIORITIES),
            default=Job.Priority.NORMAL.label,
            help="high is for maintainers of the team",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["spec"]
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise CommandError(
                f"The spec {path} cannot be read; check the path."
            ) from None
        user = get_user_model().objects.filter(username=options["user"]).first()
        team = Team.objects.filter(slug=options["team"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']}; see the admin.")
        if team is None:
            known = ", ".join(Team.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(
                f"There is no team {options['team']}; there are {known}."
            )
        queue = self._queue(options["queue"])
        try:
            spec = load_yaml(text)
            seeds = parse_seeds(options["seeds"]) if options["seeds"] else [spec.seed]
            name = options["name"] or path.stem
            experiment = launch(
                user,
                team,
                name,
                spec,
                seeds,
                queue=queue,
                priority=_PRIORITIES[options["priority"]],
            )
        except (SpecError, PermissionDenied) as error:
            raise CommandError(str(error)) from None
        for run in experiment.runs.select_related("job__queue"):
            self.stdout.write(f"seed {run.seed}: run {run.uuid} in {run.job.queue}")

    def _queue(self, name: str | None) -> Queue | None:
        if not name:
            return None
        queue = Queue.objects.filter(name=name).first()
        if queue is None:
            known = ", ".join(Queue.objects.values_list("name", flat=True)) or "none"
            raise CommandError(f"There is no queue {name}; there are {known}.")
        return queue
