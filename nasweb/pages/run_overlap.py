"""Two runs on the same images: which samples both kept, and what chance gives."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
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
#: Points of a curve over the epochs; a file of either run is read for each.
MOST_POINTS = 48
#: Whose samples a gallery shows, and what it is called.
WHOSE = {
    "both": "Kept by both",
    "first": "Only by this run",
    "second": "Only by the other",
}


@dataclass(frozen=True)
class Pair:
    """One set of two runs.

    Attributes:
        epochs: at which the two are compared, in order; both are known there.
        states: (epoch, ids) of either, the first one being the set before any event,
            the last one what the run kept.
    """

    name: str
    epochs: list[int]
    states: tuple[list[tuple[int, Ids]], list[tuple[int, Ids]]]

    @property
    def started(self) -> tuple[Ids, Ids]:
        return self.states[0][0][1], self.states[1][0][1]

    @property
    def kept(self) -> tuple[Ids, Ids]:
        return self.states[0][-1][1], self.states[1][-1][1]

    def at(self, epoch: int) -> tuple[Ids, Ids]:
        """Return the sets after one of the epochs."""
        first, second = (
            [ids for when, ids in states if when <= epoch][-1] for states in self.states
        )
        return first, second

    @cached_property
    def whose(self) -> dict[str, Ids]:
        """The samples of each gallery, by the names of WHOSE."""
        first, second = self.kept
        inside = np.zeros((2, 1 + max(map(_highest, self.kept))), dtype=bool)
        inside[0, first] = inside[1, second] = True
        return {
            "both": np.flatnonzero(inside.all(axis=0)),
            "first": np.flatnonzero(inside[0] & ~inside[1]),
            "second": np.flatnonzero(inside[1] & ~inside[0]),
        }


def _highest(ids: Ids) -> int:
    return int(ids.max(initial=-1))


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
        both = (seen.told[name], theirs.told[name])
        when = {0} | {event["epoch"] for of in both for event in of.changes}
        thinned = thin([{"epoch": epoch} for epoch in sorted(when)], MOST_POINTS)
        epochs = [point["epoch"] for point in thinned]
        first, second = (_states(of, name, epochs) for of in (seen, theirs))
        if first and second:
            found.append(Pair(name, epochs, (first, second)))
    return found


def _states(seen: Subject, name: str, epochs: list[int]) -> list[tuple[int, Ids]]:
    """Return the set before any event, and after the last one up to each epoch: of a
    run with many events few files are read."""
    changes = seen.told[name].changes
    if not changes:
        started = seen.started(name)
        return [] if started is None else [(-1, started)]
    when = [event["epoch"] for event in changes]
    places = {bisect_right(when, epoch) - 1 for epoch in epochs}
    started, _ = seen.files.members(changes[0])
    after = [
        (when[at], seen.files.members(changes[at])[1])
        for at in sorted(places)
        if at >= 0
    ]
    return [(-1, started), *after]


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
    most = max((_highest(ids) for pair in pairs for ids in pair.started), default=-1)
    return np.zeros(most + 1, dtype=np.int64), 1


def _curve(pair: Pair, labels: np.ndarray, classes: int) -> list[dict[str, Any]]:
    """Return the overlap of a set after each event of either run."""
    found, started = [], began(pair.started, labels, classes)
    for epoch in pair.epochs:
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
    listed = galleries.narrowed(Listed(pair.whose[who]), asked, seen.pictures)
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
                "count": len(pair.whose[name]),
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
