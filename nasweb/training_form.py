"""The form that trains an architecture from scratch: its fields, and the spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nasweb import spec_fields, spec_form
from nasweb.datasets.named import name_of
from nasweb.spec_fields import Field, Option
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.seeds import parse_seeds
from searchjobs.engine.training_spec import RECIPES, CellTraining
from searchjobs.models import Dataset, Run, Team

#: Fields of the form that are no settings of ``CellTraining``.
ABOUT = ("images", "channels", "cells", "cutout", "device", "seeds")
START = {
    "images": "search",
    "channels": "16",
    "cells": "5",
    "cutout": "0",
    "device": "auto",
    "seeds": "777, 888, 999",
}
#: Widths of one form, each with all of its seeds.
MOST_WIDTHS = 10
#: Images that every site can name, beside those of the search.
BUILT_IN = {"cifar10": "CIFAR-10, all images", "cifar100": "CIFAR-100, all images"}


@dataclass
class Draft:
    """What stands in the form.

    Attributes:
        run: whose architecture it is.
        architecture: the encoding.
        values: by field, as text.
    """

    run: Run
    architecture: str
    values: dict[str, str]
    problems: list[Problem] = field(default_factory=list)

    @property
    def channels(self) -> list[int]:
        """Return the widths, one group of trainings each."""
        found = _whole_numbers(self.values["channels"], "channels", "Channels")
        if len(found) > MOST_WIDTHS:
            sentence = f"These are {len(found)} widths; give at most {MOST_WIDTHS}."
            raise SpecError([Problem("channels", sentence)])
        return found

    @property
    def seeds(self) -> list[int]:
        return parse_seeds(self.values["seeds"])

    def spec(self, team: Team, channels: int) -> dict[str, Any]:
        """Return the settings of a TrainingSpec of this width."""
        own = self.run.experiment.spec
        settings = {
            name: spec_form.from_text(info, self.values[name])
            for name, info in CellTraining.model_fields.items()
        }
        cells = _whole_numbers(self.values["cells"], "cells", "Cells per stage")
        augmentation: dict[str, Any] = {"cutout": self.values["cutout"] or "0"}
        if self.values["images"] == "search":
            # small images are not cropped as large ones are
            crop = own["augmentation"]
            augmentation |= {name: crop[name] for name in ("crop_padding", "flip")}
        return {
            "space": {
                "name": own["space"]["name"],
                "channels": channels,
                "cells": cells[0],
            },
            "architecture": self.architecture,
            "dataset": _images(self.values["images"], self.run, team),
            "augmentation": augmentation,
            "training": settings,
            "compute": {"device": self.values["device"]},
        }


def read(run: Run, architecture: str, given: Mapping[str, str]) -> Draft:
    """Return the form as a reader sent it; what is missing is default.

    What still stands at the default of the recipe that was shown moves to that of the
    one that is chosen.
    """
    recipe = given.get("recipe", "nas-bench-201")
    values, shown = defaults(recipe), defaults(given.get("shown.recipe", recipe))
    for name in values:
        if name in given and given[name].strip() != shown[name]:
            values[name] = given[name].strip()
    return Draft(run, architecture, values)


def defaults(recipe: str) -> dict[str, str]:
    """Return every field of a form that nobody has touched."""
    known = recipe if recipe in RECIPES else "nas-bench-201"
    settings = CellTraining.model_validate({"recipe": known}).model_dump()
    return {
        **START,
        **{name: spec_form.as_text(value) for name, value in settings.items()},
        "recipe": recipe,
    }


def fields(draft: Draft, team: Team) -> dict[str, tuple[Field, ...]]:
    """Return the fields in the groups of the page, each problem at its field."""
    base = defaults(draft.values["recipe"])
    errors: dict[str, list[str]] = {}
    for problem in draft.problems:
        name = problem.field.rpartition(".")[2]
        errors.setdefault(name, []).append(problem.sentence)

    def about(
        name: str, label: str, help: str, options: Iterable[Option] = ()
    ) -> Field:
        listed = tuple(options)
        return Field(
            name,
            label,
            "select" if listed else "text",
            draft.values[name],
            help=help,
            options=listed,
            errors=tuple(errors.get(name, ())),
        )

    settings = {
        name: spec_fields.plain_field(
            name, info, draft.values[name], base[name], tuple(errors.get(name, ()))
        )
        for name, info in CellTraining.model_fields.items()
    }
    devices = [
        Option("auto", "automatic"),
        Option("cpu", "CPU"),
        Option("cuda", "GPU (CUDA)"),
    ]
    return {
        "what": (
            about("images", "Images", "What it is trained on.", _choices(draft, team)),
            about(
                "channels",
                "Channels C",
                "Widths of the first stage, with commas between them (Less is More: "
                "16, 32, 64).",
            ),
            about("cells", "Cells per stage N", "Three stages of N cells."),
            about("seeds", "Seeds", "One training each, for every width."),
        ),
        "how": (
            settings.pop("recipe"),
            settings.pop("epochs"),
            settings.pop("batch_size"),
            settings.pop("learning_rate"),
            about("device", "Device", "automatic: a GPU if a worker has one.", devices),
        ),
        "more": (
            *settings.values(),
            about("cutout", "Cutout", "Side of a square set to zero; 0: none."),
        ),
    }


def _choices(draft: Draft, team: Team) -> list[Option]:
    own = name_of(team, draft.run.experiment.spec["dataset"]).label
    named = Dataset.objects.filter(team=team).values_list("uuid", "name")
    return [
        Option("search", f"those of the search ({own})"),
        *(Option(name, label) for name, label in BUILT_IN.items()),
        *(Option(f"dataset:{uuid}", name) for uuid, name in named),
    ]


def _images(chosen: str, run: Run, team: Team) -> dict[str, Any]:
    """Return the section ``dataset``.  Raises SpecError."""
    own: dict[str, Any] = run.experiment.spec["dataset"]
    if chosen == "search":
        return own
    if chosen in BUILT_IN:
        # from the folder of the search, if it is on the same images
        path = own.get("path", "") if own["name"] == chosen else ""
        return {"name": chosen, "path": path}
    named = Dataset.objects.filter(team=team)
    for uuid, source in named.values_list("uuid", "source"):
        if chosen == f"dataset:{uuid}":
            return dict(source)
    raise SpecError([Problem("images", "These images are gone; choose others.")])


def _whole_numbers(text: str, name: str, label: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    # nine digits: more is no number of channels, and Python refuses very long ones
    if not parts or not all(
        part.isdecimal() and len(part) < 10 and int(part) > 0 for part in parts
    ):
        raise SpecError(
            [
                Problem(
                    name,
                    f"{label} must be whole numbers above 0, with commas between "
                    f"them; you gave {text!r}.",
                )
            ]
        )
    return list(dict.fromkeys(map(int, parts)))
