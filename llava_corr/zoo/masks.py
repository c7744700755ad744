"""SAM's twin learns to draw what a name prompts: prompts are learned vectors of names, in the place of [SEG] states.

Letters: B pictures, K masks of a batch, G width of prompts, L side of the label map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..losses.mask import dice_loss, pixel_loss, resize_logits
from ..models.grounding import Grounding
from ..models.passes import normalise
from .dense import IMAGENET
from .pictures import LabelledPictures

SMALLEST = 3  # cells of the label map: of less one sees nothing


class NamePrompts(nn.Module):
    """A prompt for "the handle of the mug": the vector of the category, that of the part, and what a layer makes of
    both."""

    def __init__(self, categories: int, parts: int, width: int) -> None:
        super().__init__()
        self.category, self.part = nn.Embedding(categories, width), nn.Embedding(parts, width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, category_K: Tensor, part_K: Tensor) -> Tensor:
        """K x G; part 0 asks for the whole thing."""
        both = self.category(category_K) + self.part(part_K)
        return both + self.mix(both)


class DrawByName(nn.Module):
    """Things and parts that a picture shows are drawn at random, prompted by their names.

    Args:
        per_picture: masks of a picture.
        dice: weight of the Dice loss beside binary cross-entropy.
    """

    category_of: Tensor
    part_of: Tensor

    def __init__(
        self,
        grounding: Grounding,
        pictures: LabelledPictures,
        *,
        per_picture: int = 6,
        pixel: float = 2.0,
        dice: float = 1.0,
    ) -> None:
        super().__init__()
        self.grounding, self.per_picture, self.pixel, self.dice = grounding, per_picture, pixel, dice
        width = grounding.sam.config.mask_decoder_config.hidden_size
        self.prompts = NamePrompts(len(pictures.categories), len(pictures.parts), width)
        category_of, part_of = pictures.factors()
        self.register_buffer("category_of", category_of, persistent=False)
        self.register_buffer("part_of", part_of, persistent=False)

    def forward(self, pixels: Tensor, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """Loss of pictures B x 3 x S x S, labels B x L x L; ``draws`` B x at least ``per_picture`` in [0, 1) choose."""
        image_K, category_K, part_K = self.choose(labels, draws[:, : self.per_picture])
        logits = self.draw(pixels, image_K, category_K, part_K)
        side = labels.shape[-1]
        targets = self.masks(labels, image_K, category_K, part_K).float()
        logits, valid = resize_logits(logits, side), torch.ones_like(targets)
        count = max(1, len(targets))
        pixel = pixel_loss(logits, targets, valid, gamma=0.0, alpha=-1.0) / count
        return {"loss": self.pixel * pixel + self.dice * dice_loss(logits, targets, valid) / count}

    def draw(self, pixels: Tensor, image_K: Tensor, category_K: Tensor, part_K: Tensor) -> Tensor:
        """Mask logits K x h x w."""
        features = self.grounding.encode(normalise(pixels, *IMAGENET))
        return self.grounding.decode(features, self.prompts(category_K, part_K).to(features.dtype), image_K)

    def choose(self, labels: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, category and part of K masks; whole things and parts have equal chances."""
        chosen = []
        for n, (seen, draw) in enumerate(zip(labels, draws, strict=True)):
            pairs = self.shown(seen, SMALLEST)
            ordered = sorted(pairs)
            for value in draw.tolist() if ordered else ():
                chosen.append((n, *ordered[int(value * len(ordered))]))
        return tuple(torch.tensor(chosen, dtype=torch.long).view(-1, 3).to(labels.device).unbind(1))  # type: ignore[return-value]

    def shown(self, labels: Tensor, smallest: int) -> set[tuple[int, int]]:
        """(category, part) of every thing and every part with that many cells in labels L x L."""
        ids, counts = labels.unique(return_counts=True)
        large = ids[(counts >= smallest) & (ids > 0)]
        pairs = set(zip(self.category_of[large].tolist(), self.part_of[large].tolist(), strict=True))
        return pairs | {(category, 0) for category, _ in pairs}

    def masks(self, labels: Tensor, image_K: Tensor, category_K: Tensor, part_K: Tensor) -> Tensor:
        """K x L x L bool."""
        of_category = self.category_of[labels][image_K] == category_K[:, None, None]
        of_part = (self.part_of[labels][image_K] == part_K[:, None, None]) | (part_K == 0)[:, None, None]
        return of_category & of_part
