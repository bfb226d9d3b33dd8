"""What a run did to its data: the tab, the galleries, one image."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from nasweb import access
from nasweb.explorer import gallery as galleries
from nasweb.explorer.events import SETS, MissingArraysError
from nasweb.explorer.find import meant
from nasweb.explorer.gallery import Asked, Listed
from nasweb.explorer.images import pictures
from nasweb.explorer.subject import Subject, subject
from nasweb.explorer.tables import event_rows, headline
from nasweb.explorer.why import Verdict, verdict
from nasweb.figures import pruning as figures
from nasweb.figures import samples, scores
from nasweb.pages import sheets
from nasweb.pages.galleries import Addresses, Kind, answer, context, frame
from nasweb.pages.run_overlap import overlap, runs_to_compare
from nasweb.pages.run_tabs import render_plain_tab
from nasweb.runs.status import waiting
from searchjobs.models import Run
from searchjobs.states import HELD


@require_safe
def data(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The events of T or V, what one of them did, and its images."""
    run = access.run_or_404(request, uuid)
    seen = subject(run)
    asked = galleries.asked(request.GET)
    text = request.GET.get("find", "").strip()[:2000]
    found = meant(text, seen.classes, _count(seen)) if text else None
    if found and len(found.ids) == 1:
        return redirect("runs:data-image", uuid=uuid, sample=found.ids[0])
    if found and not found.error:
        wanted = Asked(asked.set, show="all", label=found.label, ids=found.ids)
        address = reverse("runs:data", args=[uuid])
        return redirect(f"{address}?{wanted.query()}#gallery")
    shown = {
        **_events(run, seen, asked),
        **_gallery(run, seen, asked),
        "find": text,
        "find_error": found.error if found else "",
        "others": runs_to_compare(run),
    }
    return render_plain_tab(request, run, "data", shown)


@require_safe
def gallery(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The gallery alone: another page, class or kind, or once images are read."""
    run = access.run_or_404(request, uuid)
    shown = _gallery(run, subject(run), galleries.asked(request.GET))
    return answer(request, {**shown, "run": run})


@require_safe
def sheet(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The images of ``?ids=`` in one picture, kept by the browser for good."""
    run = access.run_or_404(request, uuid)
    return sheets.asked_for(request, partial(pictures, run))


@require_safe
def image(request: HttpRequest, uuid: UUID, sample: int) -> HttpResponse:
    """One image: what each event did with it, and why."""
    run = access.run_or_404(request, uuid)
    seen = subject(run)
    count = _count(seen)
    if count is not None and sample >= count:
        raise Http404(f"The data set has {count:,} images, from id 0 on.")
    label = ""
    if seen.pictures is not None:
        label = seen.name_of(int(seen.pictures.labels[sample]))
    sets, trouble = [], ""
    try:
        sets = [found for name in SETS if (found := _story(seen, name, sample))]
    except MissingArraysError as error:
        trouble = str(error)
    shown = {
        **frame(
            seen,
            galleries.gallery(seen, Listed(np.array([sample])), 1),
            reverse("runs:data-sheet", args=[run.uuid]),
        ),
        "sample": sample,
        "label": label,
        "sets": sets,
        "trouble": trouble,
        "figures": {f"journey-{each['set']}": each["figure"] for each in sets},
        "neighbours": [n for n in (sample - 1, sample + 1) if 0 <= n < (count or 0)],
    }
    return render_plain_tab(request, run, "data", shown, "data/image")


def _count(seen: Subject) -> int | None:
    return len(seen.pictures) if seen.pictures is not None else None


def _events(run: Run, seen: Subject, asked: Asked) -> dict[str, Any]:
    """Return the charts and the table of a set's events."""
    of = seen.told[asked.set]
    event = _event(seen, asked)
    sizes = (run.plan or {}).get("sizes", {})
    points = _points(seen)
    wait = waiting(run) if not points else _nothing(run)
    after = next(
        (row["balance"] for row in of.rows if event and row["epoch"] == event["epoch"]),
        0.0,
    )
    return {
        "asked": asked,
        "sets": [
            {
                "name": name,
                "label": samples.SETS[name][0],
                "href": f"?{Asked(name).query()}",
                "current": name == asked.set,
                "remaining": seen.told[name].remaining,
                "size": sizes.get(name),
                "events": len(seen.told[name].events),
            }
            for name in SETS
        ],
        "event": event,
        "events": [
            {**row, "href": f"?{Asked(asked.set, row['epoch']).query()}#event"}
            for row in event_rows(of, event)
        ],
        "headline": headline(event),
        "nothing": wait,
        "figures": {
            "remaining": samples.remaining(
                points, run.epochs, run.plan or {}, waiting=wait
            ),
        },
        # drawn anew with each event of a run that goes on
        "told_figures": {
            "balance": figures.balance(
                points,
                run.epochs,
                {name: seen.told[name].events for name in SETS},
                waiting=wait,
            ),
            "event-scores": scores.histogram(asked.set, event, waiting=wait),
            "event-classes": figures.event_classes(
                asked.set, seen.classes, event, after, waiting=wait
            ),
        },
    }


def _points(seen: Subject) -> list[dict[str, Any]]:
    """Return what the charts over the epochs need of each."""
    found: dict[int, dict[str, Any]] = {}
    for name in SETS:
        for row in seen.told[name].rows:
            point = found.setdefault(row["epoch"], {"epoch": row["epoch"], "sets": {}})
            point["sets"][name] = row
    return [found[epoch] for epoch in sorted(found)]


def _nothing(run: Run) -> str:
    """Say why a set has no event."""
    if (run.job.spec.get("selection") or {}).get("name", "full") == "full":
        return "This run uses every sample in every epoch: nothing is scored or pruned."
    return "No event yet; the plan on the Live tab shows when the first is due."


def _event(seen: Subject, asked: Asked) -> dict[str, Any] | None:
    of = seen.told[asked.set]
    named = of.event_at(asked.epoch) if asked.epoch is not None else None
    return named or of.last


def _gallery(run: Run, seen: Subject, asked: Asked) -> dict[str, Any]:
    """Return what ``runs/data/_gallery.html`` shows."""
    event = _event(seen, asked)
    kinds = _kinds(seen, asked, event)
    show = asked.show if asked.show in [kind.show for kind in kinds] else kinds[0].show
    listed, trouble = None, ""
    try:
        if show in {"pruned", "added", "kept"} and event is not None:
            listed = galleries.of_event(seen.files.step(event), show)
        else:
            listed = galleries.of_set(seen, asked.set, show)
    except MissingArraysError as error:
        trouble = str(error)
    at = Addresses(
        reverse("runs:data", args=[run.uuid]),
        reverse("runs:data-gallery", args=[run.uuid]),
        reverse("runs:data-sheet", args=[run.uuid]),
    )
    shown = context(seen, replace(asked, show=show), kinds, listed, event, at, trouble)
    if trouble and not seen.reading and run.job.state in HELD:
        shown["again"] = 4  # the file of a new event is on its way
    return shown


def _kinds(seen: Subject, asked: Asked, event: dict[str, Any] | None) -> list[Kind]:
    """Return what the gallery may show."""
    found: list[tuple[str, str, int | None]] = []
    if event is not None and event.get("artefact"):
        when = f"at epoch {event['epoch']}" if event["epoch"] else "before epoch 1"
        if event["removed"]:
            found.append(("pruned", f"Pruned {when}", event["removed"]))
        if event.get("added"):
            found.append(("added", f"Came in {when}", event["added"]))
        kept = event["before"] - event["removed"]
        found.append(("kept", f"Kept {when}", kept))
    over = seen.run.job.state == "succeeded"
    label = "Survive to the end" if over else "In the set now"
    found.append(("in", label, seen.told[asked.set].remaining))
    found.append(("all", f"All that {asked.set} had", None))
    return [Kind(asked.set, *each) for each in found]


def _story(seen: Subject, name: str, sample: int) -> dict[str, Any] | None:
    """Return what happened to an image in a set; None if it was never in it."""
    of = seen.told[name]
    if not any(event.get("added") for event in of.events):
        # a set that only shrinks tells by its first file alone who was never in it
        started = seen.started(name)
        if started is None or not (started == sample).any():
            return None
    whole = seen.replay(name)
    at = whole.place(sample) if whole is not None else None
    if whole is None or at is None:
        return None
    options = seen.run.job.spec.get("selection") or {}
    labels = seen.pictures.labels if seen.pictures is not None else None
    verdicts: list[Verdict] = []
    for event in of.changes:
        said = verdict(
            event,
            seen.files.step(event),
            sample,
            labels,
            seen.classes,
            int(options.get("min_per_class", 0)),
        )
        if said.outcome != "not considered":
            verdicts.append(said)
    score = str((of.changes[-1] if of.changes else {}).get("score") or "VoE")
    return {
        "set": name,
        "label": samples.SETS[name][0],
        "inside": bool(whole.inside[at]),
        "left": int(whole.left[at]),
        "verdicts": verdicts,
        "deciding": _deciding(verdicts, inside=bool(whole.inside[at])),
        "score": score,
        "figure": figures.journey(
            [vars(each) for each in verdicts], of.events, seen.run.epochs, score
        ),
    }


def _deciding(verdicts: list[Verdict], *, inside: bool) -> Verdict | None:
    """Return what took the image away, or, of one that is in, the last word on it."""
    taken = [each for each in verdicts if each.outcome == "removed"]
    return taken[-1] if taken and not inside else verdicts[-1] if verdicts else None


urlpatterns = [
    path("<uuid:uuid>/data/", data, name="data"),
    path("<uuid:uuid>/data/gallery/", gallery, name="data-gallery"),
    path("<uuid:uuid>/data/sheet.png", sheet, name="data-sheet"),
    path("<uuid:uuid>/data/images/<int:sample>/", image, name="data-image"),
    path("<uuid:uuid>/data/overlap/", overlap, name="data-overlap"),
]
