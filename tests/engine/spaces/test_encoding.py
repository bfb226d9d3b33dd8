"""Strings, operation names and official indices of NAS-Bench-201."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchjobs.engine.contracts import spaces
from searchjobs.engine.spaces.nas_bench_201.encoding import (
    CELLS,
    FOUR,
    OPERATIONS,
    all_architectures,
    connected,
    from_index,
    index_of,
)

encode, decode = FOUR.encode, FOUR.decode
names = st.tuples(*[st.sampled_from(OPERATIONS)] * 6)
SHORT = {
    "none": "none",
    "skip": "skip_connect",
    "1x1": "nor_conv_1x1",
    "3x3": "nor_conv_3x3",
    "avg": "avg_pool_3x3",
}


def cell(text: str) -> str:
    return encode({"cell": [SHORT[word] for word in text.split()]})


@pytest.mark.parametrize(
    ("index", "operations"),
    [
        (0, "avg 1x1 skip 1x1 skip skip"),
        (9, "avg none none skip none 3x3"),
        (123, "avg avg 1x1 none avg 3x3"),
        (138, "3x3 3x3 none 3x3 3x3 3x3"),
        (1462, "3x3 3x3 3x3 3x3 3x3 3x3"),
        (1835, "skip skip skip skip skip skip"),
        (9930, "3x3 3x3 3x3 skip 3x3 3x3"),
        (11472, "3x3 none 3x3 skip none skip"),
    ],
)
def test_known_cells_have_their_official_index(index, operations):
    assert from_index(index) == cell(operations)
    assert index_of(cell(operations)) == index


def test_the_index_counts_every_cell_once_and_back():
    architectures = all_architectures()
    assert len(set(architectures)) == CELLS == 15_625
    assert [index_of(text) for text in architectures] == list(range(CELLS))
    assert all(encode({"cell": decode(text)}) == text for text in architectures)


def test_the_index_leaves_the_global_random_state_alone():
    from_index.__globals__["_order"].cache_clear()
    before = random.getstate()
    from_index.__globals__["_order"]()
    assert random.getstate() == before


def test_rows_stand_in_the_string_in_order():
    text = encode({"cell": [*OPERATIONS, "none"]})
    assert text == (
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|"
        "+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    )
    assert FOUR.rows == ("1←0", "2←0", "2←1", "3←0", "3←1", "3←2")


@given(names)
def test_names_survive_the_string_and_the_index(choice):
    text = encode({"cell": choice})
    assert decode(text) == choice
    assert from_index(index_of(text)) == text


GOOD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "three groups"),
        ("all the best", "three groups"),
        (GOOD[:-1], "group 3"),
        (GOOD[1:], "group 1"),
        (GOOD + "|none~3|", "group 3"),
        (GOOD.replace("+", "++", 1), "three groups"),
        (GOOD.replace("~2", "~1"), "'~2'"),
        (GOOD.replace("none~2", "none"), "'~2'"),
        (GOOD.replace("none~2", "pool~2"), "no operation named 'pool'"),
        (GOOD.replace("none~2", "~2"), "no operation named ''"),
        (GOOD + "\n", "group 3"),
    ],
)
def test_a_malformed_string_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        decode(text)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="|+~012nonesk_cip", max_size=60))
def test_no_text_breaks_the_reader(text):
    try:
        choice = decode(text)
    except ValueError:
        return
    assert encode({"cell": choice}) == text


def test_wrong_choices_and_indices_are_refused():
    with pytest.raises(ValueError, match="6 operations"):
        encode({"cell": ["none"] * 5})
    with pytest.raises(ValueError, match="no operation named 'conv'"):
        encode({"cell": ["conv"] * 6})
    with pytest.raises(ValueError, match="one table named 'cell'"):
        encode({"normal": ["none"] * 6})
    for index in (-1, CELLS):
        with pytest.raises(ValueError, match="between 0 and 15624"):
            from_index(index)


def test_341_cells_do_not_connect_input_and_output():
    assert sum(not connected(text) for text in all_architectures()) == 341
    assert connected(cell("none none none skip none none"))
    assert connected(cell("avg none 3x3 none none 1x1"))
    assert not connected(cell("avg none 3x3 none none none"))
    assert not connected(cell("none none 3x3 none 3x3 3x3"))


def test_the_registered_space_speaks_the_same_language():
    part = spaces.get("nas-bench-201")
    space = part(part.Options())
    assert space.tables == {"cell": FOUR.rows}
    assert space.operations == OPERATIONS
    assert space.parameter_free == {"none", "skip_connect", "avg_pool_3x3"}
    best = from_index(9930)
    assert space.encode(space.decode(best)) == best
    described = space.describe(best)
    assert described["index"] == 9930
    assert (described["parameters"], described["flops"]) == (1_288_506, 184_730_250)
    weights = space.discrete_weights(best)["cell"]
    assert weights.shape == (6, 5)
    assert [OPERATIONS[op] for op in weights.argmax(1)] == list(decode(best))
    assert weights.sum() == 6
