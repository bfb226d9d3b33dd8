"""The searches that belong beside a claim about data.

A search on fewer samples also takes fewer steps, and much of what it seems to gain
comes from that alone (data spec H.2).  So two others stand beside it: one whose samples
leave by chance, and the one on all samples, read where it had cost as much.
"""

from __future__ import annotations

from typing import Literal

from .contracts import selections
from .registry import Options
from .spec import SearchSpec

Kind = Literal["random", "all"]


def chance_for(selection: Options) -> Options | None:
    """Return the selection that takes as many samples by chance; None if there is
    none.  A stored subset is asked by its file."""
    return selections.get(selection.name).control(selection)  # type: ignore[attr-defined]


def controls_with(spec: SearchSpec, chance: Options | None) -> dict[Kind, SearchSpec]:
    """Return the control searches of a spec by kind, given its ``chance_for``; empty
    for a search on all samples.  They differ from it by their selection and by nothing
    else."""
    whole = on_all_samples(spec)
    if spec.selection == whole.selection:
        return {}
    found: dict[Kind, SearchSpec] = {}
    if chance is not None:
        found["random"] = spec.model_copy(update={"selection": chance})
    return {**found, "all": whole}


def on_all_samples(spec: SearchSpec) -> SearchSpec:
    """Return the same search without any reduction of the data."""
    default = SearchSpec.model_fields["selection"].get_default()
    content = spec.model_dump(mode="json")
    return SearchSpec.model_validate({**content, "selection": default})
