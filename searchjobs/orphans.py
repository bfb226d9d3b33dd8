"""No child outlives its parent: the engine's own rule, for every process of ours."""

from __future__ import annotations

from .engine.orphans import die_with_parent

__all__ = ["die_with_parent"]
