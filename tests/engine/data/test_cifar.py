"""CIFAR-10 and CIFAR-100: found in every layout, opened only if it is genuine.

The files here are small ones in the published format; their checksums take the
place of the published ones.  (That the published 170 MB are read is shown by a
search on a folder that the user brings.)
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from searchjobs.engine.data.source import DataError, sources

Cifar10, Cifar100 = sources.get("cifar10"), sources.get("cifar100")


class Fixture:
    """A small CIFAR: 5 batches of 20 images for CIFAR-10, one of 200 for CIFAR-100."""

    def __init__(self, root: Path, source: Any, reader: Any, monkeypatch: Any) -> None:
        self.folder = root / source.base_folder
        self.folder.mkdir(parents=True)
        generator = np.random.default_rng(1)
        classes = len(source.class_names)
        per_batch = 20 if classes == 10 else 200
        key = "labels" if classes == 10 else "fine_labels"
        images, labels = [], []

        def listed(name: str) -> list[str]:
            data = generator.integers(0, 256, (per_batch, 3072), dtype=np.uint8)
            found = [number % classes for number in range(per_batch)]
            images.append(data)
            labels.extend(found)
            return [name, self.write(name, {"data": data, key: found})]

        monkeypatch.setattr(
            reader, "train_list", [listed(n) for n, _ in reader.train_list]
        )
        self.pixels = torch.from_numpy(np.concatenate(images)).view(-1, 3, 32, 32)
        self.labels = torch.tensor(labels)
        monkeypatch.setattr(
            reader, "test_list", [listed(n) for n, _ in reader.test_list]
        )
        meta = dict(reader.meta)
        meta["md5"] = self.write(
            meta["filename"], {meta["key"]: list(source.class_names)}
        )
        monkeypatch.setattr(reader, "meta", meta)
        monkeypatch.setattr(
            source, "images_per_class", len(self.labels) // len(source.class_names)
        )

    def write(self, name: str, content: object) -> str:
        (self.folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((self.folder / name).read_bytes()).hexdigest()

    def archive(self, path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as tar:
            tar.add(self.folder, self.folder.name)
        return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _no_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "empty-root"))
    monkeypatch.delenv("TORCH_HOME", raising=False)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fixture:
    return Fixture(tmp_path / "there", Cifar10, CIFAR10, monkeypatch)


def options(**given: Any) -> Any:
    return Cifar10.Options(**given)


def test_the_training_images_come_in_their_published_order(small: Fixture) -> None:
    images = Cifar10.load(options(path=str(small.folder.parent)))

    assert torch.equal(images.pixels, small.pixels)
    assert torch.equal(images.labels, small.labels)
    assert images.classes[3] == "cat"
    assert images.mean == pytest.approx((125.3 / 255, 123.0 / 255, 113.9 / 255))
    assert images.std == pytest.approx((63.0 / 255, 62.1 / 255, 66.7 / 255))


def test_cifar100_brings_its_fine_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Fixture(tmp_path / "there", Cifar100, CIFAR100, monkeypatch)

    images = Cifar100.load(Cifar100.Options(path=str(small.folder.parent)))

    assert torch.equal(images.pixels, small.pixels)
    assert len(set(images.classes)) == 100
    assert list(images.classes) == sorted(images.classes)
    assert images.mean == pytest.approx((129.3 / 255, 124.1 / 255, 112.4 / 255))


def test_the_inner_folder_may_be_named_too(small: Fixture) -> None:
    images = Cifar10.load(options(path=str(small.folder)))

    assert len(images.labels) == 100


def test_an_archive_is_unpacked_where_it_lies(
    small: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "archive"
    md5 = small.archive(place / CIFAR10.filename)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5)

    assert Cifar10.look(options(path=str(place))).images == 100
    assert len(Cifar10.load(options(path=str(place))).labels) == 100


def test_an_archive_that_was_changed_is_not_unpacked(
    small: Fixture, tmp_path: Path
) -> None:
    place = tmp_path / "archive"
    small.archive(place / CIFAR10.filename)

    with pytest.raises(DataError, match="not the published archive"):
        Cifar10.load(options(path=str(place)))
    assert sorted(file.name for file in place.iterdir()) == [CIFAR10.filename]


@pytest.mark.parametrize("where", ["", "cifar", "cifar.python"])
def test_the_data_root_is_searched(
    small: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    root = tmp_path / "root"
    (root / where).mkdir(parents=True, exist_ok=True)
    small.folder.rename(root / where / small.folder.name)
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(root))

    assert len(Cifar10.load(options()).labels) == 100


def test_torch_home_is_searched_too(
    small: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    small.folder.parent.rename(tmp_path / "torch" / "cifar.python")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    assert Cifar10.look(options()).images == 100


def test_a_missing_data_set_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no CIFAR-10 at .*nowhere") as caught:
        Cifar10.look(options(path=str(tmp_path / "nowhere")))
    assert caught.value.field == "path"


def test_with_a_download_allowed_nothing_need_be_there_to_look() -> None:
    summary = Cifar10.look(options(download=True, classes=["cat", "dog"]))

    assert summary.class_counts == (5000, 5000)


class _Bomb:
    """A pickle that leaves a mark if anybody opens it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_file_with_another_checksum_is_never_opened(
    small: Fixture, tmp_path: Path
) -> None:
    mark = tmp_path / "opened"
    small.write("data_batch_3", _Bomb(mark))

    with pytest.raises(DataError, match="checksums differ"):
        Cifar10.load(options(path=str(small.folder.parent)))
    assert not mark.exists()


def test_a_missing_batch_is_refused(small: Fixture) -> None:
    (small.folder / "data_batch_2").unlink()

    with pytest.raises(DataError, match="incomplete"):
        Cifar10.load(options(path=str(small.folder.parent)))


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a real server offers it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_download_fills_the_data_root_and_prints_nothing(
    small: Fixture,
    tmp_path: Path,
    web: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, address = web
    monkeypatch.setattr(CIFAR10, "tgz_md5", small.archive(folder / "cifar.tar.gz"))
    monkeypatch.setattr(CIFAR10, "url", f"{address}/cifar.tar.gz")

    images = Cifar10.load(options(download=True))

    assert torch.equal(images.pixels, small.pixels)
    assert (tmp_path / "empty-root" / small.folder.name).is_dir()
    assert capfd.readouterr().out == ""


def test_a_download_that_fails_says_why(
    web: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "url", f"{web[1]}/missing.tar.gz")

    with pytest.raises(DataError, match="could not be downloaded") as caught:
        Cifar10.load(options(download=True))
    assert "\n" not in str(caught.value)
