"""Two runs on the same images: which samples both kept, and what chance gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from nasweb import access
from nasweb.explorer import gallery as galleries
from nasweb.explorer.events import SETS, MissingArraysError
from nasweb.explorer.gallery import Asked, Listed
from nasweb.explorer.overlap import began
from nasweb.explorer.overlap import overlap as compared
from nasweb.explorer.sets import Ids
from nasweb.explorer.sheet import address as sheet_address
from nasweb.explorer.subject import Subject, subject
from nasweb.explorer.tables import common_row, common_rows
from nasweb.figures import pruning as figures
from nasweb.figures.samples import SETS as LABELS
from nasweb.figures.theme import thin
from nasweb.pages.run_tabs import render_plain_tab
from searchjobs.models import Run

#: Runs that are offered for a comparison, the newest.
MOST_OFFERED = 60
#: Points of a curve over the epochs.
MOST_POINTS = 200
#: Whose samples a gallery shows, and what it is called.
WHOSE = {
    "both": "Kept by both",
    "first": "Only by this run",
    "second": "Only by the other",
}


@dataclass(frozen=True)
class Pair:
    """One set of two runs: ``states`` are (epoch, ids) of either, the first one being
    the set before any event."""

    name: str
    states: tuple[list[tuple[int, Ids]], list[tuple[int, Ids]]]

    @property
    def started(self) -> tuple[Ids, Ids]:
        return self.states[0][0][1], self.states[1][0][1]

    @property
    def kept(self) -> tuple[Ids, Ids]:
        return self.states[0][-1][1], self.states[1][-1][1]

    def at(self, epoch: int) -> tuple[Ids, Ids]:
        """Return the sets after an epoch."""
        first, second = (
            [ids for when, ids in states if when <= epoch][-1] for states in self.states
        )
        return first, second

    def whose(self, which: str) -> Ids:
        """Return the samples of a gallery, one of WHOSE."""
        first, second = self.kept
        if which == "both":
            return np.intersect1d(first, second, assume_unique=True)
        if which == "second":
            first, second = second, first
        return np.setdiff1d(first, second, assume_unique=True)


@require_safe
def overlap(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The samples that this run and that of ``?with=`` kept."""
    run = access.run_or_404(request, uuid)
    try:
        other = access.run_or_404(request, UUID(request.GET.get("with", "")))
    except ValueError:
        raise Http404("Choose the other run by its address in ?with=.") from None
    seen, theirs = subject(run), subject(other)
    context: dict[str, Any] = {
        "other": other,
        "others": runs_to_compare(run),
        "trouble": _trouble(seen, theirs),
        "images_trouble": seen.trouble,
        "images_reading": seen.reading,
    }
    if not context["trouble"]:
        try:
            pairs = _pairs(seen, theirs)
        except MissingArraysError as error:
            context["trouble"] = str(error)
        else:
            context |= _comparison(seen, pairs, run, other)
            context |= _gallery(request, seen, pairs, run, other)
    return render_plain_tab(request, run, "data", context, "data/overlap")


def runs_to_compare(run: Run) -> list[Run]:
    """Return the team's newest runs on the same images: one query."""
    fingerprint = (run.structure or {}).get("data_fingerprint")
    if not fingerprint:
        return []
    return list(
        Run.objects.filter(
            experiment__team=run.experiment.team_id,
            structure__data_fingerprint=fingerprint,
        )
        .exclude(pk=run.pk)
        .select_related("experiment")
        .order_by("-created", "seed")[:MOST_OFFERED]
    )


def _trouble(seen: Subject, theirs: Subject) -> str:
    """Say why two runs cannot be compared; empty if they can."""
    if not seen.fingerprint or not theirs.fingerprint:
        return "One of the two runs has not started, so it has no samples yet."
    if seen.fingerprint != theirs.fingerprint:
        return (
            "The two runs use different images, so an id does not mean the same image "
            "in both; choose a run on the same data set with the same options."
        )
    return ""


def _pairs(seen: Subject, theirs: Subject) -> list[Pair]:
    """Return the sets that both runs tell of.  Raises MissingArraysError."""
    found = []
    for name in SETS:
        first, second = _states(seen, name), _states(theirs, name)
        if first and second:
            found.append(Pair(name, (first, second)))
    return found


def _states(seen: Subject, name: str) -> list[tuple[int, Ids]]:
    started = seen.started(name)
    if started is None:
        return []
    steps = seen.files.steps(seen.told[name])
    return [(-1, started), *((step.epoch, step.ids[step.after]) for step in steps)]


def _comparison(
    seen: Subject, pairs: list[Pair], run: Run, other: Run
) -> dict[str, Any]:
    """Return tables and charts of the overlap."""
    labels, classes = _labels(seen, pairs)
    names = [seen.name_of(label) for label in range(classes)]
    ends = {
        pair.name: compared(
            pair.kept, began(pair.started, labels, classes), labels, classes
        )
        for pair in pairs
    }
    figures_ = {
        "agreement": figures.agreement(
            {pair.name: _curve(pair, labels, classes) for pair in pairs},
            max(run.epochs, other.epochs),
        )
    }
    if classes > 1:
        for name, found in ends.items():
            common = [each.common for each in found.classes]
            expected = [each.expected for each in found.classes]
            figures_[f"agreement-{name}"] = figures.agreement_by_class(
                names, common, expected
            )
    return {
        "totals": [
            common_row(LABELS[name][0], found.total) | {"set": name}
            for name, found in ends.items()
        ],
        "by_class": [
            {"set": name, "label": LABELS[name][0], "rows": common_rows(found, names)}
            for name, found in ends.items()
            if classes > 1
        ],
        "figures": figures_,
        "knows_classes": classes > 1,
    }


def _labels(seen: Subject, pairs: list[Pair]) -> tuple[np.ndarray, int]:
    """Return the class of every image, and M; one class where nobody knows them."""
    if seen.pictures is not None:
        return seen.pictures.labels, max(len(seen.classes), 1)
    most = max(
        (int(ids.max(initial=-1)) for pair in pairs for ids in pair.started), default=-1
    )
    return np.zeros(most + 1, dtype=np.int64), 1


def _curve(pair: Pair, labels: np.ndarray, classes: int) -> list[dict[str, Any]]:
    """Return the overlap of a set after each event of either run."""
    epochs = sorted({max(epoch, 0) for states in pair.states for epoch, _ in states})
    if len(epochs) > MOST_POINTS:
        epochs = [point["epoch"] for point in thin([{"epoch": e} for e in epochs], 200)]
    found, started = [], began(pair.started, labels, classes)
    for epoch in epochs:
        total = compared(pair.at(epoch), started, labels, classes).total
        found.append(
            {
                "epoch": epoch,
                "jaccard": total.jaccard,
                "expected": total.jaccard_expected,
            }
        )
    return found


def _gallery(
    request: HttpRequest, seen: Subject, pairs: list[Pair], run: Run, other: Run
) -> dict[str, Any]:
    """Return the images that both kept, or one of them alone."""
    asked = galleries.asked(request.GET)
    who = request.GET.get("who", "both")
    who = who if who in WHOSE else "both"
    pair = next((each for each in pairs if each.name == asked.set), None)
    if pair is None:
        return {}
    listed = galleries.narrowed(Listed(pair.whose(who)), asked, seen.pictures)
    page = galleries.gallery(seen, listed, asked.page)

    def link(who: str, **changes: Any) -> str:
        changed = Asked(asked.set, label=asked.label).query(**changes)
        return f"?with={other.uuid}&who={who}&{changed}#gallery"

    return {
        "gallery": page,
        "sheet": sheet_address(
            reverse("runs:data-sheet", args=[run.uuid]), seen.fingerprint, page.ids
        ),
        "asked": asked,
        "who": who,
        "kinds": [
            {
                "label": label,
                "count": len(pair.whose(name)),
                "href": link(name),
                "current": name == who,
            }
            for name, label in WHOSE.items()
        ],
        "set_links": [
            {
                "label": LABELS[each.name][0],
                "href": link(who, set=each.name),
                "current": each.name == asked.set,
            }
            for each in pairs
        ],
        "class_choices": [] if seen.pictures is None else list(enumerate(seen.classes)),
        "before": link(who, page=page.page - 1),
        "after": link(who, page=page.page + 1),
    }
