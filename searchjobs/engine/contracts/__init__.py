"""The contracts of the five parts that a search is composed of.

``search.py`` knows nothing but these.  Shapes: B images in a batch, C channels,
M classes, R rows of an architecture table (edges, layers or nodes), O operations.
Sets are named as in the papers: ``"T"`` trains the weights w, ``"V"`` trains the
architecture parameters alpha.
"""

from __future__ import annotations

from ..batch import Batch, Level, SetName, StepResult
from ..registry import Registry
from .method import PAIRING, DataStreams, Method, PlannedMethod
from .reading import (
    Decision,
    Derivation,
    Derived,
    PlannedCost,
    StoppingOptions,
    StoppingRule,
)
from .reduction import Pool, Reduction, ReductionOptions, Scores, Scoring, Snapshot
from .run import Search, fresh_supernet
from .selection import Selection
from .space import (
    ActiveOperations,
    EdgeTerms,
    Space,
    Supernet,
    Tables,
    allowed_only,
)
from .table import Query, Repeats, TableMethod, TableOptions

__all__ = [
    "PAIRING",
    "ActiveOperations",
    "Batch",
    "DataStreams",
    "Decision",
    "Derivation",
    "Derived",
    "EdgeTerms",
    "Level",
    "Method",
    "PlannedCost",
    "PlannedMethod",
    "Pool",
    "Query",
    "Reduction",
    "ReductionOptions",
    "Repeats",
    "Scores",
    "Scoring",
    "Search",
    "Selection",
    "SetName",
    "Snapshot",
    "Space",
    "StepResult",
    "StoppingOptions",
    "StoppingRule",
    "Supernet",
    "TableMethod",
    "TableOptions",
    "Tables",
    "allowed_only",
    "derivations",
    "fresh_supernet",
    "methods",
    "selections",
    "spaces",
    "stopping_rules",
]

_ENGINE = __package__.rpartition(".")[0]

spaces: Registry[type[Space]] = Registry("spaces", f"{_ENGINE}.spaces")
methods: Registry[type[PlannedMethod]] = Registry("methods", f"{_ENGINE}.methods")
selections: Registry[type[Selection]] = Registry("selections", f"{_ENGINE}.selection")
stopping_rules: Registry[type[StoppingRule]] = Registry(
    "stopping", f"{_ENGINE}.stopping"
)
derivations: Registry[type[Derivation]] = Registry(
    "derivations", f"{_ENGINE}.derivation"
)
