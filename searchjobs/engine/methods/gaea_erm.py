"""GAEA-ERM: the exponentiated gradient of GAEA, both levels on all training images.

L. Li, M. Khodak, M.-F. Balcan, A. Talwalkar, Geometry-Aware Gradient Algorithms for
Neural Architecture Search, ICLR 2021; section 2 (single-level objective: empirical
risk minimisation), Algorithm 1.

Weights and alpha descend the same risk: each takes its own batches of all training
images, shuffled independently of the other's.  Nothing is held out, so an epoch makes
twice the steps of the bilevel search.
"""

from __future__ import annotations

from typing import Any, Literal

from ..contracts import DataStreams, methods
from .gaea import Gaea, SimplexOptions


class GaeaErmOptions(SimplexOptions):
    name: Literal["gaea-erm"] = "gaea-erm"


@methods.register
class GaeaErm(Gaea):
    name = "gaea-erm"
    label = "GAEA-ERM, single level"
    summary = "GAEA whose weights and alpha both learn from all training images."
    source = "Li et al., Geometry-Aware Gradient Algorithms for NAS, ICLR 2021, Alg. 1."
    family = "Gradient of alpha"
    Options = GaeaErmOptions

    @classmethod
    def streams(cls, options: Any) -> DataStreams:
        return "whole"
