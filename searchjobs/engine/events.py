"""What a search tells: one JSON object a line, in the order in which it happened.

Every kind of job (search, proxy, cell training, ranking) speaks these events.
Epochs count from 1.  The events of one epoch come in this order: any number of
``Progress``, any ``SamplesPruned``, one ``EpochFinished``, any ``StopSuggested``, one
``Checkpointed`` if one is due; an epoch counts as told once its ``EpochFinished`` is
written, and a search resumed from a checkpoint may tell an epoch a second time, with
the same content.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .batch import SetName

Table = list[list[float]]
FaultKind = Literal["spec", "data", "memory", "device", "disk", "diverged", "bug"]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TablePlan(BaseModel):
    """What a search on a benchmark table would do: it trains nothing.

    Attributes:
        repeats: independent searches.
        budget: simulated seconds that each may spend.
        dataset: column of the table that is searched on.
        signal: the accuracy that the search sees, in words.
    """

    repeats: int
    budget: float
    dataset: str
    signal: str


class Plan(BaseModel):
    """What a search would do, computed from its spec without training.

    Attributes:
        epochs: number of epochs.
        sizes: images in T and V before the search.
        remaining: per set, (epochs + 1) sizes: before epoch 1, after each epoch.
        lower_bound: True if what the classes keep, or a learned start, may leave more
            samples than planned.
        weight_steps, architecture_steps: steps in each epoch.
        cost_units: forward-equivalent samples of the whole search (spec A.9), its
            derivation included: forwards of one image through the supernet.
        baseline_units: the same search on all samples.
        baseline_epochs: what each epoch of that search costs.
        preparation_units: what the selection adds to it before the first epoch; a
            smaller network counts by its multiply-adds.
        derivation_units: what the derivation adds to ``cost_units``.
        derivation_at_most: True if it may add less than that.
        table: of a search on a benchmark table; its epochs are points of the budget.
    """

    epochs: int
    sizes: dict[SetName, int]
    remaining: dict[SetName, list[int]]
    lower_bound: bool = False
    weight_steps: list[int]
    architecture_steps: list[int]
    cost_units: float
    baseline_units: float
    baseline_epochs: list[float] = Field(default_factory=list)
    preparation_units: float = 0.0
    derivation_units: float = 0.0
    derivation_at_most: bool = False
    table: TablePlan | None = None

    @property
    def cost_share(self) -> float:
        """Cost against the same search without pruning, 0 to 1."""
        return self.cost_units / self.baseline_units if self.baseline_units else 0.0


class UnreadableFile(BaseModel):
    """A file of a data set that is left out: its path there, and why."""

    path: str
    sentence: str


class Started(_Event):
    """The search is composed and about to train (also after every resume)."""

    type: Literal["started"] = "started"
    epoch: int = Field(description="last finished epoch: 0, or that of the checkpoint")
    epochs: int
    plan: Plan
    classes: list[str]
    edges: dict[str, list[str]] = Field(description="row names of each alpha table")
    operations: list[str]
    strengths: str = Field(
        "softmax(alpha)", description="what the strengths of an epoch are, in words"
    )
    data_fingerprint: str
    weight_count: int = Field(description="parameters of the supernet")
    environment: dict[str, str]
    unreadable: list[UnreadableFile] = Field(
        default_factory=list, description="the first files that are left out"
    )
    unreadable_count: int = 0


class Progress(_Event):
    """Where the search is inside an epoch or another long phase."""

    type: Literal["progress"] = "progress"
    phase: str = "search"
    epoch: int
    epochs: int
    step: int
    steps: int
    samples_per_second: float = 0.0
    seconds_left: float | None = None


class SamplesPruned(_Event):
    """A change of one set, or that there was none though one was due (spec A.6).

    Its artefact has an entry for each sample that was considered: ``ids``, ``scores``,
    ``removed``, and where other samples than those of the set were considered
    ``before`` (it was in the set) and ``added``.  The set afterwards holds
    ``(before & ~removed) | added``.
    """

    type: Literal["samples_pruned"] = "samples_pruned"
    epoch: int = Field(description="after which it happened; 0: before the first")
    set: SetName
    criterion: str = Field(description="low, high or random: which end was removed")
    reason: str = Field("", description="why nothing was pruned; empty otherwise")
    before: int
    requested: int = Field(description="k = floor(share x base)")
    score: str = Field("VoE", description="what the scores are")
    removed: int
    added: int = Field(0, description="samples that came in: sets drawn anew")
    after: int
    balance: float | None = Field(None, description="b of BDP Eq. 5, before the event")
    balance_after: float | None = Field(
        None, description="b after it; told where no EpochFinished follows (epoch 0)"
    )
    limit: float | None = Field(None, description="N of BDP Eq. 6, before the event")
    class_counts_before: list[int]
    class_counts_after: list[int]
    score_quantiles: list[float] = Field(
        default_factory=list, description="0, 5, 25, 50, 75, 95, 100 % of the scores"
    )
    histogram_edges: list[float] = Field(default_factory=list)
    histogram_kept: list[int] = Field(default_factory=list)
    histogram_removed: list[int] = Field(default_factory=list)
    cut: float | None = Field(None, description="score of the last removed sample")
    correlation: float | None = Field(
        None, description="Spearman correlation of VoE with the window's mean error"
    )
    mean_error_kept: float | None = None
    mean_error_removed: float | None = None
    artefact: str = Field("", description="npz of ids, scores, removed: path in DIR")


class SetState(BaseModel):
    """What remains of a set after an epoch."""

    remaining: int
    class_counts: list[int]
    balance: float


class MethodReport(BaseModel):
    """What one method alone knows after an epoch; empty where it has no such thing.

    Attributes:
        stage: of a search whose supernet changes (P-DARTS), from 1.
        allowed: per table (R, O), the operations that a row may still take.
        decided: per table and row, the operation that is fixed, or None.
        importance: per table (R, O), what removing the operation does to the accuracy
            of the supernet (VP-DARTS: accuracy without it, 0 to 1).
        edges: per table (R,), the weights of the edges themselves (PC-DARTS).
        scalars: named curves: temperature, skip dropout, weight of a regulariser.
    """

    stage: int | None = None
    allowed: dict[str, list[list[bool]]] = {}
    decided: dict[str, list[str | None]] = {}
    importance: dict[str, Table] = {}
    edges: dict[str, list[float]] = {}
    scalars: dict[str, float] = {}


class Spread(BaseModel):
    """Mean over repeats, and sample standard deviation if there are several."""

    mean: float
    std: float | None


class RepeatsReport(BaseModel):
    """One point of the simulated budget of a search on a table, over its repeats.

    Every repeat holds a pick: of what it has finished, the architecture with the best
    accuracy that the search sees.  Accuracies are per cent.

    Attributes:
        repeats: how many searches; those without a pick yet are left out below.
        seconds: simulated, since the start.
        evaluations: look-ups of one repeat so far, mean.
        signal: the accuracy of the picks that the search sees.
        accuracies: by data set and split, that of the picks after 200 epochs.
        histogram_edges, histogram_counts: picks by 200-epoch test accuracy on the
            data set that is searched on.
        top: the architectures that most repeats hold, each with how many.
    """

    repeats: int
    seconds: float
    evaluations: float
    signal: Spread
    accuracies: dict[str, dict[str, Spread]]
    histogram_edges: list[float]
    histogram_counts: list[int]
    top: list[tuple[str, int]]


class EpochFinished(_Event):
    """One epoch of a search, complete.

    A search on a benchmark table tells the points of its simulated budget as epochs:
    ``repeats`` is set then, ``strengths`` are the shares of the repeats whose pick
    takes an operation, ``genotype`` is the pick of most repeats, and what belongs to a
    supernet is empty.

    ``alpha`` and ``strengths`` hold, per table, R rows of O numbers (see
    ``Method.alpha`` and ``Method.strengths``); ``magnitudes`` the mean strength of
    each operation over all rows (EX-/SS-DARTS).  Accuracies are shares, 0 to 1.
    """

    type: Literal["epoch_finished"] = "epoch_finished"
    epoch: int
    epochs: int
    train_loss: float | None = Field(description="mean over the weight steps, on T")
    train_accuracy: float | None
    valid_loss: float | None = Field(
        description="supernet on the fixed probe samples of V, test transform; of "
        "methods that sample single architectures, the mean over drawn ones, each on "
        "its part of the probe"
    )
    valid_accuracy: float | None
    search_valid_accuracy: float | None = Field(
        None, description="mean over the architecture steps, on what remains of V"
    )
    alpha: dict[str, Table]
    strengths: dict[str, Table]
    magnitudes: dict[str, float]
    genotype: str = Field(description="arg max over all operations")
    genotype_without_none: str
    connected: bool = Field(description="the genotype's output sees its input")
    skips: int
    nones: int
    parameter_free: int
    entropy: dict[str, list[float]] = Field(description="nats, per row")
    margins: dict[str, list[float]] = Field(description="best minus second, per row")
    alpha_travel: float = Field(description="sum over steps of |change of alpha|, mean")
    inherited_accuracy: float | None = Field(
        None, description="genotype with the supernet's weights, probe samples of V"
    )
    discretisation_gap: float | None = Field(
        None, description="valid_accuracy - inherited_accuracy"
    )
    eigenvalue: float | None = Field(None, description="largest of the alpha Hessian")
    eigenvalue_absolute: float | None = Field(
        None, description="largest in absolute value"
    )
    sets: dict[SetName, SetState]
    weight_steps: int
    architecture_steps: int
    learning_rates: dict[str, float]
    cost_units: float = Field(description="since the start, forward-equivalents")
    seconds_search: float = Field(description="since the start, training only")
    seconds_evaluation: float = Field(description="since the start, kept apart")
    peak_memory_bytes: int
    method: MethodReport = Field(default_factory=MethodReport)
    repeats: RepeatsReport | None = None


class Checkpointed(_Event):
    type: Literal["checkpointed"] = "checkpointed"
    epoch: int
    path: str = Field(description="relative to DIR")
    bytes: int


class StopSuggested(_Event):
    """A stopping rule fired; the search goes on if the rule only watches."""

    type: Literal["stop_suggested"] = "stop_suggested"
    rule: str
    epoch: int
    architecture_epoch: int
    stopped: bool
    reason: str
    title: str = Field("", description="the rule with its setting: sc_2")


class ArchitectureFound(BaseModel):
    """An architecture read off a search (see ``contracts.Derived``).

    ``derivation`` is the name of a derivation or of a stopping rule that named an
    epoch; ``without_none`` the choice among the other operations of the same epoch."""

    derivation: str
    epoch: int
    architecture: str
    connected: bool
    criterion: str = ""
    note: str = ""
    without_none: str = ""


class Finished(_Event):
    type: Literal["finished"] = "finished"
    epoch: int
    architectures: list[ArchitectureFound]
    cost_units: float
    seconds_search: float
    seconds_evaluation: float


class JobStarted(_Event):
    """A job that is no search is about to begin (also after every resume)."""

    type: Literal["job_started"] = "job_started"
    classes: list[str]
    data_fingerprint: str
    environment: dict[str, str]


class SubsetSet(BaseModel):
    """What stays of T or V; ``balance`` is b of BDP Eq. 5."""

    before: int
    after: int
    class_counts_before: list[int]
    class_counts_after: list[int]
    balance_before: float
    balance_after: float


class SubsetMade(_Event):
    """The samples of a subset are chosen, and written to ``artefact``."""

    type: Literal["subset_made"] = "subset_made"
    sets: dict[SetName, SubsetSet]
    artefact: str = Field(description="npz in DIR, see subset.py")
    cost_units: float = Field(
        description="forwards of one image through the network that scores"
    )
    seconds: float
    peak_memory: int | None = Field(None, description="bytes, of the process")


class DatasetChecked(_Event):
    """Every image of a data set has been read."""

    type: Literal["dataset_checked"] = "dataset_checked"
    classes: list[str]
    class_counts: list[int]
    image_size: int
    mean: list[float] = Field(description="of each channel, 0 to 1; what a search uses")
    std: list[float]
    data_fingerprint: str
    unreadable: list[UnreadableFile] = Field(description="the first thousand")
    unreadable_count: int
    artefact: str = Field(description="npz in DIR, see check.py")
    seconds: float


EvaluationSplit = Literal["test", "held-out"]


class CellEpoch(_Event):
    """An epoch of the training of one cell; ``loss`` and ``accuracy`` are of images
    that were not trained on, shares from 0 to 1."""

    type: Literal["cell_epoch"] = "cell_epoch"
    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    loss: float
    accuracy: float
    rate: float = Field(description="learning rate of the epoch")
    seconds: float = Field(description="trained so far, without measuring")


class CellTrained(_Event):
    """A cell is trained; the accuracy is that after the last epoch."""

    type: Literal["cell_trained"] = "cell_trained"
    epoch: int
    accuracy: float = Field(description="top-1, per cent")
    split: EvaluationSplit
    images: int = Field(description="that the accuracy was measured on")
    parameters: int
    seconds: float


class Failed(_Event):
    """The search cannot go on; ``sentence`` says what happened and what to do."""

    type: Literal["failed"] = "failed"
    sentence: str
    kind: FaultKind = "bug"


Event = (
    Started
    | Progress
    | SamplesPruned
    | EpochFinished
    | Checkpointed
    | StopSuggested
    | Finished
    | JobStarted
    | SubsetMade
    | CellEpoch
    | CellTrained
    | DatasetChecked
    | Failed
)
_adapter: TypeAdapter[Event] = TypeAdapter(
    Annotated[Event, Field(discriminator="type")]
)


def parse(line: str | bytes) -> Event:
    """Read one line back; a malformed one raises pydantic's ValidationError."""
    return _adapter.validate_json(line)


def to_line(event: Event) -> str:
    """Write one event as a line of JSON, newline included."""
    return event.model_dump_json() + "\n"
