"""Sections of a spec: the settings that belong to no part.

Split, augmentation, training, diagnostics, compute, and the recipes, which are
families of defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, model_validator

from .problems import Problem, refuse
from .registry import setting


class Section(BaseModel):
    """What all sections share: unknown settings are refused, values stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(Section):
    """How the training images are divided into T (weights) and V (alpha)."""

    rule: Literal["random", "halves"] = setting(
        "random",
        "Split rule",
        "random: shuffled once by the split seed (seed 1021 and share 0.5 give the "
        "published CIFAR-10 split of NAS-Bench-201); halves: the first images are T, "
        "the last are V, as in the DARTS code.",
        labels={
            "random": "random (split seed)",
            "halves": "first and last (halves)",
        },
    )
    train_share: float = setting(
        0.5,
        "Share of T",
        "Share of the images that trains the weights; the rest trains alpha.",
        unit="share",
        gt=0,
        lt=1,
    )
    stratified: bool = setting(
        False, "Stratified", "Split every class on its own, so both sets are balanced."
    )
    seed: int = setting(
        1021,
        "Split seed",
        "Fixed apart from the run's seed, so that all runs of an experiment see the "
        "same T and V.",
        ge=0,
        lt=2**32,
    )


class Augmentation(Section):
    """Applied in batches on the device, to T and V alike while searching."""

    crop_padding: int = setting(
        4,
        "Crop padding",
        "Zero padding around the image before a random crop of the image size; "
        "0 switches the crop off.",
        unit="pixels",
        ge=0,
        le=32,
    )
    flip: bool = setting(True, "Horizontal flip", "Mirror half of the images.")
    cutout: int = setting(
        0,
        "Cutout",
        "Side of a square set to zero after normalisation; 0 switches it off.",
        unit="pixels",
        ge=0,
        le=64,
    )


RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    # NAS-Bench-201 / AutoDL-Projects and the SmoothDARTS family (methods spec 0).
    "adl": {
        "training": {
            "epochs": 50,
            "weight_decay": 5e-4,
            "nesterov": True,
            "order": "weights-first",
        },
        "space": {"track_running_stats": False},
    },
    "smooth": {
        "training": {
            "epochs": 100,
            "weight_decay": 3e-4,
            "nesterov": False,
            "order": "architecture-first",
        },
        "space": {"track_running_stats": True},
    },
    # GAEA (methods spec 4.5): 25 epochs of a cosine meant for 50, wider cells.
    "gaea": {
        "training": {
            "epochs": 25,
            "schedule_epochs": 50,
            "weight_decay": 3e-4,
            "nesterov": False,
            "order": "architecture-first",
        },
        "space": {"channels": 24, "track_running_stats": True},
    },
}


class Training(Section):
    """Schedules and optimisers of the two levels."""

    recipe: Literal["adl", "smooth", "gaea"] = setting(
        "adl",
        "Recipe",
        "Family of defaults: adl (NAS-Bench-201 code: 50 epochs, Nesterov, decay 5e-4, "
        "weights first), smooth (SmoothDARTS family: 100 epochs, plain momentum, "
        "decay 3e-4, alpha first) or gaea (25 epochs of a 50-epoch schedule, C=24, "
        "plain momentum). Results of different recipes are not comparable.",
        labels={
            "adl": "NAS-Bench-201 (adl)",
            "smooth": "SmoothDARTS (smooth)",
            "gaea": "GAEA (gaea)",
        },
    )
    epochs: int = setting(
        50,
        "Epochs",
        "Length of the search.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=5000,
    )
    batch_size: int = setting(
        64,
        "Batch size",
        "Images per step, T and V alike.",
        unit="images",
        ge=2,
        le=8192,
    )
    weight_lr: float = setting(
        0.025,
        "Weight learning rate",
        "Start of the cosine schedule of the supernet's weights (SGD).",
        gt=0,
        le=10,
    )
    weight_lr_min: float = setting(
        0.001, "Final weight learning rate", "End of the cosine schedule.", ge=0, le=10
    )
    schedule_epochs: int = setting(
        0,
        "Length of the schedule",
        "Epochs over which the learning rates fall; 0: those of the search. A longer "
        "schedule is cut off (GAEA: 25 of 50 epochs).",
        unit="epochs",
        ge=0,
        le=5000,
    )
    weight_lr_steps: int = setting(
        0,
        "Weight steps that the rate is meant for",
        "Multiply the weight learning rate by this number over the weight steps that "
        "the search will make: few images need longer steps. An exchanged rate needs "
        "some 20,000 steps, or the supernet stays undertrained. 0: no scaling.",
        unit="steps",
        ge=0,
    )
    momentum: float = setting(0.9, "Momentum", "Of the weights' SGD.", ge=0, lt=1)
    nesterov: bool = setting(True, "Nesterov momentum", "Of the weights' SGD.")
    weight_decay: float = setting(
        5e-4, "Weight decay", "L2 penalty on the weights.", ge=0, le=1
    )
    clip: float = setting(
        5.0,
        "Gradient clip",
        "Largest global norm of the weights' gradient; 0 switches clipping off.",
        ge=0,
    )
    alpha_lr: float = setting(
        3e-4,
        "Alpha learning rate",
        "Of the architecture parameters (Adam). Small data sets make few architecture "
        "steps: 3e-4 x 391 / (steps per epoch) keeps the distance that alpha travels.",
        gt=0,
        le=10,
    )
    alpha_beta1: float = setting(0.5, "Alpha Adam beta 1", "First moment.", ge=0, lt=1)
    alpha_beta2: float = setting(
        0.999, "Alpha Adam beta 2", "Second moment.", ge=0, lt=1
    )
    alpha_weight_decay: float = setting(
        1e-3, "Alpha weight decay", "L2 penalty on alpha.", ge=0, le=1
    )
    alpha_lr_min: float | None = setting(
        None,
        "Final alpha learning rate",
        "End of a cosine schedule of the alpha learning rate; empty: it stays.",
        ge=0,
        le=10,
    )
    exchange: Literal["off", "schedules", "values"] = setting(
        "off",
        "Exchange learning rates (EX)",
        "EX-DARTS: the weights learn at the rate of alpha and alpha at that of the "
        "weights. schedules: rate and schedule change sides, so the weights keep 3e-4 "
        "and alpha falls from 0.025 to 0.001. values: only the first values do, the "
        "cosine stays with the weights; its end is lowered with it, because an end of "
        "0.001 above a start of 3e-4 would let the rate rise.",
        advanced=False,
        labels={
            "off": "off",
            "schedules": "rates and schedules",
            "values": "first values only",
        },
    )
    warmup_epochs: int = setting(
        0,
        "Warm-up",
        "First epochs in which only the weights are trained and alpha stands still.",
        unit="epochs",
        advanced=False,
        ge=0,
        le=5000,
    )
    alpha_every: int = setting(
        1,
        "Weight steps an architecture step",
        "Make so many weight steps for each architecture step (iDARTS: 4), if T and V "
        "are of one size; V then sees fewer batches in an epoch. Of a larger V the "
        "loop policy train-driven keeps the number.",
        unit="steps",
        ge=1,
        le=1000,
    )
    order: Literal["weights-first", "architecture-first"] = setting(
        "weights-first",
        "Order of steps",
        "Which half-step comes first in a pair; BDP's Algorithm 1 takes alpha first.",
        labels={
            "weights-first": "weights first",
            "architecture-first": "architecture first",
        },
    )
    policy: Literal["interleave", "train-driven", "zip-min", "zip-max"] = setting(
        "interleave",
        "Loop policy",
        "How T and V of different size share an epoch. interleave: each sample once, "
        "spread evenly; train-driven: as many alpha steps as weight steps, V cycled; "
        "zip-min and zip-max: as many of both as the smaller or larger set has.",
        labels={
            "interleave": "interleave",
            "train-driven": "by T (train-driven)",
            "zip-min": "smaller set (zip-min)",
            "zip-max": "larger set (zip-max)",
        },
    )
    cap_architecture_steps: bool = setting(
        False,
        "Cap architecture steps",
        "Never more architecture steps than weight steps in an epoch.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Training:
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[Problem]:
        if self.weight_lr_min > self.weight_lr:
            yield Problem(
                "weight_lr_min",
                f"Final weight learning rate ({self.weight_lr_min:g}) is above the "
                f"weight learning rate ({self.weight_lr:g}): the schedule would rise. "
                "Lower the final value.",
            )
        if self.alpha_lr_min is not None and self.alpha_lr_min > self.alpha_lr:
            yield Problem(
                "alpha_lr_min",
                f"Final alpha learning rate ({self.alpha_lr_min:g}) is above the alpha "
                f"learning rate ({self.alpha_lr:g}): the schedule would rise. Lower "
                "the final value.",
            )
        if self.warmup_epochs >= self.epochs:
            yield Problem(
                "warmup_epochs",
                f"A warm-up of {self.warmup_epochs} epochs leaves none of the "
                f"{self.epochs} to train alpha in. Shorten it or search longer.",
            )
        if 0 < self.schedule_epochs < self.epochs:
            yield Problem(
                "schedule_epochs",
                f"Length of the schedule ({self.schedule_epochs} epochs) is shorter "
                f"than the search ({self.epochs}): the rates would rise again. Give "
                "at least as many, or 0.",
            )


class Diagnostics(Section):
    """What is measured beside the search; its time is kept apart."""

    probe_samples: int = setting(
        1024,
        "Probe samples",
        "Fixed samples of V, never pruned from the probe, on which accuracies of the "
        "supernet and of the derived cell are measured each epoch.",
        unit="images",
        ge=1,
        le=100_000,
    )
    eigenvalue_every: int = setting(
        5,
        "Eigenvalue every",
        "Epochs between two measurements of the dominant eigenvalue of the alpha "
        "Hessian (exact); 0 switches it off.",
        unit="epochs",
        ge=0,
    )
    eigenvalue_samples: int = setting(
        64,
        "Eigenvalue samples",
        "Size of the fixed batch of V for the eigenvalue.",
        unit="images",
        ge=2,
        le=4096,
    )


class Compute(Section):
    """Where and how the search is computed; does not change what is computed."""

    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto",
        "Device",
        "auto: the GPU if the worker has one, else the CPU.",
        labels={"auto": "automatic", "cpu": "CPU", "cuda": "GPU (CUDA)"},
    )
    backend: Literal["eager", "compiled", "graphs"] = setting(
        "eager",
        "Backend",
        "eager: the reference; compiled: torch.compile of cells that run all their "
        "operations, pays back after some 150 steps, and cells that a method has "
        "pruned are eager from then on; graphs: captured CUDA graphs, GPU only.",
        labels={
            "eager": "eager, the reference",
            "compiled": "compiled (torch.compile)",
            "graphs": "CUDA graphs",
        },
    )
    devices: int = setting(
        1,
        "Devices",
        "GPUs of one machine that share each batch (CPU: processes). The search is "
        "that of one device with the same batch size.",
        ge=1,
        le=64,
    )
    precision: Literal["single", "double"] = setting(
        "single",
        "Precision",
        "Of weights, alpha and images. double is several times slower; with it a "
        "search on several devices prunes the very samples that one device prunes, "
        "because rounding no longer decides.",
        labels={"single": "single, 32 bits", "double": "double, 64 bits"},
    )
    threads: int = setting(
        0, "CPU threads", "0: what the worker slot allows.", ge=0, le=512
    )
    checkpoint_every: int = setting(
        1, "Checkpoint every", "Epochs between checkpoints.", unit="epochs", ge=1
    )

    @property
    def dtype(self) -> torch.dtype:
        """What weights, alpha and images are numbers of."""
        return torch.float64 if self.precision == "double" else torch.float32
