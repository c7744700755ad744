"""Muon for the matrices inside a network's layers, AdamW for everything else, as one optimiser.

Measured on a CPU (docs/log.md): the same loss in about half the time of AdamW alone, for image towers and trunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """Two optimisers that one learning-rate schedule drives (Jordan et al. 2024; torch.optim.Muon).

    Args:
        hidden: matrices for Muon.
        others: parameters for AdamW.
        rate: Muon's learning rate, scaled to AdamW's root mean square of steps.
        adamw_rate: AdamW's.
        decay: weight decay of both.
    """

    def __init__(
        self,
        hidden: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        rate: float,
        adamw_rate: float,
        decay: float,
    ) -> None:
        muon = Muon(hidden, lr=rate, momentum=0.95, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        adamw = AdamW(others, lr=adamw_rate, weight_decay=decay, betas=(0.9, 0.98))
        self.parts: tuple[Optimizer, Optimizer] = (muon, adamw)
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """The groups are the parts' own: whoever sets a learning rate here sets it there."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for part in self.parts:
            part.step()
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()


def optimiser(task: nn.Module, rate: float, adamw_rate: float, decay: float) -> MuonWithAdamW:
    """Matrices of layers (a name with "layer" in it) go to Muon: not embeddings, output layers, norms and biases."""
    named = [(name, p) for name, p in task.named_parameters() if p.requires_grad]
    hidden = [p for name, p in named if p.ndim == 2 and "layer" in name]
    chosen = {id(p) for p in hidden}
    return MuonWithAdamW(
        hidden, [p for _, p in named if id(p) not in chosen], rate=rate, adamw_rate=adamw_rate, decay=decay
    )
