"""Adaptive-NAS: DARTS-PT on a tenth of T that GLISTER chooses anew.

A. Prasad et al., "Speeding up NAS with Adaptive Subset Selection", 2022; BDP's Table 4
quotes it.  Its code is not public.  A selection sets no derivation: the recipe
``adaptive-nas`` puts the two together.
"""

from __future__ import annotations

from typing import Literal

from ..contracts import selections
from ..registry import setting
from .glister import Glister, RefreshOptions


class AdaptiveNasOptions(RefreshOptions):
    name: Literal["adaptive-nas"] = "adaptive-nas"
    keep_train: float = setting(
        0.1,
        "Share of T",
        "T holds this share of its samples at all times: a tenth in the paper.",
        unit="share",
        advanced=False,
        gt=0,
        lt=1,
    )


@selections.register
class AdaptiveNas(Glister):
    name = "adaptive-nas"
    label = "Adaptive-NAS"
    summary = (
        "A tenth of T, chosen anew by GLISTER; with the derivation projection it is "
        "the paper's search."
    )
    source = "Prasad et al., Speeding up NAS with Adaptive Subset Selection, 2022."
    Options = AdaptiveNasOptions
