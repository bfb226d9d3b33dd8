"""Made-up runs with events of any kind and size, and their files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from django.core.files.base import ContentFile

from searchjobs.artefacts import storage
from searchjobs.engine.data.source import Images, sources
from searchjobs.engine.events import SamplesPruned
from searchjobs.engine.selection.class_limit import balance, choose, limits, strictness
from searchjobs.engine.selection.window_report import describe
from searchjobs.models import DatasetStatistics, Run


def digits() -> Images:
    source = sources.get("digits")
    return source.load(source.Options())


def on_images(run: Run, images: Images) -> Run:
    """Say that a run uses these images, as its engine would when it starts."""
    run.structure |= {
        "data_fingerprint": images.fingerprint,
        "classes": list(images.classes),
    }
    run.save(update_fields=["structure"])
    return run


def prune(
    run: Run, name: str, labels: np.ndarray, events: int, every: int = 5, seed: int = 1
) -> None:
    """Prune 15 % of a set at each of so many events, with the class limit of BDP."""
    draw = np.random.default_rng(seed)
    ids = np.flatnonzero(np.arange(len(labels)) % 2 == (name == "V"))
    for number in range(1, events + 1):
        epoch = every * number
        scores = draw.gamma(1.5, 0.03, len(ids)).astype(np.float32)
        errors = draw.uniform(0, 1.4, len(ids)).astype(np.float32)
        high = name == "V"
        ranked = torch.from_numpy(scores).argsort(stable=True, descending=high)
        classes = torch.from_numpy(labels[ids].astype(np.int64))
        counts = classes.bincount(minlength=int(labels.max()) + 1)
        n = strictness(balance(counts), events)
        chosen = choose(
            ranked, classes[ranked], int(0.15 * len(ids)), limits(counts, n), "skip"
        ).numpy()
        removed = np.zeros(len(ids), dtype=bool)
        removed[chosen] = True
        event = SamplesPruned(
            epoch=epoch,
            set="V" if high else "T",
            criterion="high" if high else "low",
            before=len(ids),
            requested=int(0.15 * len(ids)),
            removed=len(chosen),
            after=len(ids) - len(chosen),
            balance=balance(counts),
            limit=n,
            class_counts_before=counts.tolist(),
            class_counts_after=(
                counts - classes[chosen].bincount(minlength=len(counts))
            ).tolist(),
            cut=float(scores[chosen[-1]]),
            **describe(scores, errors, removed),
        )
        store(
            run,
            event,
            ids=ids,
            scores=scores,
            mean_error=errors,
            observations=np.full(len(ids), every, dtype=np.int32),
            removed=removed,
        )
        ids = ids[~removed]


def store(run: Run, event: SamplesPruned, **arrays: np.ndarray) -> None:
    """Write the row of an event, and its file."""
    event.artefact = f"prunings/epoch-{event.epoch:04d}-{event.set}.npz"
    DatasetStatistics.objects.update_or_create(
        run=run,
        epoch=event.epoch,
        set=event.set,
        defaults={
            "remaining": event.after,
            "class_counts": event.class_counts_after,
            "balance": 0.9,
            "event": event.model_dump(mode="json", exclude={"type"}),
        },
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    content = buffer.getvalue()
    path = storage().save(f"{run.job.uuid}/1/{event.artefact}", ContentFile(content))
    run.job.artefacts.create(
        name=event.artefact, epoch=event.epoch, fence=1, path=path, size=len(content)
    )


def event(epoch: int, name: Any, before: int, after: int, **more: Any) -> SamplesPruned:
    """Return an event that says no more than it must."""
    given: dict[str, Any] = {
        "criterion": "low",
        "requested": 0,
        "removed": 0,
        "class_counts_before": [before],
        "class_counts_after": [after],
        **more,
    }
    return SamplesPruned(epoch=epoch, set=name, before=before, after=after, **given)
