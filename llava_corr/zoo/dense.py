"""Objectives on grids of features: what every cell shows, what the picture shows, which cells show the same.

Letters: B pictures of a batch, d channels of a grid of h x w cells, C categories and M part names, with 0 for none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ..models.passes import normalise
from .pictures import LabelledPictures

IMAGENET = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
BACKGROUND = 0.3  # weight of cells that show nothing named, four fifths of a picture


class NameHead(nn.Module):
    """From a grid of features to the category and the part in every cell of a finer grid.

    Args:
        width: d.
        refine: cells of the finer grid along one cell of the features.
        categories, parts: C and M.
        hidden: channels between.
    """

    def __init__(self, width: int, refine: int, categories: int, parts: int, hidden: int = 48) -> None:
        super().__init__()
        self.refine = refine
        self.spread = nn.Conv2d(width, hidden * refine**2, 1)
        self.mix = nn.Conv2d(hidden, 64, 3, padding=1)
        self.category = nn.Conv2d(64, categories, 1)
        self.part = nn.Conv2d(64, parts, 1)

    def forward(self, grid_Bdhw: Tensor) -> tuple[Tensor, Tensor]:
        """Logits B x C x H x W and B x M x H x W."""
        fine = F.pixel_shuffle(self.spread(grid_Bdhw), self.refine)
        seen = F.gelu(self.mix(F.gelu(fine)))
        return self.category(seen), self.part(seen)


class NameCells(nn.Module):
    """An encoder learns to name the category and the part in every cell (cross-entropy each).

    Args:
        tower: whose features are named.
        width: d, their channels.
        refine: cells to name along one cell of the features.
    """

    category_of: Tensor
    part_of: Tensor

    def __init__(self, tower: nn.Module, width: int, refine: int, pictures: LabelledPictures) -> None:
        super().__init__()
        self.tower: Any = tower
        self.head = NameHead(width, refine, len(pictures.categories), len(pictures.parts))
        category_of, part_of = pictures.factors()
        self.register_buffer("category_of", category_of, persistent=False)
        self.register_buffer("part_of", part_of, persistent=False)

    def encode(self, pixels: Tensor, place: Tensor | None = None) -> Tensor:
        """Features B x d x h x w of uint8 pictures."""
        return self.tower(pixels, place)

    def forward(self, pixels: Tensor, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """Loss of uint8 pictures B x 3 x S x S with labels at the head's grid; ``draws`` are random numbers for all."""
        categories, parts = self.head(self.encode(pixels, draws[0, :2]))
        return {"loss": self.loss(categories, parts, labels)}

    def loss(self, categories: Tensor, parts: Tensor, labels: Tensor) -> Tensor:
        true_category, true_part = self.category_of[labels], self.part_of[labels]
        named = true_category > 0
        weights = torch.where(named, 1.0, BACKGROUND)
        of_cells = F.cross_entropy(categories.float(), true_category, reduction="none")
        of_parts = F.cross_entropy(parts.float().permute(0, 2, 3, 1)[named], true_part[named], reduction="sum")
        return (of_cells * weights).sum() / weights.sum() + of_parts / named.sum().clamp(min=1)


class SamCells(nn.Module):
    """SAM's encoder on crops smaller than its canvas: they lie somewhere on it, a random place for each batch."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor, place: Tensor | None = None) -> Tensor:
        """Neck features B x G x h x w of uint8 pictures.

        Args:
            place: two numbers in [0, 1): where the crop lies; None only for a whole canvas.
        """
        encoder, normal = self.encoder, normalise(pixels, *IMAGENET)
        if pixels.shape[-1] == encoder.config.image_size:
            return encoder(normal).last_hidden_state
        hidden = encoder.patch_embed.projection(normal).permute(0, 2, 3, 1)
        cells, canvas = hidden.shape[1], encoder.pos_embed.shape[1]
        assert place is not None
        top, left = (int(share * (canvas - cells + 1)) for share in place.tolist())
        hidden = hidden + encoder.pos_embed[:, top : top + cells, left : left + cells]
        for layer in encoder.layers:
            hidden = layer(hidden)
        return encoder.neck(hidden)
