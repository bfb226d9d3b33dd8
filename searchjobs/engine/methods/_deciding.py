"""What methods share that fix the operation of an edge in mid-search.

A decided row keeps one operation and its alpha; the supernet runs nothing else there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..contracts import Search
from ..events import MethodReport
from ..registry import Options
from ._alternating import Alternating


class Deciding(Alternating):
    """Alternating steps over rows that are decided one after the other.

    Attributes:
        decided: per table (R,) bool, on the device: the rows whose alpha is held.
    """

    def __init__(self, options: Options, search: Search) -> None:
        super().__init__(options, search)
        self.decided = {
            name: torch.zeros(len(rows), dtype=torch.bool, device=search.device)
            for name, rows in search.space.tables.items()
        }

    def decide(self, table: str, row: int, operation: int) -> None:
        """Leave a row one operation, for good, and hold its alpha."""
        allowed = self.search.space.mask(table).clone()
        allowed[row] = False
        allowed[row, operation] = True
        self.search.space.restrict(table, allowed)
        self.decided[table][row] = True

    def update_alpha(self, gradients: Sequence[Tensor | None]) -> None:
        """Step alpha, except in decided rows: there Adam's momentum and decay would
        move it even without a gradient."""
        before = [table.detach().clone() for table in self.tables.values()]
        super().update_alpha(gradients)
        with torch.no_grad():
            for (name, table), held in zip(self.tables.items(), before, strict=True):
                table.copy_(torch.where(self.decided[name][:, None], held, table))

    def report(self) -> MethodReport:
        space, choices = self.search.space, dict[str, list[str | None]]()
        for name, rows in self.decided.items():
            columns = space.columns(name)
            kept = space.mask(name).int().argmax(-1).tolist()
            choices[name] = [
                columns[operation] if fixed else None
                for operation, fixed in zip(kept, rows.tolist(), strict=True)
            ]
        return MethodReport(
            allowed={name: space.mask(name).tolist() for name in self.tables},
            decided=choices,
        )

    def state_dict(self) -> dict[str, Any]:
        space = self.search.space
        return super().state_dict() | {
            "decided": {name: rows.cpu() for name, rows in self.decided.items()},
            "allowed": {name: space.mask(name) for name in self.tables},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, rows in state["decided"].items():
            self.decided[name].copy_(rows)
            if rows.any():
                self.search.space.restrict(name, state["allowed"][name])
