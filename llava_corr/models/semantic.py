"""DINOv2 as its authors run it: transformers' models, but for how a position table is resized.

The authors' models without registers, as torch.hub gives them and as transformers had them until 4.44, sample the table
for patches that are a tenth of a patch too close (side + 0.1 instead of side); later versions of transformers do not.
Between a table of 37 x 37 and Calico's 16 x 16 patches that moves the samples by a tenth of a patch. Models with
registers never had it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Dinov2Model, Dinov2WithRegistersModel, PreTrainedModel
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings

from .configuration import LlavaCorrConfig

# Axis letters: E width, P patches.


def semantic_class(config: LlavaCorrConfig) -> type[PreTrainedModel]:
    """Class of the semantic tower."""
    registers = getattr(config.semantic_config, "num_register_tokens", 0)
    return Dinov2WithRegistersModel if registers else Dinov2Model


def resizing_as_configured(tower: Any) -> Any:
    """A semantic tower, made or loaded by transformers, that resizes its position table as its configuration says:
    ``position_offset``, zero if absent."""
    if getattr(tower.config, "position_offset", 0):
        # No class of its own: transformers converts names of older weights for its own classes alone.
        tower.embeddings.__class__ = _Embeddings
    return tower


class _Embeddings(Dinov2Embeddings):
    def interpolate_pos_encoding(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        """Positions of CLS and patches for a picture of this size, 1 x (1 + P) x E."""
        table, patch = self.position_embeddings, self.patch_embeddings.patch_size
        grid = int(height // patch[0]), int(width // patch[1])
        side = round((table.shape[1] - 1) ** 0.5)
        if grid == (side, side):
            return table
        return torch.cat([table[:, :1], resize_positions(table[:, 1:], grid, self.config.position_offset)], 1)


def resize_positions(table_1PE: Tensor, grid: tuple[int, int], offset: float) -> Tensor:
    """Positions for a grid of patches from the table of a square grid, in float32 and back.

    Args:
        table_1PE: 1 x side² x E.
        grid: rows and columns of patches.
        offset: what is added to both when steps between samples are counted, side / (rows + offset).
    """
    side = round(table_1PE.shape[1] ** 0.5)
    table_1Ehw = table_1PE.float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    scales = [(count + offset) / side for count in grid]
    resized_1Ehw = F.interpolate(table_1Ehw, scale_factor=scales, mode="bicubic", align_corners=False)
    return resized_1Ehw.flatten(2).transpose(1, 2).to(table_1PE.dtype)
