"""A folder of images, written with Pillow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from searchjobs.engine.data import decode
from searchjobs.engine.data.decode import UnreadableError, square
from searchjobs.engine.data.source import DataError, sources

Folder = sources.get("folder")


def options(path: Path | str, **given: Any) -> Any:
    return Folder.Options(path=str(path), **given)


def picture(seed: int, width: int = 8, height: int = 8) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three cats and four dogs, 8x8, without loss."""
    root = tmp_path / "pets"
    for name, count in (("dog", 4), ("cat", 3)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(picture(number))
            image.save(root / name / f"{number}.png")
    return root


def test_each_sub_folder_is_a_class_in_the_order_of_names(tree: Path) -> None:
    images = Folder.load(options(tree, image_size=8))

    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    expected = torch.from_numpy(picture(2)).permute(2, 0, 1)
    assert torch.equal(images.pixels[2], expected)
    assert torch.equal(images.pixels[5], expected)


def test_looking_counts_without_decoding(tree: Path) -> None:
    (tree / "cat" / "9.png").write_bytes(b"no image at all")

    summary = Folder.look(options(tree))

    assert summary.class_counts == (4, 4)
    assert summary.image_size == 32


def test_looking_again_sees_a_new_image(tree: Path) -> None:
    assert Folder.look(options(tree)).images == 7
    Image.fromarray(picture(5)).save(tree / "cat" / "5.png")
    os.utime(tree / "cat", (1, 1))

    assert Folder.look(options(tree)).images == 8


def test_a_train_folder_inside_is_used(tree: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    tree.rename(outer / "train")
    (outer / "test" / "cat").mkdir(parents=True)

    assert Folder.look(options(outer)).classes == ("cat", "dog")


def sets(tree: Path, outer: Path, *parts: str) -> Path:
    """Put the tree into ``train``, and a cat, two dogs and a bird into other parts."""
    outer.mkdir()
    tree.rename(outer / "train")
    for part in parts:
        for label, count in (("cat", 1), ("dog", 2), ("bird", 1)):
            (outer / part / label).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(picture(len(part) + number))
                image.save(outer / part / label / f"{number}.png")
    return outer


@pytest.mark.parametrize("parts", [("val",), ("test", "val")])
def test_test_images_lie_beside_the_folder_named_train(
    tree: Path, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    given = options(sets(tree, tmp_path / "outer", *parts), image_size=8, per_class=1)

    found = Folder.load_test(given)

    assert found is not None
    assert found.classes == Folder.load(given).classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 1, 1]
    expected = torch.from_numpy(picture(len(parts[0]) + 1)).permute(2, 0, 1)
    assert torch.equal(found.pixels[2], expected)


def test_classes_to_keep_are_kept_of_the_test_images_by_their_names(
    tree: Path, tmp_path: Path
) -> None:
    root = sets(tree, tmp_path / "outer", "test")
    (root / "train" / "ant").mkdir()
    Image.fromarray(picture(1)).save(root / "train" / "ant" / "0.png")

    # numbers count the classes that train: 1 is the cat there, and the bird's here
    found = Folder.load_test(options(root, classes=[1, 2]))

    assert found is not None
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 1, 1]
    assert Folder.load_test(options(root)) is None, "no ant to test by"


def test_a_folder_without_a_train_folder_has_no_test_images(tree: Path) -> None:
    assert Folder.load_test(options(tree)) is None
    (tree / "test" / "cat").mkdir(parents=True)
    assert Folder.load_test(options(tree)) is None


def test_a_test_folder_without_classes_is_passed_over(
    tree: Path, tmp_path: Path
) -> None:
    """As that of ImageNet, whose images nobody may know."""
    root = sets(tree, tmp_path / "outer", "val")
    (root / "test").mkdir()
    Image.fromarray(picture(1)).save(root / "test" / "0001.png")

    found = Folder.load_test(options(root))

    assert found is not None
    assert len(found.labels) == 3


def test_per_class_and_classes_choose_before_anything_is_decoded(tree: Path) -> None:
    (tree / "dog" / "zz.png").write_bytes(b"broken, but beyond the first three")
    (tree / "bird").mkdir()
    (tree / "bird" / "0.png").write_bytes(b"broken, but not chosen")

    images = Folder.load(options(tree, classes="dog, cat", per_class=3))

    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_images_of_any_shape_become_squares_of_the_size(tree: Path) -> None:
    Image.fromarray(picture(7, width=16, height=8)).save(tree / "cat" / "wide.png")

    images = Folder.load(options(tree, image_size=4))

    assert images.pixels.shape == (8, 3, 4, 4)
    centre = picture(7, width=16, height=8)[:, 4:12].astype(float)
    averaged = centre.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    found = images.pixels[3].permute(1, 2, 0).numpy().astype(float)
    assert np.abs(found - averaged).max() <= 0.5


def test_grey_and_palette_images_become_colours(tree: Path) -> None:
    grey = Image.fromarray(picture(3)).convert("L")
    grey.save(tree / "cat" / "grey.png")
    Image.fromarray(picture(3)).convert("P").save(tree / "cat" / "palette.gif")

    images = Folder.load(options(tree, image_size=8))

    shades = torch.from_numpy(np.array(grey))
    assert torch.equal(images.pixels[3], shades.expand(3, -1, -1))


def test_a_photograph_is_turned_upright(tree: Path) -> None:
    image = Image.fromarray(picture(3))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tree / "cat" / "turned.png", exif=exif)

    images = Folder.load(options(tree, image_size=8))

    expected = torch.from_numpy(picture(3)).permute(2, 0, 1).flip(1, 2)
    assert torch.equal(images.pixels[3], expected)


def test_broken_images_are_left_out_and_each_is_told(tree: Path) -> None:
    for number in range(7):
        (tree / "dog" / f"0bad{number}.jpg").write_bytes(b"no image at all")

    images = Folder.load(options(tree, image_size=8))

    assert [each.path for each in images.unreadable] == [
        f"dog/0bad{number}.jpg" for number in range(7)
    ]
    assert {each.sentence for each in images.unreadable} == {
        "It is not an image of a known format."
    }
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    expected = torch.from_numpy(picture(0)).permute(2, 0, 1)
    assert torch.equal(images.pixels[3], expected)


def test_the_others_are_as_if_the_broken_ones_were_never_there(tree: Path) -> None:
    before = Folder.load(options(tree, image_size=8))
    (tree / "cat" / "1a.png").write_bytes(b"")

    after = Folder.load(options(tree, image_size=8))

    assert torch.equal(after.pixels, before.pixels)
    assert after.fingerprint == before.fingerprint
    assert (after.mean, after.std) == (before.mean, before.std)


def test_an_image_cut_off_in_the_middle_is_left_out(tree: Path) -> None:
    whole = (tree / "dog" / "0.png").read_bytes()
    (tree / "dog" / "0.png").write_bytes(whole[: len(whole) // 2])

    images = Folder.load(options(tree))

    (found,) = images.unreadable
    assert (found.path, found.sentence) == ("dog/0.png", "It is damaged or cut off.")
    assert len(images.labels) == 6


def test_a_class_of_which_nothing_can_be_read_is_refused(tree: Path) -> None:
    for file in (tree / "cat").iterdir():
        file.write_bytes(b"broken")

    with pytest.raises(DataError, match=r"No image of the class 'cat' can be read, as"):
        Folder.load(options(tree))


def test_more_than_8_bits_a_channel_are_not_silently_clipped(tree: Path) -> None:
    deep = Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16))
    deep.save(tree / "cat" / "deep.png")

    (found,) = Folder.load(options(tree)).unreadable

    assert found.path == "cat/deep.png"
    assert found.sentence == "It has more than 8 bits a channel; save it with 8."


def test_the_content_of_a_file_decides_and_not_its_ending(tree: Path) -> None:
    (tree / "cat" / "0.png").rename(tree / "cat" / "0.jpg")
    (tree / "cat" / "1.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1"
    )

    images = Folder.load(options(tree, image_size=8))

    assert [each.path for each in images.unreadable] == ["cat/1.png"]
    assert len(images.labels) == 6


def test_an_image_of_too_many_pixels_is_known_from_its_header(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a bomb was decoded")

    bomb = Image.new("1", (10_000, 10_000))
    bomb.save(tree / "cat" / "bomb.png")
    monkeypatch.setattr(ImageOps, "exif_transpose", never)

    with pytest.raises(UnreadableError, match="10,000 x 10,000 pixels"):
        square(tree / "cat" / "bomb.png", 8)


def test_loading_tells_how_far_it_is(tree: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(decode, "TOLD_EVERY", 3)

    assert list(Folder.loading(options(tree))) == [3, 6, 7]


def test_a_folder_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder .*nowhere") as caught:
        Folder.look(options(tmp_path / "nowhere"))
    assert caught.value.field == "path"


def test_no_path_at_all_says_what_to_give() -> None:
    with pytest.raises(DataError, match="give the folder"):
        Folder.look(options(""))


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No class is found"):
        Folder.look(options(tmp_path))


def test_an_empty_class_is_named(tree: Path) -> None:
    (tree / "bird").mkdir()

    with pytest.raises(DataError, match="'bird' has no images"):
        Folder.look(options(tree))
