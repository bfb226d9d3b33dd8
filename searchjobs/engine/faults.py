"""What ended an engine: the kind of the fault, and a sentence that says what to do.

The kinds are those of ``events.Failed``.  A fault of the machine must not be taken for
one of the search: the next step differs.
"""

from __future__ import annotations

import errno

from .events import FaultKind

#: Exit codes of ``python -m searchjobs.engine run``.
OK, FAULT, WRONG_INPUT, NO_SPACE = 0, 1, 2, 3
#: No space, over the quota, over the largest size of a file.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "STATUS_ALLOC_FAILED",
)
#: An index out of its range in a kernel: the code is at fault, not the GPU.
_ASSERT = "device-side assert"
_DEVICE = ("CUDA error", "CUDA driver error", "CUDNN_STATUS", "CUBLAS_STATUS", "NCCL")


def is_full(error: BaseException) -> bool:
    """Say whether a file could not be written because the disk has no room for it."""
    return isinstance(error, OSError) and error.errno in FULL


def full_sentence(where: str) -> str:
    """Return what people read when a disk is full."""
    return (
        f"The disk of {where} is full, or over its quota. Nothing of the run is lost: "
        "free some space there, then resume it."
    )


def explain(error: Exception) -> tuple[str, FaultKind]:
    """Return a sentence and the kind of a failure that is not the spec's."""
    import torch

    from .problems import SearchError

    if isinstance(error, SearchError):
        return str(error), error.kind
    said = str(error)
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or _is_torch(
        error, _MEMORY
    ):
        return (
            "The search ran out of memory. Lower the batch size, the channels or the "
            "eigenvalue samples, or choose a larger GPU.",
            "memory",
        )
    if _ASSERT in said:
        return (
            "A kernel on the GPU was given an index out of its range, such as a label "
            "that is no class. Check the labels of the data set; if they are right, "
            "report this with the log.",
            "bug",
        )
    if isinstance(error, _device_errors()) or _is_torch(error, _DEVICE):
        first = said.strip().partition("\n")[0]
        return (
            f"The GPU or its driver had a fault ({first}). Ask an administrator to "
            "look at this GPU, then queue the run again: it goes on from its last "
            "checkpoint.",
            "device",
        )
    if isinstance(error, OSError):
        where = str(error.filename or "the run's folder")
        if is_full(error):
            return full_sentence(where), "disk"
        return (
            f"A file could not be written or read at {where}: {error.strerror}. Check "
            "that it is there and the rights of its folder, then resume.",
            "data",
        )
    return f"The engine failed with {type(error).__name__}: {error}", "bug"


def _is_torch(error: Exception, words: tuple[str, ...]) -> bool:
    """Say whether PyTorch raised this for one of these reasons."""
    said = str(error)
    return isinstance(error, RuntimeError) and any(word in said for word in words)


def _device_errors() -> tuple[type[Exception], ...]:
    """Return the classes that mean a device or the link between devices."""
    import torch
    import torch.distributed

    names = ((torch, "AcceleratorError"), (torch.distributed, "DistBackendError"))
    return tuple(
        getattr(module, name) for module, name in names if hasattr(module, name)
    )
