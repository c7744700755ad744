"""What a forward gives, and how its losses are weighed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class LossWeights:
    """Weights of the loss terms and the shape of the pixel loss (Calico section 3.5)."""

    language: float = 1.0
    mask: float = 2.0
    dice: float = 0.5
    focal_gamma: float = 2.0
    focal_alpha: float = 0.25


@dataclass
class LlavaCorrOutput(ModelOutput):
    """What one forward gives.

    Attributes:
        loss: weighted sum of the terms over their denominators.
        loss_sums: 3 sums: language over tokens, mask and dice over masks (detached).
        counts: 2 counts of this batch: trained tokens, masks.
        mask_logits: K x h x w on the padded square canvas.
        hidden_states: B x S x D after the trunk's final norm.
    """

    loss: Tensor | None = None
    loss_sums: Tensor | None = None
    counts: Tensor | None = None
    mask_logits: Tensor | None = None
    hidden_states: Tensor | None = None
