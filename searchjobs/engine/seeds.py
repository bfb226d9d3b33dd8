"""Seeds as people write them; one sentence for form, API and command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .problems import Problem, SpecError

MAX_SEEDS = 100
LARGEST_SEED = 2**32 - 1
_RULE = "Seeds are whole numbers such as 1, 2, 3 or a range such as 1-5"


def parse_seeds(text: str) -> list[int]:
    """Read ``1, 2, 3`` or ``1-5`` or both; SpecError, with sentences, otherwise."""
    seeds: list[int] = []
    for word in re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", text.strip())):
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", word)
        if found is None:
            given = f"{word!r} is none." if word else "you gave none."
            raise SpecError([Problem("seeds", f"{_RULE}; {given}")])
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            sentence = f"The range {word} runs backwards; write {last}-{first}."
            raise SpecError([Problem("seeds", sentence)])
        if last - first >= MAX_SEEDS:
            raise SpecError([_too_many(last - first + 1)])
        seeds.extend(range(first, last + 1))
    if problem := seeds_problem(seeds):
        raise SpecError([problem])
    return seeds


def seeds_problem(seeds: Sequence[int]) -> Problem | None:
    """Return what is wrong with the seeds of an experiment, or None."""
    if not seeds:
        return Problem("seeds", f"{_RULE}; you gave none.")
    if len(seeds) > MAX_SEEDS:
        return _too_many(len(seeds))
    wrong = next((s for s in seeds if not 0 <= s <= LARGEST_SEED), None)
    if wrong is not None:
        sentence = f"A seed lies between 0 and {LARGEST_SEED}; {wrong} does not."
        return Problem("seeds", sentence)
    twice = next((s for i, s in enumerate(seeds) if s in seeds[:i]), None)
    if twice is not None:
        sentence = f"Seed {twice} stands there twice and would give the same run twice."
        return Problem("seeds", f"{sentence} Remove one.")
    return None


def _too_many(count: int) -> Problem:
    return Problem(
        "seeds",
        f"{count} seeds are more than the {MAX_SEEDS} that one experiment may have; "
        "launch several experiments.",
    )
