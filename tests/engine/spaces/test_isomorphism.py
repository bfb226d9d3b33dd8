"""Cells that are the same up to a renaming share one canonical text."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from functools import cache

import pytest
import torch
from torch import Tensor

from searchjobs.engine.spaces.nas_bench_201.encoding import (
    FOUR,
    all_architectures,
)
from searchjobs.engine.spaces.nas_bench_201.isomorphism import canonical
from searchjobs.engine.spaces.nas_bench_201.network import DiscreteCell

encode = FOUR.encode
NONE, SKIP, ONE, THREE, POOL = (
    "none",
    "skip_connect",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
)


@cache
def classes() -> dict[str, list[str]]:
    found = defaultdict(list)
    for text in all_architectures():
        found[canonical(text)].append(text)
    return found


def test_the_space_holds_6466_unique_cells():
    assert len(classes()) == 6466


def test_a_known_cell_reads_as_its_formula():
    text = encode({"cell": [THREE, NONE, SKIP, POOL, NONE, ONE]})
    node1 = "(0)@nor_conv_3x3"
    assert canonical(text) == f"#+(#+{node1})@nor_conv_1x1+(0)@avg_pool_3x3"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # an edge out of a dead node 1 may carry anything
        ([NONE, THREE, ONE, SKIP, NONE, POOL], [NONE, THREE, NONE, SKIP, THREE, POOL]),
        # skip from node 1, which is a copy of the input, is a skip from the input
        ([SKIP, NONE, THREE, NONE, NONE, ONE], [SKIP, THREE, NONE, NONE, NONE, ONE]),
        # the order of two equal sources does not matter
        ([SKIP, THREE, POOL, NONE, ONE, SKIP], [SKIP, POOL, THREE, ONE, NONE, SKIP]),
    ],
)
def test_known_substitutions_keep_the_text(first, second):
    assert first != second
    assert canonical(encode({"cell": first})) == canonical(encode({"cell": second}))


def test_different_operations_give_different_texts():
    texts = {
        canonical(encode({"cell": [op, NONE, NONE, NONE, ONE, NONE]}))
        for op in (SKIP, ONE, THREE, POOL)
    }
    assert len(texts) == 4


def output_of(architecture: str, x: Tensor) -> Tensor:
    """Run one cell whose convolutions take weights that depend on their term only."""
    names = FOUR.decode(architecture)
    cell = DiscreteCell(FOUR, names, x.shape[1], torch.Generator()).double()
    nodes: list[list[str]] = [["0"], [], [], []]
    for row, (target, source) in enumerate(FOUR.edges):
        text = "+".join(sorted(nodes[source]))
        dead = names[row] == NONE or text == "#"
        term = text if names[row] == SKIP else f"({text})@{names[row]}"
        nodes[target].append("#" if dead else term)
        if names[row] in (ONE, THREE):
            generator = torch.Generator().manual_seed(zlib.crc32(term.encode()))
            weight = cell.edges[str(row)][0].weight
            with torch.no_grad():
                weight.normal_(generator=generator)
    with torch.no_grad():
        return cell(x)


def test_cells_of_one_text_compute_the_same_when_equal_terms_share_weights():
    chooser = random.Random(7)
    several = [members for members in classes().values() if len(members) > 1]
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    for members in chooser.sample(several, 40):
        expected = output_of(members[0], x)
        for other in chooser.sample(members[1:], min(3, len(members) - 1)):
            torch.testing.assert_close(output_of(other, x), expected)


def test_cells_of_different_texts_compute_differently_in_general():
    chooser = random.Random(8)
    live = [text for text in classes() if "@" in text and "#" not in text]
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    outputs = [output_of(classes()[text][0], x) for text in chooser.sample(live, 40)]
    for position, first in enumerate(outputs):
        for second in outputs[:position]:
            assert not torch.allclose(first, second)
