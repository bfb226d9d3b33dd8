"""How long a launch will take, from runs that were like it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from searchjobs.engine.events import Plan
from searchjobs.engine.spec import SearchSpec
from searchjobs.models import Run
from searchjobs.permissions import User, visible
from searchjobs.states import State

#: Newest runs that an estimate looks at.
MOST_RUNS = 50


@dataclass(frozen=True)
class Estimate:
    """Seconds of one run, of the same without pruning, and from how many runs."""

    seconds: float
    baseline_seconds: float
    runs: int


def seconds(user: User, spec: SearchSpec, plan: Plan) -> Estimate | None:
    """Return the expected time of a run, None if no run like it has ended.

    Like it: the same search space with the same supernet, data set, image size and
    backend.  Their median of seconds per forward-equivalent sample is taken times
    the planned samples.
    """
    content = spec.model_dump(mode="json")
    like = {
        "experiment__spec__space": content["space"],
        "experiment__spec__dataset__name": content["dataset"]["name"],
        "experiment__spec__compute__backend": content["compute"]["backend"],
        "experiment__spec__compute__device": content["compute"]["device"],
    }
    found = visible(Run, user).filter(
        job__state=State.SUCCEEDED, cost_units__gt=0, seconds_search__gt=0, **like
    )
    ended = found.order_by("-pk").values_list(
        "seconds_search", "cost_units", "experiment__spec__dataset__image_size"
    )[:MOST_RUNS]
    size = content["dataset"].get("image_size")
    rates = [spent / units for spent, units, image_size in ended if image_size == size]
    if not rates:
        return None
    rate = median(rates)
    return Estimate(rate * plan.cost_units, rate * plan.baseline_units, len(rates))
