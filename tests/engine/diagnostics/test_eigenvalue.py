"""The alpha Hessian, against autograd's own dense Hessian."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.compose import compose
from searchjobs.engine.diagnostics.eigenvalue import (
    alpha_hessian,
    dominant_eigenvalues,
)

from ..conftest import tiny


@pytest.fixture(scope="module")
def setting():
    search = compose(tiny())
    search.supernet.double()
    batch = search.data.batch(search.initial_sets["V"][:24])
    batch = type(batch)(batch.images.double(), batch.labels, batch.ids)
    for table in search.method.tables.values():
        table.data = torch.randn(table.shape, dtype=torch.float64)
    return search, batch


def test_it_is_the_dense_hessian_of_the_validation_loss(setting):
    search, batch = setting
    alpha = search.method.alpha()["cell"]

    def loss(flat):
        tables = {"cell": flat.view_as(alpha).softmax(-1)}
        return cross_entropy(search.supernet(batch.images, tables), batch.labels)

    search.supernet.train()
    dense = torch.autograd.functional.hessian(loss, alpha.reshape(-1).clone())
    ours = alpha_hessian(search, batch)
    torch.testing.assert_close(ours, (dense + dense.T) / 2, rtol=1e-8, atol=1e-10)
    largest, absolute = dominant_eigenvalues(search, batch)
    spectrum = torch.linalg.eigvalsh(dense)
    assert largest == pytest.approx(spectrum.max().item(), rel=1e-8)
    assert abs(absolute) == pytest.approx(spectrum.abs().max().item(), rel=1e-8)


def test_softmax_makes_a_shift_of_a_whole_edge_a_null_direction(setting):
    """H 1 = 0 per edge, because softmax does not see a constant added to a row."""
    search, batch = setting
    hessian = alpha_hessian(search, batch)
    edges, operations = search.method.alpha()["cell"].shape
    for edge in range(edges):
        shift = torch.zeros(edges, operations, dtype=hessian.dtype)
        shift[edge] = 1
        assert (hessian @ shift.reshape(-1)).abs().max() < 1e-9


def test_it_leaves_weights_statistics_mode_and_streams_alone(setting):
    search, batch = setting
    search.supernet.eval()
    before = {k: v.clone() for k, v in search.supernet.state_dict().items()}
    streams = search.streams.state_dict()
    alpha_hessian(search, batch)
    assert not search.supernet.training
    for name, value in search.supernet.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, saved in search.streams.state_dict().items():
        assert torch.equal(saved["state"], streams[name]["state"])
    assert all(p.grad is None for p in search.supernet.parameters())
