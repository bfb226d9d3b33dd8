"""``manage.py import_nasbench201 PATH``: bring in the NAS-Bench-201 table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from searchjobs.benchmark import forget_table, space_named
from searchjobs.benchmark_import.rows import (
    ARCHITECTURES,
    SPACE,
    TableError,
    checked,
)
from searchjobs.benchmark_import.sources import open_table
from searchjobs.benchmark_import.store import store


class Command(BaseCommand):
    help = (
        "Import the NAS-Bench-201 table: the official .pth, the NATS-Bench topology "
        "folder, or a CSV (plain or gzip). A wrong file changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="file or folder with the table")
        parser.add_argument(
            "--partial",
            action="store_true",
            help="accept a CSV that lacks some of the 15,625 architectures",
        )

    def handle(self, *args: Any, path: Path, partial: bool, **options: Any) -> None:
        self.stdout.write(f"Reading {path} ...")
        try:
            table = open_table(path, partial=partial)
            # No bar where nobody watches: tqdm is quiet when stderr is no terminal.
            bar = tqdm(table.rows, total=table.total, unit=" cells", disable=None)
            rows = list(checked(bar, space_named(SPACE)))
        except TableError as problem:
            raise CommandError(f"{problem} Nothing was imported.") from problem
        except OSError as error:
            raise CommandError(
                f"{path} cannot be read ({error.strerror}); check its permissions and "
                "the disk. Nothing was imported."
            ) from error
        stored = store(SPACE, rows, table.name)
        forget_table(SPACE)
        self.stdout.write(
            f"Imported {stored.architectures:,} of {ARCHITECTURES:,} architectures "
            f"({stored.accuracies:,} accuracies) from {table.name}."
        )
