"""Zip files that people send: every trick is refused or told, with one sentence, and
nothing is ever written outside the folder that was named."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from searchjobs import zip_images
from searchjobs.zip_images import Limits, UploadError, unpack
from tests.jobs.zips import pets, picture, plain, zipped

WHOLE = zipped(pets()).getvalue()
LIMITS = Limits(files=500, unpacked=20_000_000, ratio=100, pixels=10_000_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "site" / "uploads" / "new"
    folder.mkdir(parents=True)
    return folder


def written(folder: Path) -> list[str]:
    """Return the files below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def refused(file: io.BytesIO, target: Path, limits: Limits = LIMITS) -> str:
    """Return the sentence of a refusal, which left nothing outside of the target."""
    with pytest.raises(UploadError) as caught:
        unpack(file, target, limits)
    site = target.parents[1]
    assert [path for path in written(site) if not path.startswith("uploads/new/")] == []
    assert written(site.parent) == [f"site/{path}" for path in written(site)]
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert sentence.count(". ") == 0
    return sentence


@pytest.mark.parametrize("root", ["", "pets/", "a/b/", "train/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_each_folder_of_images_becomes_a_class(
    target: Path, root: str, compression: int
) -> None:
    done = unpack(zipped(pets(root), compression), target, LIMITS)

    assert written(target) == [
        f"{name}/{number}.png" for name in ("cat", "dog") for number in range(3)
    ]
    assert (target / "dog" / "2.png").read_bytes() == picture(102)
    assert (done.images, done.left_out) == (6, ())
    assert done.size == sum(len(content) for content in pets().values())


def test_sets_keep_their_folders(target: Path) -> None:
    files = pets("pets/train/") | {"pets/test/cat/9.png": picture(9)}

    unpack(zipped(files), target, LIMITS)

    assert "test/cat/9.png" in written(target)
    assert "train/dog/0.png" in written(target)


def test_what_operating_systems_add_is_passed_over(target: Path) -> None:
    litter = {
        "__MACOSX/cat/._0.png": b"\0\5\x16\7",
        "cat/.DS_Store": b"\0\0\0\1Bud1",
        "cat/Thumbs.db": b"thumbs",
    }

    done = unpack(zipped(pets() | litter), target, LIMITS)

    assert done.left_out == ()
    assert len(written(target)) == 6


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "cat/../../evil.png",
        "cat/../../../../../../evil.png",
        "/evil.png",
        "//evil.png",
        "/etc/cron.d/evil",
        "C:/evil.png",
        "C:evil.png",
        "..\\..\\evil.png",
        "cat\\evil.png",
        "..",
    ],
)
def test_a_name_that_leads_out_is_refused(target: Path, name: str) -> None:
    assert "leads out of its folder" in refused(zipped({name: picture()}), target)
    assert "leads out" in refused(zipped(pets() | {name: picture()}), target)
    assert written(target) == []


@pytest.mark.parametrize(
    "name",
    [
        "cat/" + 121 * "x" + ".png",
        "cat//0.png",
        "cat/./0.png",
        "cat/a\nb.png",
        "a/b/c/d/e/f/g/h/0.png",
        "cat/\u202egnp.png",
        "cat/" + 100 * "\u4e16" + ".png",
    ],
)
def test_a_name_that_is_long_deep_or_cannot_be_printed_is_refused(
    target: Path, name: str
) -> None:
    sentence = refused(zipped(pets() | {name: picture()}), target)

    assert "too long, too deep or not printable" in sentence
    assert sentence.isprintable()


def forged(mode: int) -> io.BytesIO:
    link = zipfile.ZipInfo("cat/link.png")
    link.create_system = 3  # Unix
    link.external_attr = mode << 16
    buffer = zipped(pets())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(link, b"../../../../secret")
    return buffer


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK]
)
def test_links_and_devices_are_refused(target: Path, kind: int) -> None:
    assert "is a link or a device" in refused(forged(kind | 0o777), target)
    assert written(target) == []


def test_a_bomb_is_refused_by_its_ratio(target: Path) -> None:
    bomb = zipped({"cat/0.bmp": bytes(15_000_000)}, zipfile.ZIP_DEFLATED)

    assert "more than 100 times larger" in refused(bomb, target)
    assert written(target) == []


def test_one_bomb_among_images_is_refused(target: Path) -> None:
    filler = {f"cat/big{n}.png": picture(n, size=200) for n in range(2)}
    buffer = zipped(filler | pets())
    with zipfile.ZipFile(buffer, "a") as archive:
        bomb = zipfile.ZipInfo("dog/bomb.bmp")
        archive.writestr(bomb, bytes(10_000_000), zipfile.ZIP_DEFLATED)

    assert "'dog/bomb.bmp' becomes more than 100 times" in refused(buffer, target)


def test_more_than_may_be_unpacked_is_refused(target: Path) -> None:
    files = {f"cat/{n}.bmp": bytes(1_000_000) for n in range(21)}

    assert "holds 21 MB when it is unpacked" in refused(zipped(files), target)


def test_a_size_that_lies_is_not_believed(target: Path) -> None:
    """The directory says 10 bytes, the data hold ten million."""
    buffer = zipped({"cat/0.bmp": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    content = bytearray(buffer.getvalue())
    for at in (content.find(b"PK\x03\x04") + 22, content.find(b"PK\x01\x02") + 24):
        content[at : at + 4] = struct.pack("<L", 10)

    assert "damaged" in refused(io.BytesIO(bytes(content)), target)
    assert sum(path.stat().st_size for path in target.rglob("*")) == 0


def test_files_that_share_their_bytes_are_refused(target: Path) -> None:
    """The bomb of overlapping entries: many names, one content."""
    buffer = zipped({"cat/0.png": picture(), "cat/1.png": picture()})
    content = bytearray(buffer.getvalue())
    first = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", first + 1)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]

    assert "damaged" in refused(io.BytesIO(bytes(content)), target)


def test_too_many_files_are_refused(target: Path) -> None:
    files = {f"cat/{n}.png": b"" for n in range(501)}

    assert "more than 500 files" in refused(zipped(files), target)


def test_a_long_directory_is_refused_before_it_is_read(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the directory was read")

    buffer = zipped({f"cat/{'x' * 90}{n}.png": b"" for n in range(2000)})
    monkeypatch.setattr(zipfile, "ZipFile", never)

    assert "more than 500 files" in refused(buffer, target)


def test_the_format_for_huge_files_is_refused_before_it_is_read(target: Path) -> None:
    content = zipped(pets()).getvalue()
    at = content.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(16)
    file = io.BytesIO(content[:at] + locator + content[at:])

    assert "zip64" in refused(file, target)


def test_an_encrypted_file_is_refused(target: Path) -> None:
    content = bytearray(zipped(pets()).getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + offset] |= 1

    assert "is encrypted" in refused(io.BytesIO(bytes(content)), target)


@pytest.mark.parametrize("name", ["cat/more.zip", "cat/more.png"])
def test_an_archive_inside_is_refused_whatever_it_is_called(
    target: Path, name: str
) -> None:
    inner = zipped(pets()).getvalue()

    assert "is an archive inside" in refused(zipped(pets() | {name: inner}), target)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(target: Path, method: int) -> None:
    assert "packed in an unusual way" in refused(zipped(pets(), method), target)


def test_two_files_of_one_name_are_refused(target: Path) -> None:
    buffer = zipped(pets())
    with (
        zipfile.ZipFile(buffer, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("cat/0.png", picture(9))

    assert "two files of the same name" in refused(buffer, target)


@pytest.mark.parametrize(
    "content",
    [
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-10],
        b"",
        b"no zip file at all",
        WHOLE[:60] + b"damage" + WHOLE[66:],
        picture(),
    ],
)
def test_what_is_no_whole_zip_file_is_refused(target: Path, content: bytes) -> None:
    assert "zip file" in refused(io.BytesIO(content), target)


@pytest.mark.parametrize(
    ("width", "height"), [(10_000, 1_000), (4_000, 2_500), (10_000, 10_000)]
)
def test_ten_million_pixels_are_left_out_and_told(
    target: Path, width: int, height: int
) -> None:
    files = pets() | {"cat/large.png": plain(width, height)}

    done = unpack(zipped(files), target, LIMITS)

    sentence = (
        f"It has {width:,} x {height:,} pixels, and fewer than 10,000,000 are taken; "
        "make it smaller."
    )
    assert done.left_out == (("cat/large.png", sentence),)
    assert "cat/large.png" not in written(target)


def test_just_under_the_limit_is_taken(target: Path) -> None:
    files = pets() | {"cat/large.png": plain(9_999, 1_000)}

    assert unpack(zipped(files), target, LIMITS).images == 7


def test_a_wrong_ending_does_not_matter_the_content_decides(target: Path) -> None:
    files = pets() | {
        "cat/photo.png": picture(7, kind="JPEG"),
        "cat/image.txt": picture(8),
        "cat/script.png": b"#!/bin/sh\nrm -rf /\n",
        "cat/page.jpg": b"%!PS-Adobe-3.0 EPSF-3.0",
    }

    done = unpack(zipped(files), target, LIMITS)

    no_image = "It is not an image of a known format."
    assert dict(done.left_out) == {"cat/script.png": no_image, "cat/page.jpg": no_image}
    assert {"cat/photo.png", "cat/image.txt.png"} <= set(written(target))


def test_files_beside_the_classes_are_left_out_and_told(target: Path) -> None:
    files = pets("pets/") | {
        "pets/README.txt": b"about the pets",
        "pets/cat/kittens/0.png": picture(50),
    }

    done = unpack(zipped(files), target, LIMITS)

    assert dict(done.left_out) == {
        "pets/README.txt": "It lies in no class folder.",
        "pets/cat/kittens/0.png": "It lies in a folder inside its class folder.",
    }


def test_an_image_in_pieces_is_for_the_check_to_find(target: Path) -> None:
    files = pets() | {"cat/cut.png": picture(3)[:-40]}

    assert unpack(zipped(files), target, LIMITS).images == 7


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"bird/": b""}, ""),
        ({"bird/0.png": b"no image"}, "'bird/0.png': It is not an image"),
        ({"bird/0.png": plain(10_000, 1_000)}, "10,000 x 1,000 pixels"),
    ],
)
def test_a_class_without_an_image_is_refused(
    target: Path, extra: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(UploadError, match=r"The class 'bird' has no image") as caught:
        unpack(zipped(pets() | extra), target, LIMITS)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "files",
    [{}, {"0.png": picture()}, {"cat/0.png": picture(), "cat/1.png": picture(1)}],
)
def test_fewer_than_two_classes_are_refused(
    target: Path, files: dict[str, bytes]
) -> None:
    assert "fewer than two folders" in refused(zipped(files), target)


def test_a_file_too_large_for_an_image_is_not_read_whole(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_images, "MOST_FILE", 1_000)
    files = pets() | {"cat/long.png": picture(4, size=40)}

    done = unpack(zipped(files), target, LIMITS)

    assert [path for path, _ in done.left_out] == ["cat/long.png"]


NAMES = st.text(
    st.sampled_from("ab./\\:\0\n~ é") | st.characters(max_codepoint=0x3000),
    min_size=1,
    max_size=20,
)


@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_name_at_all_leads_out_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("names")
    target = root / "a" / "b" / "c"
    target.mkdir(parents=True)
    with suppress(UploadError):
        unpack(zipped(pets() | dict.fromkeys(names, picture())), target, LIMITS)

    assert all(path.startswith("a/b/c/") for path in written(root))
