"""Run a function in several processes that have met, as the launcher starts them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from searchjobs.engine import launcher, parallel
from searchjobs.engine.sections import Compute


def on_ranks(work: Callable[..., Any], *arguments: Any, size: int = 2) -> list[Any]:
    """Return what ``work(parallel, *arguments)`` returns in each process, by rank.

    The processes are forks: nothing is imported anew.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "store"))
        pipes, processes = [], []
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            pipes.append(ours)
            settings = (theirs, store, rank, size, work, arguments)
            processes.append(context.Process(target=_one, args=settings, daemon=True))
        for process in processes:
            process.start()
        told = [pipe.recv() if pipe.poll(100) else "no word" for pipe in pipes]
        for process in processes:
            process.join(10)
            process.kill()
    for rank, (fine, _) in enumerate(told):
        assert fine, f"process {rank} of {size}:\n{told[rank][1]}"
    return [result for _, result in told]


def _one(
    pipe: Connection,
    store: str,
    rank: int,
    size: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            launcher.MEETING_PLACE: store,
            "GLOO_SOCKET_IFNAME": "lo",
        }
    )
    try:
        ours = parallel.join(Compute(device="cpu", devices=size))
        pipe.send((True, work(ours, *arguments)))
        parallel.leave()
    except BaseException:
        pipe.send((False, traceback.format_exc()))
