"""What is kept in memory, what somebody looks for, how scores are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasweb.explorer.bounded import Bounded
from nasweb.explorer.find import Found, meant
from nasweb.explorer.gallery import PAGE, Asked, asked, short
from nasweb.explorer.tables import headline
from tests.site.explorer.made_up import event

KEYS = ["set", "epoch", "show", "class", "q", "page"]
CLASSES = ["airplane", "automobile", "cat", "aquarium_fish"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=40))
def test_no_more_is_kept_than_there_is_room(asked_for: list[tuple[int, int]]) -> None:
    kept: Bounded[bytes] = Bounded(100, len)
    for key, size in asked_for:
        kept.get(key, lambda size=size: bytes(size))
        assert kept.bytes <= 100


def test_the_value_asked_for_least_recently_goes() -> None:
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return bytes(40)

    kept: Bounded[bytes] = Bounded(100, len)
    for name in ("a", "b", "a", "c", "a", "b"):
        kept.get(name, lambda name=name: make(name))
    assert made == ["a", "b", "c", "b"]
    kept.get("large", lambda: bytes(101))
    assert kept.bytes == 80
    kept.clear()
    assert kept.bytes == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12", Found(ids=(12,))),
        ("12, 40 88,12", Found(ids=(12, 40, 88))),
        ("cat", Found(label=2)),
        ("CAT", Found(label=2)),
        ("auto", Found(label=1)),
        ("aquarium fish", Found(label=3)),
    ],
)
def test_ids_and_classes_are_understood(text: str, found: Found) -> None:
    assert meant(text, CLASSES, 100) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", "Several classes begin with “a”: airplane, automobile, aquarium_fish"),
        ("dog", "There is no class “dog”. Write an id"),
        ("12, cat", "There is no class"),
        ("100", "There is no image 100: the ids go from 0 to 99."),
        ("9" * 500, "There is no image"),
        (",", "There is no class"),
        (" ".join(map(str, range(PAGE + 1))), "give at most 96"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_a_sentence(text: str, words: str) -> None:
    error = meant(text, CLASSES, 100).error
    assert words in error
    assert error.endswith(".")


def test_ids_win_where_classes_are_named_by_digits() -> None:
    assert meant("3", [str(digit) for digit in range(10)], None).ids == (3,)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.01234, ".0123"),
        (0.0, ".0000"),
        (-0.25, "-.2500"),
        (4.2123, "4.21"),
        (1.2e-6, "1.2e-06"),
        (3e7, "3.0e+07"),
        (float("nan"), "–"),
        (0.99999, "1.0000"),
    ],
)
def test_scores_are_short(number: float, text: str) -> None:
    assert short(number) == text


@given(
    st.builds(
        Asked,
        set=st.sampled_from(["T", "V"]),
        epoch=st.none() | st.integers(0, 999),
        show=st.sampled_from(["", "pruned", "in"]),
        label=st.none() | st.integers(0, 99),
        ids=st.lists(st.integers(0, 9999), max_size=5).map(tuple),
        page=st.integers(1, 50),
    )
)
def test_an_address_says_what_it_was_made_of(wanted: Asked) -> None:
    from django.http import QueryDict

    assert asked(QueryDict(wanted.query()).dict()) == wanted


@given(
    st.dictionaries(
        st.sampled_from(["set", "epoch", "show", "class", "q", "page"]), st.text()
    )
)
def test_any_address_is_read(given_: dict[str, str]) -> None:
    found = asked(given_)
    assert found.set in {"T", "V"}
    assert found.page >= 1


@pytest.mark.parametrize(
    ("criterion", "score", "words"),
    [
        ("low", "gain on V", "10 of 40 pruned, lowest gain on V; 12 were asked for"),
        ("random", "random draw", "10 of 40 pruned, by chance; 12 were asked for"),
    ],
)
def test_an_event_is_told_in_one_line(criterion: str, score: str, words: str) -> None:
    told = event(
        5, "T", 40, 30, removed=10, requested=12, criterion=criterion, score=score
    )
    assert words in headline(told.model_dump())
