"""Options that every source has, tried on the digits that ship with scikit-learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits

from searchjobs.engine.data.prepare import Published, measure, prepare, resize
from searchjobs.engine.data.source import DataError, SourceOptions, sources
from searchjobs.engine.problems import SpecError
from searchjobs.engine.validation import validate

Digits = sources.get("digits")


def digits(**given: Any) -> Any:
    return Digits.Options(**given)


def test_the_digits_are_real_images_with_ids_in_their_own_order() -> None:
    images = Digits.load(digits())

    raw = load_digits()
    assert images.pixels.shape == (1797, 3, 8, 8)
    assert images.pixels.dtype == torch.uint8
    assert torch.equal(images.labels, torch.from_numpy(raw.target).long())
    grey = torch.from_numpy(raw.images[17] * 255 / 16).round().to(torch.uint8)
    assert torch.equal(images.pixels[17, 1], grey)
    assert images.mean[0] == pytest.approx(raw.images.mean() / 16, abs=1e-3)


def test_looking_says_what_loading_gives() -> None:
    for given in ({}, {"classes": ["3", "7"], "per_class": 50, "image_size": 16}):
        summary, images = Digits.look(digits(**given)), Digits.load(digits(**given))

        counts = images.labels.bincount().tolist()
        assert list(summary.class_counts) == counts
        assert summary.classes == images.classes
        assert summary.image_size == images.pixels.shape[-1]


def test_classes_may_be_named_or_numbered_or_written_in_a_form() -> None:
    for given in (["3", "7"], [3, 7], "7, 3", ("3", 7)):
        assert Digits.load(digits(classes=given)).classes == ("3", "7")


def test_chosen_classes_are_renumbered_in_the_order_of_the_data_set() -> None:
    images = Digits.load(digits(classes=["7", "3"], per_class=5))

    raw = load_digits()
    first = sorted(
        [i for i, t in enumerate(raw.target) if t == 3][:5]
        + [i for i, t in enumerate(raw.target) if t == 7][:5]
    )
    expected = [0 if raw.target[i] == 3 else 1 for i in first]
    assert images.labels.tolist() == expected


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DataError, match=r"no class 'cat'.*it has 0, 1, 2") as caught:
        Digits.look(digits(classes=["1", "cat"]))
    assert caught.value.field == "classes"


def test_one_class_is_too_few_for_a_search() -> None:
    with pytest.raises(DataError, match="at least two classes"):
        Digits.look(digits(classes=["1"]))


def test_a_class_without_images_is_refused() -> None:
    pixels = torch.zeros(4, 3, 4, 4, dtype=torch.uint8)
    labels = torch.tensor([0, 0, 1, 1])

    with pytest.raises(DataError, match="'c' has no images"):
        prepare(pixels, labels, ("a", "b", "c"), SourceOptions())


@pytest.mark.parametrize(
    ("field", "value"),
    [("per_class", 0), ("image_size", 2), ("normalise", "never"), ("classes", 3)],
)
def test_nonsense_is_refused_at_its_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        digits(**{field: value})


def test_shrinking_averages_areas() -> None:
    pixels = torch.randint(256, (5, 3, 8, 8), generator=torch.Generator()).to(
        torch.uint8
    )

    small = resize(pixels, 4)

    blocks = pixels.double().view(5, 3, 4, 2, 4, 2).mean(dim=(3, 5))
    assert (small.double() - blocks).abs().max() <= 0.5


def test_images_that_are_not_square_are_cut_to_their_centre() -> None:
    pixels = torch.zeros(1, 3, 4, 8, dtype=torch.uint8)
    pixels[..., 2:6] = 200

    assert (resize(pixels, 4) == 200).all()


def test_images_that_are_not_square_need_a_size() -> None:
    pixels = torch.zeros(4, 3, 4, 8, dtype=torch.uint8)

    with pytest.raises(DataError, match="8x4 pixels") as caught:
        prepare(pixels, torch.tensor([0, 0, 1, 1]), ("a", "b"), SourceOptions())
    assert caught.value.field == "image_size"


def test_measured_constants_are_those_of_numpy() -> None:
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(256, (50, 3, 5, 5), generator=generator).to(torch.uint8)

    found = measure(pixels)

    shares = pixels.double() / 255
    assert found.mean == pytest.approx(shares.mean(dim=(0, 2, 3)).tolist())
    std = shares.std(dim=(0, 2, 3), correction=0)
    assert found.std == pytest.approx(std.tolist())


def test_a_channel_without_contrast_does_not_divide_by_zero() -> None:
    assert measure(torch.full((4, 3, 2, 2), 7, dtype=torch.uint8)).std == (1, 1, 1)


def test_published_constants_hold_only_for_all_images_at_their_own_size() -> None:
    pixels = torch.randint(256, (8, 3, 8, 8), generator=torch.Generator())
    pixels, labels = pixels.to(torch.uint8), torch.tensor([0, 1] * 4)
    published = Published((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))

    def mean(**given: Any) -> tuple[float, ...]:
        options = SourceOptions(**given)
        return prepare(pixels, labels, ("a", "b"), options, published).mean

    assert mean() == published.mean
    assert mean(image_size=8) == published.mean
    assert mean(per_class=4) == published.mean
    assert mean(per_class=3) != published.mean
    assert mean(image_size=4) != published.mean
    assert mean(normalise="measured") != published.mean


def test_the_fingerprint_sees_pixels_labels_and_choice() -> None:
    prints = {
        Digits.load(digits(**given)).fingerprint
        for given in ({}, {"per_class": 9}, {"image_size": 16}, {"classes": [1, 2]})
    }

    assert len(prints) == 4
    assert Digits.load(digits()).fingerprint in prints


def test_constants_that_are_given_are_used() -> None:
    source = sources.get("digits")
    options = source.Options(normalise="given", mean="0.1, 0.2,0.3", std=[0.4, 0.5, 1])

    images = source.load(options)

    assert images.mean == (0.1, 0.2, 0.3)
    assert images.std == (0.4, 0.5, 1.0)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"normalise": "given"}, "dataset.mean", "give these constants too"),
        (
            {"normalise": "given", "mean": "0.1, 0.2, 0.3"},
            "dataset.std",
            "give these constants too",
        ),
        (
            {"mean": "0.1, 0.2, 0.3", "std": "1, 1, 1"},
            "dataset.normalise",
            "choose the given normalisation",
        ),
        (
            {"normalise": "given", "mean": "125, 123, 114", "std": "1, 1, 1"},
            "dataset.mean",
            "divide by 255",
        ),
        ({"mean": "0.1, 0.2"}, "dataset.mean", "three numbers"),
        ({"mean": "grey"}, "dataset.mean", "three numbers"),
        (
            {"normalise": "given", "mean": "0, 0, 0", "std": "1, 0, 1"},
            "dataset.std",
            "cannot be divided by",
        ),
    ],
)
def test_constants_that_do_not_fit_are_told_at_their_field(
    given: dict[str, str], field: str, words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        validate({"dataset": {"name": "digits", **given}})

    told = {problem.field: problem.sentence for problem in caught.value.problems}
    assert words in told[field]
