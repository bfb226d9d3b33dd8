"""Time what the data side costs: statistics a step, choices, the path of the images.

    python tests/benchmarks/data.py [--rounds R] [--part statistics choices images]

One process, one thread (and two loader workers where the table says so); images and
scores are random.  The variants of a table take turns inside every round.  A ratio is
taken within its round; tables show median, least and greatest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from searchjobs.engine.contracts import Pool, Snapshot, selections
from searchjobs.engine.contracts.reduction import ClassRule
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import Images
from searchjobs.engine.scoring_network import ScoringNetwork
from searchjobs.engine.sections import Augmentation
from searchjobs.engine.seeding import Streams
from searchjobs.engine.selection._refreshed import error_gradients, greedy
from searchjobs.engine.selection._trained import MeanError
from searchjobs.engine.selection.class_limit import balance, choose, limits, strictness
from searchjobs.engine.selection.coverage import CoverageOptions, Margin, covered
from searchjobs.engine.selection.dynamic_uncertainty import SlidingDeviation
from searchjobs.engine.selection.forgetting import Forgetting
from searchjobs.engine.selection.reducing import choose_kept
from searchjobs.engine.selection.sample_error import sample_error
from searchjobs.engine.selection.voe import VarianceOfError
from searchjobs.engine.selection.window_variance import VoEOptions, WindowVoE
from tests.benchmarks.step import composed

CPU = torch.device("cpu")
BATCH, CLASSES, IMAGES = 64, 10, 50_000
REPEATS = 50
RULES: tuple[ClassRule, ...] = ("none", "stratified", "limit")
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
Timed = dict[str, Callable[[], object]]


def random_images(count: int = IMAGES) -> Images:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (count, 3, 32, 32), generator=generator)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    names = tuple("0123456789")
    return Images(pixels.to(torch.uint8), labels, names, MEAN, STD, "random")


def rounds_of(
    variants: Timed, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the seconds of each variant in each round; the order rotates."""
    names = list(variants)
    found: dict[str, list[float]] = {name: [] for name in names}
    for each in variants.values():
        each()
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            begun = clock()
            variants[name]()
            found[name].append(clock() - begun)
    return found


def repeated(work: Callable[[], object]) -> Callable[[], object]:
    """Return what does the same many times: a clock does not see it once."""

    def many() -> None:
        for _ in range(REPEATS):
            work()

    return many


def spread(values: list[float], form: str = "{:.3%}") -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{form.format(middle)} ({form.format(low)} to {form.format(high)})"


def table(*heads: str) -> None:
    print("\n| " + " | ".join(heads) + " |")
    print("| --- " * len(heads) + "|")


def time_statistics(rounds: int) -> None:
    """What watching adds to a step of the supernet (BDP) or of the scoring network."""
    images = random_images()
    pool = Pool(
        data=ResidentImages(images, CPU),
        name="T",
        ids=torch.arange(IMAGES),
        keep=IMAGES // 2,
        classes=CLASSES,
        augmentation=Augmentation(),
        streams=Streams(1, CPU),
    )
    ids = torch.randperm(IMAGES)[:BATCH]
    labels, logits = images.labels[ids], torch.randn(BATCH, CLASSES)
    voe = VarianceOfError(IMAGES, CPU)
    options = VoEOptions(epochs=20, window=5)
    watching: dict[str, Any] = {
        "el2n": MeanError(pool),
        "voe": WindowVoE(pool, options),
        "forgetting": Forgetting(pool),
        "dynamic-uncertainty": SlidingDeviation(pool, 10),
        "coverage": Margin(pool),
    }
    search = composed(16, 1, "eager")
    batch = search.data.batch(ids % 5000)
    scoring: Any = selections.get("loss").Options(epochs=1000)
    training = ScoringNetwork(
        Pool(**{**vars(pool), "ids": ids, "keep": BATCH}), scoring
    ).train()

    def scoring_step() -> None:
        """Go on to the end of an epoch, which is one step; it may tell progress."""
        while not isinstance(next(training), Snapshot):
            pass

    scoring_step()
    variants: Timed = {
        "step of the supernet": lambda: search.method.weight_step(batch),
        "step of the scoring network": scoring_step,
        "bdp": repeated(lambda: voe.update(ids, sample_error(logits, labels))),
    }
    for name, statistic in watching.items():
        # epoch 20: a full window, for those that have one
        observe = partial(statistic.observe, 20, ids, logits, labels)
        variants[name] = repeated(observe)
    found = rounds_of(variants, rounds, time.process_time)
    table("statistics", "of the step of", "CPU time of a step", "its share")
    for name in list(variants)[2:]:
        step = f"step of the {'supernet' if name == 'bdp' else 'scoring network'}"
        pairs = zip(found[name], found[step], strict=True)
        shares = [own / REPEATS / whole for own, whole in pairs]
        whole = 1000 * statistics.median(found[step])
        print(f"| `{name}` | {step[12:]} | {whole:.0f} ms | {spread(shares)} |")


def bdp_choice(scores: Tensor, labels: Tensor) -> Tensor:
    """One event of BDP: the limit from the counts, then 15 % under it."""
    counts = labels.bincount()
    allowed = limits(counts, strictness(balance(counts), 20))
    ranked = scores.argsort(stable=True)
    wanted = int(0.15 * len(scores))
    return choose(ranked, labels[ranked], wanted, allowed, "skip")


def time_choices(rounds: int) -> None:
    """What choosing costs once scores are there."""
    table("choice", "samples, classes", "seconds")
    for samples, classes in ((50_000, 100), (1_281_167, 1000)):
        generator = torch.Generator().manual_seed(2)
        scores = torch.rand(samples, generator=generator, dtype=torch.float64)
        labels = torch.randint(classes, (samples,), generator=generator)
        draws = torch.rand(samples, generator=generator, dtype=torch.float64)
        variants: Timed = {
            "bdp, 15 % under the class limit": partial(bdp_choice, scores, labels),
            **{
                f"half, class rule {rule}": partial(
                    choose_kept, scores, labels, 0.5, "highest", rule
                )
                for rule in RULES
            },
            "half, coverage": partial(
                covered, scores, draws, samples // 2, CoverageOptions()
            ),
        }
        for name, seconds in rounds_of(variants, rounds, time.perf_counter).items():
            told = spread(seconds, "{:.3f}")
            print(f"| {name} | {samples:,}, {classes:,} | {told} |")
    logits, truth = torch.randn(IMAGES, CLASSES), torch.randint(CLASSES, (IMAGES,))
    gradients = error_gradients(logits, truth)
    tenth: Timed = {
        "x": partial(greedy, gradients, logits, truth, IMAGES // 10, 15, 0.01)
    }
    seconds = rounds_of(tenth, rounds, time.perf_counter)["x"]
    told = spread(seconds, "{:.3f}")
    print(f"| a tenth by glister, 15 rounds | {IMAGES:,}, {CLASSES} | {told} |")


class Loaded(Dataset[tuple[Tensor, int, int]]):
    """The same images as a torchvision data set gives them, one at a time, with ids."""

    def __init__(self, images: Images) -> None:
        self.pixels = images.pixels.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = images.labels.numpy()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int, int]:
        image = self.transform(Image.fromarray(self.pixels[place]))
        return image, int(self.labels[place]), place


def time_images(rounds: int, count: int = 5_120) -> None:
    """Images a second, shuffled, cropped, flipped and normalised."""
    images = random_images(count)
    data, streams = ResidentImages(images, CPU), Streams(1, CPU)
    augmentation, noise = Augmentation(), streams.on_device("augment")

    def ours(size: int) -> None:
        order = torch.randperm(count, generator=streams["order"])
        for ids in order.split(size):
            data.batch(ids, augmentation, noise)

    def drained(loader: DataLoader[Any]) -> None:
        for _ in loader:
            pass

    for size in (64, 256):
        variants: Timed = {"ours": partial(ours, size)}
        for workers in (0, 2):
            loader = DataLoader(
                Loaded(images),
                batch_size=size,
                shuffle=True,
                num_workers=workers,
                persistent_workers=workers > 0,
            )
            name = f"DataLoader, {workers} workers"
            variants[name] = partial(drained, loader)
        found = rounds_of(variants, rounds, time.perf_counter)
        table(f"batch {size}", "images a second", "ours is faster by")
        for name, seconds in found.items():
            rate = count / statistics.median(seconds)
            factors = [a / b for a, b in zip(seconds, found["ours"], strict=True)]
            print(f"| {name} | {rate:,.0f} | {spread(factors, '{:.1f}')} |")


PARTS = {
    "statistics": time_statistics,
    "choices": time_choices,
    "images": time_images,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.part:
        PARTS[name](given.rounds)


if __name__ == "__main__":
    main()
