"""CC-OR: far from the mean image of the own class.

Moser et al., "Less is More: Proxy Datasets in NAS approaches", 3.3.2, Eq. 6.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from ..contracts import Pool, Reduction, ReductionOptions, Scores, Scoring, selections
from ..contracts.reduction import ClassRule
from ..registry import setting
from ._pixels import chunks, feature_count, rows


class ClassOutlierOptions(ReductionOptions):
    name: Literal["class-outlier"] = "class-outlier"
    class_rule: ClassRule = setting(
        "stratified",
        "Class rule",
        "stratified, as in the paper: each class keeps the same share, its images "
        "nearest to their mean; none: one ranking of all distances.",
    )


@selections.register
class ClassOutlier(Reduction):
    name = "class-outlier"
    label = "Class-conditional outlier removal (CC-OR)"
    summary = "Images far from the mean image of their class leave, class by class."
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.3.2."
    family = "Proxies"
    score_label = "distance to the class mean"
    Options = ClassOutlierOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        shape = pool.classes, feature_count(pool)
        sums = torch.zeros(shape, dtype=torch.float64, device=pool.device)
        labels = pool.labels
        for part in chunks(pool):
            whole = pool.data.pixels[pool.ids[part]].flatten(1).double()
            # sums of whole numbers are exact: their order, which a GPU leaves to
            # chance, does not matter
            sums.index_add_(0, labels[part], whole)
        counts = labels.bincount(minlength=pool.classes).clamp(min=1)
        means = (sums / (255 * counts[:, None])).float()
        values = torch.empty(len(pool.ids), dtype=torch.float64)
        for part in chunks(pool):
            away = rows(pool, part) - means[labels[part]]
            values[part] = torch.linalg.vector_norm(away, dim=1).double().cpu()
        return Scores(values)
        yield  # seconds: nothing to tell on the way
