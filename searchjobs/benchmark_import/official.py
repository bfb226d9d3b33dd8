"""Read accuracies out of the record class of the benchmark's own package.

NAS-Bench-201 and NATS-Bench keep the same record for an architecture and a training
protocol: ``nas_201_api.ArchResults``, one trial a seed on each data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nas_201_api import ArchResults

from .rows import Accuracy, Seconds, TableError

_SOURCES = {
    ("cifar10", "valid"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    ("cifar100", "valid"): ("cifar100", "x-valid"),
    ("cifar100", "test"): ("cifar100", "x-test"),
    ("imagenet16", "valid"): ("ImageNet16-120", "x-valid"),
    ("imagenet16", "test"): ("ImageNet16-120", "x-test"),
}
"""Our data set and split -> the package's training set and evaluation set."""
TIMED = "cifar10-valid"
"""Trained on one half of CIFAR-10, looked at on the other."""


def accuracies(record: ArchResults, protocol: str, where: str) -> Iterator[Accuracy]:
    """Yield the last epoch's accuracies, each the mean of all trials of the record.

    A data set that was not trained under this protocol is left out: version 1.0 of
    the benchmark has the 12 epochs on CIFAR-10 only.
    """
    trained = record.get_dataset_names()
    for (dataset, split), (training_set, evaluation_set) in _SOURCES.items():
        if training_set not in trained:
            continue
        try:
            metrics = record.get_metrics(training_set, evaluation_set, is_random=False)
            trials = len(record.get_dataset_seeds(training_set))
            value = float(metrics["accuracy"])
            by_trial = tuple(
                float(
                    record.get_metrics(training_set, evaluation_set, is_random=seed)[
                        "accuracy"
                    ]
                )
                for seed in record.get_dataset_seeds(training_set)
            )
        except (AttributeError, AssertionError, KeyError, TypeError) as error:
            raise TableError(
                f"{where} has no {evaluation_set} accuracy of {training_set} after "
                f"{protocol} epochs; take a fresh copy of the official file."
            ) from error
        yield Accuracy(dataset, split, protocol, value, trials, by_trial)


def seconds_of(records: Iterable[ArchResults]) -> Seconds | None:
    """Return what 200 epochs and a pass took, from the seconds of an epoch in the first
    record that holds them; None if none does."""
    for record in records:
        if TIMED in record.get_dataset_names():
            costs = record.get_compute_costs(TIMED)
            epoch, look = costs.get("T-train@epoch"), costs.get("T-x-valid@epoch")
            if epoch:
                return Seconds(200 * float(epoch), float(look) if look else None)
    return None
