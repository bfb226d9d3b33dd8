"""What a result depends on beside its spec: versions, device, revision."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .parallel import ALONE, Parallel


def describe(device: torch.device, parallel: Parallel = ALONE) -> dict[str, str]:
    """Return name -> value of everything that a later reader may want to know."""
    found = {
        "nasweb": _version("nasweb"),
        "git revision": revision(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": _version("torchvision"),
        "numpy": _version("numpy"),
        "scikit-learn": _version("scikit-learn"),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device.type,
        "CPU threads": str(torch.get_num_threads()),
        "host": platform.node(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["GPU"] = properties.name
        found["GPU memory"] = f"{properties.total_memory / 2**30:.0f} GiB"
        found["CUDA"] = str(torch.version.cuda)
        found["TF32"] = str(torch.backends.cudnn.allow_tf32)
    if parallel.size > 1:
        by = "NCCL" if device.type == "cuda" else "gloo"
        found["processes"] = f"{parallel.size}, joined by {by}"
    return found


@cache
def revision() -> str:
    """Return the git revision of this code, with a mark if files were changed."""
    if given := os.environ.get("NASWEB_REVISION"):
        return given
    here = Path(__file__).resolve().parent
    try:
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head} (with local changes)" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
    )
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    name = next((line for line in lines if line.startswith("model name")), "")
    return name.partition(":")[2].strip() or platform.machine()


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
