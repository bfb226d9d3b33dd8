"""The NVIDIA GPUs of this machine, asked of their driver (NVML).

Nothing here raises: without a driver there are no GPUs, and what a device does not
tell is None.  GPUs are counted in the order of ``nvidia-smi`` and named by UUID, so
that a number which means another GPU to somebody else does no harm.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pynvml

MIB = 2**20
_FAULTS = (pynvml.NVMLError, OSError)
_lock = threading.Lock()
_ready = False


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one.

    Attributes:
        uuid: as ``CUDA_VISIBLE_DEVICES`` takes it.
        number: of its physical GPU, from 0.
        board: UUID of its physical GPU; its own if it is one.
    """

    uuid: str
    name: str
    memory_mib: int
    number: int
    board: str


@dataclass(frozen=True)
class Load:
    """What a device does now: per cent, MiB, degrees Celsius, watts; None: untold."""

    utilisation: float | None = None
    memory_used_mib: int | None = None
    temperature: float | None = None
    power: float | None = None


def usable() -> list[Gpu]:
    """Return the GPUs that this process may use (``CUDA_VISIBLE_DEVICES``)."""
    return visible(installed(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(gpus: list[Gpu], named: str | None) -> list[Gpu]:
    """Return those of ``gpus`` that a value of CUDA_VISIBLE_DEVICES names, in its
    order: numbers, or UUIDs that may be cut short.

    As for CUDA, None names all, and the first name that means nothing ends the list.
    The name of a GPU that is split into MIG instances means all of them.
    """
    if named is None:
        return gpus
    chosen: list[Gpu] = []
    for name in map(str.strip, named.split(",")):
        meant = [gpu for gpu in gpus if _is_meant(gpu, name)]
        if not meant:
            break
        chosen += [gpu for gpu in meant if gpu not in chosen]
    return chosen


def _is_meant(gpu: Gpu, name: str) -> bool:
    if name.isdecimal():
        return gpu.number == int(name)
    if not name.startswith(("GPU-", "MIG-")):
        return False
    return gpu.uuid.startswith(name) or gpu.board.startswith(name)


def installed() -> list[Gpu]:
    """Return all GPUs of this machine; MIG instances stand for a GPU that has them."""
    if not _begin():
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
    except _FAULTS:
        _forget()
        return []
    return [gpu for number in range(count) for gpu in _of_board(number)]


def loads(uuids: Iterable[str]) -> dict[str, Load]:
    """Return the load of these GPUs; one that does not answer is left out."""
    wanted = list(uuids)
    if not wanted or not _begin():
        return {}
    found = {}
    for uuid in wanted:
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except _FAULTS:
            _forget()  # the driver may have been loaded anew
            if not _begin():
                break
            continue
        found[uuid] = _load(handle)
    return found


def driver_version() -> str:
    """Return the version of the NVIDIA driver; empty without one."""
    return str(_ask(pynvml.nvmlSystemGetDriverVersion) or "") if _begin() else ""


def why_none() -> str:
    """Return what the driver's library says if it cannot be used; else nothing."""
    if _begin():
        return ""
    try:
        pynvml.nvmlInit()
    except _FAULTS as error:
        return str(error)
    return ""


def _begin() -> bool:
    """Open the driver's library once a process: that may take seconds."""
    global _ready
    with _lock:
        if not _ready:
            with suppress(*_FAULTS):
                pynvml.nvmlInit()
                _ready = True
        return _ready


def _forget() -> None:
    global _ready
    with _lock, suppress(*_FAULTS):
        _ready = False
        pynvml.nvmlShutdown()


def _of_board(number: int) -> Iterator[Gpu]:
    try:
        board = pynvml.nvmlDeviceGetHandleByIndex(number)
        uuid = pynvml.nvmlDeviceGetUUID(board)
        handles = list(_instances(board)) or [board]
        for handle in handles:
            yield Gpu(
                uuid=pynvml.nvmlDeviceGetUUID(handle),
                name=pynvml.nvmlDeviceGetName(handle),
                memory_mib=pynvml.nvmlDeviceGetMemoryInfo(handle).total // MIB,
                number=number,
                board=uuid,
            )
    except _FAULTS:
        return  # a GPU that has fallen off its bus is none


def _instances(board: Any) -> Iterator[Any]:
    mode = _ask(pynvml.nvmlDeviceGetMigMode, board)
    if not mode or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return
    for place in range(_ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, board) or 0):
        handle = _ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, board, place)
        if handle is not None:
            yield handle


def _load(handle: Any) -> Load:
    # An instance shares fan and wires with its board, and is not asked for them.
    board = _ask(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle) or handle
    rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    milliwatts = _ask(pynvml.nvmlDeviceGetPowerUsage, board)
    return Load(
        utilisation=None if rates is None else float(rates.gpu),
        memory_used_mib=None if memory is None else memory.used // MIB,
        temperature=_ask(
            pynvml.nvmlDeviceGetTemperature, board, pynvml.NVML_TEMPERATURE_GPU
        ),
        power=None if milliwatts is None else milliwatts / 1000,
    )


def _ask(question: Callable[..., Any], *about: Any) -> Any:
    """Return the answer; None if this device or driver has none."""
    try:
        return question(*about)
    except _FAULTS:
        return None
