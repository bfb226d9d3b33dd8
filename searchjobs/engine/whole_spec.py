"""What the specs of all kinds of work share: how they are written, told apart, read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from .problems import Problem, SpecError
from .sections import Section


class WholeSpec(Section):
    """Everything that determines a piece of work, apart from the machine."""

    def to_yaml(self) -> str:
        """Write the spec as YAML, complete: every default stands in it."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def fingerprint(self, *, with_seed: bool = True) -> str:
        """Return a hash that is equal exactly when the pieces of work are the same."""
        content = self.model_dump(mode="json")
        if not with_seed:
            content.pop("seed")
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def mapping_of(text: str, seed: str | None = None) -> dict[str, Any]:
    """Read settings from YAML; ``seed`` replaces the one in the text.

    Raises SpecError, in a sentence, if the text is no YAML mapping.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise SpecError(
            [Problem("", f"This is not valid YAML{line}; mend it.")]
        ) from None
    if not isinstance(data, dict):
        raise SpecError(
            [Problem("", "A spec is a YAML mapping of settings; this is not.")]
        )
    return data if seed is None else {**data, "seed": seed}
