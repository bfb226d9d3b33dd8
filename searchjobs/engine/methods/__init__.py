"""How alpha and w are updated: one file a method, its paper on top."""

from __future__ import annotations

#: The headings under which forms list the methods, in this order; a method of another
#: package may name one of its own, which comes after them.
FAMILIES = (
    "Gradient of alpha",
    "Gradient of alpha, held against collapse",
    "Fewer operations as it goes",
    "Sampled paths",
    "Trials on the benchmark table",
)
