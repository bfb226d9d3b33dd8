"""DARTS-: an identity beside the operations, that fades and is no part of the cell."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d, relu

from searchjobs.engine.methods.darts_minus import DartsMinusOptions, auxiliary_weight
from searchjobs.engine.problems import SpecError
from searchjobs.engine.spaces.nas_bench_201 import NasBench201
from searchjobs.engine.spaces.nas_bench_201.cell import SearchCell
from searchjobs.engine.spaces.nas_bench_201.encoding import CONVOLUTIONS, FOUR
from searchjobs.engine.validation import validate

from .prepared import prepared


def cell_with_an_auxiliary_identity(cell, x, table, beta):
    """Compute the cell edge by edge, an identity times beta beside each mixture."""
    nodes = [x, 0, 0, 0]
    for row, (target, source) in enumerate(FOUR.edges):
        node = nodes[source]
        _, skip, one, three, pool = table[row]
        mixture = skip * node
        mixture = mixture + pool * avg_pool2d(node, 3, 1, 1, count_include_pad=False)
        for weight, name in zip((one, three), CONVOLUTIONS, strict=True):
            scale = weight.expand(node.shape[1])
            edge = cell.get_submodule(name)[row]
            mixture = mixture + edge(relu(node), scale)
        nodes[target] = nodes[target] + beta * node + mixture
    return nodes[3]


@pytest.mark.parametrize("epoch", [1, 4])
def test_more_on_the_skip_is_an_identity_beside_the_operations(epoch):
    assert list(CONVOLUTIONS) == ["nor_conv_1x1", "nor_conv_3x3"]
    search, train, _ = prepared("darts-minus")
    search.method.start_epoch(epoch)
    with torch.no_grad():
        found = search.method.forward(train.images, search.method.edge_weights())
        table = search.method.alpha()["cell"].softmax(-1)
        beta = search.method.report().scalars["beta"]
        x = search.supernet.stem(train.images)
        for layer in search.supernet.body:
            if isinstance(layer, SearchCell):
                x = cell_with_an_auxiliary_identity(layer, x, table, beta)
            else:
                x = layer(x)
        torch.testing.assert_close(found, search.supernet.head(x))


def test_beta_falls_in_a_line_from_one_towards_zero():
    options = DartsMinusOptions()
    values = [auxiliary_weight(options, epoch, 50) for epoch in range(1, 52)]
    assert values == pytest.approx([1 - epoch / 50 for epoch in range(51)])
    halved = DartsMinusOptions(beta=0.5, decay="cosine")
    assert auxiliary_weight(halved, 1, 50) == 0.5
    assert auxiliary_weight(halved, 26, 50) == pytest.approx(0.25)


def test_the_identity_is_measured_with_the_mixture_and_not_derived():
    search = prepared("darts-minus")[0]
    method, softmax = search.method, search.method.alpha()["cell"].softmax(-1)
    beta = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]).expand(6, 5)
    assert torch.equal(method.strengths()["cell"], softmax)
    assert torch.equal(method.mixture()["cell"], softmax + beta)
    assert torch.equal(method.edge_weights()["cell"].detach(), softmax + beta)
    assert torch.equal(method.relaxation(method.alpha())["cell"], softmax + beta)


def test_without_weight_it_is_plain_darts():
    search, train, valid = prepared("darts-minus", method={"beta": 0.0})
    plain = prepared("darts")[0]
    for run in (search, plain):
        run.method.weight_step(train)
        run.method.architecture_step(valid, ())
    assert torch.equal(search.method.alpha()["cell"], plain.method.alpha()["cell"])


def test_a_space_without_its_identity_is_refused():
    with pytest.raises(SpecError, match=r"skip_connect .* left out of the space; keep"):
        validate(
            {
                "space": {"name": "nas-bench-201", "without": ["skip_connect"]},
                "method": {"name": "darts-minus"},
            }
        )


def test_a_space_whose_skip_is_no_identity_is_refused(monkeypatch):
    monkeypatch.setattr(NasBench201, "identity", None)
    with pytest.raises(SpecError, match="NAS-Bench-201 has none; choose another"):
        validate({"method": {"name": "darts-minus"}})
