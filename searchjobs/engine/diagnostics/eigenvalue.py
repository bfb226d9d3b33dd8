"""The dominant eigenvalue of the alpha Hessian, exactly.

Zela et al., Understanding and Robustifying DARTS, ICLR 2020; BDP section 4.5.
H = d2 L_val / d alpha2 at the present (w, alpha), one fixed batch of V, batch norm
in training mode.  Row by row by double backward: finite differences are wrong by
factors here, because a step in alpha crosses thousands of ReLU kinks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Batch, Search
from .statistics import batch_statistics


def alpha_hessian(search: Search, batch: Batch) -> Tensor:
    """Return H (P, P), symmetrised, P = all entries of all alpha tables.

    Neither weights nor batch-norm statistics nor any random stream change.
    """
    tables = {
        name: table.clone().requires_grad_()
        for name, table in search.method.alpha().items()
    }
    leaves = list(tables.values())
    supernet = search.supernet
    with batch_statistics(supernet), supernet.twice_differentiable():
        logits = supernet(
            batch.images,
            search.method.relaxation(tables),
            search.space.active(),
            search.method.edge_terms(),
        )
        loss = cross_entropy(logits, batch.labels)
        gradients = torch.autograd.grad(loss, leaves, create_graph=True)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        rows = [_row(entry, leaves) for entry in flat]
    hessian = torch.stack(rows)
    return ((hessian + hessian.T) / 2).detach()


def dominant_eigenvalues(search: Search, batch: Batch) -> tuple[float, float]:
    """Return the largest eigenvalue, and the one largest in absolute value."""
    spectrum = torch.linalg.eigvalsh(alpha_hessian(search, batch).double())
    values = spectrum.tolist()
    return values[-1], max(values, key=abs)


def _row(entry: Tensor, leaves: list[Tensor]) -> Tensor:
    second = torch.autograd.grad(
        entry, leaves, retain_graph=True, materialize_grads=True
    )
    return torch.cat([part.reshape(-1) for part in second])
