"""A tower's patch embedding and positions for patches of another side.

FlexiViT (Beyer et al. 2023) does so by a pseudo-inverse; here the new patch is thought resized to the old side,
which is exact for finer patches, the case that is needed.

Letters: d channels of the tower, s and t sides of a patch, h and w cells of a grid.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def resized_patches(weight_d3ss: Tensor, side: int) -> Tensor:
    """d x 3 x t x t weights that say of a patch of t = ``side`` pixels what the given ones say of it once it is
    enlarged (or shrunk) to their own side, bilinearly."""
    own = weight_d3ss.shape[-1]
    pixels = torch.eye(side**2, device=weight_d3ss.device).view(-1, 1, side, side)
    enlarged = F.interpolate(pixels, (own, own), mode="bilinear", align_corners=False).flatten(1)
    return (weight_d3ss.float().flatten(2) @ enlarged.T).unflatten(2, (side, side)).to(weight_d3ss.dtype)


def resized_positions(table_1hwd: Tensor, side: int) -> Tensor:
    """1 x side x side x d, interpolated bicubically."""
    if table_1hwd.shape[1] == side:
        return table_1hwd
    grid = table_1hwd.permute(0, 3, 1, 2)
    return F.interpolate(grid, (side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
