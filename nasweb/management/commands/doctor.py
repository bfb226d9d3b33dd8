"""`manage.py doctor`: checks this installation; exit code 1 if something is wrong."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from nasweb.doctor import Finding, examine

SIGNS = {"ok": "✓", "warning": "!", "fault": "✕"}


class Command(BaseCommand):
    help = "Check settings, servers, storage, GPUs and workers; say what to do."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs to read")

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        for finding in examine():
            found.append(finding)
            if not options["json"]:
                self.show(finding)
        faults = sum(finding.level == "fault" for finding in found)
        if options["json"]:
            told = {"ok": not faults, "findings": [asdict(each) for each in found]}
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
        if faults:
            sys.exit(1)

    def show(self, finding: Finding) -> None:
        paint = {
            "ok": self.style.SUCCESS,
            "warning": self.style.WARNING,
            "fault": self.style.ERROR,
        }[finding.level]
        sign = paint(SIGNS[finding.level])
        self.stdout.write(f"{sign} {finding.topic:<9} {finding.sentence}")
        if finding.remedy:
            self.stdout.write(f"{'':<11} → {finding.remedy}")
        self.stdout.flush()
