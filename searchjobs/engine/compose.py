"""Put the parts of a search together, by the names in its spec."""

from __future__ import annotations

import torch

from .contracts import (
    Method,
    Search,
    SetName,
    fresh_supernet,
    methods,
    selections,
    spaces,
)
from .data.dataset import ResidentImages
from .data.source import DataError, sources
from .data.split import split
from .parallel import join, local_device, require_devices
from .plan import data_problems
from .problems import Problem, SpecError
from .sections import Compute
from .seeding import Streams
from .spec import SearchSpec


def compose(spec: SearchSpec) -> Search:
    """Build a search that stands before its first epoch.

    Raises ``SpecError`` if data set, device or the other processes are not there.
    """
    method = methods.get(spec.method.name)
    assert issubclass(method, Method), "a search on a table: see table_search"
    device = device_of(spec.compute)
    if spec.compute.threads:
        torch.set_num_threads(spec.compute.threads)
    problems = data_problems(spec)
    if problems:
        raise SpecError(problems)
    try:
        images = sources.get(spec.dataset.name).load(spec.dataset)
    except DataError as error:
        raise SpecError([error.problem]) from None
    parallel = join(spec.compute)
    streams = Streams(spec.seed, device)
    space = spaces.get(spec.space.name)(spec.space)
    classes = len(images.classes)
    partial = method.partial_channels(spec.method)
    supernet = fresh_supernet(space, classes, streams, device, spec.compute, partial)
    search = Search(
        spec=spec,
        device=device,
        streams=streams,
        data=ResidentImages(images, device, spec.compute.dtype),
        space=space,
        supernet=supernet,
        classes=classes,
        initial_sets=_sets(spec, images.labels, device),
        parallel=parallel,
    )
    search.method = method(spec.method, search)
    search.selection = selections.get(spec.selection.name)(
        spec.selection, search, dict(search.initial_sets)
    )
    return search


def device_of(compute: Compute) -> torch.device:
    """Return the device that a spec asks for, this process's own if there are
    several, or say that it is not there."""
    wanted = compute.device
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise SpecError(
            [
                Problem(
                    "compute.device",
                    "There is no CUDA GPU here; choose device auto or cpu, or a "
                    "queue whose workers have a GPU.",
                )
            ]
        )
    require_devices(compute)
    return local_device(compute)


def _sets(
    spec: SearchSpec, labels: torch.Tensor, device: torch.device
) -> dict[SetName, torch.Tensor]:
    if methods.get(spec.method.name).streams(spec.method) == "split":
        sets = split(labels, spec.split)
    else:
        everything = torch.arange(len(labels))
        sets = {"T": everything, "V": everything}
    return {name: ids.to(device) for name, ids in sets.items()}
