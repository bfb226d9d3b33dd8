"""TL: badly classified by a head on an ImageNet network.

Moser et al., "Less is More: Proxy Datasets in NAS approaches", 3.3.3, Eq. 7; head and
training are those of their code.  Nothing is downloaded: the weights are a file of the
user's.  Without one, a small network learns from the images themselves, and the scores
say so.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..batch import SetName
from ..checkpoint import UNREADABLE
from ..contracts import Pool, Scores, Scoring, selections
from ..dropout import drop
from ..fitting import Fit, Fitting, drawn, fit
from ..places import path_of
from ..problems import Problem, SearchError
from ..registry import setting
from ..scoring_network import (
    MOMENTUM,
    SCORING_BATCH,
    NetworkOptions,
    NetworkReduction,
    ScoringNetwork,
    training_cost,
)

FEATURES, HIDDEN, DROPPED = 512, 256, 0.5
#: Of the images that the ImageNet network was trained on.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TransferOptions(NetworkOptions):
    name: Literal["transfer"] = "transfer"
    weights: str = setting(
        "",
        "ImageNet weights",
        "File on the worker's machine with the state dict of torchvision's ResNet-18, "
        "trained on ImageNet. Empty: a small network learns from the images themselves "
        "instead, which is no transfer; the scores are labelled so.",
        advanced=False,
        names="files",
    )
    compat: bool = setting(
        False,
        "As the paper's code",
        "Images in [0, 1] without ImageNet normalisation, and a frozen network whose "
        "batch norms go on adapting.",
    )
    epochs: int = setting(
        50,
        "Epochs",
        "Passes over the set that the classifier is trained for.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=1000,
    )
    head_batch_size: int = setting(
        128, "Batch size of the head", "With weights.", unit="images", ge=2, le=8192
    )
    head_learning_rate: float = setting(
        1e-3,
        "Learning rate of the head",
        "With weights; SGD, momentum 0.9, constant.",
        gt=0,
        le=10,
    )
    head_weight_decay: float = setting(
        3e-4, "Weight decay of the head", "With weights.", ge=0, le=1
    )


@selections.register
class TransferLoss(NetworkReduction):
    name = "transfer"
    label = "Transfer-learning loss (TL)"
    summary = "Images that a classifier on ImageNet features gets wrong leave."
    source = "Moser et al., Less is More: Proxy Datasets in NAS approaches, 3.3.3."
    family = "Proxies"
    score_label = "cross-entropy of a transfer classifier"
    Options = TransferOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        if options.weights.strip():
            judge = _Transferred(options, pool)
            yield from judge.train(state)
            logits = judge.logits()
        else:
            network = ScoringNetwork(pool, options)
            yield from network.train(state)
            logits = network.logits()
        values = cross_entropy(logits.double(), pool.labels, reduction="none")
        return Scores(values.cpu(), cls.scoring_cost(options, len(pool.ids)))

    @classmethod
    def describe_score(cls, options: Any) -> str:
        if options.weights.strip():
            return cls.score_label
        return "cross-entropy of a small network trained on these images, no transfer"

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        if not options.weights.strip():
            return training_cost(options, samples) + samples
        # the head is no work beside the network: fixed features are computed once
        return float(samples * (options.epochs + 1 if options.compat else 1))

    @classmethod
    def multiply_adds(cls, options: Any, classes: int, side: int) -> float:
        if not options.weights.strip():
            return super().multiply_adds(options, classes, side)
        return body_multiply_adds(side)

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        problems = super().size_problems(options, sizes)
        path = _path(options)
        if options.weights.strip() and not path.is_file():
            problems.append(
                Problem(
                    "selection.weights",
                    f"There is no file {path}; give the state dict of an ImageNet "
                    "ResNet-18, or leave this empty.",
                )
            )
        return problems


class Head(nn.Module):
    """Linear, batch norm, ReLU, dropout, linear: features (B, 512) to logits (B, M)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.second = nn.Linear(HIDDEN, classes)
        self.noise: torch.Generator | None = None

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.first(features)))
        if self.training and self.noise is not None:
            hidden = drop(hidden, DROPPED, self.noise)
        return self.second(hidden)


class _Transferred:
    """A head on a ResNet-18 whose weights stay."""

    def __init__(self, options: TransferOptions, pool: Pool) -> None:
        self.options, self.pool = options, pool
        purpose = f"{pool.purpose}/transfer"
        self.body = imagenet_body(_path(options)).to(pool.device).requires_grad_(False)
        stream = pool.streams[f"{purpose}/weights"]
        self.head = drawn(partial(Head, pool.classes), stream).to(pool.device)
        self.head.noise = pool.streams.on_device(f"{purpose}/dropout")
        self.order = f"{purpose}/order"
        self._fixed: Tensor | None = None

    def train(self, state: dict[str, Any] | None) -> Fitting:
        options = self.options
        optimiser = torch.optim.SGD(
            self.head.parameters(),
            lr=options.head_learning_rate,
            momentum=MOMENTUM,
            weight_decay=options.head_weight_decay,
        )
        # where nothing of the body changes, its features are computed once and it is
        # no part of what a snapshot holds
        learns = nn.Sequential(self.body, self.head) if options.compat else self.head
        if not options.compat:
            self._fixed = self._features(self.pool.ids)
        work = Fit(
            network=learns,
            optimiser=optimiser,
            pool=self.pool,
            purpose=self.order,
            epochs=options.epochs,
            batch_size=options.head_batch_size,
            loss=self._loss,
            reads=self._fixed is None,
            phase="transfer",
        )
        yield from fit(work, state)

    def _loss(self, _: int, places: Tensor, ids: Tensor) -> Tensor:
        if self._fixed is not None:
            features = self._fixed[places]
        else:
            with torch.no_grad():
                features = self.body(self._images(ids))
        return cross_entropy(self.head(features), self.pool.data.labels[ids])

    @torch.no_grad()
    def logits(self) -> Tensor:
        """Return the logits (n, M) of the pool's samples, dropout off."""
        self.head.eval()
        if self._fixed is not None:
            return self.head(self._fixed)
        return self.head(self._features(self.pool.ids))

    @torch.no_grad()
    def _features(self, ids: Tensor) -> Tensor:
        self.body.eval()
        parts = ids.split(SCORING_BATCH)
        self.pool.data.expect("scoring", parts)
        return torch.cat([self.body(self._images(part)) for part in parts])

    def _images(self, ids: Tensor) -> Tensor:
        images = self.pool.data.pixels[ids].float().div_(255)
        if self.options.compat:
            return images
        shape = (1, 3, 1, 1)
        mean, std = images.new_tensor(MEAN), images.new_tensor(STD)
        return (images - mean.view(shape)) / std.view(shape)


def imagenet_body(path: Path) -> nn.Module:
    """Return torchvision's ResNet-18 without its classifier, (B, 3, S, S) to (B, 512),
    with the weights of a file; nothing in the file is run.

    Raises SearchError if it holds none.
    """
    from torchvision.models import resnet18  # imported late: it takes seconds

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        weights = {
            name: value for name, value in found.items() if not name.startswith("fc.")
        }
        with torch.device("meta"):
            body = resnet18()
        body.fc = nn.Identity()
        body.load_state_dict(weights, assign=True)
    except UNREADABLE as error:
        raise SearchError(
            f"{path.name} does not hold the weights of torchvision's ResNet-18. Save "
            "its state_dict() with torch.save and give that file.",
            "data",
        ) from error
    return body.float()


def body_multiply_adds(side: int) -> float:
    """Return the multiply-adds of one image of ``side`` pixels through the convolutions
    of ResNet-18."""
    side = (side + 1) // 2
    total = 7**2 * 3 * 64 * side**2
    side = (side + 1) // 2
    total += 4 * 3**2 * 64**2 * side**2
    for narrow in (64, 128, 256):
        wide, side = 2 * narrow, (side + 1) // 2
        # the first of four halves the map, and a convolution of single pixels beside it
        total += (3**2 * (narrow + 3 * wide) + narrow) * wide * side**2
    return float(total)


def _path(options: TransferOptions) -> Path:
    return path_of(options.weights)
