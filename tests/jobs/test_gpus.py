# ruff: noqa: N802, N815  (the names are those of pynvml)
"""What NVML tells becomes slots and loads.

This machine may have no GPU: the arithmetic is tested on stand-ins for the functions
of ``pynvml``, a board with two MIG instances among them.  That a real driver answers
is checked by ``manage.py doctor`` on a machine that has one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from searchjobs import gpus, workers
from searchjobs.gpus import Gpu, Load

H200, A100 = "GPU-11111111-aaaa", "GPU-22222222-bbbb"
SLICES = ("MIG-33333333-cccc", "MIG-44444444-dddd")
NAMES = {
    H200: "NVIDIA H200",
    A100: "NVIDIA A100-SXM4-40GB",
    SLICES[0]: "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
    SLICES[1]: "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
}
GIB = 2**30


class Driver:
    """Two boards, of which the second is split; a handle is the device's UUID."""

    boards = [H200, A100]
    lost: set[str] = set()

    def nvmlInit(self) -> None:
        pass

    nvmlShutdown = nvmlInit

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> str:
        return self.nvmlDeviceGetHandleByUUID(self.boards[number])

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid in self.lost or uuid not in NAMES:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetName(self, handle: str) -> str:
        return NAMES[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        total = 141 if handle == H200 else 20
        return SimpleNamespace(total=total * GIB, used=GIB // 2)

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:
        if handle == H200:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, place: int) -> str:
        if place not in {0, 3}:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return SLICES[place // 3]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        if handle not in SLICES:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return A100

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        if handle in SLICES:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=87, memory=40)

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return {H200: 61, A100: 48}[handle]

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return {H200: 512_400, A100: 203_000}[handle]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(gpus, "_ready", False)
    for name in dir(driver):
        if name.startswith("nvml"):
            monkeypatch.setattr(pynvml, name, getattr(driver, name))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real functions of NVML, on a machine whose driver's library is missing."""

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(gpus, "_ready", False)
    monkeypatch.setattr(pynvml, "nvmlInit", missing)


def test_without_a_driver_there_are_no_gpus_and_a_reason(no_driver: None) -> None:
    assert gpus.usable() == []
    assert gpus.loads([H200]) == {}
    assert gpus.driver_version() == ""
    assert gpus.why_none()


def test_a_split_board_counts_as_its_instances(driver: Driver) -> None:
    assert gpus.usable() == [
        Gpu(H200, NAMES[H200], 141 * 1024, 0, H200),
        Gpu(SLICES[0], NAMES[SLICES[0]], 20 * 1024, 1, A100),
        Gpu(SLICES[1], NAMES[SLICES[1]], 20 * 1024, 1, A100),
    ]
    assert gpus.why_none() == ""


def test_a_board_that_fell_off_its_bus_is_left_out(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Driver, "lost", {H200})
    assert [gpu.uuid for gpu in gpus.usable()] == list(SLICES)
    assert list(gpus.loads([H200, SLICES[0]])) == [SLICES[0]]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, [H200, *SLICES]),
        ("", []),
        ("-1", []),
        ("0", [H200]),
        ("1,0", [*SLICES, H200]),
        ("0,5,1", [H200]),  # as for CUDA, the first that means nothing ends the list
        (" GPU-1111 , MIG-4444", [H200, SLICES[1]]),
        ("GPU-2222", list(SLICES)),
        ("0,0", [H200]),
        ("all", []),
    ],
)
def test_cuda_visible_devices_says_which_gpus_in_which_order(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, named: str | None, expected: Any
) -> None:
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [gpu.uuid for gpu in gpus.usable()] == expected


def test_loads_are_in_per_cent_mib_degrees_and_watts(driver: Driver) -> None:
    assert gpus.loads([H200, SLICES[0]]) == {
        H200: Load(87.0, 512, 61, 512.4),
        # An instance has no utilisation of its own; it is as warm as its board.
        SLICES[0]: Load(None, 512, 48, 203.0),
    }


def test_gpus_come_first_among_the_slots_and_share_the_cores(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers.machine, "cores", lambda: 16)
    offered = workers.slots_offered(1)
    assert [each["gpu_uuid"] for each in offered] == [H200, *SLICES, ""]
    assert [each["device"] for each in offered] == ["cuda", "cuda", "cuda", "cpu"]
    assert {each["threads"] for each in offered} == {4}
    assert offered[3]["device_name"] == "CPU, 16 cores"
    assert offered[3]["memory_mib"] > 100
