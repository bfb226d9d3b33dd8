"""Mixtures drawn from Dirichlet distributions, from a stream of the search.

PyTorch's ``Dirichlet`` knows the pathwise gradient (Jankowiak and Obermeyer, Pathwise
Derivatives Beyond the Reparameterization Trick, ICML 2018), and takes no generator: it
draws from the default one of the device.  That is lent the stream's state meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence
from torch.nn.functional import elu


@contextlib.contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let everything inside that draws from PyTorch's default generator, of the
    device of ``generator``, draw from that one; the default one is left as it was."""
    device = generator.device
    on_gpu = device.type == "cuda"
    before = torch.cuda.get_rng_state(device) if on_gpu else torch.get_rng_state()
    _set_default(generator.get_state(), device)
    try:
        yield
    finally:
        after = torch.cuda.get_rng_state(device) if on_gpu else torch.get_rng_state()
        generator.set_state(after)
        _set_default(before, device)


def _set_default(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def concentrations(table: Tensor, allowed: Tensor | None) -> Tensor:
    """Return c = ELU(alpha) + 1, positive, (R, O); 1 where a row may not choose."""
    positive = elu(table) + 1
    if allowed is None:
        return positive
    return positive.where(allowed.to(table.device), 1)


def kept(mixture: Tensor, allowed: Tensor | None) -> Tensor:
    """Return a mixture (R, O) with what is not allowed at zero and the others at their
    share of the rest."""
    if allowed is None:
        return mixture
    left = mixture.where(allowed.to(mixture.device), 0)
    least = torch.finfo(mixture.dtype).tiny
    return left / left.sum(-1, keepdim=True).clamp_min(least)


def drawn(table: Tensor, allowed: Tensor | None, generator: torch.Generator) -> Tensor:
    """Draw a mixture (R, O), differentiable in alpha.

    A Dirichlet vector without some of its parts, divided by its sum, is the Dirichlet
    vector of the others.
    """
    with drawing_from(generator):
        sample = _dirichlet(concentrations(table, allowed)).rsample()
    return kept(sample, allowed)


def mean(table: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the mean c / sum(c) of what ``drawn`` draws, (R, O), differentiable."""
    found = concentrations(table, allowed)
    return kept(found / found.sum(-1, keepdim=True), allowed)


def divergence(table: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the sum over rows of KL(Dir(c) || Dir(1)), a scalar."""
    found = concentrations(table, allowed)
    return kl_divergence(_dirichlet(found), _dirichlet(torch.ones_like(found))).sum()


def _dirichlet(concentration: Tensor) -> Dirichlet:
    # its check of the arguments would wait for the device
    return Dirichlet(concentration, validate_args=False)
