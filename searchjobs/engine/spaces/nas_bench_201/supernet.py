"""Train all cells at once: the weight-sharing network of NAS-Bench-201.

Source: X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020, sections 2 and 4; the relaxation
is that of H. Liu et al., DARTS, ICLR 2019 (continuous relaxation).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Self

import torch
from torch import Tensor, nn

from ...contracts import ActiveOperations, EdgeTerms, Supernet, Tables
from ...dropout import drop
from ...graphs import require_cuda
from .backends import RunCell, compiled_cell, eager_cell, refused
from .cell import (
    EdgeConvolution,
    Plan,
    SearchCell,
    Stage,
    everything,
    prepare,
    sums_into_nodes,
)
from .encoding import FOUR, OPERATIONS, TABLE, Wiring
from .skeleton import Head, Reduction, Stem, widths

CHANNELS_LAST_FROM = 131_072
"""Numbers in the largest map from which a CPU computes in channels-last layout; for
smaller maps the calls cost more than the numbers, and fewer calls win."""


class NasBench201Supernet(Supernet):
    """Stem, three stages of N searched cells, head; owns w and never alpha.

    ``affine`` and ``track_running_stats`` speak of the searched cells only.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        cells: int,
        generator: torch.Generator,
        *,
        affine: bool = False,
        track_running_stats: bool = False,
        partial: int = 1,
        wiring: Wiring = FOUR,
    ) -> None:
        super().__init__()
        if channels % partial:
            raise ValueError(
                f"{channels} channels cannot be parted in {partial} equal groups"
            )
        self._partial = partial
        self._wiring = wiring
        self._everything = everything(wiring)
        self.stem = Stem(channels, generator)
        self.body = nn.ModuleList()
        narrow = channels
        for width in widths(channels):
            if width != narrow:
                self.body.append(Reduction(narrow, width, generator))
            for _ in range(cells):
                self.body.append(
                    SearchCell(
                        width,
                        generator,
                        affine=affine,
                        track_running_stats=track_running_stats,
                        partial=partial,
                        wiring=wiring,
                    )
                )
            narrow = width
        self.head = Head(narrow, classes, generator)
        self._channels = channels
        self._run_cell: RunCell = eager_cell
        self._compiled_images: torch.Size | None = None

    def forward(
        self,
        images: Tensor,
        edge_weights: Tables,
        active: ActiveOperations | None = None,
        terms: EdgeTerms | None = None,
    ) -> Tensor:
        """Return logits (B, M) of images (B, 3, H, W).

        Args:
            images: of any size that halves twice.
            edge_weights: ``{"cell": (R, 5)}``, in the order of the wiring's rows and
                of ``OPERATIONS``; the weight of ``none`` multiplies zero.
            active: the operations to run on each row; the others count as weight 0.
            terms: what edges add beside their operations.
        """
        table, terms = edge_weights[TABLE], terms or EdgeTerms()
        plan = self._everything if active is None else _plan(active)
        if plan != self._everything and self._partial == 1:
            plan = _without_dead_ends(plan, self._wiring)
        spread = self._spreader(table, terms)
        plainly = not terms.constant and self.skip_dropout == 0 and self._partial == 1
        run_cell = self._run_cell_for(images, plan) if plainly else eager_cell
        numbers = images.numel() // images.shape[1] * self._channels
        if images.device.type == "cpu" and numbers >= CHANNELS_LAST_FROM:
            images = images.contiguous(memory_format=torch.channels_last)
        x = self.stem(images)
        stage = spread(x)
        for layer in self.body:
            if isinstance(layer, SearchCell):
                x = run_cell(layer, x, stage, plan)
            else:
                x = layer(x)
                stage = spread(x)
        return self.head(x)

    def _spreader(self, table: Tensor, terms: EdgeTerms) -> Callable[[Tensor], Stage]:
        """Return ``prepare`` with all that does not depend on the stage."""
        scale = terms.scale.get(TABLE)
        if scale is not None:
            table = table * scale.unsqueeze(-1)
        constant = terms.constant.get(TABLE)
        dropping = self.skip_dropout > 0 and self.training and self.noise is not None
        return functools.partial(
            prepare,
            table,
            partial=self._partial,
            constant=None
            if constant is None
            else sums_into_nodes(constant, self._wiring),
            bypass=scale,
            drop=self._drop if dropping else None,
        )

    def _drop(self, x: Tensor) -> Tensor:
        assert self.noise is not None
        return drop(x, self.skip_dropout, self.noise)

    def copied_channels(
        self, narrow: Self, generator: torch.Generator
    ) -> dict[str, tuple[Tensor, ...]]:
        """Keep the channels of the narrow supernet and draw which of them each new one
        copies, for the inputs and for the outputs of every convolution of an edge.
        """
        found: dict[str, tuple[Tensor, ...]] = {}
        for name, module in self.named_modules():
            if isinstance(module, EdgeConvolution):
                before = len(narrow.get_parameter(f"{name}.weight"))
                inputs, outputs = (
                    _copies(before, len(module.weight), generator) for _ in range(2)
                )
                for tensor_name, tensor in module.state_dict().items():
                    sources = (outputs, inputs) if tensor.ndim > 1 else (outputs,)
                    found[f"{name}.{tensor_name}"] = sources
        return found

    def use_backend(self, backend: str) -> None:
        """Choose how the forward is computed.

        ``eager`` is the reference.  ``compiled`` compiles the cell (see
        ``backends``).  ``graphs`` leaves the forward eager: a method captures whole
        half-steps (see ``searchjobs.engine.graphs``).

        Raises:
            SpecError: the backend is unknown or cannot run here.
        """
        self._run_cell = eager_cell
        if backend == "compiled":
            device = next(self.parameters()).device
            self._run_cell = compiled_cell(device.type)
            self._compiled_images = None
        elif backend == "graphs":
            require_cuda()
        elif backend != "eager":
            raise refused(
                f"There is no backend named {backend!r}; choose eager, compiled or "
                "graphs."
            )

    @contextlib.contextmanager
    def twice_differentiable(self) -> Iterator[None]:
        """Compute by the eager cell inside: a compiled one has no second derivative."""
        chosen, self._run_cell = self._run_cell, eager_cell
        try:
            yield
        finally:
            self._run_cell = chosen

    def _run_cell_for(self, images: Tensor, plan: Plan) -> RunCell:
        """Compile for one shape only: that of the training batches.  Odd last
        batches, evaluation and sampled operations are eager."""
        if self._run_cell is eager_cell or plan != self._everything:
            return eager_cell
        if not (self.training and torch.is_grad_enabled()):
            return eager_cell
        if self._compiled_images is None:
            self._compiled_images = images.shape
        return self._run_cell if images.shape == self._compiled_images else eager_cell


def _copies(narrow: int, wide: int, generator: torch.Generator) -> Tensor:
    """Return (wide,) channels of a narrow map: all of them, then some by chance."""
    drawn = torch.randint(narrow, (wide - narrow,), generator=generator)
    return torch.cat((torch.arange(narrow), drawn))


def _plan(active: ActiveOperations) -> Plan:
    return tuple(
        tuple(
            name != "none" and operation in operations
            for operation, name in enumerate(OPERATIONS)
        )
        for operations in active[TABLE]
    )


def _without_dead_ends(plan: Plan, wiring: Wiring) -> Plan:
    """Return the plan without what leads into a node that nothing leaves: it changes no
    output, and its weights have no gradient however many processes share a batch."""
    live = list(plan)
    for node in range(wiring.nodes - 2, 0, -1):
        if not any(any(live[row]) for row in wiring.leaving[node]):
            for row, target in enumerate(wiring.targets):
                if target == node:
                    live[row] = (False,) * len(OPERATIONS)
    return tuple(live)
