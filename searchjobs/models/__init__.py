"""What is stored.  PostgreSQL is the truth."""

from .architectures import Architecture, BenchmarkImport, BenchmarkResult
from .audit import AuditEvent
from .datasets import Dataset, Evaluation, Subset
from .experiments import Experiment
from .jobs import Artefact, Attempt, Job
from .queues import Queue, Slot, SlotSample, Worker
from .records import DatasetStatistics, EpochRecord, Run
from .teams import Membership, Team

__all__ = [
    "Architecture",
    "Artefact",
    "Attempt",
    "AuditEvent",
    "BenchmarkImport",
    "BenchmarkResult",
    "Dataset",
    "DatasetStatistics",
    "EpochRecord",
    "Evaluation",
    "Experiment",
    "Job",
    "Membership",
    "Queue",
    "Run",
    "Slot",
    "SlotSample",
    "Subset",
    "Team",
    "Worker",
]
