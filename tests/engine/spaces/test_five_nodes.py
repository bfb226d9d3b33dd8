"""Cells of five nodes: ten edges, no index, no table, all else as for four nodes."""

from __future__ import annotations

import random
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from searchjobs.engine.contracts import EdgeTerms, spaces
from searchjobs.engine.events import CellTrained
from searchjobs.engine.problems import SpecError
from searchjobs.engine.spaces.nas_bench_201.cell import (
    EdgeConvolution,
    SearchCell,
    everything,
    prepare,
    shuffle,
)
from searchjobs.engine.spaces.nas_bench_201.counting import flops, parameters
from searchjobs.engine.spaces.nas_bench_201.encoding import (
    FIVE,
    FOUR,
    OPERATIONS,
    Wiring,
    index_of,
)
from searchjobs.engine.spaces.nas_bench_201.isomorphism import canonical
from searchjobs.engine.spaces.nas_bench_201.network import DiscreteNetwork
from searchjobs.engine.spaces.nas_bench_201.supernet import NasBench201Supernet
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.training import train_cell
from searchjobs.engine.training_spec import validate_training

from ..conftest import tiny
from .plain_supernet import (
    TEN_EDGES,
    PlainCell,
    PlainSupernet,
    copy_weights,
    counterparts,
    pairs_of,
)

NAME = "nas-bench-201-five"
cells = st.tuples(*[st.sampled_from(OPERATIONS)] * 10)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def space(**options):
    part = spaces.get(NAME)
    return part(part.Options(**options))


def written(**choices: str) -> str:
    """A cell of ``none`` but for the named rows, such as ``r40`` for 4←0."""
    chosen = ["none"] * 10
    for row, name in choices.items():
        chosen[FIVE.rows.index(f"{row[1]}←{row[2]}")] = name
    return FIVE.encode({"cell": chosen})


def drawn(seed: int) -> tuple[str, ...]:
    return tuple(random.Random(seed).choices(OPERATIONS, k=10))


def ten(seed: int = 5) -> Tensor:
    """Edge weights (10, 5) in double precision."""
    return torch.randn(10, 5, generator=seeded(seed)).double().softmax(-1)


def images() -> tuple[Tensor, Tensor]:
    generator = seeded(6)
    batch = torch.randn(6, 3, 8, 8, generator=generator).double()
    return batch, torch.randint(10, (6,), generator=generator)


@given(st.integers(2, 5))
def test_v_nodes_have_v_times_v_minus_one_half_edges_in_the_order_of_targets(nodes):
    wiring = Wiring(nodes)
    assert len(wiring.edges) == nodes * (nodes - 1) // 2
    assert list(wiring.edges) == sorted(wiring.edges)
    assert all(source < target < nodes for target, source in wiring.edges)


def test_the_ten_edges_continue_the_six():
    assert list(FIVE.edges) == TEN_EDGES
    assert FIVE.edges[:6] == FOUR.edges
    assert space().tables == {
        "cell": ("1←0", "2←0", "2←1", "3←0", "3←1", "3←2", "4←0", "4←1", "4←2", "4←3")
    }
    assert space().targets("cell") == (1, 2, 2, 3, 3, 3, 4, 4, 4, 4)


@given(cells)
def test_names_survive_the_string(choice):
    text = FIVE.encode({"cell": choice})
    assert FIVE.decode(text) == choice
    assert space().decode(text) == {"cell": choice}


@given(cells)
def test_the_string_begins_with_that_of_the_first_four_nodes(choice):
    whole = FIVE.encode({"cell": choice})
    assert whole.startswith(FOUR.encode({"cell": choice[:6]}) + "+|")
    last = "|".join(f"{name}~{node}" for node, name in enumerate(choice[6:]))
    assert whole.endswith(f"+|{last}|")


@given(st.text(alphabet="|+~0123nonesk_cip", max_size=80))
def test_no_text_breaks_the_reader(text):
    try:
        choice = FIVE.decode(text)
    except ValueError:
        return
    assert FIVE.encode({"cell": choice}) == text


GOOD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
GOOD_FIVE = GOOD + "+|none~0|none~1|none~2|none~3|"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "four groups"),
        (GOOD, "not a NAS-Bench-201 cell of five nodes: it has not four groups"),
        (GOOD_FIVE[:-1], "group 4"),
        (GOOD_FIVE.replace("~3", "~2"), "'~3'"),
        (GOOD_FIVE.replace("none~3", "pool~3"), "no operation named 'pool'"),
    ],
)
def test_a_malformed_string_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        space().decode(text)
    assert "\n" not in str(caught.value)


def test_neither_space_takes_the_cells_of_the_other():
    four = spaces.get("nas-bench-201")
    for method in ("decode", "describe", "discrete_weights"):
        with pytest.raises(ValueError, match="three groups"):
            getattr(four(four.Options()), method)(GOOD_FIVE)
        with pytest.raises(ValueError, match="four groups"):
            getattr(space(), method)(GOOD)
    with pytest.raises(ValueError, match="three groups"):
        index_of(GOOD_FIVE)


def test_a_cell_of_five_nodes_has_no_index():
    described = space().describe(GOOD_FIVE)
    assert described["index"] is None
    assert (described["parameters"], described["flops"]) == (73_306, 7_783_050)
    assert described["canonical"] == "#+#+#+#"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (GOOD_FIVE, False),
        (written(r40="skip_connect"), True),
        (written(r10="avg_pool_3x3", r41="nor_conv_1x1"), True),
        (written(r10="skip_connect", r21="skip_connect", r32="skip_connect"), False),
        (written(r41="skip_connect", r42="skip_connect", r43="skip_connect"), False),
    ],
)
def test_a_cell_is_connected_if_its_input_reaches_node_four(text, answer):
    assert space().connected(text) is answer


def test_isomorphic_cells_share_a_text_that_reads_as_their_formula():
    whole = written(r40="nor_conv_3x3")
    assert canonical(whole) == "#+#+#+(0)@nor_conv_3x3"
    # node 1 is a copy of the input, and what leaves dead node 2 may be anything
    copied = written(r10="skip_connect", r41="nor_conv_3x3", r42="nor_conv_1x1")
    assert canonical(copied) != canonical(whole), "node 2 is a sum of zeros, no zero"
    copied = written(r10="skip_connect", r41="nor_conv_3x3")
    assert canonical(copied) == canonical(whole)
    dead = written(r21="nor_conv_1x1", r40="avg_pool_3x3")
    assert canonical(dead) == canonical(written(r40="avg_pool_3x3"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("channels", "n"), [(16, 5), (6, 1)])
def test_parameters_are_those_of_the_modules(seed, channels, n):
    text = FIVE.encode({"cell": drawn(seed)})
    built = DiscreteNetwork(text, 7, channels, n, seeded(0))
    counted = sum(p.numel() for p in built.parameters())
    assert parameters(text, channels, n, classes=7) == counted


@given(cells)
def test_parameters_and_flops_follow_the_published_formula(choice):
    """It counts convolutions, of which ten edges may have ten."""
    text = FIVE.encode({"cell": choice})
    conv3, conv1 = choice.count("nor_conv_3x3"), choice.count("nor_conv_1x1")
    assert parameters(text) == 73_306 + 243_040 * conv3 + 28_000 * conv1
    assert flops(text) == 7_783_050 + 35_389_440 * conv3 + 3_932_160 * conv1


def test_a_space_without_some_operations_restricts_all_ten_rows():
    without = space(without=("none",))
    assert without.mask("cell").tolist() == [[False] + [True] * 4] * 10
    assert without.active() == {"cell": [[1, 2, 3, 4]] * 10}


def pair(channels: int = 4, n: int = 1) -> tuple[PlainSupernet, NasBench201Supernet]:
    """The textbook supernet and the fused one in double precision, equal weights."""
    fused = space(channels=channels, cells=n, affine=True, track_running_stats=True)
    built = fused.supernet(10, seeded(3)).double()
    with torch.no_grad():
        for name, tensor in built.state_dict().items():
            if name.endswith(("gamma", "beta", "running_mean", "running_var")):
                tensor += 0.3 * torch.rand(tensor.shape, generator=seeded(4))
    plain = PlainSupernet(10, channels, n, True, True, TEN_EDGES).double()
    copy_weights(built, plain)
    return plain, built


def test_logits_and_all_gradients_are_those_of_the_textbook():
    plain, fused = pair()
    batch, labels = images()
    weights = ten().requires_grad_()
    expected, found = plain(batch, weights), fused(batch, {"cell": weights})
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    twins = [(p, f) for p, f in counterparts(plain, fused) if p.requires_grad]
    assert {id(f) for _, f in twins} == {id(f) for f in fused.parameters()}
    slopes = torch.autograd.grad(
        cross_entropy(expected, labels), [weights, *(p for p, _ in twins)]
    )
    ours = torch.autograd.grad(
        cross_entropy(found, labels), [weights, *(f for _, f in twins)]
    )
    for mine, slope in zip(ours, slopes, strict=True):
        torch.testing.assert_close(mine, slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_one_hot_weights_make_the_discrete_network(seed):
    """Inherited weights: the supernet with one operation an edge is the network."""
    text = FIVE.encode({"cell": drawn(seed)})
    _, fused = pair()
    network = space().network(text, 10, 4, 1, seeded(0)).double()
    for layer, twin in zip(
        [fused.stem, *fused.body, fused.head], network.layers, strict=True
    ):
        if not isinstance(layer, SearchCell):
            twin.load_state_dict(layer.state_dict())
            continue
        for row, edge in twin.edges.items():
            theirs = layer.get_submodule(twin.operations[int(row)])[int(row)]
            edge[0].weight.data.copy_(theirs.weight)
            edge[1].weight.data.copy_(theirs.gamma)
            edge[1].bias.data.copy_(theirs.beta)
            edge[1].running_mean.copy_(theirs.running_mean)
            edge[1].running_var.copy_(theirs.running_var)
    one_hot = space().discrete_weights(text)["cell"].double()
    active = {"cell": [row.nonzero().flatten().tolist() for row in one_hot]}
    for mode in (True, False):
        network.train(mode)
        fused.train(mode)
        for running in (None, active):
            found = fused(images()[0], {"cell": one_hot}, running)
            torch.testing.assert_close(
                found, network(images()[0]), rtol=1e-9, atol=1e-11
            )


def test_a_sparse_path_runs_only_what_reaches_the_output():
    """Rows 4←0, 4←2 and 2←1 take 3x3, the other edges too, but for 1←0, 4←1, 4←3."""
    _, fused = pair()
    chosen = [3] * 10
    for dead in ("1←0", "4←1", "4←3"):
        chosen[FIVE.rows.index(dead)] = 0
    ran: list[str] = []
    for name, module in fused.body[0].named_modules():
        if isinstance(module, EdgeConvolution):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    one_hot = torch.eye(5).double()[chosen]
    active = {"cell": [(column,) for column in chosen]}
    sparse = fused(images()[0], {"cell": one_hot}, active)
    # node 3 leads nowhere, so nothing that leads into it is run
    live = [FIVE.rows.index(row) for row in ("2←0", "2←1", "4←0", "4←2")]
    assert sorted(ran) == [f"nor_conv_3x3.{row}" for row in sorted(live)]
    torch.testing.assert_close(sparse, fused(images()[0], {"cell": one_hot}))


def test_partial_channels_are_those_of_pc_darts_edge_by_edge():
    share, channels = 2, 4
    fused = SearchCell(
        channels,
        seeded(1),
        affine=False,
        track_running_stats=False,
        partial=share,
        wiring=FIVE,
    ).double()
    plain = PlainCell(channels // share, False, False, TEN_EDGES).double()
    for theirs, ours in pairs_of(plain, fused):
        theirs.data.copy_(ours)
    x = torch.randn(3, channels, 6, 6, generator=seeded(2)).double()
    weights, scale = ten(), torch.rand(10, generator=seeded(3)).double()
    width = channels // share
    nodes = [x]
    for node in range(1, 5):
        total = torch.zeros_like(x)
        for row, (target, source) in enumerate(TEN_EDGES):
            if target == node:
                mixed = plain.edges[row](nodes[source][:, :width], weights[row])
                joined = torch.cat([mixed, nodes[source][:, width:]], dim=1)
                total = total + scale[row] * shuffle(joined, share)
        nodes.append(total)
    stage = prepare(weights * scale.unsqueeze(-1), x, partial=share, bypass=scale)
    torch.testing.assert_close(fused(x, stage, everything(FIVE)), nodes[-1])


def test_a_constant_of_an_edge_is_added_to_the_node_where_it_ends():
    """GDAS: with weights 0 the output is the sum of the constants into node 4."""
    _, fused = pair()
    constant = torch.arange(1.0, 11).double()
    seen: list[Tensor] = []
    fused.body[0].register_forward_hook(lambda *given: seen.append(given[2]))
    zeros = torch.zeros(10, 5).double()
    terms = EdgeTerms(constant={"cell": constant})
    fused(images()[0], {"cell": zeros}, {"cell": [()] * 10}, terms)
    assert (seen[0] == constant[6:].sum()).all()


def training(architecture: str, name: str = NAME):
    return validate_training(
        {
            "space": {"name": name, "channels": 2, "cells": 1},
            "architecture": architecture,
            "dataset": {"name": "digits", "per_class": 20},
            "training": {"epochs": 3, "batch_size": 32, "recipe": "less-is-more"},
            "compute": {"device": "cpu", "threads": 1},
        }
    )


def test_a_cell_of_five_nodes_is_trained_from_scratch():
    text = FIVE.encode({"cell": drawn(1)})
    *_, last = train_cell(training(text))
    assert isinstance(last, CellTrained)
    assert last.epoch == 3
    assert last.parameters == parameters(text, 2, 1, classes=10)


def test_a_training_of_the_other_space_is_refused_in_a_sentence():
    with pytest.raises(SpecError, match="cell of four nodes: it has not three groups"):
        training(GOOD_FIVE, "nas-bench-201")
    with pytest.raises(SpecError, match="cell of five nodes: it has not four groups"):
        training(GOOD)


def test_a_stopping_rule_can_count_seven_skips_of_ten_edges_and_not_of_six():
    rule = {"stopping": [{"name": "darts-plus-skips", "skips": 7, "min_epoch": 2}]}
    assert tiny(space={"name": NAME, "channels": 2, "cells": 1}, **rule)
    with pytest.raises(SpecError, match="6"):
        tiny(**rule)


def test_a_spec_that_names_no_space_has_four_nodes_whatever_else_it_says():
    assert SearchSpec(space={"channels": 2}).space.name == "nas-bench-201"
    unnamed = {"space": {"channels": 2}, "architecture": GOOD}
    assert validate_training(unnamed).space.name == "nas-bench-201"
