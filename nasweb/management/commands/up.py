"""`manage.py up`: everything that one machine needs, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from nasweb import __version__, embedded, first_start, processes
from nasweb.processes import Child
from searchjobs.engine.problems import SpecError
from searchjobs.models import Team

EXAMPLE = Path("examples") / "bdp_digits.yaml"
EXAMPLE_NAME = "BDP on digits (example)"
SITE_SECONDS = 90.0
#: A child that ends sooner than this after its start is not started again.
SHORT_LIFE_SECONDS = 10.0


class Command(BaseCommand):
    help = (
        "Start PostgreSQL, Redis, a worker and the site, and stop them on Ctrl-C. "
        "DATABASE_URL and REDIS_URL replace the embedded servers."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--no-example", action="store_true", help="launch no search at first start"
        )

    def handle(self, *args: Any, no_example: bool, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            with ExitStack() as stack:
                self.run(stack, example=not no_example)
        except (embedded.ServerError, processes.PortError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            pass
        self.say("nasweb", "stopped; your data are in " + str(settings.NASWEB_HOME))

    def run(self, stack: ExitStack, *, example: bool) -> None:
        """Start everything in order; ``stack`` stops it in the reverse order."""
        port = processes.choose_port(settings.NASWEB_BIND, settings.NASWEB_PORT)
        self.say("nasweb", f"version {__version__}, data in {settings.NASWEB_HOME}")
        stack.enter_context(
            embedded.servers(
                settings.NASWEB_HOME,
                postgres=settings.NASWEB_OWN_POSTGRES,
                redis=settings.NASWEB_OWN_REDIS,
            )
        )
        check_servers()
        self.say("nasweb", "bringing the database up to date")
        call_command("migrate", interactive=False, verbosity=0)
        first_start.make_queues()
        made = first_start.make_admin()
        if made and example:
            self.launch_example(made[0], made[1])

        children = self.start_children(stack, port)
        address = f"http://{_shown(settings.NASWEB_BIND)}:{port}/"
        self.wait_for_site(children, address)
        self.welcome(address, made[2] if made else None)
        self.watch(children)

    def launch_example(self, admin: User, team: Team) -> None:
        """Launch the example search, so that the first page is alive."""
        # These import PyTorch, which takes seconds that only the first start needs.
        from searchjobs.engine.validation import load_yaml
        from searchjobs.launch import launch

        text = (settings.BASE_DIR / EXAMPLE).read_text(encoding="utf-8")
        try:
            spec = load_yaml(text)
            launch(admin, team, EXAMPLE_NAME, spec, [spec.seed], tags=["example"])
        except SpecError as error:
            self.say("nasweb", f"the example search was not launched: {error}")

    def start_children(self, stack: ExitStack, port: int) -> list[Child]:
        """Start site, worker and housekeeping; they stop before their servers do."""
        commands = {
            "site": processes.site_command(settings.NASWEB_BIND, port),
            "worker": processes.worker_command(name="local"),
            "clock": processes.housekeeping_command(),
        }
        children = [
            Child(name, command, settings.BASE_DIR, self.say)
            for name, command in commands.items()
        ]
        stack.callback(processes.stop_all, children)
        for child in children:
            child.start()
        return children

    def wait_for_site(self, children: list[Child], address: str) -> None:
        deadline = time.monotonic() + SITE_SECONDS
        while not _answers(address + "healthz"):
            ended = [child.name for child in children if child.has_ended()]
            if ended:
                raise CommandError(f"The {ended[0]} did not start; see above why.")
            if time.monotonic() > deadline:
                raise CommandError("The site did not answer; see above why.")
            time.sleep(0.2)

    def welcome(self, address: str, password: str | None) -> None:
        lines = [f"nasweb is ready:  {address}"]
        if password:
            lines += [
                f"Log in as         {first_start.ADMIN}",
                f"with password     {password}",
                "It is shown this once; change it at the top right of any page.",
            ]
        lines.append("Stop with Ctrl-C.")
        width = max(map(len, lines))
        self.stdout.write("\n  " + "─" * width)
        for line in lines:
            self.stdout.write("  " + line)
        self.stdout.write("  " + "─" * width + "\n\n")
        self.stdout.flush()

    def watch(self, children: list[Child]) -> None:
        """Keep the children alive until somebody stops us.

        A worker that was killed is started again: its job goes on from its
        checkpoint as soon as the lease of the lost attempt has run out.
        """
        born = {child.name: time.monotonic() for child in children}
        while True:
            time.sleep(0.5)
            for child in children:
                if not child.has_ended():
                    continue
                if time.monotonic() - born[child.name] < SHORT_LIFE_SECONDS:
                    raise CommandError(
                        f"The {child.name} ends as soon as it starts; see its lines "
                        "above."
                    )
                self.say("nasweb", f"the {child.name} has ended; starting it again")
                processes.stop_all([child])
                child.start()
                born[child.name] = time.monotonic()

    def say(self, name: str, line: str) -> None:
        mark = self.style.MIGRATE_HEADING(f"{name:>6} │")
        self.stdout.write(f"{mark} {line}")
        self.stdout.flush()


def check_servers() -> None:
    """Raise CommandError, one sentence, if PostgreSQL or Redis does not answer."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise CommandError(
            f"The PostgreSQL of DATABASE_URL cannot be used ({reason}); start it or "
            "correct the address, or unset DATABASE_URL to use the embedded one."
        ) from None
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5).ping()
    except redis.RedisError as error:
        raise CommandError(
            f"The Redis of REDIS_URL cannot be used ({error}); start it or correct the "
            "address, or unset REDIS_URL to use the embedded one."
        ) from None


def _stop(*_: object) -> None:
    """Stop in order at the first signal; stop waiting for anything at the second."""
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, _hurry)
    raise KeyboardInterrupt


def _hurry(*_: object) -> None:
    sys.exit(130)


def _shown(host: str) -> str:
    return "localhost" if host in {"127.0.0.1", "0.0.0.0", "::"} else host


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
