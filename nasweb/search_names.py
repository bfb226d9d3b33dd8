"""How a search is called if nobody names it: its method and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasweb import spec_fields, spec_form
from nasweb.datasets.named import name_of
from nasweb.parts import label_of
from nasweb.spec_form import Values
from searchjobs.benchmark import DATASETS
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.spec import defaults as spec_defaults
from searchjobs.models import Team


def suggested_name(team: Team, values: Values) -> str:
    """Return a name in the papers' manner: ``DARTS + EX + BDP · CIFAR-10``; empty while
    method, selection or data set is not chosen.

    Args:
        team: whose registered data sets are called by their names.
        values: of the launch form.
    """
    method, selection, dataset = (
        spec_fields.chosen_part(section, values)
        for section in ("method", "selection", "dataset")
    )
    if not (method and selection and dataset):
        return ""
    if "dataset" in spec_form.ignored(values):  # that of the method's own options
        searched = DATASETS.get(values.get("method.dataset", ""), "")
        return " · ".join(filter(None, [_short(method.label), searched]))
    data = spec_form.to_data(values)
    by = dict.fromkeys(_short(label) for label in [method.label, *_beside(data)])
    return f"{' + '.join(by)} · {name_of(team, data['dataset']).label}"


def _beside(data: Mapping[str, Any]) -> list[str]:
    """Return labels of what a search does beside its method: other rates, samples that
    it chooses, rules that stop it, and a derivation that is not the method's."""
    usual = spec_defaults(method=data["method"]["name"]).get("derivation", {})
    found = []
    if data["training"]["exchange"] != "off":
        found.append(str(SearchSpec.title_of(["training", "exchange"])))
    if data["selection"]["name"] != "full":
        found.append(label_of("selection", data["selection"]["name"]))
    acting = [rule for rule in data["stopping"] if rule.get("watch") != "true"]
    found += [label_of("stopping", rule["name"]) for rule in acting]
    if data["derivation"]["name"] != usual.get("name", "argmax"):
        found.append(label_of("derivation", data["derivation"]["name"]))
    return found


def _short(label: str) -> str:
    """Return a label's acronym in brackets, else what stands before a comma."""
    _, _, acronym = label.removesuffix(")").rpartition("(")
    if label.endswith(")") and " " not in acronym and acronym != acronym.lower():
        return acronym
    return label.partition(",")[0].strip()
