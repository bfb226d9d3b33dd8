"""A subset that was chosen before, once for many searches (see ``subset.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from .. import places
from ..contracts import Selection, SetName, methods, selections
from ..events import Event
from ..problems import Problem, SearchError
from ..registry import Options as AnyOptions
from ..registry import setting
from .reducing import artefact_name

if TYPE_CHECKING:
    from ..spec import SearchSpec
    from ..subset import SubsetFile


#: Settings of data sets that leave the images as they are.
SAME_IMAGES = {"path", "download", "workers", "normalise", "mean", "std"}


class SubsetOptions(AnyOptions):
    name: Literal["subset"] = "subset"
    subset: str = setting(
        "",
        "Subset",
        "Which one: its id on this site, or the path of a subset.npz that "
        "`python -m searchjobs.engine proxy` has written.",
        advanced=False,
        names="subsets",
    )


@selections.register
class StoredSubset(Selection):
    """T and V as a subset holds them; it must be of the same images and split."""

    name = "subset"
    label = "Subset chosen before"
    summary = "Samples that a job has chosen once, the same for every seed and method."
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.1."
    family = "Proxies"
    Options = SubsetOptions
    options: SubsetOptions

    def prepare(self) -> Iterator[Event]:
        found = _read(self.options)
        if found.data_fingerprint != self.search.data.fingerprint:
            raise SearchError(
                "This subset was chosen from other images than those of the data set "
                "now. Make the subset anew, or put the former images back.",
                "data",
            )
        for name, arrays in found.arrays.items():
            before = self.sets[name]
            if not np.array_equal(arrays["ids"], before.cpu().numpy()):
                raise SearchError(
                    f"The file of this subset has other samples of {name} than the "
                    "split of this search gives; make the subset anew.",
                    "data",
                )
            self.sets[name] = before[torch.from_numpy(arrays["kept"]).to(before.device)]
            # a name of ours: that of the file might lead out of the run's folder
            artefact = artefact_name(name)
            event = found.events[name].model_copy(update={"artefact": artefact})
            columns = {key: value for key, value in arrays.items() if key != "kept"}
            self.artefacts[event.artefact] = {**columns, "removed": ~arrays["kept"]}
            yield event

    @classmethod
    def remaining(
        cls, options: AnyOptions, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> dict[SetName, list[int]]:
        assert isinstance(options, SubsetOptions)
        events = _read(options).events
        left = {n: events[n].after if n in events else sizes[n] for n in sizes}
        return {n: [size] * (spec.training.epochs + 1) for n, size in left.items()}

    @classmethod
    def control(cls, options: AnyOptions) -> AnyOptions | None:
        """Return that of the reduction that has made the subset; None if nobody can
        read what it was."""
        assert isinstance(options, SubsetOptions)
        try:
            own = _read(options).spec.selection
        except (OSError, ValueError):
            return None
        return selections.get(own.name).control(own)

    @classmethod
    def problems(
        cls, options: AnyOptions, spec: SearchSpec, sizes: dict[SetName, int]
    ) -> list[Problem]:
        assert isinstance(options, SubsetOptions)
        if not options.subset.strip():
            return [_problem("Say which subset: give its id, or the path of its file.")]
        try:
            found = _read(options)
        except (OSError, ValueError) as error:
            return [
                _problem(
                    f"There is no subset {options.subset!r} that can be read here "
                    f"({_reason(error)}); choose another one, or make it anew."
                )
            ]
        return [_problem(sentence) for sentence in _misfits(found, spec)]


def _problem(sentence: str) -> Problem:
    return Problem("selection.subset", sentence)


def _reason(error: Exception) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else str(error)


def _misfits(found: SubsetFile, spec: SearchSpec) -> list[str]:
    """Say where the subset was chosen from something else than this search has."""
    whole = methods.get(spec.method.name).streams(spec.method) != "split"
    own = found.spec
    sentences = []
    if _images(own) != _images(spec):
        sentences.append(
            f"This subset was chosen from {_told(own)}, and the search is on "
            f"{_told(spec)}; choose a subset of the same images, or make one."
        )
    if own.whole != whole:
        sentences.append(
            "This subset was chosen from all images and the method splits them into T "
            "and V; make one with a split."
            if own.whole
            else "This subset was chosen from a split and the method learns from all "
            "images; make one without a split."
        )
    elif not whole and own.split != spec.split:
        sentences.append(
            "This subset was chosen from another split into T and V; give the search "
            "the split of the subset, or make a subset of this one."
        )
    return sentences


def _images(spec: Any) -> dict[str, Any]:
    """Return what decides which images there are; where they lie, how they are read
    and by what they are normalised does not."""
    content: dict[str, Any] = spec.dataset.model_dump(mode="json")
    return {k: v for k, v in content.items() if k not in SAME_IMAGES}


def _told(spec: Any) -> str:
    options = _images(spec)
    more = [
        f"{key} {value}" for key, value in options.items() if value and key != "name"
    ]
    return f"{options['name']} ({', '.join(more)})" if more else str(options["name"])


def _read(options: SubsetOptions) -> SubsetFile:
    from ..subset import read_subset  # it knows the specs, which know this file

    wanted = options.subset.strip()
    identity = places.subset_id(wanted)
    if identity is not None:
        for provide in places.subset_providers:
            provide(identity)
    return read_subset(places.subset_path(wanted))
