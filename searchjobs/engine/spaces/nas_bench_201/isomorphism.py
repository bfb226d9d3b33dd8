"""Give isomorphic cells the same text.

NAS-Bench-201 (Dong and Yang, ICLR 2020, section 2.1) counts 6,466 unique cells.
That count follows from the text made here: a node is the sorted sum of its terms,
``skip_connect`` stands for its source, ``none`` and whatever leaves a node that reads
``#`` stand for zero, written ``#``.

Two things the published definition does not see, and so neither do we: zeros stay
as terms of a sum, so some cells that compute the same have different texts; and one
convolution that is used twice reads like two convolutions of one kind.
"""

from __future__ import annotations

from .encoding import read

_ZERO = "#"


def canonical(architecture: str) -> str:
    """Return the text that isomorphic cells share; the input node is ``0``."""
    wiring, names = read(architecture)
    nodes = ["0"]
    for node in range(1, wiring.nodes):
        terms = [
            _term(name, nodes[source])
            for name, (target, source) in zip(names, wiring.edges, strict=True)
            if target == node
        ]
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _term(operation: str, source: str) -> str:
    if operation == "none" or source == _ZERO:
        return _ZERO
    if operation == "skip_connect":
        return source
    return f"({source})@{operation}"
