"""Correspondence extraction (CEM) and adaptation (CAM): Calico sections 3.3 and 3.4, eq. 4 to 9.

Axis letters: U distinct images, N image slots, B conversations, S sequence, P patches + CLS of the vision tower (width
E), M patches of DINOv2 (width d), Q tokens of an image, H Q-Former width, D trunk width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .configuration import LlavaCorrConfig
from .semantic import resizing_as_configured, semantic_class


class ZeroLinear(nn.Linear):
    """A linear layer that starts at zero, so that a fresh module leaves a pretrained model as it is."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class CorrespondenceExtraction(nn.Module):
    """CEM: each image's patches attend the DINOv2 patches of the same image (facts 5.3 rows 7 to 9)."""

    def __init__(self, config: LlavaCorrConfig) -> None:
        super().__init__()
        semantic = config.semantic_config
        assert semantic is not None
        registers = getattr(semantic, "num_register_tokens", 0)
        self.semantic_model: Any = resizing_as_configured(semantic_class(config)._from_config(semantic))
        self.prefix_tokens = 1 + registers  # CLS and registers are no patches
        self.residual = config.correspondence_residual
        width = config.vision_config.hidden_size
        self.attention = nn.MultiheadAttention(
            width,
            config.correspondence_heads,
            kdim=semantic.hidden_size,
            vdim=semantic.hidden_size,
            batch_first=True,
        )
        if self.residual:
            self.attention.out_proj = ZeroLinear(width, width)  # type: ignore[assignment]

    def look(self, pixels_UCHW: Tensor) -> Tensor:
        """Semantic patches U x M x d: the normalised output of the last layer (eq. 5)."""
        return self.semantic_model(pixel_values=pixels_UCHW).last_hidden_state[:, self.prefix_tokens :]

    def forward(self, patches_UPE: Tensor, semantic_UMd: Tensor) -> Tensor:
        """Semantic-rich patches U x P x E (eq. 6)."""
        found, _ = self.attention(patches_UPE, semantic_UMd, semantic_UMd, need_weights=False)
        return patches_UPE + found if self.residual else found


class CorrespondenceAdaptation(nn.Module):
    """The linears of one CAM: guidance D -> H (W1, eq. 7) and output H -> D (W2, eq. 9), both from zero (facts 3).

    Where the guidance itself goes back to the trunk (no re-query), W1 starts as a usual linear: with both at zero
    neither would ever get a gradient.
    """

    def __init__(self, config: LlavaCorrConfig) -> None:
        super().__init__()
        assert config.qformer_config is not None
        width = config.qformer_config.hidden_size
        first = ZeroLinear if config.adaptation_requery else nn.Linear
        self.guidance = first(config.hidden_size, width) if config.adaptation_guidance else None
        self.output = ZeroLinear(width, config.hidden_size)


@dataclass
class ImagePositions:
    """Where the images of a batch stand.

    Attributes:
        places_BS: True at image positions.
        guide_B: position of the last token before the first answer (facts 5.3 row 10): no answer reaches it.
        image_N: which of the U images each slot shows.
        owner_N: conversation of each slot, rising.
    """

    places_BS: Tensor
    guide_B: Tensor
    image_N: Tensor
    owner_N: Tensor


class Injection:
    """What the CAMs of one forward add to the image positions before their layers.

    Args:
        positions: of the batch.
        layers: n in "before layer n".
        enrich: (layer, guidance states N x D, image of each slot N) -> N x Q x D.
    """

    def __init__(
        self, positions: ImagePositions, layers: list[int], enrich: Callable[[int, Tensor, Tensor], Tensor]
    ) -> None:
        self.positions, self.layers, self.enrich = positions, frozenset(layers), enrich

    def __call__(self, layer: int, hidden_RSD: Tensor) -> Tensor:
        """The states with the CAM's tokens added; R is B, or B times the number of beams, beams side by side."""
        if layer not in self.layers:
            return hidden_RSD
        at = self.positions
        conversations = len(at.places_BS)
        beams = len(hidden_RSD) // conversations
        first_BSD = hidden_RSD[::beams]
        guides_BD = first_BSD[torch.arange(conversations, device=hidden_RSD.device), at.guide_B]
        if len(at.image_N) == 0:  # every rank runs every module: an image that stands nowhere, at weight 0
            idle = self.enrich(layer, guides_BD[:1], at.guide_B.new_zeros(1))
            return hidden_RSD + 0.0 * idle.sum().to(hidden_RSD.dtype)
        tokens_NQD = self.enrich(layer, guides_BD[at.owner_N], at.image_N).to(hidden_RSD.dtype)
        added_BSD = torch.zeros_like(first_BSD).masked_scatter(at.places_BS[..., None], tokens_NQD)
        return hidden_RSD + (added_BSD if beams == 1 else added_BSD.repeat_interleave(beams, 0))
