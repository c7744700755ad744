"""The other image towers: they begin as copies of one encoder's layers, and each goes on with an objective of its own.

EVA-CLIP's twin names what a picture shows as a whole (and, with less weight, where), DINOv2's tells parts apart and
finds the same part in other pictures, RADIO's imitates all three. Letters as in :mod:`.dense`; T tokens of a tower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ..models.passes import normalise
from .dense import IMAGENET, NameCells
from .pictures import LabelledPictures

CLIP = (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
# Names of one layer's parts in SAM's encoder -> in the other towers; "qkv" is split where the other keeps three.
SAM_TO_EVA = {
    "layer_norm1": "layer_norm1", "layer_norm2": "layer_norm2", "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection", "mlp.lin1": "mlp.fc1", "mlp.lin2": "mlp.fc2",
}  # fmt: skip
SAM_TO_DINO = {
    "layer_norm1": "norm1", "layer_norm2": "norm2", "attn.proj": "attention.o_proj", "mlp.lin1": "mlp.fc1",
    "mlp.lin2": "mlp.fc2",
}  # fmt: skip


@torch.no_grad()
def copy_layers(sam: Any, tower: nn.Module, names: Mapping[str, str], qkv: Sequence[str] = ()) -> int:
    """Copies as many of SAM's layers as the tower has; returns the number of tensors copied.

    Args:
        sam: a ``SamVisionEncoder`` without windows and relative positions.
        tower: its layers, in order.
        names: part of a layer in SAM -> in the tower.
        qkv: where the tower keeps query, key and value apart, their names.

    Raises:
        ValueError: widths differ.
    """
    count = 0
    for source, target in zip(sam.layers, tower.children(), strict=False):
        state, wanted = source.state_dict(), target.state_dict()
        new = {f"{there}.{end}": state[f"{here}.{end}"] for here, there in names.items() for end in ("weight", "bias")}
        for end in ("weight", "bias") if qkv else ():
            pieces = state[f"attn.qkv.{end}"].chunk(3)
            new |= {f"{name}.{end}": piece for name, piece in zip(qkv, pieces, strict=True)}
        for name, value in new.items():
            if wanted[name].shape != value.shape:
                raise ValueError(f"{name} is {tuple(wanted[name].shape)}, SAM's {tuple(value.shape)}")
            wanted[name].copy_(value)
            count += 1
    return count


def grid(tokens_BTd: Tensor) -> Tensor:
    """Patch tokens, rows first, as B x d x h x w of a square."""
    side = round(tokens_BTd.shape[1] ** 0.5)
    return tokens_BTd.transpose(1, 2).unflatten(2, (side, side))


def thinned(labels: Tensor, side: int) -> Tensor:
    """B x L x L at every L/side-th place, near the middle of each cell of B x side x side."""
    step = labels.shape[-1] // side
    return labels[:, step // 2 :: step, step // 2 :: step]


class SeePictures(NameCells):
    """EVA-CLIP's twin: CLS tells which categories and which of their parts a picture shows, patches where."""

    def __init__(self, tower: nn.Module, width: int, pictures: LabelledPictures) -> None:
        super().__init__(tower, width, 2, pictures)
        self.whole = nn.Linear(width, len(pictures.names))

    def encode(self, pixels: Tensor, place: Tensor | None = None) -> Tensor:
        return grid(self.tower(pixel_values=self.normal(pixels)).last_hidden_state[:, 1:])

    @staticmethod
    def normal(pixels: Tensor) -> Tensor:
        return normalise(pixels, *CLIP)

    def forward(self, pixels: Tensor, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """Labels B x L x L, L a multiple of the head's grid."""
        tokens = self.tower(pixel_values=self.normal(pixels)).last_hidden_state
        there = torch.zeros(len(pixels), self.whole.out_features, device=pixels.device)
        there.scatter_(1, labels.flatten(1), 1.0)
        ranks = self.whole(tokens[:, 0]).float()[:, 1:]
        whole = F.binary_cross_entropy_with_logits(ranks, there[:, 1:], reduction="sum") / there[:, 1:].sum().clamp(
            min=1
        )
        categories, parts = self.head(grid(tokens[:, 1:]))
        return {"loss": whole + self.loss(categories, parts, thinned(labels, categories.shape[-1]))}


class MatchParts(NameCells):
    """DINOv2's twin: a cell is nearer to cells of the same part of the same category in other pictures than to all
    others (supervised contrast, Khosla et al. 2020), and is named.

    Args:
        cells: of a picture that are compared.
        temperature: of the contrast.
    """

    def __init__(
        self, tower: nn.Module, width: int, pictures: LabelledPictures, *, cells: int = 24, temperature: float = 0.1
    ) -> None:
        super().__init__(tower, width, 2, pictures)
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 64))
        self.cells, self.temperature = cells, temperature

    def encode(self, pixels: Tensor, place: Tensor | None = None) -> Tensor:
        return grid(self.tower(pixel_values=normalise(pixels, *IMAGENET)).last_hidden_state[:, 1:])

    def forward(self, pixels: Tensor, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """``draws`` B x at least ``cells`` random numbers: the seed of which cells are compared."""
        features = self.encode(pixels)
        categories, parts = self.head(features)
        named = self.loss(categories, parts, thinned(labels, categories.shape[-1]))
        coarse = thinned(labels, features.shape[-1]).flatten(1)
        spread = (draws[:, :1] * 9973 + torch.arange(coarse.shape[1], device=coarse.device) * 0.6180339887) % 1
        order = torch.where(coarse > 0, spread, spread + 1).argsort(1)[:, : self.cells]
        chosen = coarse.gather(1, order).flatten()
        vectors = features.flatten(2).transpose(1, 2).gather(1, order[..., None].expand(-1, -1, features.shape[1]))
        picture = torch.arange(len(pixels), device=pixels.device).repeat_interleave(self.cells)
        return {"loss": named + self.contrast(self.project(vectors).flatten(0, 1), chosen, picture)}

    def contrast(self, vectors: Tensor, labels: Tensor, picture: Tensor) -> Tensor:
        """Mean over cells of the mean negative log-share of their counterparts among all cells of other pictures."""
        vectors = F.normalize(vectors.float(), dim=-1)
        other = picture[:, None] != picture
        same = (labels[:, None] == labels) & other & (labels > 0)
        logits = (vectors @ vectors.T / self.temperature).masked_fill(~other, -torch.inf)
        shares = logits.log_softmax(1).masked_fill(~same, 0.0)
        paired = same.any(1)
        return -(shares.sum(1)[paired] / same.sum(1)[paired]).sum() / paired.sum().clamp(min=1)


class Imitate(nn.Module):
    """RADIO's twin: from its patches the features of every teacher can be read off by a linear layer.

    Args:
        student: a ``RadioModel``; it takes pixels in 0..1 and normalises them itself.
        teachers: name -> pixels B x 3 x S x S uint8 to features B x d x h x w, frozen, on the student's grid.
    """

    def __init__(self, student: nn.Module, teachers: Mapping[str, Any], widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.tower, self.teachers = student, teachers
        self.read = nn.ModuleDict({name: nn.Linear(width, widths[name]) for name in teachers})

    def forward(self, pixels: Tensor, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """Squared error over the variance of each teacher's channels in the batch."""
        features = self.tower(pixels.float() / 255).features
        losses = []
        for name, teach in self.teachers.items():
            with torch.no_grad():
                wanted = teach(pixels).flatten(2).transpose(1, 2).float()
                spread = wanted.flatten(0, 1).var(0).clamp(min=1e-6)
            losses.append(((self.read[name](features).float() - wanted) ** 2 / spread).mean())
        return {"loss": torch.stack(losses).mean()}
