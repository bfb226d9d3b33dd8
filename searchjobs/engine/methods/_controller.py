"""The controller of ENAS: an LSTM that draws an architecture row by row.

H. Pham et al., Efficient Neural Architecture Search via Parameter Sharing, ICML 2018,
section 2.1, with the sizes of the NAS-Bench-201 code: two layers of 32 units; the
logits of a row are 2.5 tanh(z / 5); the drawn operation, embedded, is the next input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from ..sampling import gumbel

HIDDEN = 32
LAYERS = 2
SHARPNESS = 5.0
BOUND = 2.5
INITIAL = 0.1
#: Beginnings of architectures up to which ``marginals`` are exact.
BEGINNINGS = 4096

State = tuple[Tensor, Tensor]


class Drawn(NamedTuple):
    """Architectures and what the controller thinks of them.

    Attributes:
        columns: int64 (n, R), the column of each row.
        log_probability: (n,), summed over the rows; differentiable.
        entropy: (n,), of each row given the rows before it, summed, in nats.
    """

    columns: Tensor
    log_probability: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """Draws one column for each of R rows out of O columns.

    Args:
        allowed: bool (R, O), what each row may take.
        generator: where the initial values, U(-0.1, 0.1), come from.
    """

    allowed: Tensor

    def __init__(self, allowed: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        columns = allowed.shape[1]
        self.register_buffer("allowed", allowed, persistent=False)
        self.start = nn.Parameter(torch.empty(HIDDEN))
        self.embedding = skip_init(nn.Embedding, columns, HIDDEN)
        # what skip_init does, which cannot read the arguments of this one
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, LAYERS, device="meta")
        self.lstm.to_empty(device=allowed.device)
        self.head = skip_init(nn.Linear, HIDDEN, columns)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-INITIAL, INITIAL, generator=generator)

    def sample(self, count: int, generator: torch.Generator) -> Drawn:
        """Draw ``count`` architectures at once, from a CPU generator."""
        rows, columns = self.allowed.shape
        noise = gumbel((rows, count, columns), generator).to(self.start)
        return self._walk(count, lambda row, log_p: (log_p + noise[row]).argmax(-1))

    def judge(self, columns: Tensor) -> Drawn:
        """Return what drawing just these (n, R) would have meant."""
        return self._walk(len(columns), lambda row, _: columns[:, row])

    def _walk(self, count: int, choose: Callable[[int, Tensor], Tensor]) -> Drawn:
        token, state = self.start.repeat(count, 1), None
        chosen, log_probability, entropy = [], [], []
        for row, allowed in enumerate(self.allowed):
            log_p, state = self._step(token, state, allowed)
            column = choose(row, log_p.detach())
            chosen.append(column)
            log_probability.append(log_p.gather(1, column.unsqueeze(1)).squeeze(1))
            entropy.append(-(log_p.exp() * log_p.masked_fill(~allowed, 0)).sum(-1))
            token = self.embedding(column)
        return Drawn(
            torch.stack(chosen, 1),
            torch.stack(log_probability).sum(0),
            torch.stack(entropy).sum(0),
        )

    def _step(
        self, token: Tensor, state: State | None, allowed: Tensor
    ) -> tuple[Tensor, State]:
        """Return log-probabilities (n, O) of a row after the last token (n, H)."""
        hidden, state = self.lstm(token.unsqueeze(0), state)
        logits = BOUND * torch.tanh(self.head(hidden.squeeze(0)) / SHARPNESS)
        return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1), state

    @torch.no_grad()
    def marginals(self) -> Tensor:
        """Return the probability (R, O) of each column whatever the other rows take.

        Exact while there are at most 4,096 beginnings (NAS-Bench-201 has 3,125); beyond
        that so many are drawn by their weights, always by the same noise.
        """
        token, state = self.start.repeat(1, 1), None
        weights, found = torch.ones_like(token[:, :1]), []
        noise = torch.Generator().manual_seed(0)
        for row, allowed in enumerate(self.allowed):
            log_p, state = self._step(token, state, allowed)
            joint = weights * log_p.exp()
            found.append(joint.sum(0))
            if row + 1 < len(self.allowed):
                kept, weights = _beginnings(joint.flatten(), noise)
                parents = kept // joint.shape[1]
                state = (state[0][:, parents], state[1][:, parents])
                token = self.embedding(kept % joint.shape[1])
        return torch.stack(found)


def _beginnings(joint: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return places (n,) in ``joint`` to go on from, and their weights (n, 1)."""
    kept = joint.nonzero().squeeze(1)
    if len(kept) <= BEGINNINGS:
        return kept, joint[kept].unsqueeze(1)
    kept = torch.multinomial(joint.cpu(), BEGINNINGS, True, generator=noise)
    return kept.to(joint.device), joint.new_full((BEGINNINGS, 1), 1 / BEGINNINGS)
