"""CoLVA's expert encoder (RADIO) and the adapter from its features into the trunk's width (facts 1.1, 8 and 9).

The expert is transformers' ``RadioModel``, but for one rule: CoLVA's copy resizes the position table with the corners
of both grids laid upon each other, RADIO's own code and transformers' do so no longer. At CoLVA's 64 x 64 patches the
features differ widely, so a model remembers the rule it was trained with: ``config.align_corners``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError

try:
    from transformers import RadioConfig, RadioModel
    from transformers.models.radio.modeling_radio import RadioPatchEmbeddings
except ImportError as cause:
    raise ConfigError("this transformers has no RADIO", mend="pip install --upgrade transformers") from cause

# Axis letters: B pictures, P patches, E width of the expert, D width of the trunk.


class ExpertAdapter(nn.Module):
    """LayerNorm, Linear, GELU, Linear: what CoLVA's files call ``ot_mlp1.0``, ``.1`` and ``.3`` (facts 8 row 1).

    Args:
        expert: width of the expert's features, E.
        trunk: width of the trunk, D.
    """

    def __init__(self, expert: int, trunk: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(expert)
        self.inner = nn.Linear(expert, trunk)
        self.outer = nn.Linear(trunk, trunk)

    def forward(self, features_BPE: Tensor) -> Tensor:
        """B x P x E to B x P x D."""
        projected: Tensor = self.outer(F.gelu(self.inner(self.norm(features_BPE))))
        return projected


class Expert(RadioModel):
    """RADIO whose configuration says by which rule its position table is resized: ``align_corners``, false if absent.

    Its weights are those of ``RadioModel``, which loads them, too, and resizes by the newer rule. What pixels are
    normalised by is held in float32 whatever the weights are loaded as: rounded, it would shift every pixel, as it does
    in ``RadioModel``.
    """

    _keep_in_fp32_modules_strict = ["input_conditioner"]  # noqa: RUF012  (transformers' own word for it)

    def __init__(self, config: RadioConfig) -> None:
        super().__init__(config)
        self.embeddings = _Patches(config)
        self.post_init()


class _Patches(RadioPatchEmbeddings):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.align_corners = bool(getattr(config, "align_corners", False))

    def _interpolate_position_embedding(self, input_dims: tuple[int, int], dtype: torch.dtype) -> Tensor:
        return resize_positions(self.position_embedding, input_dims, self.align_corners).to(dtype)


def resize_positions(table_1PE: Tensor, grid: tuple[int, int], align_corners: bool) -> Tensor:
    """Positions for a grid of patches, 1 x (rows * columns) x E in float32, from a table of a square grid.

    The table is resized to the square of the longer side, and its upper left part is taken.

    Args:
        table_1PE: 1 x side² x E.
        grid: rows and columns of patches.
        align_corners: the corner patches of both grids have the same position (CoLVA); otherwise their outlines have.
    """
    side = round(table_1PE.shape[1] ** 0.5)
    table_1Ehw = table_1PE.float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    square_1Ehw = F.interpolate(table_1Ehw, size=(max(grid),) * 2, mode="bilinear", align_corners=align_corners)
    return square_1Ehw[..., : grid[0], : grid[1]].flatten(2).transpose(1, 2)
