"""One random stream per purpose, all from one seed, all in the checkpoint.

Streams are independent of each other and of the order in which they are first
used: drawing one more augmentation does not move the data order.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch


def derive_seed(seed: int, purpose: str) -> int:
    """Return a 63-bit seed for one purpose, the same on every machine."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Streams:
    """Named generators: ``streams["order/T"]`` is created at its first use."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.device = torch.device(device)
        self._generators: dict[str, torch.Generator] = {}

    def __getitem__(self, purpose: str) -> torch.Generator:
        """Return the CPU generator of a purpose."""
        return self._generator(purpose, torch.device("cpu"))

    def on_device(self, purpose: str) -> torch.Generator:
        """Return a generator on the search's device, for draws that must not
        cross to it (augmentation, noise)."""
        return self._generator(purpose, self.device)

    def _generator(self, purpose: str, device: torch.device) -> torch.Generator:
        if purpose not in self._generators:
            generator = torch.Generator(device=device)
            generator.manual_seed(derive_seed(self.seed, purpose))
            self._generators[purpose] = generator
        return self._generators[purpose]

    def state_dict(self) -> dict[str, Any]:
        return {
            name: {"device": g.device.type, "state": g.get_state().cpu()}
            for name, g in self._generators.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the streams were; generators that parts hold stay the same."""
        for name in self._generators.keys() - state.keys():
            del self._generators[name]
        for name, saved in state.items():
            on_device = saved["device"] != "cpu"
            device = self.device if on_device else torch.device("cpu")
            self._generator(name, device).set_state(saved["state"])
