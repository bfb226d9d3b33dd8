"""What an architecture table tells."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import spaces
from searchjobs.engine.diagnostics import tables
from searchjobs.engine.optimisation import initial_alpha

from ..conftest import tiny

SPACE = spaces.get("nas-bench-201")(spaces.get("nas-bench-201").Options())
rows = st.lists(
    st.lists(st.floats(-5, 5, allow_nan=False), min_size=5, max_size=5),
    min_size=6,
    max_size=6,
)


@given(rows)
def test_magnitudes_of_a_softmax_add_up_to_one(values):
    strengths = {"cell": torch.tensor(values, dtype=torch.float64).softmax(-1)}
    found = tables.magnitudes(SPACE, strengths)
    assert sum(found.values()) == pytest.approx(1)
    assert list(found) == list(SPACE.operations)


@given(rows)
def test_the_difference_to_the_others_is_an_affine_map_of_the_magnitude(values):
    """EX-/SS-DARTS Eq. 13 = M m - 1 where rows sum to one (methods spec 5.4)."""
    strengths = {"cell": torch.tensor(values, dtype=torch.float64).softmax(-1)}
    found = list(tables.magnitudes(SPACE, strengths).values())
    for mine in found:
        assert sum(mine - other for other in found) == pytest.approx(
            len(found) * mine - 1, abs=1e-9
        )


class WithParents(type(SPACE)):
    """A space with a second table, which chooses a parent and no operation."""

    tables = {**SPACE.tables, "parents": ("node 3",)}

    def columns(self, table):
        return ("0", "1") if table == "parents" else self.operations

    def encode(self, choice):
        return f"{super().encode({'cell': choice['cell']})} {choice['parents']}"


def test_a_table_may_choose_something_else_than_operations():
    space = WithParents(SPACE.options)
    alpha = initial_alpha(space, torch.Generator().manual_seed(1), torch.device("cpu"))
    assert {name: tuple(t.shape) for name, t in alpha.items()} == {
        "cell": (6, 5),
        "parents": (1, 2),
    }
    strengths = {
        "cell": torch.eye(5)[[3, 3, 3, 3, 3, 0]],
        "parents": torch.tensor([[0.2, 0.8]]),
    }
    assert tables.genotype(space, strengths).endswith(" ['1']")
    assert tables.magnitudes(space, strengths)["nor_conv_3x3"] == pytest.approx(5 / 6)
    assert tables.margins(strengths)["parents"] == pytest.approx([0.6])


def test_entropy_is_log_of_the_operations_when_uniform_and_zero_when_sure():
    sure = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])
    found = tables.entropy({"cell": torch.cat([torch.full((1, 5), 0.2), sure])})
    assert found["cell"] == pytest.approx([math.log(5), 0.0])


def test_the_margin_is_best_minus_second():
    found = tables.margins({"cell": torch.tensor([[0.1, 0.5, 0.2, 0.15, 0.05]])})
    assert found["cell"] == pytest.approx([0.3])


def test_the_genotype_may_hold_none_and_the_second_one_never_does():
    strengths = torch.full((6, 5), 0.1)
    strengths[:, 0] = 0.5
    strengths[:, 3] = 0.2
    whole = tables.genotype(SPACE, {"cell": strengths})
    other = tables.genotype(SPACE, {"cell": strengths}, without="none")
    assert SPACE.decode(whole)["cell"] == ("none",) * 6
    assert SPACE.decode(other)["cell"] == ("nor_conv_3x3",) * 6
    assert not SPACE.connected(whole)
    assert SPACE.connected(other)
    assert tables.count(SPACE.decode(whole), "none") == 6


class WithoutSkipOnTheFirstEdge(type(SPACE)):
    """A space whose rows differ, as MobileNet's and pruned ones do."""

    def allowed(self, table, device=None):
        allowed = torch.ones(6, 5, dtype=torch.bool)
        allowed[0, 1] = False
        return allowed


def test_an_operation_that_a_row_may_not_take_is_never_its_genotype():
    space = WithoutSkipOnTheFirstEdge(SPACE.options)
    strengths = torch.full((6, 5), 0.1)
    strengths[:, 1] = 0.6
    strengths[0, 2] = 0.3
    found = space.decode(tables.genotype(space, {"cell": strengths}))["cell"]
    assert found == ("nor_conv_1x1", *["skip_connect"] * 5)


def test_a_row_gives_no_weight_and_no_gradient_to_what_it_may_not_take():
    search = compose(tiny())
    search.space = WithoutSkipOnTheFirstEdge(SPACE.options)
    alpha = torch.randn(6, 5, requires_grad=True)
    weights = search.method.relaxation({"cell": alpha})["cell"]
    weights[:, 1].sum().backward()
    assert weights[0, 1] == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(6))
    assert torch.equal(alpha.grad[0], torch.zeros(5))
    assert (alpha.grad[1] != 0).any()
