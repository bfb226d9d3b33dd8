"""Unpack a zip file of images that somebody has sent: nothing in it is trusted.

The names inside decide nothing but class and file name; the content of a file decides
whether it is an image.  What makes the whole doubtful is refused with a sentence; a
file that is merely no image is left out and told.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from .engine.data.decode import ENDINGS, FORMATS

#: Ending for an image whose name has none of its format.
SUFFIX = {"JPEG": ".jpg", "TIFF": ".tif", "PPM": ".ppm"}
#: Folders inside that hold sets, not classes.
SETS = ("train", "test", "val")
MOST_NAME, MOST_DEPTH = 120, 8  # characters of a name, folders above each other
#: Bytes of one image: it is read into memory.
MOST_FILE = 64 * 2**20
#: Small files may well be compressed more than a bomb.
SMALL = 2**20
#: Bytes of the directory of a zip file, for each file that may be in it.
DIRECTORY_BYTES = 400
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf\x27\x1c")
_DRIVE = re.compile(r"[A-Za-z]:")
#: What operating systems put beside images.
_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


class UploadError(ValueError):
    """The file cannot be taken; the message is a sentence."""


@dataclass(frozen=True)
class Limits:
    """What a zip file may hold.

    Attributes:
        files: entries, folders included; zip has room for 65,535.
        unpacked: bytes of all files together.
        ratio: unpacked to packed, of all files and of each large one.
        pixels: an image has fewer.
    """

    files: int
    unpacked: int
    ratio: int
    pixels: int


@dataclass(frozen=True)
class Unpacked:
    """What was written.

    Attributes:
        images: how many.
        size: their bytes.
        left_out: path in the zip file, and a sentence, of each other file.
    """

    images: int
    size: int
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Entry:
    """A file inside, and its place below the class folders."""

    info: zipfile.ZipInfo
    parts: tuple[str, ...]


def unpack(file: IO[bytes], target: Path, limits: Limits) -> Unpacked:
    """Write the images of a zip file to ``target/class/name``.

    Args:
        file: the zip file, at any position.
        target: a folder that is there and empty; the caller removes it if this fails.
        limits: what is refused.

    Raises:
        UploadError: the whole is refused.
        OSError: the disk is full, or ``target`` may not be written.
    """
    size = _refuse_large_directory(file, limits)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            _refuse_totals(infos, size, limits)
            for info in infos:
                _refuse_entry(info, limits)
            entries, folders = _placed(infos)
            return _write(archive, entries, folders, target, limits)
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError),
        *(NotImplementedError, struct.error, RuntimeError, UnicodeDecodeError),
    ):
        raise UploadError(
            "The zip file is damaged or cut off; pack it again and send it anew."
        ) from None


def _refuse_large_directory(file: IO[bytes], limits: Limits) -> int:
    """Read the end of the file by hand, because Python would read a directory of any
    length into memory; return the size of the file in bytes."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 22 - 65_535))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise UploadError(
            "This is not a zip file, or it is cut off; send a zip file with one "
            "folder of images for each class."
        )
    length = struct.unpack("<4s4H2LH", tail[at : at + 22])[5]
    if tail[max(0, at - 20) : at].startswith(_END_64):
        raise UploadError(
            "The zip file is written for more than 65,535 files or 4 GB (zip64); send "
            "fewer images, or put the folder on the server and register it there."
        )
    if length > limits.files * DIRECTORY_BYTES:
        raise UploadError(_too_many(limits))
    return size


def _too_many(limits: Limits) -> str:
    return (
        f"The zip file holds more than {limits.files:,} files; send fewer, or put the "
        "folder on the server and register it there."
    )


def _refuse_totals(infos: Sequence[zipfile.ZipInfo], size: int, limits: Limits) -> None:
    if len(infos) > limits.files:
        raise UploadError(_too_many(limits))
    unpacked = sum(info.file_size for info in infos)
    if unpacked > limits.unpacked:
        raise UploadError(
            f"The zip file holds {_mb(unpacked)} when it is unpacked, and "
            f"{_mb(limits.unpacked)} are allowed; send fewer or smaller images."
        )
    if unpacked > max(size * limits.ratio, SMALL):
        raise UploadError(_bomb("The zip file", limits))
    names = {info.filename for info in infos}
    if len(names) < len(infos):
        raise UploadError(_twice())


def _twice() -> str:
    return "The zip file holds two files of the same name; pack it again."


def _bomb(what: str, limits: Limits) -> str:
    return (
        f"{what} becomes more than {limits.ratio} times larger when it is unpacked, as "
        "no images do; pack the images themselves."
    )


def _refuse_entry(info: zipfile.ZipInfo, limits: Limits) -> None:
    """Refuse the whole if an entry is what no folder of images has."""
    name = shown(info.filename)
    if info.flag_bits & 0x1:
        raise UploadError(f"{name} is encrypted; pack the images without a password.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise UploadError(
            f"{name} is a link or a device and no file; pack the images themselves."
        )
    parts = info.filename.rstrip("/").split("/")
    leads_out = ".." in parts or info.filename.startswith("/")
    if leads_out or _DRIVE.match(info.filename) or "\\" in info.filename:
        raise UploadError(
            f"{name} leads out of its folder; pack the images with plain names."
        )
    if not all(_is_plain(part) for part in parts) or len(parts) > MOST_DEPTH:
        raise UploadError(
            f"{name} has a name that is too long, too deep or not printable; use plain "
            f"names of at most {MOST_NAME} characters."
        )
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UploadError(
            f"{name} is packed in an unusual way; pack it as a common zip file."
        )
    if info.file_size > max(SMALL, info.compress_size * limits.ratio):
        raise UploadError(_bomb(name, limits))


def _is_plain(part: str) -> bool:
    fits = 0 < len(part) <= MOST_NAME and len(part.encode()) <= 255
    return fits and part != "." and part.isprintable()


def shown(name: str) -> str:
    """Return a name from inside as a sentence may show it."""
    text = "".join(each if each.isprintable() else "?" for each in name)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _placed(
    infos: Sequence[zipfile.ZipInfo],
) -> tuple[list[_Entry], list[tuple[str, ...]]]:
    """Return files and folders, without the folders around all of the classes and
    without what operating systems add."""
    split = [(info, tuple(info.filename.rstrip("/").split("/"))) for info in infos]
    own = [
        (info, parts)
        for info, parts in split
        if not any(part in _LITTER or part.startswith(".") for part in parts)
    ]
    files = [_Entry(info, parts) for info, parts in own if not info.is_dir()]
    folders = [parts for info, parts in own if info.is_dir()]
    while _is_wrapped([each.parts for each in files]):
        files = [_Entry(each.info, each.parts[1:]) for each in files]
        folders = [parts[1:] for parts in folders if len(parts) > 1]
    return files, folders


def _is_wrapped(paths: Sequence[tuple[str, ...]]) -> bool:
    """Say whether all files lie in one folder that is above the classes."""
    return len({parts[0] for parts in paths}) == 1 and any(
        len(parts) > 2 for parts in paths
    )


def _write(
    archive: zipfile.ZipFile,
    entries: Sequence[_Entry],
    folders: Sequence[tuple[str, ...]],
    target: Path,
    limits: Limits,
) -> Unpacked:
    depth = 3 if any(_is_in_set(each.parts) for each in entries) else 2
    left_out: list[tuple[str, str]] = []
    classes: set[tuple[str, ...]] = set()
    images = size = 0
    for entry, content in _contents(archive, entries, limits):
        found = _fault(entry.parts, content, depth, limits)
        if isinstance(found, str):
            left_out.append((entry.info.filename, found))
            continue
        place = target.joinpath(*entry.parts[:-1])
        place.mkdir(parents=True, exist_ok=True)
        try:
            # "x": whatever the file system makes of names, no file is written twice
            with (place / _named(entry.parts[-1], found)).open("xb") as file:
                file.write(content)
        except FileExistsError:
            raise UploadError(_twice()) from None
        classes.add(entry.parts[:-1])
        images, size = images + 1, size + len(content)
    _refuse_empty(classes, entries, folders, depth, left_out)
    return Unpacked(images, size, tuple(left_out))


def _contents(
    archive: zipfile.ZipFile, entries: Sequence[_Entry], limits: Limits
) -> Iterator[tuple[_Entry, bytes]]:
    """Read one file after the other; sizes are counted, not believed."""
    left = limits.unpacked
    for entry in entries:
        with archive.open(entry.info) as opened:
            content = opened.read(min(left, MOST_FILE) + 1)
        left -= len(content)
        if left < 0:
            raise UploadError(_bomb("The zip file", limits))
        if content.startswith(_ARCHIVES):
            raise UploadError(
                f"{shown(entry.info.filename)} is an archive inside the zip file; pack "
                "the images themselves."
            )
        yield entry, content


def _fault(
    parts: tuple[str, ...], content: bytes, depth: int, limits: Limits
) -> str | Image.Image:
    """Return the opened image, or the sentence that says why it is left out."""
    if len(parts) < depth or (depth == 3 and not _is_in_set(parts)):
        return "It lies in no class folder."
    if len(parts) > depth:
        return "It lies in a folder inside its class folder."
    if len(content) > MOST_FILE:
        return f"It has more than {_mb(MOST_FILE)}; make it smaller."
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        return f"It has far more than {limits.pixels:,} pixels; make it smaller."
    # a broken file makes Pillow raise almost anything
    except Exception:
        return "It is not an image of a known format."
    width, height = image.size
    if width * height >= limits.pixels:
        return (
            f"It has {width:,} x {height:,} pixels, and fewer than {limits.pixels:,} "
            "are taken; make it smaller."
        )
    return image


def _is_in_set(parts: tuple[str, ...]) -> bool:
    return len(parts) == 3 and parts[0] in SETS


def _named(name: str, image: Image.Image) -> str:
    """Return a file name with an ending by which it is found to be an image."""
    if name.lower().endswith(ENDINGS):
        return name
    kind = image.format or "PNG"
    return name + SUFFIX.get(kind, f".{kind.lower()}")


def _refuse_empty(
    classes: set[tuple[str, ...]],
    entries: Sequence[_Entry],
    folders: Sequence[tuple[str, ...]],
    depth: int,
    left_out: Sequence[tuple[str, str]],
) -> None:
    """Refuse the whole if a class, or all of them, has no image."""
    named = {e.parts[:-1] for e in entries if len(e.parts) == depth}
    named |= {parts for parts in folders if len(parts) == depth - 1}
    if depth == 3:
        named = {parts for parts in named if parts[0] in SETS}
    if empty := sorted(named - classes):
        why = next((f" ({shown(path)}: {sentence})" for path, sentence in left_out), "")
        raise UploadError(
            f"The class {'/'.join(empty[0])!r} has no image{why}; add some, or leave "
            "its folder out."
        )
    if sum(depth == 2 or parts[0] == SETS[0] for parts in classes) < 2:
        raise UploadError(
            "The zip file holds fewer than two folders with images; put the images of "
            "each class into a folder of its own."
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
