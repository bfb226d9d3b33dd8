"""Reproduce the multi-trial rows of EX-/SS-DARTS, Table 1, on the benchmark table.

    python tests/benchmarks/multitrial.py [TABLE]

Runs every preset that searches on the table and has printed values, and prints ours
beside them: mean ± sample standard deviation over the repeats of one run.  TABLE is a
CSV as ``searchjobs/engine/benchmark_table.py`` describes it; without it, the table in
the site's data folder, else that in NASWEB_SHARED_DATA or ../shared/data.  Ends with 1
if a mean lies more than one printed standard deviation away.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from searchjobs.engine import places  # noqa: E402
from searchjobs.engine.benchmark_table import DATASETS, BenchmarkTable, read  # noqa: E402
from searchjobs.engine.contracts import TableMethod, methods  # noqa: E402
from searchjobs.engine.events import EpochFinished, Spread  # noqa: E402
from searchjobs.engine.recipes import Recipe, all_recipes  # noqa: E402
from searchjobs.engine.table_search import search_table  # noqa: E402
from searchjobs.engine.validation import validate  # noqa: E402

SPACE = "nas-bench-201"


@dataclass(frozen=True)
class Row:
    """One preset: ours and the printed values by column (``CIFAR-10 test``)."""

    recipe: Recipe
    ours: dict[str, Spread]
    evaluations: float
    seconds: float

    def printed(self, column: str) -> tuple[float, float] | None:
        """Return the printed mean and standard deviation, if there are any."""
        text = self.recipe.reference.get(column)
        if text is None:
            return None
        mean, _, std = text.partition(" ± ")
        return float(mean), float(std)

    def distance(self, column: str) -> float:
        """Return how far our mean lies from the printed one, in printed deviations."""
        printed = self.printed(column)
        if printed is None:
            return 0.0
        return (self.ours[column].mean - printed[0]) / printed[1]


def table_file(given: Path | None = None) -> Path | None:
    """Return the table to use, None if there is none."""
    shared = Path(os.environ.get("NASWEB_SHARED_DATA", ROOT.parent / "shared" / "data"))
    places_to_look = (
        [given] if given else [places.table_path(SPACE), shared / "nasbench201.csv.gz"]
    )
    return next((path for path in places_to_look if path.is_file()), None)


def presets() -> list[Recipe]:
    """Return the presets that search on the table, those with printed values first."""
    found = [
        recipe
        for recipe in all_recipes()
        if issubclass(methods.get(recipe.spec["method"]["name"]), TableMethod)
    ]
    return sorted(found, key=lambda recipe: (not recipe.reference, recipe.order))


def rows(table: BenchmarkTable, recipes: list[Recipe]) -> Iterator[Row]:
    """Run each preset with its first seed."""
    for recipe in recipes:
        spec = validate({**recipe.spec, "seed": recipe.seeds[0]}, check_data=False)
        begun = time.perf_counter()
        events = list(search_table(spec, table=table))
        seconds = time.perf_counter() - begun
        last = [event for event in events if isinstance(event, EpochFinished)][-1]
        assert last.repeats is not None
        ours = {
            f"{DATASETS[dataset]} {split}": spread
            for dataset, splits in last.repeats.accuracies.items()
            for split, spread in splits.items()
        }
        yield Row(recipe, ours, last.repeats.evaluations, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, nargs="?", help="the table as CSV")
    path = table_file(parser.parse_args().table)
    if path is None:
        print(
            "There is no benchmark table here: import it with manage.py "
            "import_nasbench201 PATH and launch a search on it once, or name a CSV."
        )
        return 2
    table = read(path, SPACE)
    columns = [
        f"{label} {split}" for label in DATASETS.values() for split in ("valid", "test")
    ]
    print(f"table {table.fingerprint}, {len(table.encodings):,} architectures\n")
    print("| | | " + " | ".join(columns) + " | look-ups | s |")
    print("| --- " * (len(columns) + 4) + "|")
    missed = []
    for row in rows(table, presets()):
        cells = [
            f"{row.ours[c].mean:.2f} ± {row.ours[c].std or 0:.2f}" for c in columns
        ]
        print(
            f"| {row.recipe.title} | ours | {' | '.join(cells)} "
            f"| {row.evaluations:.1f} | {row.seconds:.1f} |"
        )
        if not row.recipe.reference:
            continue
        printed = [row.recipe.reference.get(column, "") for column in columns]
        print(f"| | printed | {' | '.join(printed)} | | |")
        distances = {column: row.distance(column) for column in columns}
        told = " | ".join(f"{distance:+.2f}" for distance in distances.values())
        print(f"| | difference / printed std | {told} | | |", flush=True)
        missed += [
            f"{row.recipe.title}, {column}: {distance:+.2f} standard deviations"
            for column, distance in distances.items()
            if abs(distance) > 1
        ]
    print("\n" + ("\n".join(missed) or "Every mean is within one standard deviation."))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
