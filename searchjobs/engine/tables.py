"""The papers' tables: which recipes fill which row and column, and what is printed.

One data file a paper, in ``recipes/tables``.  A printed value is read from the recipe
of its row, so it is written once; only what no recipe can hold (a row that is no
search, or that averages several) stands in the table's file.  Nothing here knows what
a run of ours gave.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from .recipes import FOLDER, Adjustment, Recipe, all_recipes
from .scales import merged

NUMBER = r"\d+(?:\.\d+)?"
PRINTED = re.compile(rf"({NUMBER})(?:\s*±\s*({NUMBER}))?")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """One column of accuracies.

    Attributes:
        label: inside its group.
        group: heading over several columns.
        dataset, split: what is read of a cell.
        reference: key of the printed value in a recipe; default: group and label.
        part: which of the values that one printed text holds, split at ``/``.
        statistic: over the recipes of a row that pools several: their average, or the
            best of them, for each seed.
        recipe: the searches of this column, where the rows only read them.
        channels: accuracy of the cell trained from scratch with so many channels; None:
            a look-up in the benchmark table.
        aside: not in the paper; what we can tell of the same cells.
    """

    label: str
    group: str = ""
    dataset: Literal["cifar10", "cifar100", "imagenet16"]
    split: Literal["valid", "test"]
    reference: str = ""
    part: int | None = None
    statistic: Literal["average", "best"] = "average"
    recipe: str = ""
    channels: int | None = None
    aside: bool = False

    @property
    def title(self) -> str:
        return f"{self.group} {self.label}".strip()

    @property
    def key(self) -> str:
        return self.reference or self.title


class Reading(_Part):
    """Which architecture of a run a row is about, where it is not the derived one.

    Attributes:
        rule: that of a stopping rule or derivation by this name; of a rule that never
            spoke, the cell of the last epoch.
        criterion: which of several of that name, as the run tells them.
        best_epoch: of all epochs the one with the highest test accuracy in the table.
        at_cost_of: a recipe; the newest cell when the run had cost as much as these.
    """

    rule: str = ""
    criterion: str = ""
    best_epoch: bool = False
    at_cost_of: str = ""

    @property
    def needs_epochs(self) -> bool:
        return bool(self.rule or self.best_epoch or self.at_cost_of)


class Row(_Part):
    """One row.

    Attributes:
        recipes: what is run for it; several are pooled seed by seed.
        pool: what tells these several apart, in their order.
        by_dataset: other recipes for the columns of a data set.
        printed: values by column title, or by a fact's name, beside those of recipes.
        prefix: before a column's key in the recipe's reference, with a comma.
        cannot: why it cannot be run here, as a sentence.
        control: not printed; belongs beside a claim about data.
    """

    label: str
    group: str = ""
    recipes: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    by_dataset: dict[str, str] = {}
    printed: dict[str, str] = {}
    prefix: str = ""
    reading: Reading = Reading()
    cannot: str = ""
    note: str = ""
    control: bool = False

    def titled(self, recipe: str) -> str:
        """Return the label of the row, with what tells this recipe from its others."""
        if self.pool and recipe in self.recipes:
            return f"{self.label}, {self.pool[self.recipes.index(recipe)]}"
        return self.label

    def of(self, column: Column) -> tuple[str, ...]:
        """Return the names of the recipes that fill a cell."""
        if self.cannot:
            return ()
        if column.recipe:
            return (column.recipe,)
        own = self.by_dataset.get(column.dataset)
        return (own,) if own else self.recipes


class Table(_Part):
    """One table of a paper.

    Attributes:
        title: what it shows, in our words.
        repeats: how many runs the paper says are behind a printed value.
        notes: what a reader must know: footnotes, misprints, where we leave the paper.
        facts: printed beside the accuracies, such as hours of search.
        made: the recipes that only this table needs.
    """

    name: str
    number: int
    title: str
    repeats: str
    notes: tuple[str, ...] = ()
    columns: tuple[Column, ...]
    facts: tuple[str, ...] = ()
    rows: tuple[Row, ...]
    made: tuple[Recipe, ...] = ()

    @property
    def trained(self) -> bool:
        """Whether its values are cells that were trained, and no look-ups."""
        return any(column.channels for column in self.columns)

    @property
    def shared(self) -> bool:
        """Whether all rows read the same runs, each in its own way."""
        return all(column.recipe for column in self.columns)

    @property
    def recipes(self) -> tuple[str, ...]:
        """Return the names of all recipes behind it, each once, in order of rows."""
        found = [name for r in self.rows for c in self.columns for name in r.of(c)]
        others = [r.reading.at_cost_of for r in self.rows if r.reading.at_cost_of]
        return tuple(dict.fromkeys([*found, *others]))


class Paper(_Part):
    """One paper and its tables."""

    name: str
    short: str
    title: str
    authors: str
    source: str
    order: int
    tables: tuple[Table, ...]


class Printed(_Part):
    """A printed value: ``mean`` and ``deviation`` are None where nothing is printed."""

    text: str = ""
    mean: float | None = None
    deviation: float | None = None


def read_printed(text: str, part: int | None = None) -> Printed:
    """Read ``39.77 ± 0.00``, or one of the parts of ``54.30 / 90.25``; what is no
    number (a dash) has no mean."""
    shown = text if part is None else text.split("/")[part].strip()
    found = PRINTED.match(shown)
    if found is None:
        return Printed(text=shown)
    mean, deviation = found.groups()
    return Printed(
        text=shown, mean=float(mean), deviation=float(deviation) if deviation else None
    )


@cache
def all_papers() -> tuple[Paper, ...]:
    """Return every paper with its tables."""
    found = [_paper(path) for path in (FOLDER / "tables").glob("*.yaml")]
    return tuple(sorted(found, key=lambda paper: paper.order))


def all_tables() -> tuple[tuple[Paper, Table], ...]:
    return tuple((paper, table) for paper in all_papers() for table in paper.tables)


def table_named(name: str) -> tuple[Paper, Table] | None:
    return next((found for found in all_tables() if found[1].name == name), None)


@cache
def _known() -> dict[str, Recipe]:
    made = [recipe for _, table in all_tables() for recipe in table.made]
    return {recipe.name: recipe for recipe in (*made, *all_recipes())}


def find_recipe(name: str) -> Recipe | None:
    """Return a preset, or a recipe that only a table needs."""
    return _known().get(name)


def printed(row: Row, column: Column) -> Printed:
    """Return what the paper prints in a cell."""
    if column.aside:
        return Printed()
    if column.title in row.printed:
        return read_printed(row.printed[column.title])
    text = row.printed.get(column.key) or _referenced(row, column)
    return read_printed(text, column.part) if text else Printed()


def _referenced(row: Row, column: Column) -> str:
    if row.control:
        return ""
    key = f"{row.prefix}, {column.key}" if row.prefix else column.key
    for name in row.of(column):
        recipe = find_recipe(name)
        if recipe and key in recipe.reference:
            return recipe.reference[key]
    return ""


def fact(row: Row, name: str) -> str:
    """Return what the paper prints beside the accuracies of a row; empty if nothing."""
    if name in row.printed or row.control:
        return row.printed.get(name, "")
    for each in (*row.recipes, *row.by_dataset.values()):
        recipe = find_recipe(each)
        if recipe and name in recipe.reference:
            return recipe.reference[name]
    return ""


def _paper(path: Path) -> Paper:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    fragments = {str(name): each for name, each in data.pop("fragments", {}).items()}
    data["tables"] = [_table(path.stem, table, fragments) for table in data["tables"]]
    return Paper(name=path.stem, **data)


def _table(paper: str, data: dict[str, Any], fragments: dict[str, Any]) -> Table:
    """Return a table with the recipes that its rows describe by fragments of specs."""
    name = f"{paper}-{data['number']}"
    base = data.pop("recipe", {})
    columns = tuple(Column(**column) for column in data.pop("columns"))
    made: list[Recipe] = []
    rows = [
        _row(name, dict(row), base, fragments, columns, made)
        for row in data.pop("rows")
    ]
    return Table(name=name, columns=columns, rows=tuple(rows), made=tuple(made), **data)


def _row(
    table: str,
    data: dict[str, Any],
    base: dict[str, Any],
    fragments: dict[str, Any],
    columns: tuple[Column, ...],
    made: list[Recipe],
) -> Row:
    """Return a row; the recipes it needs and nobody else has join ``made``.

    ``take`` names fragments that make one recipe, ``pool`` fragments that make one
    each, ``known`` the presets that stand for some of these.
    """
    taken = [str(each) for each in data.pop("take", [])]
    pool = [str(each) for each in data.pop("pool", [])]
    known = data.pop("known", {})
    parts = [fragments[each] for each in taken]
    words = [each["label"] for each in parts if "label" in each]
    data.setdefault("label", ", ".join(words))
    for each in parts:
        if "group" in each:
            data.setdefault("group", each["group"])
    if isinstance(data.get("printed"), list):
        titles = [column.title for column in columns if not column.aside]
        data["printed"] = dict(zip(titles, data["printed"], strict=True))
    if "recipe" in data:
        data["recipes"] = (data.pop("recipe"),)
    if taken:
        recipes = []
        for each in pool or [""]:
            if each in known:
                recipes.append(known[each])
                continue
            whole, label = taken, data["label"]
            if each:
                whole, label = [*taken, each], f"{label}, {each}"
            recipes.append(_made(table, whole, base, fragments, label, made))
        data["recipes"], data["pool"] = tuple(recipes), tuple(pool)
    return Row(**data)


def _made(
    table: str,
    taken: list[str],
    base: dict[str, Any],
    fragments: dict[str, Any],
    label: str,
    made: list[Recipe],
) -> str:
    """Make the recipe of a row, unless another row has made it; return its name."""
    slug = "-".join(re.sub(r"[^a-z0-9]+", "-", t.lower()).strip("-") for t in taken)
    name = f"{table}-{slug}"
    if any(recipe.name == name for recipe in made):
        return name
    spec = base["spec"]
    scales = dict(base.get("scales", {}))
    for each in taken:
        spec = merged(spec, fragments[each].get("spec", {}))
        scales = merged(scales, fragments[each].get("scales", {}))
    made.append(
        Recipe(
            name=name,
            title=f"{base['title']}, {label}",
            group=base["group"],
            summary=base["summary"],
            seeds=base["seeds"],
            spec=spec,
            scales={scale: Adjustment(**each) for scale, each in scales.items()},
        )
    )
    return name
