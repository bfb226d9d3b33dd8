"""What somebody means who looks for images: ids, or a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .gallery import PAGE


@dataclass(frozen=True)
class Found:
    """What was meant: ids, or a class; or a sentence that says what to write."""

    ids: tuple[int, ...] = ()
    label: int | None = None
    error: str = ""


def meant(text: str, classes: Sequence[str], images: int | None) -> Found:
    """Read a search.

    Args:
        text: ids with commas or spaces between, or a class by its name or the
            beginning of it.
        classes: names.
        images: how many there are; None if nobody knows.
    """
    words = text.replace(",", " ").split()
    # ids win: the classes of some data sets are named by digits
    if words and all(word.isascii() and word.isdecimal() for word in words):
        return _ids(words, images)
    wanted = " ".join(words).casefold()
    names = [name.casefold().replace("_", " ") for name in classes]
    wanted = wanted.replace("_", " ")
    if wanted in names:
        return Found(label=names.index(wanted))
    begin = [place for place, name in enumerate(names) if name.startswith(wanted)]
    if wanted and len(begin) == 1:
        return Found(label=begin[0])
    if wanted and begin:
        fitting = ", ".join(classes[place] for place in begin[:5])
        return Found(error=f"Several classes begin with “{text}”: {fitting}. Write on.")
    shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
    return Found(
        error=f"There is no class “{text}”. Write an id, several with commas between, "
        f"or a class{f' ({shown})' if shown else ''}."
    )


def _ids(words: Sequence[str], images: int | None) -> Found:
    if len(words) > PAGE:
        return Found(error=f"These are {len(words)} ids; give at most {PAGE}.")
    ids = tuple(dict.fromkeys(int(word[:18]) for word in words))
    most = max(ids)
    if images is not None and most >= images:
        return Found(
            error=f"There is no image {most}: the ids go from 0 to {images - 1:,}."
        )
    return Found(ids=ids)
