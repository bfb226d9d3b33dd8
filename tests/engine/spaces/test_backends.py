"""Backends: refused in a sentence where they cannot run, the same numbers where
they can."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.contracts import Batch
from searchjobs.engine.graphs import CapturedHalfStep, gradients_of
from searchjobs.engine.problems import SpecError
from searchjobs.engine.spaces.nas_bench_201 import supernet as supernet_module
from searchjobs.engine.spaces.nas_bench_201.backends import compiled_cell
from searchjobs.engine.spaces.nas_bench_201.supernet import NasBench201Supernet

WITHOUT_GPU = pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is a GPU here, so nothing is refused"
)


def small() -> tuple[NasBench201Supernet, Batch, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    supernet = NasBench201Supernet(10, 2, 1, generator)
    images = torch.randn(4, 3, 8, 8, generator=generator)
    labels = torch.randint(10, (4,), generator=generator)
    alpha = torch.randn(6, 5, generator=generator).requires_grad_()
    return supernet, Batch(images, labels, torch.arange(4)), alpha


def test_an_unknown_backend_is_refused_in_a_sentence():
    with pytest.raises(SpecError, match="choose eager, compiled or graphs"):
        small()[0].use_backend("quantum")


@WITHOUT_GPU
def test_graphs_without_a_gpu_are_refused_in_a_sentence():
    supernet, _, alpha = small()
    with pytest.raises(SpecError, match="need a CUDA GPU") as caught:
        supernet.use_backend("graphs")
    assert caught.value.problems[0].field == "compute.backend"

    with pytest.raises(SpecError, match="need a CUDA GPU"):
        CapturedHalfStep(lambda _: (alpha.sum(), alpha), [alpha], supernet, 4)


def test_a_missing_compiler_is_refused_in_a_sentence(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler")

    compiled_cell.cache_clear()
    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(SpecError, match="needs a C\\+\\+ compiler") as caught:
        small()[0].use_backend("compiled")
    assert "choose backend eager" in str(caught.value)
    compiled_cell.cache_clear()


def test_a_half_step_makes_only_the_wanted_gradients():
    supernet, batch, alpha = small()

    def loss_of(batch):
        logits = supernet(batch.images, {"cell": alpha.softmax(-1)})
        return cross_entropy(logits, batch.labels), logits

    result, (slope,) = gradients_of(loss_of, [alpha], batch)
    assert all(p.grad is None for p in supernet.parameters())
    loss, _ = loss_of(batch)
    loss.backward()
    torch.testing.assert_close(slope, alpha.grad)
    torch.testing.assert_close(result.loss, loss.detach())
    assert not result.logits.requires_grad


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("limit", [0, 10**9])
def test_the_compiled_cell_computes_the_same(limit, monkeypatch):
    monkeypatch.setattr(supernet_module, "CHANNELS_LAST_FROM", limit)
    supernet, batch, alpha = small()
    parameters = list(supernet.parameters())

    def run(images: torch.Tensor) -> list[torch.Tensor]:
        logits = supernet(images, {"cell": alpha.softmax(-1)})
        loss = cross_entropy(logits, batch.labels[: len(images)])
        return [logits, *torch.autograd.grad(loss, [alpha, *parameters])]

    expected, odd = run(batch.images), run(batch.images[:3])
    supernet.use_backend("compiled")
    for found, wanted in zip(run(batch.images), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
    # an odd batch is eager, bit for bit
    for found, wanted in zip(run(batch.images[:3]), odd, strict=True):
        assert torch.equal(found, wanted)
    with supernet.twice_differentiable():
        logits = supernet(batch.images, {"cell": alpha.softmax(-1)})
        loss = cross_entropy(logits, batch.labels)
        (slope,) = torch.autograd.grad(loss, alpha, create_graph=True)
        (second,) = torch.autograd.grad(slope[0, 1], alpha)
    assert second.abs().sum() > 0


def test_cells_are_compiled_that_lack_what_never_runs_and_no_others(monkeypatch):
    seen = []

    def counting(cell, x, stage, plan):
        seen.append(plan)
        return cell(x, stage, plan)

    monkeypatch.setattr(supernet_module, "compiled_cell", lambda _: counting)
    supernet, batch, alpha = small()
    supernet.use_backend("compiled")
    weights = {"cell": alpha.softmax(-1)}
    supernet(batch.images, weights, {"cell": [range(2, 5)] * 6})
    assert not seen
    supernet(batch.images, weights, {"cell": [range(1, 5)] * 6})  # none alone
    assert seen
