"""The fused supernet must stay faster than the textbook one.

A loose bound that a noisy machine keeps; ``tests/benchmarks/step.py`` measures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.spaces.nas_bench_201.supernet import NasBench201Supernet

from .plain_supernet import PlainSupernet, copy_weights


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process: neighbours on the machine count less."""
    start = time.process_time()
    work()
    return time.process_time() - start


def test_an_eager_step_is_a_third_faster_than_the_textbook():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    fused = NasBench201Supernet(10, 8, 1, generator)
    plain = PlainSupernet(10, 8, 1)
    copy_weights(fused, plain)
    weights = list(fused.parameters())
    alpha = torch.zeros(6, 5, requires_grad=True)
    images = torch.randn(32, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (32,), generator=generator)

    def textbook() -> None:
        for _ in ("weights", "architecture"):
            logits = plain(images, alpha.softmax(-1))
            cross_entropy(logits, labels).backward()

    def ours() -> None:
        logits = fused(images, {"cell": alpha.detach().softmax(-1)})
        torch.autograd.grad(cross_entropy(logits, labels), weights)
        logits = fused(images, {"cell": alpha.softmax(-1)})
        torch.autograd.grad(cross_entropy(logits, labels), alpha)

    try:
        textbook()
        ours()
        ratios = [seconds(textbook) / seconds(ours) for _ in range(5)]
    finally:
        torch.set_num_threads(threads)
    assert statistics.median(ratios) >= 1.3
