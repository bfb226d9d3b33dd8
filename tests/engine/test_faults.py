"""Which kind a failure is of: the next step of a person differs."""

from __future__ import annotations

import errno

import pytest
import torch

from searchjobs.engine.faults import explain, is_full
from searchjobs.engine.search import SearchError

DEVICE_ERROR = getattr(torch, "AcceleratorError", RuntimeError)

FAULTS = [
    (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "memory"),
    (RuntimeError("CUDA error: out of memory"), "memory"),
    (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        "memory",
    ),
    (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "memory"),
    (MemoryError(), "memory"),
    (RuntimeError("CUDA error: uncorrectable ECC error encountered\nmore"), "device"),
    (RuntimeError("CUDA error: unspecified launch failure"), "device"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device"),
    (RuntimeError("NCCL error: unhandled system error"), "device"),
    (RuntimeError("CUDA error: device-side assert triggered"), "bug"),
    (DEVICE_ERROR("CUDA error: device-side assert triggered"), "bug"),
    (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), "disk"),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "/runs/x"), "disk"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/data"), "data"),
    (SearchError("The loss is no number.", "diverged"), "diverged"),
    (RuntimeError("The size of tensor a must match"), "bug"),
    (ValueError("CUDA error in a message of somebody else"), "bug"),
]


@pytest.mark.parametrize(("error", "kind"), FAULTS, ids=lambda each: str(each)[:40])
def test_a_failure_is_of_its_kind(error, kind):
    sentence, found = explain(error)
    assert found == kind
    assert sentence
    assert "\n" not in sentence


def test_each_fault_of_the_machine_says_what_to_do():
    for error, kind in FAULTS:
        if kind in {"memory", "device", "disk", "data"}:
            sentence, _ = explain(error)
            verbs = ("Lower", "Ask", "free some space", "Check")
            assert any(verb in sentence for verb in verbs), sentence


def test_a_driver_that_fails_is_told_from_a_disk_that_is_full():
    assert is_full(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_full(RuntimeError("No space left on device"))
