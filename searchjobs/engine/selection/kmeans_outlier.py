"""KM-OR: far from the centroid of the own cluster.

Moser et al., "Less is More: Proxy Datasets in NAS approaches", 3.2.2, Eq. 3.  The
clusters are scikit-learn's, on the CPU, the same for every device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..batch import SetName
from ..contracts import (
    Pool,
    Reduction,
    ReductionOptions,
    Scores,
    Scoring,
    Snapshot,
    selections,
)
from ..events import Progress
from ..problems import Problem
from ..registry import setting
from ..seeding import derive_seed
from ._pixels import CHUNK, matrix, matrix_problems, principal_components

#: The threads add up partial sums of the centroids as they finish: two of them give
#: the same sum in either order, three do not.
THREADS = 2


class KMeansOutlierOptions(ReductionOptions):
    name: Literal["kmeans-outlier"] = "kmeans-outlier"
    clusters: int | None = setting(
        None,
        "Clusters",
        "K; empty: as many as the data set has classes.",
        advanced=False,
        ge=1,
        le=10_000,
    )
    restarts: int = setting(
        10,
        "Restarts",
        "Trainings of K-means, each from other random images as first centroids; the "
        "one with the least sum of squared distances counts (the paper's code: 100).",
        ge=1,
        le=1000,
    )
    iterations: int = setting(
        300, "Iterations", "Most iterations of one training.", ge=1, le=10_000
    )
    components: int = setting(
        0,
        "Principal components",
        "Cluster so many principal components instead of the pixels, which is faster; "
        "0: the pixels, as in the paper.",
        ge=0,
        le=4096,
    )
    mini_batch: bool = setting(
        False,
        "Mini-batches",
        "Train K-means on mini-batches of 1,024 images: faster, a little worse.",
    )


@selections.register
class KMeansOutlier(Reduction):
    name = "kmeans-outlier"
    label = "K-means outlier removal (KM-OR)"
    summary = (
        "Images far from the centroid of their cluster leave; labels do not count."
    )
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.2.2."
    family = "Proxies"
    score_label = "distance to the own centroid"
    Options = KMeansOutlierOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        features = matrix(pool, standardise=True)
        if options.components:
            features = principal_components(features, options.components)
        clusters = options.clusters or min(pool.classes, len(pool.ids))
        done, least, centroids = 0, float("inf"), torch.empty(0)
        if state is not None:
            done, least, centroids = state["done"], state["least"], state["centroids"]
        for restart in range(done, options.restarts):
            seed = derive_seed(pool.streams.seed, f"{pool.purpose}/k-means-{restart}")
            found = k_means(features, clusters, options, seed % 2**32)
            if found.inertia_ < least:
                least = float(found.inertia_)
                centroids = torch.from_numpy(found.cluster_centers_)
            yield _progress(restart + 1, options.restarts)
            best = {"done": restart + 1, "least": least, "centroids": centroids}
            yield Snapshot(restart + 1, best)
        return Scores(own_distances(torch.from_numpy(features), centroids))

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        return [*super().size_problems(options, sizes), *_too_few(options, sizes)]

    @classmethod
    def memory_problems(
        cls, options: Any, sizes: dict[SetName, int], side: int
    ) -> list[Problem]:
        return matrix_problems(options, sizes, side)


def _too_few(options: Any, sizes: dict[SetName, int]) -> Iterator[Problem]:
    for name, size in sizes.items():
        if options.keep(name) < 1 and (options.clusters or 1) > size:
            yield Problem(
                "selection.clusters",
                f"{options.clusters:,} clusters are more than the {size:,} samples of "
                f"{name}; ask for fewer.",
            )


def k_means(
    features: np.ndarray, clusters: int, options: KMeansOutlierOptions, seed: int
) -> Any:
    """Train scikit-learn's K-means once on float32 (n, F) and return its estimator."""
    from sklearn.cluster import KMeans, MiniBatchKMeans  # they take seconds to import
    from threadpoolctl import threadpool_limits

    kind = MiniBatchKMeans if options.mini_batch else KMeans
    estimator = kind(
        clusters,
        init="random",
        n_init=1,
        max_iter=options.iterations,
        random_state=seed,
    )
    with threadpool_limits(THREADS, user_api="openmp"):
        return estimator.fit(features)


def own_distances(features: Tensor, centroids: Tensor) -> Tensor:
    """Return the distance of each row (n, F) to the nearest centroid (K, F), float64
    (n,)."""
    parts = []
    for part in features.split(max(1, CHUNK // features.shape[1])):
        # the nearest is found by a product of matrices, its distance by a difference
        nearest = (centroids.square().sum(1) - 2 * part @ centroids.T).argmin(1)
        parts.append(torch.linalg.vector_norm(part - centroids[nearest], dim=1))
    return torch.cat(parts).double()


def _progress(done: int, restarts: int) -> Progress:
    return Progress(phase="K-means", epoch=0, epochs=0, step=done, steps=restarts)
