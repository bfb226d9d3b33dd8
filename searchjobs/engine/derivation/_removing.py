"""What derivations share that judge an operation by what the supernet is without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts import Derivation, Derived, Method, methods
from ..problems import Problem

if TYPE_CHECKING:
    from ..spec import SearchSpec


class Removing(Derivation):
    """Needs a mixture that the weights have trained in, and a V that they have not."""

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        method = methods.get(spec.method.name)
        sentence = ""
        if method.streams(spec.method) != "split":
            sentence = (
                f"{method.label} trains the weights on all images, so none is left to "
                "judge operations on; choose another derivation, such as argmax."
            )
        elif not (issubclass(method, Method) and method.gradient_based):
            sentence = (
                f"{method.label} has no mixture of operations that one could be taken "
                "out of; choose another derivation, such as sampled."
            )
        elif method.sampled_paths:
            sentence = (
                f"{method.label} trains the weights on single architectures, so they "
                "have never met the mixture that operations would be taken out of; "
                "choose another derivation, such as argmax or sampled."
            )
        return [Problem("derivation", sentence)] if sentence else []

    def of_the_last_epoch(self, epoch: int, architecture: str) -> Derived:
        """Return what the present weights gave, with a note if a stopping rule has
        named another ``epoch``."""
        last, note = self.search.epoch, ""
        if epoch != last:
            note = (
                f"A stopping rule named epoch {epoch}, whose weights are not kept; "
                f"those of epoch {last} were measured."
            )
        return Derived(self.name, last, architecture, note=note)
