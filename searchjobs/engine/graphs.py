"""Replay a half-step on a GPU as one captured CUDA graph.

A half-step of a small supernet is thousands of short kernels, and starting them from
Python takes longer than running them.  A CUDA graph records the forward and the
backward once and starts them all by one call.

The optimiser stays outside: its learning rate changes every epoch, and a graph would
keep the rate that it was captured with.

No GPU was at hand when this was written: capture and replay follow PyTorch's
documentation and have not been run.  Run ``tests/benchmarks/step.py`` on a GPU
first: it compares the losses of replayed and eager steps before it times them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .contracts import Batch, Search, StepResult
from .parallel import HalfStep, LossOf, gradients
from .problems import Problem, SpecError
from .shared_norm import share_norms

_WARM_UP = 3


def gradients_of(loss_of: LossOf, wanted: Sequence[Tensor], batch: Batch) -> HalfStep:
    """Return the loss, the logits and the gradients of ``wanted`` alone; with nothing
    wanted it is a forward alone."""
    with torch.set_grad_enabled(bool(wanted)):
        loss, logits = loss_of(batch)
        found = gradients(loss, wanted)
    return StepResult(loss.detach(), logits.detach()), found


def half_step(
    loss_of: LossOf, wanted: Sequence[Tensor], search: Search
) -> Callable[[Batch], HalfStep]:
    """Return ``gradients_of`` for one loss: of the whole batch if several processes
    share it, captured if the spec asks for graphs (only ``capturable`` methods may)."""
    if search.parallel.size > 1:
        share_norms(search.supernet)
        return partial(search.parallel.half_step, loss_of, wanted)
    if search.spec.compute.backend == "graphs":
        size = search.spec.training.batch_size
        return CapturedHalfStep(loss_of, wanted, search.supernet, size)
    return partial(gradients_of, loss_of, wanted)


def require_cuda() -> None:
    """Raise SpecError, in a sentence, unless graphs can be captured here."""
    if not torch.cuda.is_available():
        raise SpecError(
            [
                Problem(
                    "compute.backend",
                    "CUDA graphs need a CUDA GPU, and there is none here; choose "
                    "backend eager or compiled, or a queue whose workers have a GPU.",
                )
            ]
        )


class CapturedHalfStep:
    """``gradients_of`` for batches of one size, replayed; other sizes are eager.

    The gradients lie in buffers that the next call overwrites; loss and logits are
    copies.

    Args:
        loss_of: the forward and its loss.
        wanted: tensors whose gradients the half-step needs.
        network: the module whose batch-norm statistics the warm-up must not move.
        batch_size: images of a full batch.
    """

    def __init__(
        self,
        loss_of: LossOf,
        wanted: Sequence[Tensor],
        network: nn.Module,
        batch_size: int,
    ) -> None:
        require_cuda()
        self._loss_of = loss_of
        self._wanted = list(wanted)
        self._network = network
        self._batch_size = batch_size
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Batch | None = None
        self._outputs: HalfStep | None = None

    def __call__(self, batch: Batch) -> HalfStep:
        """Return what ``gradients_of`` returns for this batch."""
        if len(batch.ids) != self._batch_size:
            return gradients_of(self._loss_of, self._wanted, batch)
        if self._graph is None:
            self._capture(batch)
        assert self._graph is not None
        assert self._inputs is not None
        assert self._outputs is not None
        self._inputs.images.copy_(batch.images)
        self._inputs.labels.copy_(batch.labels)
        self._inputs.ids.copy_(batch.ids)
        self._graph.replay()
        result, gradients = self._outputs
        return StepResult(result.loss.clone(), result.logits.clone()), gradients

    def _capture(self, batch: Batch) -> None:
        """Warm up on a stream of its own, as capture demands, then record."""
        self._inputs = Batch(
            batch.images.clone(), batch.labels.clone(), batch.ids.clone()
        )
        statistics = [buffer.clone() for buffer in self._network.buffers()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                gradients_of(self._loss_of, self._wanted, self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._outputs = gradients_of(self._loss_of, self._wanted, self._inputs)
        for buffer, before in zip(self._network.buffers(), statistics, strict=True):
            buffer.copy_(before)
        self._graph = graph
